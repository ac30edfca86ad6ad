"""A texture's colours as a frame, and weights that are turned into it."""

import pytest
import torch

from texsyn.core.modality import CLIP, STILL
from texsyn.core.recipes import design_for, recipe_for
from texsyn.models.colour_frame import AXES, ColourFrame
from texsyn.models.triangle import Triangle

MIXED = torch.tensor([[0.25, 0.05, 0.0], [0.2, -0.05, 0.02], [0.1, 0.0, -0.04]])


def colours(mean=(0.1, -0.2, 0.3), seed=0):
    u = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(seed))
    return (torch.tensor(mean).view(3, 1, 1) + torch.einsum("cu,uyx->cyx", MIXED, u)).clamp(-1, 1)


@pytest.fixture(scope="module")
def triangle():
    return Triangle(STILL, design_for(STILL, recipe_for("fast", STILL, width_multiplier=0.25)), seed=1)


def weights_of(triangle):
    return {name: each.detach().clone() for name, each in triangle.named_parameters() if "ema" not in name}


def turned(triangle, frame):
    other = Triangle(STILL, triangle.design, seed=1)
    other.load_state_dict(frame.turn(weights_of(triangle)), strict=False)
    return other


def test_a_frame_standardises_colours():
    pixels = colours()
    frame = ColourFrame.of([pixels])
    u = torch.linalg.inv(frame.axes) @ (pixels.flatten(1) - frame.mean[:, None])
    covariance = torch.cov(u)
    assert torch.allclose(u.mean(1), torch.zeros(3), atol=1e-4)
    assert float(covariance.trace()) == pytest.approx(1, abs=1e-3)
    assert torch.allclose(covariance, covariance.diagonal().diag(), atol=1e-4)
    assert covariance.diagonal().tolist() == sorted(covariance.diagonal().tolist(), reverse=True)
    assert float(frame.axes[:, 0].sum()) > 0


def test_a_palette_does_not_matter_to_what_is_seen():
    """A picture in other colours is the same in its own frame."""
    pixels = colours()
    other = torch.einsum("cd,dyx->cyx", torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.5]]), pixels) + 0.2
    first, second = (
        torch.linalg.inv(frame.axes) @ (each.flatten(1) - frame.mean[:, None])
        for each, frame in ((pixels, ColourFrame.of([pixels])), (other, ColourFrame.of([other])))
    )
    assert torch.allclose(first, second, atol=1e-3)


@torch.no_grad()
def test_turned_networks_see_and_make_the_texture_as_the_others_did(triangle):
    frame = ColourFrame.of([colours()])
    there = turned(triangle, frame)
    u = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(2))
    x = frame.mean.view(3, 1, 1) + torch.einsum("cu,buyx->bcyx", frame.axes, u)
    assert torch.allclose(triangle.energy(u), there.energy(x), rtol=1e-3, atol=1e-3)
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))  # at the border zeros are seen, which u's mean is
    assert torch.allclose(triangle.posterior(u)[0][inner], there.posterior(x)[0][inner], atol=1e-4)
    z = torch.randn(1, *triangle.latent_shape((128, 128)), generator=torch.Generator().manual_seed(3))
    made, expected = there.generator(z), triangle.generator(z)
    straight = frame.mean.view(3, 1, 1) + torch.einsum("cu,buyx->bcyx", frame.axes, expected)
    assert torch.allclose(made, straight, atol=0.05)  # tanh bends it a little


@pytest.mark.parametrize("kind", [STILL, CLIP], ids=lambda kind: kind.name)
def test_turning_back_is_the_inverse(kind):
    triangle = Triangle(kind, design_for(kind, recipe_for("fast", kind, width_multiplier=0.25)), seed=1)
    frame, weights = ColourFrame.of([colours()]), weights_of(triangle)
    back = frame.turn_back(frame.turn(weights))
    assert all(torch.allclose(back[name], each, atol=1e-5) for name, each in weights.items())
    assert any(not torch.allclose(frame.turn(weights)[name], each) for name, each in weights.items())


def test_coordinates_are_no_colours():
    triangle = Triangle(CLIP, design_for(CLIP, recipe_for("fast", CLIP, width_multiplier=0.25)), seed=1)
    weights = weights_of(triangle)
    name = "energy.scales.0.0.weight"
    there = ColourFrame.of([colours()]).turn(weights)[name]
    assert weights[name].shape[1] == AXES + 2
    assert torch.equal(there[:, AXES:], weights[name][:, AXES:])


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_flat_pictures_have_a_frame(value):
    frame = ColourFrame.of([torch.full((3, 8, 8), value)])
    assert bool(frame.axes.isfinite().all())
    assert float(torch.linalg.matrix_rank(frame.axes)) == 3
    assert abs(float(frame.mean[0])) < 0.81


@torch.no_grad()
def test_grey_pictures_take_the_first_axis(triangle):
    frame = ColourFrame.of([colours()[:1]])
    assert frame.axes.shape == (1, AXES)
    weights = frame.turn(weights_of(triangle))
    assert weights["posterior.body.0.weight"].shape[1] == 1
    assert weights["generator.last.weight"].shape[1] == 1
    first = weights_of(triangle)["energy.scales.0.0.weight"][:, 0]
    assert torch.allclose(weights["energy.scales.0.0.weight"][:, 0], first / frame.axes[0, 0], rtol=1e-4)
