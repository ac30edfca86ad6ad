"""Periodic resampling along one axis: a size on a torus that the generator's stride does not divide."""

from __future__ import annotations

import torch
from torch import Tensor


def resample(texture: Tensor, axis: int, size: int) -> Tensor:
    """Cubic (Catmull-Rom) resampling of a torus along one axis to `size` positions; the result wraps as exactly."""
    return interpolate(texture, axis, *source_positions(texture.shape[axis], size, 0, size))


def source_positions(source: float, size: int, start: int, stop: int) -> tuple[Tensor, Tensor]:
    """Where new positions `start` to `stop` lie among old ones, of which there are `source` for `size` new ones.

    Returns the old position before each (int64), and the distance from it, 0 to 1 (float64).
    """
    place = torch.arange(start, stop, dtype=torch.float64) * source / size
    base = place.floor()
    return base.long(), place - base


def interpolate(texture: Tensor, axis: int, base: Tensor, share: Tensor) -> Tensor:
    """Catmull-Rom interpolation of `texture` at `base + share` along one axis, periodic, clamped to [-1, 1]."""
    t, count = share.to(texture.dtype), texture.shape[axis]
    weights = (
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    )
    shape = [1] * texture.dim()
    shape[axis] = len(base)
    taps = [texture.index_select(axis, (base + k - 1) % count) * w.view(shape) for k, w in enumerate(weights)]
    return (((taps[0] + taps[1]) + taps[2]) + taps[3]).clamp(-1, 1)
