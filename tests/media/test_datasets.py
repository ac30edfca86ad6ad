"""The standard files of MNIST and CIFAR-10."""

import gzip

import numpy as np
import pytest
import torch
from media.sample_files import cifar, digits, idx, packed, tar

import texsyn
from texsyn.cli.entry import main
from texsyn.media.collection import images_of


def test_standard_files_are_read(tmp_path):
    pictures = digits(30)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(pictures))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pictures)))
    plain, packed = (texsyn.read_collection(path) for path in sorted(tmp_path.iterdir()))
    assert torch.equal(plain.pixels, packed.pixels)
    assert plain.modality.name == "objects28"
    for number in (1, 2):
        (tmp_path / f"data_batch_{number}.bin").write_bytes(cifar(20))
    colour = texsyn.read_collection(tmp_path / "data_batch_1.bin", tmp_path / "data_batch_2.bin")
    assert (colour.modality.name, colour.modality.channels, colour.facts["pictures"]) == ("objects32", 3, 40)
    red = np.frombuffer(cifar(20), np.uint8).reshape(20, 3073)[:, 1:1025]
    pieces = images_of(torch.cat((colour.pixels,), -1), 32)
    assert {(((p[0] + 1) * 127.5).round().to(torch.uint8).numpy()).tobytes() for p in pieces} <= {
        r.tobytes() for r in red
    }


@pytest.mark.parametrize(
    ("name", "blob", "said"),
    [
        ("images-idx3-ubyte", idx(digits(30))[:-5], "is damaged"),
        ("images-idx3-ubyte", b"\0\0\x08\x03" + b"\xff" * 12, "too large, or none"),
        ("labels-idx1-ubyte", b"\0\0\x08\x01" + bytes(40), "holds classes"),
        ("data_batch_1.bin", cifar(25)[:-1], "no multiple of 3073"),
        ("data_batch_1.bin", b"", "no multiple of 3073"),
        ("images.gz", gzip.compress(idx(digits(30)))[:-20], "cannot be read"),
        ("notes.txt", b"hello", "is neither a folder, nor"),
        ("shard.tar", b"hello" * 200, "cannot be read as a tar file"),
        ("table.parquet", b"PAR1 hello", "cannot be read as a Parquet file"),
        ("few", idx(digits(5)), "has at least 20 images"),
    ],
)
def test_bad_files_are_one_line(tmp_path, capsys, name, blob, said):
    (tmp_path / name).write_bytes(blob)
    code = main(["fit", str(tmp_path / name), "--kind", "objects", "--out", str(tmp_path / "run"), "--quiet"])
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert said in err
    assert not (tmp_path / "run").exists()
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_mnist_has_classes_where_their_file_lies_beside(tmp_path):
    images = tmp_path / "train-images-idx3-ubyte"
    images.write_bytes(idx(digits(30)))
    classes = np.arange(30, dtype=np.uint8) % 10
    beside = tmp_path / "train-labels-idx1-ubyte"
    beside.write_bytes(b"\0\0\x08\x01" + (30).to_bytes(4, "big") + classes.tobytes())
    found = texsyn.read_collection(images)
    assert found.classes == tuple("0123456789")
    given = {picture.tobytes(): kind for picture, kind in zip(digits(30), classes, strict=True)}
    shown = ((found.pictures.read(range(27)) + 1) * 127.5).round().to(torch.uint8).numpy()
    assert [given[each.tobytes()] for each in shown] == found.pictures.classes_of(range(27))
    assert texsyn.read_collection(images, labelled=False).classes == ()
    beside.write_bytes(b"\0\0\x08\x01" + (29).to_bytes(4, "big") + bytes(29))
    with pytest.raises(texsyn.TexsynError, match="29 classes, but"):
        texsyn.read_collection(images)


def test_cifar_has_classes(tmp_path):
    for classes, name in ((1, "data_batch_1.bin"), (2, "train.bin")):
        (tmp_path / name).write_bytes(cifar(40, classes))
        found = texsyn.read_collection(tmp_path / name)
        raw = np.frombuffer(cifar(40, classes), np.uint8).reshape(40, 3072 + classes)
        assert found.classes == tuple(map(str, sorted(set(raw[:, classes - 1].tolist()))))


def test_shards_are_read_in_webdatasets_layout(tmp_path):
    pictures = digits(30)
    for shard in range(2):
        members = {}
        for number in range(shard, 30, 2):
            members[f"{number:03}.png"] = packed(pictures[number])
            members[f"{number:03}.cls"] = b"even" if number % 4 < 2 else b"odd"
            members[f"{number:03}.json"] = b"{}"
        tar(tmp_path / f"part-{shard}.tar", members)
    (tmp_path / "part-2.tar").write_bytes(b"nothing of the sort" * 99)
    found = texsyn.read_collection(tmp_path)
    assert (found.modality.name, found.facts["pictures"], found.classes) == ("objects28", 30, ("even", "odd"))
    assert (found.facts["skipped_count"], "part-2.tar" in found.facts["skipped"][0]) == (1, True)


def test_a_broken_member_is_named_and_skipped(tmp_path):
    members = {f"{number:03}.png": packed(picture) for number, picture in enumerate(digits(24))}
    members["005.png"] = members["005.png"][:60]
    members["006.jpg"] = b"no image"
    found = texsyn.read_collection(tar(tmp_path / "set.tar", members))
    assert (found.facts["pictures"], found.facts["skipped_count"]) == (23, 2)
    assert any("005.png" in line for line in found.facts["skipped"])


def test_a_cut_shard_gives_what_it_has(tmp_path):
    members = {f"{number:03}.png": packed(picture) for number, picture in enumerate(digits(40))}
    whole = tar(tmp_path / "b.tar", members).read_bytes()
    (tmp_path / "b.tar").write_bytes(whole[: len(whole) // 2])
    tar(tmp_path / "a.tar", members)
    found = texsyn.read_collection(tmp_path)
    assert 40 < found.facts["pictures"] < 70
    assert found.facts["skipped_count"] == 1


def test_tables_are_read(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    blobs = [packed(picture) for picture in digits(30)]
    rows = [{"bytes": blob, "path": None} for blob in blobs]
    rows[3] = {"bytes": None, "path": "elsewhere.png"}
    parquet.write_table(arrow.table({"image": rows, "label": [n % 3 for n in range(30)]}), tmp_path / "a.parquet")
    parquet.write_table(arrow.table({"img": blobs, "label": [n % 3 for n in range(30)]}), tmp_path / "b.parquet")
    parquet.write_table(arrow.table({"text": ["no image"]}), tmp_path / "c.parquet")
    found = texsyn.read_collection(tmp_path)
    assert (found.facts["pictures"], found.facts["skipped_count"], found.classes) == (59, 2, ("0", "1", "2"))
    assert any("row 3 is empty" in line for line in found.facts["skipped"])
    assert any("c.parquet has no column of images" in line for line in found.facts["skipped"])
