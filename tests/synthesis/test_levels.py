"""Samples of models with levels of detail: bands, tiles, seeds and blends as without them."""

import pytest
import torch
from conftest import levelled

import texsyn
from texsyn.synthesis import rendering, sampling
from texsyn.synthesis.extent import Extent
from texsyn.synthesis.latent_field import End, SampledField, torus_grid

SIZE = (192, 256)  # width and height


@pytest.fixture(params=[("mixture", "still"), ("normal", "still"), ("mixture", "regular")], ids=" ".join)
def triangle(request):
    prior, kind = request.param
    triangle = levelled(latent_prior=prior, kind=kind)
    for trio in triangle.trios:
        trio.generator_ema.eval()
    return triangle


def field_of(triangle, **asked):
    extent = Extent.of(triangle.modality, SIZE, None, None, True)
    return SampledField(triangle, End(**asked), torus_grid(triangle, extent))


def test_the_default_size_is_the_exemplars(triangle):
    assert sampling.sample(triangle).shape == (1, 3, 128, 192)


def test_pieces_give_what_the_whole_gives(triangle, monkeypatch):
    whole = sampling.sample(triangle, size=SIZE)[0]
    monkeypatch.setattr(rendering, "PIECE", {2: (40, 56)})
    assert torch.allclose(sampling.sample(triangle, size=SIZE)[0], whole, atol=1e-4)
    assert torch.equal(torch.cat(list(sampling.bands(triangle, size=SIZE)), 1), sampling.sample(triangle, size=SIZE)[0])


def test_rows_across_the_border_are_those_of_both_sides(triangle):
    field = field_of(triangle)
    height = field.size[0]
    whole = rendering.render(field, 0, height)
    across = rendering.render(field, height - 9, height + 13)
    assert torch.allclose(across, torch.cat((whole[:, -9:], whole[:, :13]), 1), atol=1e-4)


def test_columns_wrap(triangle, monkeypatch):
    """A piece that begins elsewhere sees round the border."""
    whole = sampling.sample(triangle, size=SIZE)[0]
    steps = (whole - whole.roll(1, 2)).abs().mean((0, 1))  # from the column before, round the torus
    assert steps[0] < 3 * steps.median()


def test_levels_add_detail_that_follows_the_seed(triangle):
    with_levels = sampling.sample(triangle, size=SIZE, seed=3)[0]
    assert torch.equal(with_levels, sampling.sample(triangle, size=SIZE, seed=3)[0])
    for level in triangle.detail:
        level.deviation.zero_()
    assert not torch.allclose(with_levels, sampling.sample(triangle, size=SIZE, seed=3)[0], atol=1e-2)


def test_rows_of_a_levels_latents_are_those_of_its_whole_field(triangle):
    field = field_of(triangle, seed=2)
    for level in (1, 2):
        height = field.size_at(level - 1)[0]
        whole = field.level_rows(level, range(height))
        part = field.level_rows(level, range(height - 5, height + 6))
        assert torch.allclose(part, torch.cat((whole[:, :, -5:], whole[:, :, :6]), 2), atol=1e-5)


def test_morphs_begin_and_end_with_their_ends(triangle):
    first, *_, last = sampling.morph(triangle, End(1), End(2), frames=5, size=SIZE, loop=False)
    assert torch.allclose(first[:, 0], sampling.sample(triangle, seed=1, size=SIZE)[0], atol=1e-4)
    assert torch.allclose(last[:, 0], sampling.sample(triangle, seed=2, size=SIZE)[0], atol=1e-4)


def test_a_texture_between_two_and_one_across(triangle):
    half = sampling.between(triangle, End(1), End(2), 0.5, size=SIZE)
    assert half.shape == (3, SIZE[1], SIZE[0])
    across = torch.cat(list(sampling.across(triangle, End(1), End(2), size=(512, 128))), 1)
    assert across.shape == (3, 128, 512)
    assert across.isfinite().all()


def test_a_reconstruction_is_of_the_same_size(triangle):
    x = torch.rand(3, 90, 130) * 2 - 1
    found = texsyn.reconstruct(triangle, x, refine=2)
    assert found.shape == x.shape
    for level in triangle.detail:
        level.deviation.zero_()
    assert not torch.allclose(found, texsyn.reconstruct(triangle, x, refine=2), atol=1e-3)


@pytest.mark.parametrize("hole", [6, 70])
def test_holes_are_filled_and_the_rest_stays(triangle, hole):
    """Small ones, where all latents of the base are known, and large ones."""
    x, mask = torch.rand(3, 128, 160) * 2 - 1, torch.zeros(1, 128, 160)
    mask[:, 20 : 20 + hole, 30 : 30 + hole] = 1
    filled = texsyn.complete(triangle, x, mask, refine=2)
    assert torch.equal(filled[:, mask[0] == 0], x[:, mask[0] == 0])
    other = torch.where(mask > 0, -x, x)
    assert torch.equal(filled, texsyn.complete(triangle, other, mask, refine=2))
    again = texsyn.complete(triangle, x, mask, refine=2, seed=1)
    assert not torch.equal(filled, again)


def test_energy_and_steps_up_see_all_levels(triangle):
    x = texsyn.sample(triangle, size=(133, 70))[0]
    changed = x.clone()
    changed[:, 20:40:2] *= -1
    changed[:, 21:40:2] *= -1
    assert texsyn.energy(triangle, x) != texsyn.energy(triangle, changed)
    up = texsyn.langevin(triangle, x, steps=3, size=0.01)
    assert up.shape == x.shape
    assert texsyn.energy(triangle, up) > texsyn.energy(triangle, x)


def test_heat_shows_what_only_levels_see(triangle):
    """A checkerboard that is grey once reduced; that of single pixels is lost where a regular pattern is resampled."""
    cell = 2 if triangle.modality.period else 1
    typical = texsyn.sample(triangle, size=(192, 128))[0]
    x = typical.clone()
    board = ((torch.arange(24)[:, None] // cell + torch.arange(24) // cell) % 2 * 2 - 1).float()
    x[:, 50:74, 80:104] += 0.5 * board
    heat = texsyn.heatmap(triangle, x, typical)
    assert heat.shape == (1, 128, 192)
    assert heat[:, 54:70, 84:100].mean() > 2 * heat[:, :40].mean()


@pytest.mark.parametrize("latent", [False, True])
def test_the_landscape_is_that_of_the_base(triangle, latent):
    exemplar = texsyn.sample(triangle)[0]
    found = texsyn.landscape(triangle, [exemplar], starts=2, steps=2, latent=latent)
    assert found.starts.shape[1:] == (3, 16, 16)
