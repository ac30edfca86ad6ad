"""Colours in balance: what the networks and the reconstruction see of them."""

from dataclasses import replace

import pytest
import torch
from conftest import KINDS, lively

from texsyn.core.recipes import RECIPES, recipe_for
from texsyn.models.colour_balance import ColourBalance
from texsyn.models.triangle import Triangle
from texsyn.training import loop


def colours(*contrasts):
    """`3 64 64`: colours with these contrasts along the axes of a random frame, around a mean."""
    random = torch.Generator().manual_seed(1)
    frame, _ = torch.linalg.qr(torch.randn(3, 3, generator=random))
    values = torch.randn(3, 64 * 64, generator=random)
    values = values - values.mean(1, keepdim=True)
    values = torch.linalg.inv(torch.linalg.cholesky(values @ values.T / values.shape[1])) @ values
    mean = torch.tensor([[0.2], [-0.1], [0.3]])
    return (frame @ (torch.tensor(contrasts)[:, None] * values) + mean).view(3, 64, 64)


def contrasts_of(pixels):
    flat = pixels.flatten(1) - pixels.flatten(1).mean(1, keepdim=True)
    return torch.linalg.eigvalsh(flat @ flat.T / flat.shape[1]).sqrt().flip(0).tolist()


@pytest.mark.parametrize(
    ("contrasts", "balanced"),
    [((0.4, 0.2, 0.1), [0.4, 0.4, 0.4]), ((0.4, 0.05, 0.01), [0.4, 0.2, 0.04]), ((0.3, 0.3, 0.3), [0.3, 0.3, 0.3])],
)
def test_faint_colours_are_raised_to_the_first_but_at_most_four_times(contrasts, balanced):
    pixels = colours(*contrasts)
    balance = ColourBalance(KINDS["still"])
    balance.fit([pixels[:, :32], pixels[:, 32:]], 4.0)
    seen = balance(pixels[None])[0]
    assert contrasts_of(seen) == pytest.approx(sorted(balanced, reverse=True), rel=1e-3)
    torch.testing.assert_close(seen.flatten(1).mean(1), pixels.flatten(1).mean(1))


def test_grey_and_flat_colours_stay_as_they_are():
    grey = ColourBalance(KINDS["grey"])
    grey.fit([torch.rand(1, 8, 8)], 4.0)
    x = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(grey(x), x)
    flat = ColourBalance(KINDS["still"])
    flat.fit([torch.zeros(3, 8, 8)], 4.0)
    assert torch.equal(flat.matrix, torch.eye(3))


def test_maps_are_brought_to_the_contrast_of_the_colours():
    """Fainter ones are raised, stronger ones lowered, each by four times at most, and none is mixed with another."""
    balance = ColourBalance(KINDS["material"])
    for contrast, seen in ((0.2, 0.4), (0.01, 0.04), (0.8, 0.4)):
        maps = colours(contrast, contrast, contrast)
        texture = torch.cat((colours(0.4, 0.1, 0.1), maps))
        balance.fit([texture], 4.0)
        both = balance(texture[None])[0]
        assert contrasts_of(both[3:]) == pytest.approx([seen] * 3, rel=1e-3)
        torch.testing.assert_close(both[3:].flatten(1).mean(1), maps.flatten(1).mean(1))
        alone = ColourBalance(KINDS["still"])
        alone.fit([texture[:3]], 4.0)
        torch.testing.assert_close(both[:3], alone(texture[None, :3])[0])


@pytest.fixture
def balanced():
    modality = KINDS["still"]
    design = replace(modality.designs["local"], balanced_colours=True, latent_prior="normal")
    triangle = lively(Triangle(modality, design, seed=1))
    triangle.balance_colours([colours(0.4, 0.1, 0.02)], 4.0)
    return triangle


@pytest.fixture
def plain(balanced):
    """The same weights without balance."""
    triangle = lively(Triangle(balanced.modality, replace(balanced.design, balanced_colours=False), seed=1))
    found = triangle.load_state_dict(balanced.state_dict(), strict=False)
    assert sorted(found.unexpected_keys) == sorted(
        f"{name}.colours.{part}" for name in ("posterior", "energy") for part in ("matrix", "mean")
    )
    return triangle


def test_networks_see_colours_in_balance(balanced, plain):
    x = torch.rand(2, 3, 16, 16) - 0.5
    seen = balanced.posterior.colours(x)
    assert (seen - x).abs().max() > 0.1
    torch.testing.assert_close(balanced.posterior(x), plain.posterior(seen))
    torch.testing.assert_close(balanced.energy(x), plain.energy(seen))
    torch.testing.assert_close(balanced.energy.first(x), plain.energy.first(seen))


def test_the_penalised_gradient_is_that_of_what_is_seen(balanced, plain):
    x = torch.rand(2, 3, 16, 16) - 0.5
    seen = balanced.energy.colours(x).requires_grad_()
    (gradient,) = torch.autograd.grad(plain.energy(seen).sum(), seen)
    torch.testing.assert_close(balanced.energy.with_gradient(x)[1], gradient)


def test_the_reconstruction_is_of_what_is_seen(balanced, plain):
    random = torch.Generator().manual_seed(2)
    x = torch.rand(2, 3, 16, 16, generator=random) - 0.5
    z, noise = (torch.randn(2, *plain.latent_shape((16, 16)), generator=random) for _ in range(2))
    losses = balanced.losses(x, z, noise)
    error = losses.decoded - x
    by_hand = torch.einsum("oc,bcyx->boyx", balanced.posterior.colours.matrix, error)
    expected = by_hand.square().sum((1, 2, 3)).mean() / (2 * 0.3**2)
    torch.testing.assert_close(losses.terms["reconstruction"], expected)
    assert losses.terms["reconstruction"] > 1.5 * error.square().sum((1, 2, 3)).mean() / (2 * 0.3**2)


def test_stills_have_it_and_others_do_not(exemplar, recipe):
    for changes, has in (({}, True), ({"colour_balance": 1.0}, False)):
        triangle = loop.create(exemplar, replace(recipe, **changes))
        assert isinstance(triangle.posterior.colours, ColourBalance) == has
        if has:
            assert torch.equal(triangle.posterior.colours.matrix, triangle.energy.colours.matrix)
    assert RECIPES["paper"].colour_balance == 1
    moving = exemplar.modality.moving
    assert recipe_for("fast", exemplar.modality).colour_balance == (1 if moving else RECIPES["fast"].colour_balance)
