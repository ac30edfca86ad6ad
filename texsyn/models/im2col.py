"""Convolutions with many weights at few positions as matrix products: on CPU these are faster."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from texsyn.core import ops

WIDE_KERNEL = 100  # positions from which on a kernel is wide


def few_positions(x: Tensor, positions: Sequence[int], kernel: Sequence[int]) -> bool:
    """Whether a convolution of `x` with so many output positions is faster as a matrix product."""
    wide = x.device.type == "cpu" and math.prod(kernel) >= WIDE_KERNEL
    return wide and min(positions) > 0 and math.prod(positions) <= math.prod(kernel)


def linear_float32(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` in float32 or wider, whatever autocast says; the result has the weights' type.

    Most of the time is reading the weights, which are in float32. In bfloat16 PyTorch 2.13 on CPU crashes with a
    division by zero for 12 rows and a weight of 131,072 columns.
    """
    with torch.autocast(x.device.type, enabled=False):
        return F.linear(ops.to_float32(x), ops.to_float32(weight), None if bias is None else ops.to_float32(bias)).to(
            weight.dtype
        )


class _Im2Col(torch.autograd.Function):
    """The input under a strided kernel at each of its positions: `b *grid c` -> `b *positions *kernel c`."""

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
    """The transpose of `_Im2Col`: `b *positions *kernel c` -> `b *size c`, summed where kernels overlap."""

    @staticmethod
    def forward(ctx: Any, columns: Tensor, size: Sequence[int], stride: Sequence[int]) -> Tensor:
        rank = len(size)
        ctx.kernel, ctx.stride = columns.shape[1 + rank : -1], stride
        total = columns.new_zeros((len(columns), *size, columns.shape[-1]))
        positions = product(*(range(n) for n in columns.shape[1 : 1 + rank]))
        for position, block in zip(positions, columns.flatten(1, rank).unbind(1), strict=True):
            target = total
            for axis, (n, k, f) in enumerate(zip(position, ctx.kernel, stride, strict=True), start=1):
                target = target.narrow(axis, n * f, k)
            target.add_(block)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return im2col(gradient, ctx.kernel, ctx.stride), None, None


im2col: Callable[..., Tensor] = _Im2Col.apply
_col2im: Callable[..., Tensor] = _Col2Im.apply


def conv_transpose_gemm(x: Tensor, weight: Tensor, size: Sequence[int], stride: Sequence[int]) -> Tensor:
    """A transposed convolution without padding as one matrix product: `b inputs *positions` -> `b outputs *size`."""
    taps = weight.movedim(1, -1)  # `inputs *kernel outputs`, as weights lie in memory
    columns = linear_float32(x.movedim(1, -1), taps.flatten(1).T)
    return _col2im(columns.reshape(*columns.shape[:-1], *taps.shape[1:]), size, stride).movedim(-1, 1)
