"""The table of kinds."""

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
    assert STILL.raster == [1, 1]
    assert CLIP.raster == [1, 64, 64]
    assert [row.raster for row in OBJECTS] == [[28, 28], [32, 32], [64, 64]]


def test_time_is_never_halved():
    assert CLIP.halvings(2) == [0, 2, 2]
    assert STILL.halvings(2) == [2, 2]
