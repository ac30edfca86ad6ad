"""Regular patterns: samples in whole periods at their own scale, and what is given brought to the networks' phase."""

import math
from dataclasses import replace

import pytest
import torch
from conftest import KINDS, lively

import texsyn
from texsyn.core.modality import STILL, Modality
from texsyn.media import lattice
from texsyn.media.exemplar import Exemplar
from texsyn.models.triangle import Triangle
from texsyn.runs.fitting import fit_run
from texsyn.synthesis import inversion, sampling
from texsyn.synthesis.extent import Extent
from texsyn.synthesis.latent_field import End, SampledField, torus_grid


def tiles(size: int, period: tuple[float, float]) -> torch.Tensor:
    """`3 y x`: the same in every period."""
    y, x = (2 * math.pi * torch.arange(size) / each for each in period)
    light = y.cos()[:, None] + x.cos() + (y[:, None] - 2 * x).sin()
    return (light * torch.tensor([0.3, 0.2, -0.3]).view(3, 1, 1)).contiguous()


@pytest.fixture
def regular() -> Triangle:
    modality = KINDS["regular"]
    design = replace(modality.designs["local"], latent_prior="mixture")
    return lively(Triangle(modality, design, seed=1))


@pytest.mark.parametrize(("size", "grid"), [((48, 48), (15, 11)), ((8, 96), (30, 2)), ((500, 10), (3, 110))])
def test_a_torus_has_whole_periods(regular, size, grid):
    """Downwards a period has 6 pixels of the networks, so 3 latent positions hold two; to the right 4, one position."""
    assert regular.phases == (3, 1)
    assert torus_grid(regular, Extent((size[1], size[0]), (True, True))) == grid


@pytest.mark.parametrize("size", [(48, 48), (30, 64)])
def test_samples_tile_exactly(regular, size):
    """Repeated before it is resampled, a torus gives what the sample gives when it is repeated."""
    once = sampling.sample(regular, size=size, seed=3)[0]
    field = SampledField(regular, End(3), torus_grid(regular, Extent((size[1], size[0]), (True, True))))
    with torch.no_grad():
        torus = regular.eval().synthesize(field.rows(range(field.grid[0])))[0]
    for axis, length in ((1, size[1]), (2, size[0])):
        twice = torch.cat((torus, torus), axis)
        torus = sampling.resampling.resample(twice, axis, 2 * length).narrow(axis, 0, length)
    torch.testing.assert_close(once, torus, atol=1e-5, rtol=0)


def test_untiled_samples_have_the_textures_own_scale(regular):
    """Each pixel lies where the scale puts it in the field, whatever the size."""
    for height in (40, 43):
        assert torus_grid(regular, Extent((height, 40), (False, False))) == (18, 12)
    small, large = (sampling.sample(regular, size=(40, height), tile="none", seed=2)[0] for height in (40, 43))
    assert small.shape == (3, 40, 40)
    assert torch.equal(small, large[:, :40])
    stretched = sampling.sample(regular, size=(40, 40), seed=2)[0]  # a torus of 12 positions, 48 pixels for 40
    assert not torch.allclose(small, stretched, atol=0.1)


@pytest.mark.parametrize("place", [(0, 0), (5, 9), (13, 22)])
def test_what_is_given_begins_at_the_start_of_a_period(place):
    modality = replace(STILL, period=(16, 24), scale=(1.0, 1.0))
    triangle = Triangle(modality, modality.designs["local"])
    texture = tiles(150, (16.0, 24.0))
    triangle.motif.copy_(lattice.motif(texture, modality.period))
    crop = texture[:, place[0] :, place[1] :]
    ends = inversion._margins(triangle, crop)
    assert [first for first, _ in ends] == list(place)
    assert [(first + n + last) % 32 for (first, last), n in zip(ends, crop.shape[1:], strict=True)] == [0, 0]


def learnt(modality: Modality, recipe, pixels: torch.Tensor) -> tuple[Exemplar, Triangle]:
    exemplar = Exemplar(pixels, modality)
    changed = replace(recipe, whole_periods=True, steps=4)
    triangle = texsyn.create(exemplar, changed)
    for _ in texsyn.fit(triangle, exemplar, changed):
        pass
    return exemplar, triangle


def test_a_fit_finds_the_period_and_everything_else_has_the_exemplars_size(recipe):
    exemplar, triangle = learnt(KINDS["still"], recipe, tiles(60, (9.0, 12.5)))
    assert triangle.modality.own_period == pytest.approx((9.0, 12.5), rel=0.02)
    assert any(n % 4 == 0 or 4 % n == 0 for n in triangle.modality.period)
    x = exemplar.pixels
    assert texsyn.sample(triangle, size=(60, 60)).shape == (1, 3, 60, 60)
    assert texsyn.reconstruct(triangle, x, refine=1).shape == x.shape
    mask = torch.zeros(1, 60, 60)
    mask[:, 20:40, 20:40] = 1
    completed = texsyn.complete(triangle, x, mask, refine=1)
    assert torch.equal(torch.where(mask > 0, x, completed), x)
    assert not torch.equal(completed, x)
    assert texsyn.heatmap(triangle, x, x).shape == (1, 60, 60)
    assert texsyn.langevin(triangle, x, steps=1).shape == x.shape
    assert math.isfinite(texsyn.energy(triangle, x))
    found = texsyn.landscape(triangle, [x], starts=1, steps=1)
    assert len(found.kinds) == 2


def test_a_masked_regular_exemplar_is_estimated_at_its_own_size(recipe, tmp_path):
    pixels, mask = tiles(60, (9.0, 12.5)), torch.zeros(1, 60, 60)
    mask[:, 10:22, 30:44] = 1
    exemplar = Exemplar(pixels, KINDS["still"], mask=mask)
    changed = replace(recipe, whole_periods=True, steps=4)
    run = texsyn.Run.create(tmp_path / "run", exemplar, changed)
    reports = list(fit_run(run, run.fresh(), run.exemplars(), changed, print))
    (estimated,) = run.estimated_pixels()
    assert estimated.shape == pixels.shape
    assert reports[-1].step == 4
    again = texsyn.load(tmp_path / "run")
    assert torch.equal(texsyn.sample(again), texsyn.sample(reports[-1].state.triangle))


def test_the_paper_and_several_exemplars_are_learnt_as_they_are(recipe):
    exemplar = Exemplar(tiles(60, (9.0, 12.5)), KINDS["still"])
    assert texsyn.create(exemplar, recipe).modality == exemplar.modality
    assert not texsyn.RECIPES["paper"].whole_periods
    pair = texsyn.together(exemplar, replace(exemplar, facts={"name": "b"}))
    assert not texsyn.create(pair, replace(recipe, whole_periods=True)).modality.period
