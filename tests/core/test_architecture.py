"""Designs: what their layers say of grids, channels and sizes."""

from dataclasses import fields

import pytest

from texsyn.core.architecture import Design, Layer
from texsyn.core.modality import CLIP, MODALITIES, STILL

DESIGNS = [(row, name) for row in MODALITIES.values() for name in row.designs]


def test_strides_and_grids_follow_from_the_layers():
    still, clip = STILL.designs["local"], CLIP.designs["local"]
    assert still.stride == (32, 32)
    assert still.latent_grids == ((1, 1), (2, 2), (4, 4))
    assert still.latent_channels == 5 + 4 * 4 + 4 * 16
    assert clip.stride == (8, 16, 16)
    assert clip.frame_latent_grids == ((1, 1, 1), (2, 1, 1), (4, 1, 1))
    assert clip.latent_channels == 8 + 4 * (1 + 2 + 4)


@pytest.mark.parametrize(("row", "name"), DESIGNS, ids=lambda value: getattr(value, "name", value))
def test_the_energy_fits_the_window(row, name):
    assert all(row.designs[name].positions(row.window, row.halvings(0)))


def test_positions_are_those_of_convolutions():
    design = STILL.designs["paper"]  # 7, 7 and 5, strides 2, 2 and 1, without padding
    assert design.positions((128, 128), (0, 0)) == [24, 24]
    assert design.positions((128, 128), (1, 2)) == [8, 0]
    assert CLIP.designs["paper"].positions((32, 64, 64), (0, 0, 0)) == [3, 1, 1]  # two are padded


def test_labels_are_for_several_exemplars():
    design = STILL.designs["paper"]
    assert design.labels == 0
    assert (
        Design(design.latents, design.generator, design.posterior, design.heads, design.energy, exemplars=3).labels == 3
    )


@pytest.mark.parametrize("cls", [Layer, Design])
def test_every_number_and_word_carries_its_limits(cls):
    for each in fields(cls):
        if any(kind in each.type for kind in ("int", "float")):
            assert each.metadata["low"] < each.metadata["high"]
        if each.type == "str":
            assert each.default in each.metadata["choices"]


@pytest.mark.parametrize(("row", "name"), DESIGNS, ids=lambda value: getattr(value, "name", value))
def test_every_design_is_within_its_limits(row, name):
    design = row.designs[name]
    for each in fields(design):
        value, limits = getattr(design, each.name), each.metadata
        numbers = value if isinstance(value, tuple) else (value,)
        assert "low" not in limits or all(limits["low"] <= number <= limits["high"] for number in numbers)
        assert "choices" not in limits or value in limits["choices"]
        least, most = limits.get("count", (0, len(numbers)))
        assert least <= len(numbers) <= most
