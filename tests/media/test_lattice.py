"""Regular patterns: periods found or honestly none, and kinds fitted to them."""

import math

import pytest
import torch
from conftest import VIDEOS

from texsyn.core.modality import CLIP, MATERIAL, STILL, SURFACE
from texsyn.media import lattice
from texsyn.media.reader import read

SIDE, STRIDE = 224, (32, 32)


def grid():
    return torch.meshgrid(torch.arange(SIDE).float(), torch.arange(SIDE).float(), indexing="ij")


def coloured(light: torch.Tensor, noise: float = 0.3) -> torch.Tensor:
    """`3 y x` in [-1, 1]: orange where light, blue where dark, with noise."""
    random = torch.Generator().manual_seed(0)
    light = light + noise * torch.randn(light.shape, generator=random)
    return (light * torch.tensor([1.0, 0.5, -1.0]).view(3, 1, 1)).clamp(-2, 2) / 2


def bricks(height: float, width: float) -> torch.Tensor:
    """A running bond: every second course is moved by half a brick."""
    y, x = grid()
    course = (y / height).floor()
    inside = ((y % height) > 2.5) & (((x + course % 2 * width / 2) % width) > 2.5)
    return inside.float() * 2 - 1


def waves(period: tuple[float, float]) -> torch.Tensor:
    y, x = grid()
    return (2 * math.pi * y / period[0]).cos() + (2 * math.pi * x / period[1]).cos()


@pytest.mark.parametrize("period", [(20.0, 31.5), (37.33, 18.67), (11.2, 75.0)])
def test_periods_of_waves_are_found(period):
    light = lattice.principal(coloured(waves(period)))
    found = [lattice.period_along(light, axis) for axis in (0, 1)]
    assert found == pytest.approx(period, rel=0.01)


def test_a_running_bond_repeats_after_two_courses_and_one_brick():
    light = lattice.principal(coloured(bricks(14.0, 40.0)))
    assert lattice.period_along(light, 0) == pytest.approx(28, rel=0.01)
    assert lattice.period_along(light, 1) == pytest.approx(40, rel=0.01)


def test_stripes_repeat_along_one_axis():
    y, _ = grid()
    light = lattice.principal(coloured((2 * math.pi * y / 15).cos()))
    assert lattice.period_along(light, 0) == pytest.approx(15, rel=0.01)
    assert lattice.period_along(light, 1) == 0


@pytest.mark.parametrize("name", ["beans", "pebbles", "leaves", "gravel", "brick", "grass"])
def test_what_is_not_regular_has_no_period(name):
    """The bricks are a photograph that narrows upwards, whose courses have no common period."""
    exemplar = read(VIDEOS / f"{name}.png")
    assert lattice.fitted(STILL, exemplar.pixels, STRIDE) is STILL


def test_noise_and_one_colour_have_no_period():
    assert lattice.fitted(STILL, torch.zeros(3, SIDE, SIDE), STRIDE) is STILL
    assert (
        lattice.fitted(STILL, torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)), STRIDE) is STILL
    )


def test_wicker_is_brought_to_periods_that_divide_the_stride():
    fitted = lattice.fitted(STILL, read(VIDEOS / "wicker.png").pixels, STRIDE)
    assert fitted.period == (16, 32)
    assert fitted.scale == pytest.approx((192 / 224, 192 / 224))
    assert fitted.own_period == pytest.approx((224 / 12, 224 / 6))
    assert fitted.phases(STRIDE) == (1, 1)


@pytest.mark.parametrize("period", [6.5, 9.0, 13.0, 17.0, 21.3, 23.0, 30.0, 41.0, 55.0, 70.0, 90.0, 110.0])
def test_any_period_comes_near_a_few_positions_of_the_latent_field(period):
    aim = lattice._aim(period, 32, 0.75)
    assert 0.75 <= aim / period <= 1.5
    assert aim // math.gcd(aim, 32) <= 4


def test_a_period_that_suits_the_stride_is_left_alone():
    fitted = lattice.fitted(STILL, coloured(waves((32.0, 16.0))), STRIDE)
    assert (fitted.period, fitted.window) == ((32, 16), STILL.window)
    assert fitted.scale == pytest.approx((1, 1), abs=0.01)


def test_a_small_exemplar_is_not_made_smaller_than_a_window():
    y, x = (torch.arange(n).float() for n in (140, 224))
    light = (2 * math.pi * y / 37).cos()[:, None] + (2 * math.pi * x / 37).cos()
    fitted = lattice.fitted(STILL, coloured(light), STRIDE)
    assert fitted.period == (48, 32)
    assert fitted.network_size((140, 224)) == (182, 194)
    assert fitted.window == STILL.window


def test_clips_surfaces_and_maps():
    clip = coloured(waves((16.0, 16.0)))[:, None].expand(3, 40, SIDE, SIDE)
    for modality in (CLIP, SURFACE):
        assert lattice.fitted(modality, clip, (8, 8, 8)) is modality
    colour = coloured(waves((16.0, 16.0)))
    assert lattice.fitted(MATERIAL, torch.cat((colour, colour)), STRIDE).period == (16, 16)


def test_the_motif_is_the_mean_period_and_tells_where_a_crop_begins():
    texture = coloured(waves((16.0, 24.0)))
    motif = lattice.motif(texture, (16, 24))
    assert motif.shape == (3, 16, 24)
    torch.testing.assert_close(motif, lattice.motif(texture[:, 16:, 24:], (16, 24)), atol=0.2, rtol=0)
    for place in [(0, 0), (5, 11), (15, 23)]:
        crop = texture[:, place[0] : place[0] + 90, place[1] : place[1] + 70]
        assert lattice.shift(crop, motif) == place
    assert lattice.motif(texture, (16, 0)).shape == (3, 16, 1)
