"""Periodic resampling along one axis: a size on a torus that the generator's stride does not divide."""

from __future__ import annotations

import torch
from torch import Tensor

from texsyn.core import ops


def resample(texture: Tensor, axis: int, size: int) -> Tensor:
    """A torus resampled along one axis to `size` positions; the result wraps as exactly."""
    return interpolate(texture, axis, *ops.resampling_taps(texture.shape[axis], size, 0, size))


def interpolate(texture: Tensor, axis: int, index: Tensor, weights: Tensor) -> Tensor:
    """Sums of `texture` at `index` along one axis, periodic, times `weights`, `n taps` both; clamped to [-1, 1]."""
    shape = [1] * texture.dim()
    shape[axis] = len(index)
    total = torch.zeros(())
    for each, weight in zip((index % texture.shape[axis]).T, weights.to(texture.dtype).T, strict=True):
        total = total + texture.index_select(axis, each.to(texture.device)) * weight.to(texture.device).view(shape)
    return total.clamp(-1, 1)
