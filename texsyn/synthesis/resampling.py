"""Periodic resampling along one axis: a size on a torus that the generator's stride does not divide."""

from __future__ import annotations

import torch
from torch import Tensor

from texsyn.core import ops


def resample(texture: Tensor, axis: int, size: int) -> Tensor:
    """A torus resampled along one axis to `size` positions; the result wraps as exactly."""
    source = texture.shape[axis]
    return interpolate(texture, axis, *source_positions(source, size, 0, size), source / size)


def source_positions(source: float, size: int, start: int, stop: int) -> tuple[Tensor, Tensor]:
    """Where new positions `start` to `stop` lie among old ones, of which there are `source` for `size` new ones.

    Returns the old position before each (int64), and the distance from it, 0 to 1 (float64).
    """
    place = torch.arange(start, stop, dtype=torch.float64) * source / size
    base = place.floor()
    return base.long(), place - base


def needed(base: Tensor, share: Tensor, ratio: float) -> tuple[int, int]:
    """The first and the last but one of the old positions on which new ones depend."""
    index, _weights = ops.resampling_taps(base, share, ratio)
    return int(index.min()), int(index.max()) + 1


def interpolate(texture: Tensor, axis: int, base: Tensor, share: Tensor, ratio: float) -> Tensor:
    """`texture` at `base + share` along one axis, periodic, clamped to [-1, 1]; `ratio` old positions for each new."""
    index, weights = ops.resampling_taps(base, share, ratio)
    shape = [1] * texture.dim()
    shape[axis] = len(base)
    total = torch.zeros(())
    for each, weight in zip((index % texture.shape[axis]).T, weights.to(texture.dtype).T, strict=True):
        total = total + texture.index_select(axis, each.to(texture.device)) * weight.to(texture.device).view(shape)
    return total.clamp(-1, 1)
