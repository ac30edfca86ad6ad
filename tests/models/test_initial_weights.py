"""Weights to begin training with."""

from dataclasses import replace

import pytest
import torch

from texsyn.core.maps import Plane
from texsyn.core.modality import CLIP, MATERIAL, STILL, SURFACE
from texsyn.core.recipes import design_for, recipe_for
from texsyn.models import initial_weights
from texsyn.models.colour_frame import ColourFrame
from texsyn.models.triangle import Triangle
from texsyn.training.state import NETWORKS

GREY = replace(STILL, planes=(Plane("colour", 1),))
PIXELS = torch.rand(6, 32, 32, generator=torch.Generator().manual_seed(0)) - 0.5


@pytest.fixture
def stored(monkeypatch):
    """Weights of a narrow triangle, stored as the shipped ones are."""
    return store(monkeypatch, STILL)


def store(monkeypatch, kind):
    named = fresh(kind, seed=9).named_parameters()
    weights = {name: each.detach() for name, each in named if name.split(".")[0] in NETWORKS}
    blob = initial_weights.compress(weights)
    monkeypatch.setattr(initial_weights, "stored", lambda modality: blob)
    return initial_weights.decompress(blob)


def fresh(modality, seed=1, exemplars=1, **changes):
    recipe = recipe_for("fast", modality, width_multiplier=0.1, **changes)
    return Triangle(modality, design_for(modality, recipe, exemplars), seed)


def test_eight_bits_are_close():
    weights = {"a": torch.randn(7, 5, 3, 3), "b": torch.randn(4), "c": torch.zeros(2, 3)}
    again = initial_weights.decompress(initial_weights.compress(weights))
    assert set(again) == set(weights)
    assert torch.equal(again["b"], weights["b"])
    largest = weights["a"].flatten(1).abs().amax(1)
    assert bool(((again["a"] - weights["a"]).flatten(1).abs().amax(1) <= largest / 254 + 1e-7).all())
    assert torch.equal(again["c"], weights["c"])


def test_weights_are_put_into_the_colours_of_the_exemplar(stored):
    triangle = fresh(STILL)
    initial_weights.put_into(triangle, [PIXELS[:3]])
    expected = ColourFrame.of([PIXELS[:3]]).turn(stored)
    assert all(torch.allclose(dict(triangle.named_parameters())[name], each) for name, each in expected.items())
    assert torch.equal(triangle.generator_ema.last.weight, triangle.generator.last.weight)


@pytest.mark.parametrize(
    ("modality", "exemplars", "channels"),
    [(GREY, 1, 1), (MATERIAL, 1, 6), (STILL, 2, 3)],
    ids=["grey", "material", "two"],
)
def test_kinds_with_other_channels_take_what_is_known(stored, modality, exemplars, channels):
    triangle, before = fresh(modality, exemplars=exemplars), fresh(modality, exemplars=exemplars)
    initial_weights.put_into(triangle, [PIXELS[:channels]] * exemplars)
    own, old = dict(triangle.named_parameters()), dict(before.named_parameters())
    middle = "energy.scales.0.2.weight"
    assert torch.allclose(own[middle], stored[middle])
    colours = min(3, channels)
    first, name = ColourFrame.of([PIXELS[:colours]] * exemplars).turn(stored), "energy.scales.0.0.weight"
    assert torch.allclose(own[name][:, :colours], first[name])
    assert torch.equal(own[name][:, colours:], old[name][:, colours:])


@pytest.mark.parametrize("exemplars", [1, 2])
def test_clips_of_several_exemplars_stay_fresh(monkeypatch, exemplars):
    """Their labels stand between latents and trained maps."""
    store(monkeypatch, CLIP)
    triangle, before = fresh(CLIP, exemplars=exemplars), fresh(CLIP, exemplars=exemplars)
    initial_weights.put_into(triangle, [PIXELS[:3, None]] * exemplars)
    changed = [
        not torch.equal(a, b) for a, b in zip(triangle.parameters(), before.parameters(), strict=True) if a.dim() > 1
    ]
    assert all(changed) if exemplars == 1 else not any(changed)


def test_other_layers_stay_fresh(stored):
    for modality, changes in ((STILL, {"width_multiplier": 0.2}), (STILL, {"architecture": "paper"}), (SURFACE, {})):
        recipe = replace(recipe_for("fast", modality, width_multiplier=0.1), **changes)
        triangle, before = (Triangle(modality, design_for(modality, recipe), 1) for _ in range(2))
        initial_weights.put_into(triangle, [PIXELS[:3]])
        assert all(torch.equal(a, b) for a, b in zip(triangle.parameters(), before.parameters(), strict=True))
