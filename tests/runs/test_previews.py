"""Previews: when they are due, what they show, what is stored."""

import numpy as np
import pytest
import torch
from conftest import KINDS, lively
from PIL import Image
from runs.helpers import masked, noise, train

from texsyn import Run, Triangle
from texsyn.runs import previews


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_previews_are_due_twice_early_and_then_every_minute():
    times = previews.Times(0)
    assert [second for second in range(200) if times.due(second)] == [10, 30, 90, 150]
    resumed = previews.Times(100)
    assert [second for second in range(100, 300) if resumed.due(second)] == [160, 220, 280]


def test_a_sheet_shows_the_exemplar_and_then_samples(triangle, exemplar):
    found = previews.render(triangle, exemplar.pixels, count=2)
    assert len(found.samples) == 2
    channels = triangle.modality.planes[0].channels
    frames = 8 if triangle.modality.moving else 1
    for image in (found.exemplar, *found.samples):
        assert image.shape == (channels, 16, 16 * frames)
    joined = (48, 16 * frames) if triangle.modality.moving else (16, 48)
    assert found.sheet.shape == (channels, *joined)
    first = exemplar.pixels[:channels, 0] if triangle.modality.moving else exemplar.pixels[:channels]
    assert torch.equal(found.exemplar[:, :, :16], first[:, :16, :16])


def test_what_is_smaller_than_a_sample_is_shown_on_black():
    triangle = lively(Triangle(KINDS["still"], KINDS["still"].designs["local"], seed=1))
    found = previews.render(triangle, torch.ones(3, 10, 12), count=1)
    assert found.exemplar.shape == (3, 16, 16)
    assert float(found.exemplar[:, :10, :12].min()) == 1
    assert float(found.exemplar[:, 10:].max()) == float(found.exemplar[:, :, 12:].max()) == -1


def test_sheet_sample_and_exemplar_are_stored(tmp_path, exemplar, recipe):
    run = Run.create(tmp_path / "run", exemplar, recipe)
    assert run.previews() == []
    assert run.exemplar_preview is None
    train(run, exemplar, recipe)
    (found,) = run.previews()
    assert found.step == 6
    sheet, sample, shown = read(found.sheet), read(found.sample), read(run.exemplar_preview)
    assert sample.shape == shown.shape
    height, width = sample.shape[:2]
    assert np.array_equal(sheet[:height, :width], shown)
    below = (
        (slice(height, 2 * height), slice(width))
        if exemplar.modality.moving
        else (slice(height), slice(width, 2 * width))
    )
    assert np.array_equal(sheet[below], sample)


@pytest.mark.parametrize("make", [noise, masked])
def test_an_exemplars_image_changes_only_with_estimates(tmp_path, recipe, make, monkeypatch):
    monkeypatch.setattr(previews.Times, "due", lambda self, seconds: True)
    run = Run.create(tmp_path / "run", make(), recipe)
    stamps = []
    train(run, make(), recipe, stop_at=2)
    first = run.exemplar_preview.stat().st_mtime_ns
    train(run, make(), recipe)
    assert (run.exemplar_preview.stat().st_mtime_ns > first) == (make is masked), stamps
    assert len(run.previews()) == 6


def test_several_exemplars_are_shown_one_below_the_other(tmp_path, recipe):
    exemplars = (noise(), masked())
    run = Run.create(tmp_path / "run", exemplars, recipe)
    train(run, exemplars, recipe)
    (found,) = run.previews()
    assert read(found.sheet).shape[:2] == (32, 64)
    assert read(found.sample).shape[:2] == (16, 16)
    assert run.exemplar_preview.name == "exemplar-0.png"
    assert sorted(path.name for path in run.preview_folder.iterdir()) == [
        "00000006-sample.png",
        "00000006.png",
        "exemplar-0.png",
        "exemplar-1.png",
    ]


def test_a_disk_that_refuses_a_preview_costs_a_warning(tmp_path, recipe):
    run = Run.create(tmp_path / "run", noise(), recipe)
    run.preview_folder.rmdir()
    run.preview_folder.write_text("in the way")
    warnings = []
    train(run, noise(), recipe, warn=warnings.append)
    assert len(warnings) == 1
    assert run.triangle() is not None
