"""Periodic resampling."""

import torch

from texsyn.synthesis.resampling import resample


def test_resampling_is_periodic_and_keeps_what_need_not_change():
    wave = torch.sin(2 * torch.pi * torch.arange(64) / 64).view(1, 64)
    finer = resample(wave, 1, 50)
    torch.testing.assert_close(finer, torch.sin(2 * torch.pi * torch.arange(50) / 50).view(1, 50), atol=1e-3, rtol=0)
    torch.testing.assert_close(resample(wave, 1, 64), wave)
    shifted = resample(wave.roll(32, 1), 1, 50)
    torch.testing.assert_close(shifted, finer.roll(25, 1))
