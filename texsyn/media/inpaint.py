"""What is missing in a texture, continued smoothly from what is there."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from texsyn.core import ops

_SWEEPS = 8  # of relaxation at each level


def fill(values: Tensor, mask: Tensor) -> Tensor:
    """`c *axes` with the positions where `mask`, `1 *axes`, is 1 replaced; their values are never looked at.

    What replaces them solves Laplace's equation roughly: coarse levels first, then sweeps of averaging at each level,
    so it meets its surroundings without a step. Where nothing at all is visible it is 0.
    """
    visible = 1 - mask
    known = torch.where(mask > 0, torch.zeros_like(values), values)  # so that not even a NaN comes through
    return _fill(known[None], visible[None])[0]


def _fill(known: Tensor, visible: Tensor) -> Tensor:
    """known: `1 c *axes`, 0 where `visible`, `1 1 *axes`, is 0."""
    if bool((visible > 0).all()):
        return known
    if max(known.shape[2:]) == 1:
        return known
    axes = [size > 1 for size in known.shape[2:]]
    odd = [part for size in reversed(known.shape[2:]) for part in (0, size % 2 if size > 1 else 0)]
    weights, sums = (ops.downsample(F.pad(each, odd), axes) for each in (visible, known))
    mean = torch.where(weights > 0, sums / weights.clamp(min=1e-9), torch.zeros_like(sums))
    coarse = _fill(mean, (weights > 0).to(known.dtype))
    guess = ops.upsample(coarse, [2 if chosen else 1 for chosen in axes], [False] * len(axes))
    for axis, size in enumerate(known.shape[2:], start=2):
        guess = guess.narrow(axis, 0, size)
    filled = torch.where(visible > 0, known, guess)
    for _ in range(_SWEEPS):
        filled = torch.where(visible > 0, known, _mean_of_neighbours(filled, axes))
    return filled


def _mean_of_neighbours(x: Tensor, axes: list[bool]) -> Tensor:
    rank = len(axes)
    total, count = torch.zeros_like(x), 0
    for axis, chosen in enumerate(axes):
        if chosen:
            size = x.shape[axis + 2]
            wide = ops.pad(x, [int(other == axis) for other in range(rank)], [False] * rank)
            total = total + wide.narrow(axis + 2, 0, size) + wide.narrow(axis + 2, 2, size)
            count += 2
    return total / count
