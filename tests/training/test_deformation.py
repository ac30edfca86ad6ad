"""Crops that are deformed: how far pixels move, where they come from, and what stays as it is."""

import math
from dataclasses import astuple, replace

import pytest
import torch

from texsyn.core import ops
from texsyn.core.maps import Plane
from texsyn.core.modality import STILL
from texsyn.core.recipes import Recipe, recipe_for
from texsyn.media import lattice
from texsyn.training import deformation
from texsyn.training.deformation import NONE, Deformation, Source, deformation_of

WHOLE = (slice(None), slice(0, 128), slice(0, 128))


def waves(size, *periods):
    """`3 size size`: a wave with each period, along both axes in turn, in three shades."""
    at = torch.arange(size)
    light = sum(torch.sin(2 * math.pi * at.view(*((-1, 1) if n % 2 else (1, -1))) / p) for n, p in enumerate(periods))
    return torch.stack([0.4 * light, 0.3 * light, 0.2 * light]).expand(3, size, size).contiguous()


def random_of(seed):
    return ops.seeded_generator(seed)


def test_pixels_move_by_the_amount_and_neighbours_together():
    """Over many crops: the standard deviation in the middle, and the differences of neighbours."""
    straight = torch.stack(torch.meshgrid(torch.arange(64.0), torch.arange(96.0), indexing="ij"))
    moved = torch.stack([deformation._places((64, 96), Deformation(2.0), random_of(n)) - straight for n in range(400)])
    assert moved[:, :, 32, 48].std(0).tolist() == pytest.approx([2, 2], rel=0.15)
    assert moved.mean(0).abs().max() < 0.6
    assert max(moved.diff(dim=axis).abs().max() for axis in (2, 3)) < 0.9
    # The linear part adds as much 64 pixels from the middle, here at 47.5.
    assert moved[:, :, 32, 0].std(0).mean() == pytest.approx(2 * math.hypot(1, 47.5 / 64), rel=0.15)


def test_a_small_amount_changes_next_to_nothing_and_none_draws_nothing():
    pixels = waves(160, 9.0, 7.0)
    near = Source.of(pixels, Deformation(1e-4)).cut(WHOLE, random_of(0), (8, 8))
    exact = Source.of(pixels).cut(WHOLE, None, (8, 8))
    assert exact.shape == near.shape == (3, 144, 144)
    assert torch.equal(Source.of(pixels).cut(WHOLE, None), pixels[WHOLE])
    inner = (slice(None), slice(8, None), slice(8, None))  # beyond the ends, both reflect half a pixel apart
    torch.testing.assert_close(near[inner], exact[inner], atol=0.01, rtol=0)


@pytest.mark.parametrize("change", [Deformation(2.0), Deformation(2.0, 0.3, 0.1), Deformation(0.0, 0.3)])
def test_deformed_values_are_those_of_where_they_come_from(change):
    """Of a smooth wave, known between its pixels."""
    pixels = waves(256, 24.0)
    crop = (slice(None), slice(40, 104), slice(60, 124))
    places = deformation._places((64, 64), change, random_of(3)) + torch.tensor([40.0, 60.0]).view(2, 1, 1)
    expected = 0.4 * torch.sin(2 * math.pi * places[1] / 24)
    deformed = Source.of(pixels, change).cut(crop, random_of(3))
    torch.testing.assert_close(deformed[0], expected, atol=0.01, rtol=0)
    assert (deformed - pixels[crop]).abs().max() > 0.1
    assert torch.equal(deformed, Source.of(pixels, change).cut(crop, random_of(3)))
    assert not torch.equal(deformed, Source.of(pixels, change).cut(crop, random_of(4)))


def test_a_crop_lies_inside_its_exemplar_where_it_can():
    """Beyond the ends it would be reflected. In its middle if it is larger than the exemplar."""
    source, turned = Source.of(waves(160, 24.0), Deformation(2.0, 0.3, 0.05)), Deformation(0.0, 0.3)
    for n in range(20):
        corner = (slice(None), slice(60, 160), slice(0, 100))
        places = source.trace(corner, random_of(n), (16, 8))[1][:, 16:-16, 8:-8]
        assert places.min() > -1e-3
        assert places.max() < 159.001
        whole = (slice(None), slice(0, 160), slice(0, 160))
        places = Source.of(waves(160, 24.0), turned).trace(whole, random_of(n))[1]
        assert (places.flatten(1).amin(1) + places.flatten(1).amax(1)).tolist() == pytest.approx([159, 159], abs=1e-2)


def test_fine_detail_stays():
    """Cubic interpolation of the pixels themselves would take a fifth of it away."""
    noise = torch.rand(3, 224, 224, generator=random_of(5)) * 2 - 1
    fine = ops.resize(noise, (112, 112))
    deformed = torch.stack(
        [
            Source.of(fine, Deformation(1.0)).cut((slice(None), slice(0, 112), slice(0, 112)), random_of(n))
            for n in range(4)
        ]
    )
    assert deformed.diff(dim=-1).std() == pytest.approx(float(fine.diff(dim=-1).std()), rel=0.06)


@pytest.mark.parametrize(
    ("pixels", "least", "most"),
    [
        (torch.rand(3, 224, 224, generator=random_of(1)), 0.0, 0.1),
        (waves(224, 20.0, 20.0), 0.9, 1.0),
        (waves(224, 20.0), 0.9, 1.0),
        (
            torch.linspace(0, 1, 224).expand(3, 224, 224) + 0.1 * torch.rand(3, 224, 224, generator=random_of(2)),
            0.0,
            0.1,
        ),
        (torch.zeros(3, 224, 224), 0.0, 0.0),
        (waves(96, 8.0), 0.0, 0.0),  # too small to tell
    ],
)
def test_order_is_correlation_far_away(pixels, least, most):
    """Noise has none, lattices and stripes have all, and a slope of light is no order."""
    assert least <= lattice.order(lattice.principal(pixels)) <= most


def test_what_is_in_order_is_not_deformed():
    recipe = recipe_for("fast", STILL)
    noise = torch.rand(3, 224, 224, generator=random_of(1))
    whole = deformation_of(noise, STILL, recipe)
    assert whole == Deformation(recipe.deformation, math.radians(recipe.rotation), recipe.scaling)
    assert min(astuple(whole)) > 0
    assert deformation_of(waves(224, 20.0), STILL, recipe) == NONE
    between = deformation_of(waves(224, 20.0) + 2 * noise, STILL, recipe)
    assert 0 < between.displacement < whole.displacement
    assert 0 < between.scaling < whole.scaling


def test_what_has_a_direction_is_not_turned():
    """Noise that is drawn out along columns, as fissures of bark are."""
    noise = torch.rand(1, 3, 224, 224, generator=random_of(1))
    streaks = torch.nn.functional.avg_pool2d(noise, (13, 1), 1, (6, 0))[0]
    assert lattice.coherence(lattice.principal(noise[0])) < 0.1
    assert lattice.coherence(lattice.principal(streaks)) > 0.6
    found = deformation_of(streaks / streaks.std(), STILL, Recipe())
    assert found.rotation == 0
    assert found.displacement > 0
    assert found.scaling > 0
    assert lattice.coherence(torch.zeros(24, 24)) == 0  # too small to tell


def test_crops_are_turned_and_scaled_by_the_amount():
    """Over many crops: angle and length of the way from one end of a crop to the other."""
    moved = torch.stack([deformation._places((65, 65), Deformation(0.0, 0.2, 0.1), random_of(n)) for n in range(600)])
    down, right = (moved[:, :, 32, 64] - moved[:, :, 32, 0]).unbind(1)
    assert torch.atan2(down, right).std() == pytest.approx(0.2, rel=0.1)
    assert (torch.hypot(down, right) / 64).log().std() == pytest.approx(0.1, rel=0.1)
    assert torch.allclose(moved[:, :, 32, 32], torch.tensor([32.0, 32.0]), atol=1e-3)


def test_below_levels_of_detail_crops_are_not_turned():
    noise = torch.rand(3, 224, 224, generator=random_of(1))
    modality = replace(STILL, factors=(2,))
    assert deformation_of(noise, modality, Recipe()) == Deformation(Recipe().deformation)


def test_only_stills_without_a_period_are_deformed(modality):
    noise = torch.rand(modality.channels, *modality.window, generator=random_of(1))
    alone = all(modality.stationary) and not modality.moving and not modality.period
    assert bool(deformation_of(noise, modality, Recipe())) == alone
    assert deformation_of(noise, modality, replace(Recipe(), deformation=0.0, rotation=0.0, scaling=0.0)) == NONE


def test_margins_are_reflected():
    row = torch.arange(4.0).view(1, 1, 4)
    reflected = deformation.reflected_crop(row, (slice(None), slice(0, 1), slice(0, 4)), (0, 3))
    assert reflected.flatten().tolist() == [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]
    far = deformation.reflected_crop(row[..., :2], (slice(None), slice(0, 1), slice(0, 2)), (1, 3))
    assert far[0, 0].tolist() == [1, 0, 1, 0, 1, 0, 1, 0]
    assert far.shape[1] == 3


@pytest.mark.parametrize("change", [Deformation(3.0), Deformation(2.0, 0.3, 0.1)])
@pytest.mark.parametrize("flipped", [False, True])
def test_normals_turn_as_their_height_is_deformed(flipped, change):
    """Those of a deformed height are the deformed normals, turned."""
    down, right = torch.meshgrid(torch.arange(160.0), torch.arange(160.0), indexing="ij")
    height = 6 * torch.sin(0.11 * right + 0.07 * down) + 5 * torch.sin(0.13 * down - 0.04 * right)

    def normals(height):
        along_y, along_x = torch.gradient(height)
        vectors = torch.stack((-along_x, -along_y if flipped else along_y, torch.ones_like(height)))
        return torch.nn.functional.normalize(vectors, dim=0)

    planes = (Plane("height", 1), Plane("normal", flipped=flipped))
    texture = torch.cat((height[None] / 12, normals(height)))
    crop = (slice(None), slice(24, 136), slice(24, 136))
    deformed = Source.of(texture, change, planes).cut(crop, random_of(2))
    expected = normals(12 * deformed[0])
    inner = (slice(None), slice(2, -2), slice(2, -2))
    angles = (deformed[1:] * expected)[inner].sum(0).clamp(-1, 1).acos().rad2deg()
    assert float(angles.mean()) < 1.0
    stiff = Source.of(texture, change).cut(crop, random_of(2))  # normals that do not turn
    assert float((stiff[1:] * expected)[inner].sum(0).clamp(-1, 1).acos().rad2deg().mean()) > 2 * float(angles.mean())
