"""Periodic resampling."""

import pytest
import torch

from texsyn.synthesis.resampling import resample


def test_resampling_is_periodic_and_keeps_what_need_not_change():
    wave = torch.sin(2 * torch.pi * torch.arange(64) / 64).view(1, 64)
    finer = resample(wave, 1, 50)
    torch.testing.assert_close(finer, torch.sin(2 * torch.pi * torch.arange(50) / 50).view(1, 50), atol=1e-3, rtol=0)
    torch.testing.assert_close(resample(wave, 1, 64), wave)
    shifted = resample(wave.roll(32, 1), 1, 50)
    torch.testing.assert_close(shifted, finer.roll(25, 1))


@pytest.mark.parametrize("size", [56, 72, 100])
def test_fine_waves_keep_their_height(size):
    """Of six periods in 16 pixels, which cubic interpolation makes half as high."""
    places = 2 * torch.pi * 24 * torch.arange(64) / 64
    found = resample(torch.cos(places).view(1, 64), 1, size)
    exact = torch.cos(2 * torch.pi * 24 * torch.arange(size) / size).view(1, size)
    torch.testing.assert_close(found, exact, atol=0.03, rtol=0)


def test_what_does_not_fit_into_fewer_positions_is_left_out():
    wave = torch.cos(2 * torch.pi * 24 * torch.arange(64) / 64).view(1, 64)
    assert resample(wave, 1, 40).abs().max() < 0.05  # aliased it would be as high as before
