"""The table of kinds."""

from dataclasses import replace

import pytest

from texsyn.core.modality import CLIP, MATERIAL, MODALITIES, OBJECTS, STILL


def test_a_material_is_a_still_with_more_channels():
    assert MATERIAL.channels == 6
    assert MATERIAL.designs.keys() == STILL.designs.keys()


@pytest.mark.parametrize("row", MODALITIES.values(), ids=MODALITIES)
def test_every_row_has_one_entry_per_axis(row):
    assert MODALITIES[row.name] is row
    assert len(row.axes) == len(row.stationary) == len(row.window) == len(row.size)
    assert row.moving == (len(row.axes) == 3)
    assert "local" in row.designs


def test_crops_of_a_fixed_axis_lie_side_by_side():
    assert STILL.raster((32, 32)) == [1, 1]
    assert CLIP.raster((8, 8, 8)) == [1, 64, 64]
    assert [row.raster((4, 4)) for row in OBJECTS] == [[side, side] for side in (28, 32, 64, 128, 256)]


@pytest.mark.parametrize(
    ("period", "raster", "phases"),
    [
        ((16, 0), [16, 1], (1, 1)),
        ((24, 32), [8, 32], (3, 1)),
        ((96, 64), [32, 32], (3, 2)),
    ],
)
def test_a_regular_pattern_returns_to_its_phase_after_so_many_positions(period, raster, phases):
    row = replace(STILL, period=period, scale=(1.5, 1.0))
    assert row.raster((32, 32)) == raster
    assert row.phases((32, 32)) == phases
    for length, step, count in zip(period, raster, phases, strict=True):
        if length:
            places = {(start + 32 * n) % length for start in range(0, 10 * step, step) for n in range(20)}
            assert places == set(range(0, length, step))  # so latent positions see all of them, and no others
            assert len({32 * n % length for n in range(20)}) == count
    assert row.network_size((100, 100)) == (150, 100)
    assert row.own_period == (period[0] / 1.5, period[1])


def test_time_is_never_halved():
    assert CLIP.halvings(2) == [0, 2, 2]
    assert STILL.halvings(2) == [2, 2]
