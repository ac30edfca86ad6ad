"""Convolutions with large kernels, by Fourier transforms: directly they take nine to thirty times as long."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from texsyn.core import ops
from texsyn.models import layers


def convolve(x: Tensor, kernel: Tensor, wrapped: Sequence[bool]) -> Tensor:
    """`b from *grid` with a kernel `to from *odd` -> `b to *grid`.

    Circular on wrapped axes; others have replicated ends.
    """
    axes, kernel = tuple(range(2, x.dim())), kernel.to(x)
    margins = [n // 2 for n in kernel.shape[2:]]
    if torch.compiler.is_exporting():  # the sizes of transforms cannot be chosen in a graph for all sizes
        return layers.convolve(ops.pad(x, margins, wrapped), kernel, x.new_zeros(kernel.shape[0]))
    padded = [n + 2 * margin for n, margin in zip(x.shape[2:], margins, strict=True)]
    sizes = [_fast_size(n) for n in padded]
    total: Tensor | None = None
    # One channel at a time: for large samples the transforms of all take a tenth of a gigabyte more.
    for channel, column in zip(torch.split(x, 1, 1), kernel.flip(axes).unbind(1), strict=True):
        response = torch.fft.rfftn(column[None], sizes, axes)
        transformed = torch.fft.rfftn(ops.pad(channel, margins, wrapped), sizes, axes)
        total = transformed * response if total is None else total.addcmul_(transformed, response)
    assert total is not None
    out = []
    for channel in torch.split(total, 1, 1):
        filtered: Tensor = torch.fft.irfftn(channel, sizes, axes)
        for axis, size, width in zip(axes, padded, kernel.shape[2:], strict=True):
            filtered = filtered.narrow(axis, width - 1, size - width + 1)
        out.append(filtered)
    return torch.cat(out, 1)


def _fast_size(least: int) -> int:
    """The smallest size from `least` on with no prime factors but 2, 3 and 5, for which transforms are fast."""
    return next(n for n in itertools.count(least) if 30**64 % n == 0)
