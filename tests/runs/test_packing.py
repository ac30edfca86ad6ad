"""A run as one small file: it samples as before, and nothing in a forged file is trusted."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace

import pytest
import torch
from conftest import KINDS, SMALL, draw
from runs.helpers import train

import texsyn
from texsyn import Exemplar, Run, TexsynError, pack, unpack
from texsyn.cli import main
from texsyn.core.recipes import Recipe
from texsyn.jobs.process import status
from texsyn.runs import packing, serialization
from texsyn.runs.fitting import fit_run

RECIPE = Recipe(steps=3, batch_size=1, precision="float32", codes=16)


@pytest.fixture(scope="module", params=list(KINDS))
def trained(request, tmp_path_factory):
    modality = KINDS[request.param]
    random = torch.Generator().manual_seed(0)
    size = [2 * n if same else n for n, same in zip(modality.size, modality.stationary, strict=True)]
    pixels = torch.rand(modality.channels, *size, generator=random) * 2 - 1
    facts = {"name": "noise", "width": pixels.shape[-1], "height": pixels.shape[-2]}
    held = pixels.flip(1) if modality.moving else None
    exemplar = Exemplar(pixels, modality, 12.0 if modality.moving else 0.0, facts, held)
    run = Run.create(tmp_path_factory.mktemp("trained") / "run", exemplar, RECIPE)
    train(run, exemplar, RECIPE)
    run.rename("given away")
    return run


def test_an_unpacked_run_samples_as_before(trained, tmp_path):
    pack(trained, tmp_path / "run.zip")
    run = unpack(tmp_path / "run.zip", tmp_path / "again")
    assert (run.title, run.facts, run.modality, run.fps) == ("given away", trained.facts, trained.modality, trained.fps)
    assert (status(run).state, status(run).step) == ("finished", 3)
    assert len(run.previews()) == 1
    assert abs(run.exemplars()[0].pixels - trained.exemplars()[0].pixels).max() <= 1 / 255 + 1e-6
    before, after = (texsyn.sample(each.triangle(), seed=3) for each in (trained, run))
    assert (before - after).square().mean().sqrt() < 0.05 * before.std()
    stored = [sum(file.stat().st_size for file in each.model_folder.iterdir()) for each in (trained, run)]
    assert stored[1] < 0.7 * stored[0]  # of real networks a seventh: here headers and corrections are most of it


def test_packed_for_samples_alone_it_samples_the_same_and_says_what_it_cannot(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(serialization, "_FEWER_BITS", serialization._BITS)  # what is left out changes no sample
    for name, samples_only in (("whole", False), ("samples", True)):
        pack(trained, tmp_path / f"{name}.zip", samples_only=samples_only)
        unpack(tmp_path / f"{name}.zip", tmp_path / name)
    pack(Run.open(tmp_path / "samples"), tmp_path / "again.zip")  # as it is
    whole, part = (Run.open(tmp_path / name) for name in ("whole", "samples"))
    sizes = [(tmp_path / f"{name}.zip").stat().st_size for name in ("samples", "again", "whole")]
    assert sizes[0] == sizes[1] < sizes[2]
    triangle = part.triangle()
    assert torch.equal(*(texsyn.sample(each, seed=3) for each in (triangle, whole.triangle())))
    sample = texsyn.sample(triangle)[0]
    with pytest.raises(TexsynError, match="packed for sampling alone, without its inference network"):
        texsyn.reconstruct(triangle, sample)
    with pytest.raises(TexsynError, match="packed for sampling alone, without its energy-based model"):
        texsyn.energy(triangle, sample)


def test_packed_for_samples_alone_in_fewer_bits_it_samples_nearly_the_same(trained, tmp_path):
    assert (trained.exemplars()[0].held is not None) == trained.modality.moving
    pack(trained, tmp_path / "samples.zip", samples_only=True)
    part = unpack(tmp_path / "samples.zip", tmp_path / "samples")
    assert part.exemplars()[0].held is None
    before, after = (texsyn.sample(each.triangle(), seed=3) for each in (trained, part))
    assert 0 < (before - after).square().mean().sqrt() < 0.2 * before.std()


def test_packed_again_it_is_the_same(trained, tmp_path):
    pack(trained, tmp_path / "run.zip")
    pack(unpack(tmp_path / "run.zip", tmp_path / "again"), tmp_path / "again.zip")
    first, second = (zipfile.ZipFile(tmp_path / name) for name in ("run.zip", "again.zip"))
    with first, second:
        assert first.read("model/tensors.safetensors") == second.read("model/tensors.safetensors")
        assert first.read("exemplar/tensors.safetensors") == second.read("exemplar/tensors.safetensors")


def test_it_cannot_be_trained_further(trained, tmp_path):
    pack(trained, tmp_path / "run.zip")
    run = unpack(tmp_path / "run.zip", tmp_path / "again")
    with pytest.raises(TexsynError, match="was packed: it can be sampled"):
        run.check_trainable()
    assert main(["fit", "--resume", str(run.path), "--steps", "9", "--no-card"]) == 3
    assert status(run).step == 3


def test_a_run_without_a_model_and_existing_files_are_refused(tmp_path):
    modality = KINDS["still"]
    run = Run.create(tmp_path / "run", Exemplar(torch.zeros(modality.channels, *modality.size), modality), RECIPE)
    with pytest.raises(TexsynError, match="no model yet"):
        pack(run, tmp_path / "run.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    for _ in fit_run(run, run.fresh(), run.exemplars(), replace(RECIPE, steps=1), print):
        pass
    pack(run, tmp_path / "run.zip")
    for call in (lambda: pack(run, tmp_path / "run.zip"), lambda: unpack(tmp_path / "run.zip", run.path)):
        with pytest.raises(TexsynError, match="exists already") as caught:
            call()
        assert caught.value.exit == 2
    pack(run, tmp_path / "run.zip", force=True)


# ------------------------------------------------------------ forged files


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    """The files of a packed run."""
    folder = tmp_path_factory.mktemp("blobs")
    modality = KINDS["still"]
    exemplar = Exemplar(torch.zeros(modality.channels, *modality.size), modality, facts={"name": "zeros"})
    run = Run.create(folder / "run", exemplar, RECIPE)
    train(run, exemplar, RECIPE)
    pack(run, folder / "run.zip")
    with zipfile.ZipFile(folder / "run.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def changed(content: bytes, **fields) -> bytes:
    return json.dumps({**json.loads(content), **fields}).encode()


FORGERIES = {
    "another file": lambda blobs: {**blobs, "model/weights.pkl": b"\x80"},
    "a file elsewhere": lambda blobs: {**blobs, "../../run.json": b"{}"},
    "an absolute path": lambda blobs: {**blobs, "/tmp/run.json": b"{}"},
    "no run.json": lambda blobs: {name: blob for name, blob in blobs.items() if name != "run.json"},
    "no model": lambda blobs: {name: blob for name, blob in blobs.items() if not name.startswith("model")},
    "no exemplar": lambda blobs: {name: blob for name, blob in blobs.items() if not name.startswith("exemplar")},
    "not said to be packed": lambda blobs: {**blobs, "run.json": changed(blobs["run.json"], packed=False)},
    "an older format": lambda blobs: {**blobs, "run.json": changed(blobs["run.json"], format=1)},
    "tensors without their hash": lambda blobs: {
        **blobs,
        "model/tensors.safetensors": blobs["exemplar/tensors.safetensors"],
    },
    "half a file": lambda blobs: {**blobs, "model/tensors.safetensors": blobs["model/tensors.safetensors"][:99]},
    "no JSON": lambda blobs: {**blobs, "run.json": b"["},
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_files_are_refused_and_leave_nothing(name, blobs, tmp_path):
    path = tmp_path / "forged.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for each, blob in FORGERIES[name](blobs).items():
            archive.writestr(each, blob)
    with pytest.raises(TexsynError) as caught:
        unpack(path, tmp_path / "out" / "run")
    assert caught.value.exit == 3
    assert "\n" not in str(caught.value)
    assert not any(tmp_path.glob("out/*"))
    assert {each.name for each in tmp_path.iterdir()} <= {"forged.zip", "out"}


def test_damaged_archives_are_refused(blobs, tmp_path):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, blob in blobs.items():
            archive.writestr(each, blob)
    blob = whole.getvalue()
    place = blob.index(b"model/tensors.safetensors") + 2000
    for number, damaged in enumerate(
        (b"", b"PK", blob[:-30], blob[: len(blob) // 2], blob[:place] + b"\xff" + blob[place + 1 :])
    ):
        (tmp_path / f"{number}.zip").write_bytes(damaged)
        with pytest.raises(TexsynError, match=r"is not a packed run, or is damaged") as caught:
            unpack(tmp_path / f"{number}.zip", tmp_path / "out" / str(number))
        assert caught.value.exit == 3
    assert not any(tmp_path.glob("out/*"))


def test_what_is_larger_than_it_may_be_is_refused_while_it_is_read(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "_MOST_BYTES", 100_000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/tensors.safetensors", bytes(1_000_000))
    with pytest.raises(TexsynError, match="at most"):
        unpack(tmp_path / "bomb.zip", tmp_path / "run")


def test_commands(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "waves.png")
    assert main(["fit", "waves.png", "--steps", "1", *SMALL, "--quiet", "--out", "runs/waves"]) == 0
    assert main(["pack", "runs/waves"]) == 0
    assert main(["unpack", "runs/waves.zip"]) == 0
    assert main(["sample", "runs/waves-1", "-o", "sample.png"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["runs/waves.zip", "runs/waves-1", "sample.png"]
