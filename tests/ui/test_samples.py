"""Samples as files, without a browser: what is downloaded is what is shown."""

from __future__ import annotations

import numpy as np
import pytest
from files import Files
from PIL import Image
from runs.helpers import noise, train
from samples import Choice, Samples, Shape

import texsyn
from texsyn import End, Run
from texsyn.media.metadata import read_metadata


@pytest.fixture
def run(tmp_path, recipe):
    run = Run.create(tmp_path / "run", noise(), recipe)
    train(run, noise(), recipe)
    return run


def test_a_download_is_the_sample_that_is_shown(run, tmp_path):
    samples, shape = Samples(Files(tmp_path / "files"), "cpu"), Shape(size=(48, 32))
    shown, names = [], []
    for choice in (Choice(12), Choice(12, like=3)):
        downloaded = samples.write_download(run, choice, shape, "png")
        with Image.open(samples.write(run, choice, shape)) as one, Image.open(downloaded) as other:
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
            shown.append(np.asarray(one))
        names.append(downloaded.name)
    assert names == ["run-12.png", "run-3-12.png"]
    assert not np.array_equal(*shown)


def test_a_variation_is_made_again_from_its_metadata(run, tmp_path):
    path = Samples(Files(tmp_path / "files"), "cpu").write_download(run, Choice(12, like=3), Shape(), "png")
    settings = read_metadata(path)
    assert "seed" not in settings
    start, end = map(End, settings["between"])
    assert start == End(3)
    texsyn.write(texsyn.between(texsyn.load(run.path), start, end, settings["share"]), tmp_path / "again.png")
    with Image.open(path) as one, Image.open(tmp_path / "again.png") as other:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_more_like_a_variation_varies_the_same_sample():
    assert Choice(4).original == 4
    assert Choice(12, like=4).original == 4
