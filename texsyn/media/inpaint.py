"""Masked values replaced by a smooth continuation of their surroundings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from texsyn.core import ops

_SWEEPS = 8  # of relaxation at each level


def fill(values: Tensor, mask: Tensor) -> Tensor:
    """`c *axes` with the positions replaced where `mask`, `1 *axes`, is 1; the values there do not matter.

    They roughly solve Laplace's equation: coarse levels first, then sweeps of averaging at each level. So they meet
    their surroundings without a step, and have no new extremes. Where everything is masked they are 0.
    """
    known = torch.where(mask > 0, torch.zeros_like(values), values)  # not even a NaN under the mask comes through
    return _fill(known[None], mask[None] <= 0)[0]


def _fill(known: Tensor, valid: Tensor) -> Tensor:
    """known: `1 c *axes`, 0 where not `valid`, `1 1 *axes`."""
    if bool(valid.all()) or max(known.shape[2:]) == 1:
        return known
    axes = [size > 1 for size in known.shape[2:]]
    odd = [part for size in reversed(known.shape[2:]) for part in (0, size % 2 if size > 1 else 0)]
    weights, sums = (ops.downsample(F.pad(each, odd), axes) for each in (valid.to(known.dtype), known))
    mean = torch.where(weights > 0, sums / weights.clamp(min=1e-9), torch.zeros_like(sums))
    coarse = _fill(mean, weights > 0)
    guess = ops.upsample(coarse, [2 if chosen else 1 for chosen in axes], [False] * len(axes))
    for axis, size in enumerate(known.shape[2:], start=2):
        guess = guess.narrow(axis, 0, size)
    filled = torch.where(valid, known, guess)
    for _ in range(_SWEEPS):
        filled = torch.where(valid, known, _mean_of_neighbours(filled, axes))
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
