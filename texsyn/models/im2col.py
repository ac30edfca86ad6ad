"""Convolutions with many weights at few positions, as products of matrices: on CPU they are quicker so."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from texsyn.core import ops

WIDE = 100  # positions of a kernel that make it wide


def few_positions(x: Tensor, positions: Sequence[int], kernel: Sequence[int]) -> bool:
    """Whether a layer has so few positions and so many weights that on CPU it is quicker as a product of matrices."""
    wide = x.device.type == "cpu" and math.prod(kernel) >= WIDE
    return wide and min(positions) > 0 and math.prod(positions) <= math.prod(kernel)


def linear_float32(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` in float32 or wider, as the weights are, which are so many that reading them takes the time.

    In bfloat16 PyTorch 2.13 on CPU dies of a division by zero where 12 rows meet a weight of 131,072 columns.
    """
    with torch.autocast(x.device.type, enabled=False):
        return F.linear(ops.to_float32(x), ops.to_float32(weight), None if bias is None else ops.to_float32(bias)).to(
            weight.dtype
        )


class _Im2Col(torch.autograd.Function):
    """What a strided kernel sees at each of its positions: `b *grid c` -> `b *positions *kernel c`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
        ctx.size, ctx.stride = x.shape[1:-1], stride
        for axis, (k, f) in enumerate(zip(kernel, stride, strict=True), start=1):
            x = x.unfold(axis, k, f)
        return x.movedim(len(kernel) + 1, -1).contiguous()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _col2im(gradient, ctx.size, ctx.stride), None, None


class _Col2Im(torch.autograd.Function):
    """The transpose of `_Windows`: `b *positions *kernel c` -> `b *size c`, the sum of all where they overlap."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, size: Sequence[int], stride: Sequence[int]) -> Tensor:
        rank = len(size)
        ctx.kernel, ctx.stride = parts.shape[1 + rank : -1], stride
        total = parts.new_zeros((len(parts), *size, parts.shape[-1]))
        places = product(*(range(n) for n in parts.shape[1 : 1 + rank]))
        for place, window in zip(places, parts.flatten(1, rank).unbind(1), strict=True):
            part = total
            for axis, (n, k, f) in enumerate(zip(place, ctx.kernel, stride, strict=True), start=1):
                part = part.narrow(axis, n * f, k)
            part.add_(window)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return im2col(gradient, ctx.kernel, ctx.stride), None, None


im2col: Callable[..., Tensor] = _Im2Col.apply
_col2im: Callable[..., Tensor] = _Col2Im.apply


def conv_transpose_gemm(x: Tensor, weight: Tensor, size: Sequence[int], stride: Sequence[int]) -> Tensor:
    """A transposed convolution without padding as one product of matrices: `b inputs *positions` -> `b c *size`."""
    taps = weight.movedim(1, -1)  # `inputs *kernel c`, as weights lie in memory
    made = linear_float32(x.movedim(1, -1), taps.flatten(1).T)
    return _col2im(made.reshape(*made.shape[:-1], *taps.shape[1:]), size, stride).movedim(-1, 1)
