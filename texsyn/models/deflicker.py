"""Deflicker: samples of a clip stand still where the exemplar does.

What rests in a video rests exactly, frame after frame, and the eye sees the slightest flicker there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Deflicker(nn.Module):
    """Scales, at each position of a frame, the deviation from the mean over time, and moves that mean."""

    mean_generated: Tensor
    mean_real: Tensor
    gain: Tensor

    def __init__(self, channels: int, grid: Sequence[int]) -> None:
        """grid: that of the clip, with 1 along stationary axes, time first."""
        super().__init__()
        self.register_buffer("mean_generated", torch.zeros(1, channels, *grid))
        self.register_buffer("mean_real", torch.zeros(1, channels, *grid))
        self.register_buffer("gain", torch.ones(1, 1, *grid))

    def fit(self, generated: Tensor, real: Tensor) -> None:
        """Find the means over time, and the gain, at most 1, that gives `generated` the motion of `real`.

        generated, real: `b c t *grid`, of any number of frames.
        """
        motion = [
            (each[:, :, 1:] - each[:, :, :-1]).square().mean((0, 1, 2), keepdim=True).sqrt()
            for each in (generated, real)
        ]
        self.mean_generated.copy_(generated.mean((0, 2), keepdim=True))
        self.mean_real.copy_(real.mean((0, 2), keepdim=True))
        self.gain.copy_((motion[1] / motion[0].clamp(min=1e-6)).clamp(max=1))

    def forward(self, x: Tensor, wrapped: Sequence[bool]) -> Tensor:
        """`b c t *grid` -> the same, in [-1, 1]."""
        return (self.mean_real + self.gain * (x - self.mean_generated)).clamp(-1, 1)
