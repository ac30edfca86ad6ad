"""Levels: what adds the detail of a larger texture to a coarser one."""

import pytest
import torch
from conftest import levelled

from texsyn.core import ops
from texsyn.core.recipes import ACD, TRIANGLE, VAE, WAKE_SLEEP
from texsyn.models.level import Codes
from texsyn.models.trio import Below

WINDOW = (16, 16)


@pytest.fixture
def level():
    return levelled((2,)).detail[0]


def batch(level, seed=0):
    """The inputs of `losses`: two data and three draws."""
    random = torch.Generator().manual_seed(seed)
    return {
        "x": torch.randn(2, 3, *WINDOW, generator=random),
        "z": torch.randn(3, 2, 8, 8, generator=random),
        "noise": torch.randn(2, 2, 8, 8, generator=random),
        "below": Below(
            torch.rand(5, 3, 8, 8, generator=random) * 2 - 1, torch.rand(5, 3, *WINDOW, generator=random) * 2 - 1
        ),
    }


def test_latents_are_taken_from_where_the_base_took_its_own(level):
    """Blocks of 2 x 2 positions, whose middles lie in the exemplar, and one beyond its end, which is reflected."""
    middles = torch.tensor([[[10.5, 0.5], [20.5, 40.5]], [[30.5, 2.5], [47.5, 5.5]]])  # down, then to the right
    sources = torch.cat((torch.zeros(1, 2, 2), middles))[None]
    codes = Codes([torch.arange(2 * 32 * 48.0).view(2, 32, 48)], torch.zeros(2))
    level_codes = codes.means[0]
    drawn = level.latents(sources, torch.zeros(1, 2, 4, 4), codes)
    assert torch.equal(drawn[0, :, :2, :2], level_codes[:, 10:12, 30:32])
    assert torch.equal(drawn[0, :, :2, 2:], level_codes[:, 0:2, 2:4])
    assert torch.equal(drawn[0, :, 2:, :2], level_codes[:, 20:22][:, :, [47, 46]])
    assert torch.equal(drawn[0, :, 2:, 2:], level_codes[:, [22, 21]][:, :, 5:7])


def test_places_are_finer_in_levels_above():
    """A block of a base's position 3 is of positions 6 and 7 at twice the size."""
    upper = levelled((2, 2)).detail[1]
    sources = torch.tensor([0.0, 3.0, 5.0]).view(1, 3, 1, 1)
    codes = Codes([torch.arange(2 * 64 * 96.0).view(2, 64, 96)], torch.zeros(2))
    drawn = upper.latents(sources, torch.zeros(1, 2, 2, 2), codes)
    assert torch.equal(drawn[0], codes.means[0][:, 6:8, 10:12])


def test_noise_has_the_variance_of_codes(level):
    sources = torch.zeros(1, 3, 1, 1)
    codes = Codes([torch.zeros(2, 32, 48)], torch.tensor([0.25, 4.0]))
    noise = torch.randn(1, 2, 4, 4)
    drawn = level.latents(sources, noise, codes)
    assert torch.allclose(drawn, noise * torch.tensor([0.5, 2.0]).view(1, 2, 1, 1))


def test_of_several_exemplars_each_position_is_of_one():
    sources = torch.zeros(1, 3, 1, 2)
    sources[0, 0, 0, 1] = 1
    level = levelled((2,)).detail[0]
    codes = Codes([torch.ones(2, 32, 48), torch.full((2, 20, 20), 5.0)], torch.zeros(2))
    drawn = level.latents(sources, torch.zeros(1, 2, 2, 4), codes)
    assert torch.equal(drawn[0, 0], torch.tensor([[1.0, 1.0, 5.0, 5.0]] * 2))


def test_an_untrained_level_only_enlarges(level):
    coarse = torch.rand(1, 3, 8, 8) * 2 - 1
    level.deviation.zero_()
    fine = level.synthesize(torch.randn(1, 2, 8, 8), coarse, (True, True))
    assert torch.equal(fine, ops.upsample(coarse, (2, 2), (True, True)))


def test_what_is_added_is_in_deviations(level):
    level.eval()
    coarse, z = torch.rand(1, 3, 8, 8) * 0.2, torch.randn(1, 2, 8, 8)
    level.deviation.copy_(torch.tensor([0.001, 0.002, 0.0]).view(3, 1, 1))
    made = level.synthesize(z, coarse, (True, True), corrected=False)
    added = made - level.enlarge(coarse, (True, True))
    detail = level.generator_ema(z, (True, True), coarse)
    assert torch.allclose(added[:, 1], 0.002 * detail[:, 1], atol=1e-6)
    assert not added[:, 2].any()


def test_terms_see_what_lies_below(level):
    """Other coarse textures of data and of draws change every term that sees them."""
    given = batch(level)
    before = level.losses(**given, penalised=True)
    for part, names in (
        (slice(2), ("reconstruction", "prior", "energy_data")),
        (slice(2, 5), ("energy_generated", "latent")),
    ):
        coarse, enlarged = (each.clone() for each in (given["below"].coarse, given["below"].enlarged))
        coarse[part] *= -1
        enlarged[part] *= -1
        after = level.losses(**{**given, "below": Below(coarse, enlarged)})
        assert all(before.terms[name] != after.terms[name] for name in names)
    assert before.gradient_norm > 0


def test_the_gradient_that_is_penalised_is_that_of_the_texture_alone(level):
    given = batch(level)
    x, enlarged = given["x"].requires_grad_(), given["below"].enlarged[:2]
    energies, gradient = level.energy.with_gradient(x, None, enlarged)
    (expected,) = torch.autograd.grad(level.energy(x, enlarged=enlarged).sum(), x)
    assert gradient.shape == x.shape
    assert torch.allclose(gradient, expected, atol=1e-4 * expected.abs().max())
    assert torch.allclose(energies, level.energy(x, enlarged=enlarged))


@pytest.mark.parametrize("objective", [TRIANGLE, VAE, ACD, WAKE_SLEEP])
def test_every_objective_trains_a_level(level, objective):
    losses = level.losses(**batch(level), objective=objective, penalised=True)
    losses.loss.backward()
    assert all(value.isfinite() for value in losses.terms.values())
    assert any(p.grad is not None for p in level.generator.parameters())


def test_a_part_of_a_batch_has_what_lies_below_its_own():
    below = Below(torch.arange(8.0).view(8, 1, 1, 1), torch.arange(8.0).view(8, 1, 1, 1) + 10)
    part = below.part(slice(1, 3), 4)
    assert part.coarse.flatten().tolist() == [1, 2, 5, 6]
    assert part.enlarged.flatten().tolist() == [11, 12, 15, 16]


def test_the_energy_of_all_levels_is_their_sum():
    triangle = levelled()
    x = torch.rand(1, 3, 64, 96) * 2 - 1
    parts = [triangle.energy(ops.block_mean(x, (4, 4)), None, (True, True))]
    for number, level in enumerate(triangle.detail, start=1):
        added, below = level.split(ops.block_mean(x, (2, 2)) if number == 1 else x, (True, True))
        own = ops.block_mean(x, (2, 2)) if number == 1 else x
        assert torch.allclose(level.deviation * added + below.enlarged, own, atol=1e-5)
        parts.append(level.energy(added, None, (True, True), below.enlarged))
    assert torch.allclose(triangle.total_energy(x, None, (True, True)), sum(parts))
