"""Runs of every format that was released: they open, sample and show what they did; older ones are not trained."""

import json
import shutil
from dataclasses import asdict, fields

import numpy as np
import pytest
import torch
from conftest import TESTS
from PIL import Image
from runs.helpers import equal, train

from texsyn import Run, TexsynError, load, save, status
from texsyn.core.architecture import Design
from texsyn.core.errors import Exit
from texsyn.core.recipes import Recipe
from texsyn.runs import serialization, storage
from texsyn.runs.fitting import fit_run
from texsyn.synthesis import sampling

GOLDEN = sorted((TESTS / "golden").glob("format-*"))
FORMAT_1 = [path for path in GOLDEN if path.name.startswith("format-1")]


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda path: path.name)
def test_runs_of_every_released_format_are_read(folder, tmp_path):
    """And sample as they did: to two greys of 255, for other processors round otherwise."""
    run = Run.open(shutil.copytree(folder, tmp_path / "run"))
    assert run.format == int(folder.name.split("-")[1])
    assert run.exemplars()[0].modality.name == "tiny"
    made = sampling.sample(run.triangle(), seed=3)[0]
    made = made[:, 0] if made.dim() == 4 else made
    with Image.open(folder / "seed-3.png") as picture:
        was = torch.from_numpy(np.asarray(picture, np.float32)).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(made, was, atol=2 / 127.5, rtol=0)


@pytest.mark.parametrize("folder", FORMAT_1, ids=lambda path: path.name)
def test_runs_of_format_1_are_not_trained_further(folder, tmp_path, recipe):
    run = Run.open(shutil.copytree(folder, tmp_path / "run"))
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    assert not run.is_trainable
    reason = "was trained by an older version: it can be sampled, exported and scored; .* start a new run"
    with pytest.raises(TexsynError, match=reason) as caught:
        next(fit_run(run, run.triangle(), run.exemplars(), recipe, print))
    assert caught.value.exit is Exit.BAD_INPUT
    assert before == {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda path: path.name)
def test_everything_has_todays_names(folder, tmp_path):
    run = Run.open(shutil.copytree(folder, tmp_path / "run"))
    terms = [event["terms"] for event in run.events() if event["event"] == "step"]
    assert terms
    assert all("energy_generated" in row and "energy_made" not in row for row in terms)
    assert run.recipe_fields.keys() <= {field.name for field in fields(Recipe)}
    assert run.content["design"].keys() <= {field.name for field in fields(Design)}
    assert status(run).curves[-1]["terms"] == terms[-1]


def test_an_unfinished_run_of_format_1_shows_what_it_holds(tmp_path):
    run = Run.open(shutil.copytree(TESTS / "golden" / "format-1-unfinished", tmp_path / "run"))
    assert status(run).state == "interrupted"
    assert run.recipe.checkpoint_interval == 5
    assert run.names() == ["waves", "noise"]
    assert [event["step"] for event in run.events() if event["event"] == "quick_metrics"] == [9]
    (preview,) = run.previews()
    assert (preview.step, preview.sheet.name, preview.sample) == (9, "00000009.png", None)
    assert run.exemplar_preview is None
    assert [facts.get("masked") for facts in run.facts] == [0.105, None]
    waves, other = run.exemplars()
    assert waves.mask is not None
    assert other.mask is None
    estimated = run.estimated_pixels()
    changed = (estimated[0] != waves.pixels).any(0)
    assert changed.any()
    assert not changed[waves.mask[0] == 0].any()
    assert torch.equal(estimated[1], other.pixels)


def test_a_run_of_format_1_keeps_its_format_when_it_gets_a_title(tmp_path):
    folder = shutil.copytree(TESTS / "golden" / "format-1-still", tmp_path / "run")
    before = json.loads((folder / "run.json").read_text())
    Run.open(folder).rename("old waves")
    assert json.loads((folder / "run.json").read_text()) == {**before, "title": "old waves"}
    assert Run.open(folder).title == "old waves"


def inverse(row, names):
    """A JSON object in the names of format 1."""
    old = {new: name for name, new in names.items()}
    return {old.get(name, name): value for name, value in row.items()}


@pytest.fixture
def old_model(tmp_path, triangle):
    """A model of every kind as format 1 stored it."""
    design = inverse(json.loads(json.dumps(asdict(triangle.design))), serialization._DESIGN)
    for name in ("generator", "posterior", "energy"):
        design[name] = [inverse(row, serialization._LAYER) for row in design[name]]
    design["heads"] = inverse(design["heads"], serialization._LAYER)
    save(triangle, tmp_path / "new")
    content = {**storage.read_content(tmp_path / "new"), "design": design, "format": 1}
    old = {new: name for name, new in serialization._TENSORS.items()}
    tensors = {
        ".".join(old.get(part, part) for part in name.split(".")): value
        for name, value in triangle.state_dict().items()
    }
    storage.store(tmp_path / "old", tensors, content)
    return tmp_path / "old"


def test_models_of_format_1_are_read(old_model, triangle):
    names = storage.names(old_model)
    assert any(name.startswith("average.") for name in names)
    assert not any("generator_ema" in name or "subband_matching" in name for name in names)
    found = load(old_model)
    assert found.design == triangle.design
    assert equal(found, triangle)


def test_an_equaliser_of_one_filter_is_read_as_that_filter_for_each_channel(old_model, triangle):
    content, tensors = storage.read_content(old_model), storage.read_tensors(old_model)
    kernel = torch.rand(triangle.design.equaliser)
    single = {name: kernel if name.endswith("equaliser.kernel") else value for name, value in tensors.items()}
    single = {name: value for name, value in single.items() if not name.endswith("equaliser.offset")}
    storage.store(old_model, single, content)
    equaliser = load(old_model).corrections[0].equaliser
    channels = triangle.modality.channels
    assert torch.equal(equaliser.offset, torch.zeros(channels))
    for to in range(channels):
        for source in range(channels):
            assert torch.equal(equaliser.kernel[to, source], kernel * (to == source))


def test_the_map_is_one_to_one_and_leads_to_names_that_exist():
    for names, cls in ((serialization._RECIPE, Recipe), (serialization._DESIGN, Design)):
        known = {field.name for field in fields(cls)}
        assert set(names.values()) <= known
        assert not set(names) & known
        assert len(set(names.values())) == len(names)
    assert len(set(serialization._TENSORS.values())) == len(serialization._TENSORS)


def test_events_cards_and_numbers_of_format_1_get_todays_names():
    event = {"event": "step", "step": 3, "terms": {"energy_made": 1.0, "latent": 2.0}}
    expected = {"event": "step", "step": 3, "terms": {"energy_generated": 1.0, "latent": 2.0}}
    assert serialization.upgrade_event(event, 1) == expected
    assert serialization.upgrade_event({"event": "glance", "swd": 1.0}, 1) == {"event": "quick_metrics", "swd": 1.0}
    assert serialization.upgrade_event({"event": "reconstruction", "learnt": 1}, 1)["train"] == 1
    assert serialization.upgrade_event(event, 2) == event
    for odd in ({}, {"event": ["glance"]}, {"event": "step", "terms": 5}):
        assert serialization.upgrade_event(odd, 1).get("event") == odd.get("event")
    assert serialization.upgrade_card({"measures": {"ps": 1}, "reference": {}}, 1)["metrics"] == {"ps": 1}
    numbers = {"step": 1, "caution": 0.5, "strength": 2.0, "bad": 1}
    expected = {"step": 1, "lr_scale": 0.5, "penalty_scale": 2.0, "nonfinite_steps": 1, "level": 0, "level_step": 0}
    assert serialization.upgrade_numbers(numbers, 1) == expected


def test_new_runs_have_format_2_and_no_old_name(tmp_path, exemplar, recipe):
    run = Run.create(tmp_path / "run", exemplar, recipe)
    train(run, exemplar, recipe)
    assert (run.format, run.is_trainable) == (2, True)
    text = "".join(path.read_text() for path in run.path.rglob("*.json*"))
    for name in ("averaging", "factor", "toned", "energy_made", "caution", "glance"):
        assert f'"{name}"' not in text
    parts = {part for name in storage.names(run.path / "model") for part in name.split(".")}
    assert not parts & set(serialization._TENSORS)
    assert sorted(path.name for path in run.path.iterdir() if path.is_dir()) == [
        "checkpoints",
        "exemplar",
        "model",
        "previews",
    ]
