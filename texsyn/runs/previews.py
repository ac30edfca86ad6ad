"""Sheets: an exemplar beside samples in one picture, for a person to see how a fit goes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from texsyn.models.triangle import Triangle
from texsyn.synthesis import sampling

_FIRST = (10.0, 30.0)  # seconds
_EVERY = 60.0  # seconds


class Times:
    """When the next sample sheet is due: twice early on, then once a minute."""

    def __init__(self, seconds: float) -> None:
        self.times = [t for t in _FIRST if t > seconds]
        self.last = seconds

    def due(self, seconds: float) -> bool:
        if self.times and seconds >= self.times[0]:
            self.times.pop(0)
        elif self.times or seconds - self.last < _EVERY:
            return False
        self.last = seconds
        return True


def drawn(triangle: Triangle, pixels: Tensor, count: int = 3, exemplar: int = 0) -> Tensor:
    """One picture, `channels y x` in [-1, 1]: an exemplar, then samples; a clip is a row of frames.

    Of a collection: sixteen of its pictures, and beside them sixteen samples.
    """
    if triangle.modality.collection:
        made = sampling.sample(triangle, count=16)
        rows = [torch.cat(list(made[n : n + 4]), -1) for n in range(0, 16, 4)]
        samples = torch.cat(rows, -2)
        return torch.cat((_crop_like(pixels, samples), samples), -1)
    frames = triangle.modality.window[0] if triangle.modality.moving else None
    samples = sampling.sample(triangle, count=count, frames=frames, exemplar=exemplar)
    shown = [_crop_like(pixels, samples[0]), *samples]
    colour = [each[: triangle.modality.planes[0].channels] for each in shown]
    if triangle.modality.moving:
        moments = np.linspace(0, colour[1].shape[1] - 1, 8).round().astype(int)
        rows = [torch.cat([clip[:, moment] for moment in moments], -1) for clip in colour]
        return torch.cat(rows, -2)
    return torch.cat(colour, -1)


def _crop_like(pixels: Tensor, sample: Tensor) -> Tensor:
    for axis in range(1, pixels.dim()):
        have, wanted = pixels.shape[axis], sample.shape[axis]
        if have < wanted:
            pixels = torch.cat(
                [pixels, pixels.new_full((*pixels.shape[:axis], wanted - have, *pixels.shape[axis + 1 :]), -1)], axis
            )
        pixels = pixels.narrow(axis, 0, wanted)
    return pixels
