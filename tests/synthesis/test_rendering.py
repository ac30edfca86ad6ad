"""Rendering piece by piece gives the pixels that the whole field gives."""

import pytest
import torch
from conftest import KINDS, lively

from texsyn.core.modality import CLIP, STILL
from texsyn.core.recipes import design_for, recipe_for
from texsyn.models.triangle import Triangle
from texsyn.synthesis import rendering, sampling
from texsyn.synthesis.latent_field import End, SampledField

PIECES = {2: (12, 20), 3: (8, 16, 16)}


@pytest.fixture
def still() -> Triangle:
    return lively(Triangle(KINDS["still"], KINDS["still"].designs["local"]))


def test_pieces_of_the_field_give_what_the_whole_field_gives(triangle, monkeypatch):
    triangle.double()
    sizes = {"t": 64, "y": 72, "x": 96}
    axes, stationary, window = triangle.modality.axes, triangle.modality.stationary, triangle.modality.window
    goal = [sizes[axis] if same else own for axis, same, own in zip(axes, stationary, window, strict=True)]
    frames = goal[0] if "t" in axes else None
    if triangle.modality.period:  # resampled after that
        whole = sampling.sample(triangle, seed=5, frames=frames, size=(goal[-1], goal[-2]))[0]
    else:
        grid = tuple(n // f for n, f in zip(goal, triangle.stride, strict=True))
        z = SampledField(triangle, End(5), grid).rows(range(grid[0]))
        with torch.no_grad():
            whole = triangle.eval().synthesize(z)[0]
    monkeypatch.setattr(rendering, "PIECE", PIECES)
    bands = list(sampling.bands(triangle, seed=5, frames=frames, size=(goal[-1], goal[-2])))
    assert len(bands) > 4
    torch.testing.assert_close(torch.cat(bands, 1), whole, rtol=0, atol=1e-10)


@pytest.mark.parametrize("modality", [STILL, CLIP], ids=lambda row: row.name)
def test_pieces_reach_as_far_as_the_shipped_networks_do(modality, monkeypatch):
    design = design_for(modality, recipe_for("fast", modality, width_multiplier=0.1, precision="float32"))
    triangle = lively(Triangle(modality, design, seed=1)).double()
    asked = {"frames": 128} if modality.moving else {"size": (512, 512)}
    whole = sampling.sample(triangle, **asked)[0]
    monkeypatch.setattr(rendering, "PIECE", {2: (96, 160), 3: (16, 64, 64)})
    torch.testing.assert_close(torch.cat(list(sampling.bands(triangle, **asked)), 1), whole, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "asked", [{"size": (90, 70)}, {"size": (91, 75), "tile": "none"}, {"size": (89, 72), "tile": "x"}]
)
def test_odd_sizes_are_the_same_in_pieces(still, monkeypatch, asked):
    whole = sampling.sample(still.double(), **asked)[0]
    monkeypatch.setattr(rendering, "PIECE", PIECES)
    torch.testing.assert_close(sampling.sample(still, **asked)[0], whole, rtol=0, atol=1e-10)


def test_odd_lengths_are_the_same_in_pieces(monkeypatch):
    clip = lively(Triangle(KINDS["clip"], KINDS["clip"].designs["local"]))
    whole = sampling.sample(clip.double(), frames=61)[0]
    monkeypatch.setattr(rendering, "PIECE", PIECES)
    torch.testing.assert_close(sampling.sample(clip, frames=61)[0], whole, rtol=0, atol=1e-10)
