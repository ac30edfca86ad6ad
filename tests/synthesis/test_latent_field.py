"""Latent fields: rows from a seed, tori of the right size, blends that stay in the prior."""

from dataclasses import replace

import pytest
import torch
from conftest import KINDS

from texsyn import TexsynError
from texsyn.core.errors import Exit
from texsyn.models.triangle import Triangle
from texsyn.synthesis.extent import Extent
from texsyn.synthesis.latent_field import MARGIN, Blend, End, SampledField, torus_grid


@pytest.fixture
def still() -> Triangle:
    return Triangle(KINDS["still"], KINDS["still"].designs["local"])


def test_a_row_depends_on_its_seed_and_number_alone(still):
    field = SampledField(still, End(3), (6, 5))
    rows = field.rows(range(6))
    assert rows.shape == (1, still.design.latent_channels, 6, 5)
    assert torch.allclose(field.rows([4, 5, 6, 7]), rows[:, :, [4, 5, 0, 1]], atol=1e-5)  # counted round the torus
    taller = SampledField(still, End(3), (9, 5)).rows(range(6))
    assert torch.equal(taller, rows)
    assert not torch.equal(SampledField(still, End(4), (6, 5)).rows(range(6)), rows)


def test_the_torus_is_rounded_where_it_wraps_and_larger_where_it_does_not(still):
    (stride, _) = still.stride
    assert torus_grid(still, Extent((5 * stride + 1, 1), (True, True))) == (5, 1)
    assert torus_grid(still, Extent((5 * stride - 1, 2 * stride), (True, False))) == (5, 2 + MARGIN)
    clip = Triangle(KINDS["clip"], KINDS["clip"].designs["local"])
    assert torus_grid(clip, Extent((8, 16, 16), (False, False, False))) == (2 + MARGIN, 4, 4)  # of fixed axes no more


def test_every_moment_of_a_morph_is_drawn_from_the_prior(still):
    for share in (0.0, 0.3, 0.5, 1.0):
        field = SampledField(still, End(1), (64, 64), Blend(End(2), (share,))).rows(range(64))
        assert float(field.std()) == pytest.approx(1, abs=0.02)
        assert float(field.mean()) == pytest.approx(0, abs=0.02)


def test_labels_are_blended_linearly_and_the_field_of_one_seed_stays(modality):
    triangle = Triangle(modality, replace(modality.designs["local"], exemplars=2))
    grid, split = (4,) * len(modality.axes), triangle.design.latent_channels
    alone = SampledField(triangle, End(1, 0), grid).rows(range(4))
    blended = SampledField(triangle, End(1, 0), grid, Blend(End(1, 1), (0.25,))).rows(range(4))
    assert torch.equal(blended[:, :split], alone[:, :split])
    assert torch.equal(blended[:, split], torch.full_like(blended[:, split], 0.75))
    assert torch.equal(blended[:, split + 1], torch.full_like(blended[:, split], 0.25))


@pytest.mark.parametrize("axis", [0, 1])
def test_each_position_along_an_axis_has_its_own_share(still, axis):
    ends = [SampledField(still, End(seed), (4, 4)).rows(range(4)) for seed in (1, 2)]
    blended = SampledField(still, End(1), (4, 4), Blend(End(2), (0.0, 0.0, 1.0, 1.0), axis)).rows(range(4))
    for share, place in ((0, slice(0, 2)), (1, slice(2, 4))):
        part = (slice(None), slice(None), *(place if n == axis else slice(None) for n in range(2)))
        torch.testing.assert_close(blended[part], ends[share][part])


def test_unknown_exemplars_are_refused(still):
    for start, blend in ((End(0, 1), None), (End(0, -1), None), (End(), Blend(End(0, 1), (0.5,)))):
        with pytest.raises(TexsynError, match=r"has 1 exemplar\(s\)") as caught:
            SampledField(still, start, (4, 4), blend)
        assert caught.value.exit is Exit.USAGE
