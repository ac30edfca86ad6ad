"""Stored folders: whole or absent after a crash, and checked before memory is taken."""

import hashlib
import json
import os
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as to_bytes

from texsyn import TexsynError
from texsyn.core.errors import Exit
from texsyn.core.files import sync_folder, write_synced
from texsyn.runs import storage


def test_what_is_stored_is_read(tmp_path):
    tensors = {"a": torch.randn(3, 4), "b": torch.arange(5), "c": torch.ones(2).bfloat16(), "d": torch.ones(()).half()}
    storage.store(tmp_path / "it", {**tensors, "t": torch.randn(4, 3).T}, {"n": 1})
    found = storage.read_tensors(tmp_path / "it")
    assert all(torch.equal(found[name], value) for name, value in tensors.items())
    assert storage.read_content(tmp_path / "it") == {"n": 1}
    assert storage.names(tmp_path / "it") == {"a", "b", "c", "d", "t"}


def test_a_part_is_read_without_the_rest(tmp_path):
    tensors = {"a": torch.randn(3, 4), "b": torch.arange(5)}
    storage.store(tmp_path / "it", tensors, {})
    expected = {"b": tensors["b"].to("meta")}
    with pytest.raises(TexsynError, match=r"do not fit the stored networks \(a\)"):
        storage.read_tensors(tmp_path / "it", expected)
    assert storage.read_tensors(tmp_path / "it", expected, partial=True).keys() == {"b"}
    for wrong in ({"c": tensors["b"]}, {"b": tensors["b"][:4]}, {"b": tensors["b"].half()}):
        with pytest.raises(TexsynError, match="do not fit the stored networks"):
            storage.read_tensors(tmp_path / "it", wrong, partial=True)


def test_what_is_read_does_not_change_with_the_file(tmp_path):
    storage.store(tmp_path / "it", {"a": torch.zeros(4)}, {})
    found = storage.read_tensors(tmp_path / "it")
    path = tmp_path / "it" / "tensors.safetensors"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(b"\xff" * size)
    assert torch.equal(found["a"], torch.zeros(4))


def test_a_lying_header_is_refused(tmp_path):
    folder = tmp_path / "stored"
    storage.store(folder, {"a": torch.zeros(4)}, {})
    path = folder / "tensors.safetensors"
    honest = to_bytes({"a": torch.zeros(4)})
    for lie in (honest.replace(b"[4]", b"[9]"), b"\xff" * 8 + honest[8:], honest[:8] + b"[" * (len(honest) - 8), b""):
        path.write_bytes(lie)
        with pytest.raises(TexsynError, match=r"header|do not fit"):
            storage.read_tensors(folder, {"a": torch.zeros(4)})


def forge(folder: Path, blob: bytes) -> None:
    """Put a tensor file in a stored folder, with a manifest that vouches for it."""
    (folder / "tensors.safetensors").write_bytes(blob)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tensors.safetensors"] = {"bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def tensor_file(header: bytes | dict, size: int) -> bytes:
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


FORGED = {
    "overlap": {"a": entry([4], 0, 16), "b": entry([4], 8, 24)},
    "gap": {"a": entry([4], 0, 16), "b": entry([1], 20, 24)},
    "beyond the end": {"a": entry([8], 0, 32)},
    "negative": {"a": entry([-6], 0, 24)},
    "overflow": {"a": entry([2**62, 4], 0, 24)},
    "empty but long": {"a": entry([0, 2**40], 0, 0), "b": entry([6], 0, 24)},
    "many axes": {"a": entry([1] * 70 + [6], 0, 24)},
    "other type": {"a": entry([3], 0, 24, "F64")},
    "unknown type": {"a": entry([6], 0, 24, "F33")},
    "small type": {"a": entry([24], 0, 24, "F8_E4M3")},
    "twice": b'{"a":%b,"a":%b}' % tuple(json.dumps(each).encode() for each in (entry([4], 0, 16), entry([2], 16, 24))),
    "many": {f"t{number}": entry([0], 0, 0) for number in range(30_000)} | {"a": entry([6], 0, 24)},
    "deep": b'{"a":' * 50_000,
    "a list": b"[]",
    "no text": b"\xff\xfe",
    "half a character": b'{"\\ud800":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}',
}


@pytest.mark.parametrize("how", FORGED)
def test_forged_headers_are_refused_whatever_is_expected(tmp_path, how):
    storage.store(tmp_path / "it", {"a": torch.zeros(6)}, {})
    forge(tmp_path / "it", tensor_file(FORGED[how], 24))
    for expected in (None, {"a": torch.zeros(4)}):
        with pytest.raises(TexsynError, match=r"is damaged|do not fit"):
            storage.read_tensors(tmp_path / "it", expected)


@pytest.mark.parametrize("padding", range(1, 8))
def test_tensors_off_their_alignment_are_read(tmp_path, padding):
    storage.store(tmp_path / "it", {}, {})
    header = json.dumps({"a": entry([6], 0, 24)}).encode()
    header += b" " * (-len(header) % 8 + padding)
    forge(tmp_path / "it", tensor_file(header, 24))
    assert torch.equal(storage.read_tensors(tmp_path / "it")["a"], torch.zeros(6))


@pytest.mark.parametrize("text", ["", "[]", "nothing", '{"a":' * 100_000, "\0", "{" + " " * 5_000_000 + "}"])
def test_what_is_no_small_json_object_is_refused(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(TexsynError, match=r"damaged|larger than 4 MB"):
        storage.read_json(tmp_path / "run.json")


def test_a_full_disk_leaves_the_old_folder(tmp_path, monkeypatch):
    storage.store(tmp_path / "it", {"a": torch.zeros(3)}, {"n": 1})

    def full(path, blob):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "write_synced", full)
    with pytest.raises(TexsynError, match="it cannot be stored: No space left") as caught:
        storage.store(tmp_path / "it", {"a": torch.ones(3)}, {"n": 2})
    assert caught.value.exit is Exit.DISK
    assert storage.read_content(tmp_path / "it") == {"n": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


@pytest.mark.parametrize("point", range(1, 9))
def test_a_crash_anywhere_in_a_save_leaves_the_old_or_the_new(tmp_path, monkeypatch, point):
    storage.store(tmp_path / "it", {"a": torch.zeros(3)}, {"n": 1})
    calls = []

    def crashing(true):
        def call(*arguments, **more):
            calls.append(true)
            if len(calls) == point:
                raise KeyboardInterrupt
            return true(*arguments, **more)

        return call

    monkeypatch.setattr(storage, "write_synced", crashing(write_synced))
    monkeypatch.setattr(storage, "sync_folder", crashing(sync_folder))
    monkeypatch.setattr(Path, "rename", crashing(Path.rename))
    try:
        storage.store(tmp_path / "it", {"a": torch.ones(3)}, {"n": 2})
    except KeyboardInterrupt:
        monkeypatch.undo()
    folders = [p for p in tmp_path.iterdir() if (p / "manifest.json").exists()]
    found = [(float(storage.read_tensors(p)["a"][0]), storage.read_content(p)["n"]) for p in folders]
    assert found
    assert set(found) <= {(0.0, 1), (1.0, 2)}


def test_what_was_moved_aside_is_put_back(tmp_path):
    storage.store(tmp_path / "it", {"a": torch.zeros(3)}, {"n": 1})
    (tmp_path / "it").rename(tmp_path / ".it.123.old")
    (tmp_path / ".it.123.part").mkdir()
    storage.tidy(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["it"]
    storage.store(tmp_path / ".it.123.old", {}, {"n": 0})
    storage.tidy(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["it"]
    assert storage.read_content(tmp_path / "it") == {"n": 1}


def test_a_pipe_in_a_folder_is_refused_rather_than_waited_for(tmp_path):
    os.mkfifo(tmp_path / "run.json")
    with pytest.raises(TexsynError, match="named pipe"):
        storage.read_json(tmp_path / "run.json")
