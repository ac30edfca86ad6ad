"""Collections of small pictures: read from folders and standard files, learnt as whole windows, reconstructed."""

import json
from pathlib import Path

import pytest
import torch
from media.sample_files import digits
from PIL import Image

import texsyn
from texsyn import Run, TexsynError
from texsyn.cli.entry import main
from texsyn.core.modality import OBJECTS
from texsyn.media.collection import images_of
from texsyn.media.exemplar import crops
from texsyn.models.trio import TERMS

SMALL = ["--set", "width_multiplier=0.1", "--set", "batch_size=2", "--steps", "2"]


@pytest.fixture
def folder(tmp_path) -> Path:
    place = tmp_path / "discs"
    place.mkdir()
    for number, picture in enumerate(digits(24)):
        Image.fromarray(picture).save(place / f"{number:02}.png")
    return place


def test_a_folder_is_a_sheet_and_a_tenth_is_held_out(folder):
    found = texsyn.read_collection(folder)
    assert (found.modality.name, found.modality.channels) == ("objects28", 1)
    assert (found.facts["pictures"], found.facts["held"]) == (24, 2)
    learnt, held = (images_of(sheet, 28) for sheet in (found.pixels, found.held))
    assert len(held) == 2
    given = {picture.tobytes() for picture in digits(24)}
    back = [((each[0] + 1) * 127.5).round().to(torch.uint8).numpy().tobytes() for each in (*learnt, *held)]
    assert set(back) == given
    assert not {each.numpy().tobytes() for each in held} & {each.numpy().tobytes() for each in learnt}
    again = texsyn.read_collection(folder, seed=1)
    assert not torch.equal(again.held, found.held)


def test_a_broken_picture_is_named_and_left_out(folder, capsys, tmp_path):
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    code = main(["fit", str(folder), "--kind", "objects", "--out", str(tmp_path / "run"), "--quiet", *SMALL])
    out, err = capsys.readouterr()
    assert (code, out.strip()) == (0, str(tmp_path / "run"))
    assert "broken.png cannot be read" in err
    assert "1 images were skipped" in err
    assert main(["fit", "--resume", str(tmp_path / "run"), "--steps", "3", "--no-card"]) == 0
    assert "24 images of 28 pixels, 2 held out, 1 skipped" in capsys.readouterr().err


def test_a_resumed_fit_draws_the_same_images(folder, tmp_path):
    """Each step's terms are of the images that it draws."""
    told = {}
    for name, stops in (("whole", ["6"]), ("parts", ["2", "3", "6"])):
        run = tmp_path / name
        how = ["--kind", "objects", "--out", str(run), *SMALL, "--set", "lr_decay_fraction=0", "--no-card", "--quiet"]
        assert main(["fit", str(folder), *how, "--steps", stops[0]]) == 0
        for steps in stops[1:]:
            assert main(["fit", "--resume", str(run), "--steps", steps, "--no-card", "--quiet"]) == 0
        told[name] = [each["terms"] for each in Run.open(run).events() if each["event"] == "step" and each["step"] == 6]
    assert told["parts"] == told["whole"] != []


def test_an_empty_folder_is_one_line(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["fit", str(tmp_path / "empty"), "--kind", "objects"]) == 3
    assert "holds no images" in capsys.readouterr().err
    assert main(["fit", str(tmp_path / "empty"), "--kind", "objects", "--frames", "0:4"]) == 2


def test_windows_are_whole_pictures(folder):
    found = texsyn.read_collection(folder)
    whole = {each.numpy().tobytes() for each in images_of(found.pixels, 28)}
    row = found.modality
    seen = crops(found.pixels, row.window, 40, torch.Generator().manual_seed(0), row.raster((1, 1)))
    assert {each.numpy().tobytes() for each in seen} <= whole
    assert len({each.numpy().tobytes() for each in seen}) > 10


def test_subfolders_are_classes(folder):
    for number, file in enumerate(sorted(folder.iterdir())):
        target = folder / ("big" if number % 2 else "small") / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    found = texsyn.read_collection(folder)
    assert found.classes == ("big", "small")
    assert texsyn.read_collection(folder, labelled=False).classes == ()
    assert texsyn.read_collection(folder / "big", folder / "small").classes == ("big", "small")
    (folder / "extra.png").write_bytes((folder / "big" / "01.png").read_bytes())
    assert texsyn.read_collection(folder).classes == ()  # one image has none


def test_colours_turn_up_late(folder):
    for number in range(30, 34):
        Image.new("RGB", (28, 28), (200, 10 * number % 250, 0)).save(folder / f"{number}.png")
    found = texsyn.read_collection(folder)
    assert (found.modality.name, found.modality.channels, found.facts["pictures"]) == ("objects32", 3, 28)
    with pytest.raises(TexsynError, match="grey, but discs is in colour"):
        texsyn.read_collection(folder, side=28)


@pytest.mark.parametrize("row", OBJECTS, ids=lambda row: row.name)
def test_every_size_learns_samples_and_reconstructs(row):
    random = torch.Generator().manual_seed(0)
    sheet = torch.rand(row.channels, 4 * row.side, 4 * row.side, generator=random) * 2 - 1
    exemplar = texsyn.Exemplar(sheet, row, held=sheet[:, : row.side, : row.side])
    recipe = texsyn.recipe_for("fast", row, steps=2, batch_size=2, width_multiplier=0.1, precision="float32")
    triangle = texsyn.create(exemplar, recipe)
    *_, last = texsyn.fit(triangle, exemplar, recipe)
    assert set(last.terms) == set(TERMS)
    assert texsyn.sample(triangle, count=3).shape == (3, row.channels, row.side, row.side)
    assert triangle.latent_shape(row.window) == (100, 1, 1)
    between = texsyn.between(triangle, texsyn.End(0), texsyn.End(1), 0.5)
    assert between.shape == (row.channels, row.side, row.side)
    with pytest.raises(TexsynError, match="fixed size"):
        texsyn.sample(triangle, size=(2 * row.side, row.side))


def test_the_command_line_from_folder_to_landscape(folder, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["fit", str(folder), "--kind", "objects", "--out", str(run), *SMALL]) == 0
    err = capsys.readouterr().err
    assert "24 images of 28 pixels, 2 held out" in err
    assert "squared error of reconstructions" in err
    (told,) = (event for event in Run.open(run).events() if event["event"] == "reconstruction")
    assert 0 < told["held"] < 1
    with Image.open(Run.open(run).previews()[-1].sheet) as sheet:
        assert sheet.size == (8 * 28, 4 * 28)
    one = str(folder / "03.png")
    assert main(["sample", str(run), "--count", "2", "-o", str(tmp_path / "made")]) == 0
    assert main(["reconstruct", str(run), one, "-o", str(tmp_path / "again.png")]) == 0
    assert main(["rank", str(run), one]) == 0
    assert main(["morph", str(run), "--from", "0", "--to", "1", "--frames", "4", "-o", str(tmp_path / "m.gif")]) == 0
    capsys.readouterr()
    assert main(["landscape", str(run), "--starts", "2", "--steps", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kinds"] == ["crop 0", "crop 0", "sample 0", "sample 0"]
