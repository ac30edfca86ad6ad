"""A collection with classes from its files to samples of a class, and the scores of its model."""

import json

import numpy as np
import pytest
import torch
from media.sample_files import digits, packed, tar
from PIL import Image

from texsyn import Run, TexsynError, pack, unpack
from texsyn.cli.entry import main
from texsyn.runs import collection_scores
from texsyn.runs.exemplars import load
from texsyn.synthesis import inversion, sampling


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("classes")
    members = {}
    for number, picture in enumerate(digits(60)):
        bright = number % 2
        members |= {
            f"{number}.png": packed(picture if bright else picture // 4),
            f"{number}.cls": [b"dim", b"lit"][bright],
        }
    words = ["--kind", "objects", "--steps", "4", "--set", "width_multiplier=0.1", "--set", "batch_size=4", "--no-card"]
    assert main(["fit", str(tar(folder / "discs.tar", members)), *words, "--out", str(folder / "run"), "--quiet"]) == 0
    return Run.open(folder / "run")


def test_a_run_keeps_images_and_classes(run):
    exemplar = run.exemplars()[0]
    assert (run.classes(), exemplar.classes) == (["dim", "lit"], ("dim", "lit"))
    assert (len(exemplar.pictures), len(exemplar.held_pictures)) == (54, 6)
    for number, most in enumerate((70, 255)):
        own = exemplar.pictures.of_class(number)
        values = (own.read(range(len(own))).amax((1, 2, 3)) + 1) * 127.5
        assert values.max() < most + 1
    assert [sheet.amax() > 0 for sheet in run.pixels_by_condition()] == [False, True]


def test_samples_are_of_classes(run, tmp_path, capsys):
    triangle = run.triangle()
    assert triangle.design.labels == 2
    dim, lit = (sampling.sample(triangle, seed=3, exemplar=number)[0] for number in (0, 1))
    assert not torch.equal(dim, lit)
    both = sampling.sample(triangle, count=2, seed=3, exemplar=[0, 1])
    assert torch.equal(both[0], dim)
    assert main(["sample", str(run.path), "--count", "4", "-o", str(tmp_path / "all")]) == 0
    assert main(["sample", str(run.path), "--seed", "3", "--exemplar", "lit", "-o", str(tmp_path / "lit.png")]) == 0
    capsys.readouterr()
    found = [json.loads(_info(each, capsys))["exemplar"] for each in sorted((tmp_path / "all").iterdir())]
    assert found == [0, 1, 0, 1]
    assert main(["sample", str(run.path), "--exemplar", "red", "-o", str(tmp_path / "x.png")]) == 2
    assert "dim, lit, but not on red" in capsys.readouterr().err


def _info(path, capsys) -> str:
    assert main(["info", str(path), "--json"]) == 0
    return capsys.readouterr().out


def test_grids_lie_between_two_classes(run, tmp_path, capsys):
    words = [
        "morph",
        str(run.path),
        "--from",
        "dim:1",
        "--to",
        "lit:1",
        "--grid",
        "3x2",
        "-o",
        str(tmp_path / "grid.png"),
    ]
    assert main(words) == 0
    triangle = run.triangle()
    with Image.open(tmp_path / "grid.png") as image:
        assert image.size == (3 * 28, 2 * 28)
        corner = np.asarray(image)[28:, -28:]
    last = sampling.sample(triangle, seed=2, exemplar=1)[0, 0]
    np.testing.assert_allclose(corner if corner.ndim == 2 else corner[..., 0], (last + 1) * 127.5, atol=1)
    assert main([*words[:-3], "1x1", *words[-2:], "--force"]) == 2
    assert "2 to 64 columns" in capsys.readouterr().err


def test_landscapes_start_in_each_class(run, tmp_path, capsys):
    words = ["landscape", str(run.path), "--starts", "1", "--steps", "1", "--json", "-o", str(tmp_path / "land.png")]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["kinds"] == ["crop 0", "sample 0", "crop 1", "sample 1"]


def test_scores(run, capsys, monkeypatch):
    pytest.importorskip("torchmetrics")
    monkeypatch.setattr(collection_scores, "_STEPS", 5)
    assert main(["score", str(run.path), "--count", "20"]) == 0
    out, err = capsys.readouterr()
    assert "20 samples, 6 held-out images" in out
    assert "a classifier learnt on this collection" in out
    assert "nearest.png" in err
    card = json.loads((run.path / collection_scores.CARD).read_text())
    assert set(card["scores"]) == set(collection_scores.DESCRIPTIONS)
    assert card["reference"]["copied"] <= 0.2
    with Image.open(run.path / collection_scores.NEAREST) as image:
        assert image.size[0] * image.size[1] >= 2 * 20 * 28 * 28


def test_copies_of_training_images_are_seen(run, monkeypatch):
    pytest.importorskip("torchmetrics")
    monkeypatch.setattr(collection_scores, "_STEPS", 5)
    pictures = run.exemplars()[0].pictures
    monkeypatch.setattr(sampling, "sample", lambda triangle, count, **more: pictures.read(range(count)))
    card = collection_scores.score_collection(run, run.triangle(), count=20)
    assert (card.scores["copied"], card.scores["nearest"]) == (1, 0)
    assert card.scores["frechet"] == pytest.approx(0, abs=1e-2)
    assert (card.scores["precision"], card.scores["recall"]) == (1, 1)


def test_the_bound_on_bits_of_a_known_model():
    """Values with an error of variance v around g(z), and nothing said by z: the entropy of a Gaussian, in steps."""
    steps = 10.0  # standard deviation of 8-bit values
    found = inversion.Evidence(error=(steps / 127.5) ** 2, divergence=0.0, values=100)
    assert found.bits(found.error) == pytest.approx(0.5 * np.log2(2 * np.pi * np.e * steps**2))
    assert inversion.Evidence(found.error, 100.0, 100).bits(found.error) == pytest.approx(
        found.bits(found.error) + 1 / np.log(2)
    )


def test_a_packed_run_samples_classes_but_is_not_scored(run, tmp_path, capsys):
    pack(run, tmp_path / "packed.zip")
    found = unpack(tmp_path / "packed.zip", tmp_path / "again")
    assert found.classes() == ["dim", "lit"]
    assert sampling.sample(found.triangle(), exemplar=1).shape == (1, 1, 28, 28)
    assert main(["score", str(found.path)]) == 3
    assert "again was packed, without its images" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["cut", "missing", "classes"])
def test_damaged_images_are_refused(run, damage):
    images = run.exemplar_folder / "images.u8"
    whole = images.read_bytes()
    facts = [dict(each) for each in run.facts]
    try:
        if damage == "cut":
            images.write_bytes(whole[:-1])
        elif damage == "missing":
            images.unlink()
        else:
            facts[0]["classes"] = ["dim"]
        with pytest.raises(TexsynError):
            load(run.exemplar_folder, run.modality, facts, 0.0, run.format)
    finally:
        images.write_bytes(whole)
