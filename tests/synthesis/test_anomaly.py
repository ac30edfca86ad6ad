"""Anomaly maps: they find defects, where they are."""

import pytest
import torch
from conftest import KINDS, lively

import texsyn
from texsyn import TexsynError
from texsyn.models.triangle import Triangle


@pytest.fixture
def still() -> Triangle:
    return lively(Triangle(KINDS["still"], KINDS["still"].designs["local"]))


def test_the_map_finds_a_defect(triangle, exemplar):
    x = exemplar.pixels.clone()
    own = texsyn.heatmap(triangle, x, x)
    assert own.shape == (1, *x.shape[1:])
    assert float((own > 1).float().mean()) < 0.25
    spot = tuple(slice(n // 4, 3 * n // 4) for n in x.shape[1:])
    x[(slice(None), *spot)] = torch.rand(x[(slice(None), *spot)].shape, generator=torch.Generator().manual_seed(1))
    found = texsyn.heatmap(triangle, x, exemplar.pixels)[0]
    inside = torch.zeros_like(found, dtype=torch.bool)
    inside[spot] = True
    assert float(found[inside].mean()) > 1.3 * float(found[~inside].mean())


def test_the_map_lies_where_the_change_is(still):
    """The centre of the anomaly is the centre of the change, to two pixels."""
    x = torch.rand(3, 96, 96, generator=torch.Generator().manual_seed(0)) * 0.2
    changed = x.clone()
    changed[:, 60:68, 20:28] = 1
    heat = (texsyn.heatmap(still, changed, x) - texsyn.heatmap(still, x, x))[0].clamp(min=0)
    rows, columns = heat.sum(1), heat.sum(0)
    place = torch.arange(96.0)
    assert float((rows * place).sum() / rows.sum()) == pytest.approx(63.5, abs=2)
    assert float((columns * place).sum() / columns.sum()) == pytest.approx(23.5, abs=2)


def test_the_overlay_is_red_where_the_map_is_above_1():
    x, heat = torch.zeros(3, 4, 4), torch.zeros(1, 4, 4)
    heat[0, 0, 0] = 2
    shown = texsyn.overlay(x, heat)
    assert shown[0, 0, 0] > 0.8 > shown[1, 0, 0]
    assert torch.equal(shown[:, 1, 1], torch.zeros(3))
    assert texsyn.overlay(torch.zeros(1, 4, 4), heat).shape == (3, 4, 4)


def test_textures_that_the_energy_cannot_take_are_refused(still):
    for shape, message in (((1, 32, 32), "channel"), ((3, 4, 4), "too small for the filters of the energy")):
        x = torch.zeros(shape)
        with pytest.raises(TexsynError, match=message):
            texsyn.heatmap(still, x, x)
