"""Values on a grid of any number of axes, `b c *grid`: halved, continued, folded, and told where they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_POOL: dict[int, Callable[..., Tensor]] = {2: F.avg_pool2d, 3: F.avg_pool3d}
_FORMAT = {2: torch.channels_last, 3: torch.channels_last_3d}


def memory_format(axes: int) -> torch.memory_format:
    """The channels-last layout for `axes` spatial axes, which CPU and CUDA kernels prefer."""
    return _FORMAT[axes]


def memory_order(x: Tensor) -> list[int]:
    """The axes of `x` from the slowest in memory to the quickest: permuted so, what lies without gaps is contiguous."""
    return sorted(range(x.dim()), key=lambda axis: -x.stride()[axis])


def downsample(x: Tensor, axes: Sequence[bool]) -> Tensor:
    """Mean over blocks of two along the chosen axes."""
    return _POOL[len(axes)](x, tuple(2 if chosen else 1 for chosen in axes))


def downsample_backward(gradient: Tensor, axes: Sequence[bool]) -> Tensor:
    """The transpose of `halve`."""
    for axis, chosen in enumerate(axes, start=2):
        if chosen:
            gradient = gradient.repeat_interleave(2, axis) / 2
    return gradient


def pad(x: Tensor, margins: Sequence[int], wrapped: Sequence[bool]) -> Tensor:
    """Continue `x` by `margins` positions on both sides of each axis: round a torus, or by its rim."""
    for axis, (margin, around_it) in enumerate(zip(margins, wrapped, strict=True), start=2):
        if margin and not around_it:
            first, last = x.narrow(axis, 0, 1), x.narrow(axis, x.shape[axis] - 1, 1)
            x = torch.cat((*[first] * margin, x, *[last] * margin), axis)
        elif margin:
            size = x.shape[axis]
            copies = -(-margin // size)  # a torus smaller than the margin goes round more than once
            around = torch.cat([x] * copies, axis) if copies > 1 else x
            before, after = around.narrow(axis, around.shape[axis] - margin, margin), around.narrow(axis, 0, margin)
            x = torch.cat((before, x, after), axis)
    return x


def wrap_end(x: Tensor, margins: Sequence[int], wrapped: Sequence[bool]) -> Tensor:
    """`x` and, beyond the end of each wrapped axis, so many positions of its beginning."""
    for axis, (margin, around) in enumerate(zip(margins, wrapped, strict=True), start=2):
        if around and margin:
            size = x.shape[axis]
            x = torch.cat([x] * (1 + -(-margin // size)), axis).narrow(axis, 0, size + margin)
    return x


def space_to_depth(x: Tensor, grid: Sequence[int]) -> Tensor:
    """`b c *(n g)` -> `b (c g...) *n`: blocks of `grid` positions become channels."""
    b, c, *sizes = x.shape
    rank = len(sizes)
    split = [part for size, g in zip(sizes, grid, strict=True) for part in (size // g, g)]
    blocks = x.reshape(b, c, *split).permute(0, 1, *range(3, 3 + 2 * rank, 2), *range(2, 2 + 2 * rank, 2))
    return blocks.flatten(1, 1 + rank)


def depth_to_space(x: Tensor, grid: Sequence[int]) -> Tensor:
    """The inverse of `fold`."""
    b, channels, *sizes = x.shape
    rank = len(sizes)
    blocks = x.reshape(b, channels // math.prod(grid), *grid, *sizes)
    order = [part for axis in range(rank) for part in (2 + rank + axis, 2 + axis)]
    return blocks.permute(0, 1, *order).reshape(b, -1, *(n * g for n, g in zip(sizes, grid, strict=True)))


def to_float32(x: Tensor) -> Tensor:
    """Half precision to float32, for sums; wider types stay."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def coordinates(like: Tensor, axes: Sequence[bool]) -> Tensor:
    """`b c *grid` -> `b n *grid`: the coordinate in [-1, 1] along each of the n chosen axes."""
    maps = []
    for axis, chosen in enumerate(axes, start=2):
        if chosen:
            ramp = torch.linspace(-1, 1, like.shape[axis], device=like.device).to(like.dtype)
            maps.append(ramp.view(-1, *(1,) * (like.dim() - 1 - axis)).expand(like.shape[0], 1, *like.shape[2:]))
    return torch.cat(maps, 1)


def append_coordinates(x: Tensor, axes: Sequence[bool]) -> Tensor:
    """`x` and its coordinates as further channels; rounded first where a convolution would round them anyway."""
    if not x.is_meta and torch.is_autocast_enabled(x.device.type):
        x = x.to(torch.get_autocast_dtype(x.device.type))
    return torch.cat((x, coordinates(x, axes)), 1)


def append_labels(x: Tensor, labels: Tensor) -> Tensor:
    """`x` and, as further channels that are the same everywhere, `labels`, `b n`."""
    maps = labels.to(x.dtype).view(*labels.shape, *(1,) * (x.dim() - 2))
    return torch.cat((x, maps.expand(-1, -1, *x.shape[2:])), 1)


def upsample(x: Tensor, factor: Sequence[int], wrapped: Sequence[bool]) -> Tensor:
    """Linear interpolation to `factor` times the size, round a torus on wrapped axes and by the rim elsewhere."""
    size = [f * n for f, n in zip(factor, x.shape[2:], strict=True)]
    return interpolate(pad(x, (1,) * len(size), wrapped), size, [-f / 2 - 0.5 for f in factor], factor)


def interpolate(x: Tensor, size: Sequence[int], first: Sequence[float], step: Sequence[int]) -> Tensor:
    """Values given at `first`, `first + step`, ... of `size` positions, linearly between them and constant outside."""
    for axis, (n, start, every) in enumerate(zip(size, first, step, strict=True), start=2):
        last = x.shape[axis] - 1
        place = ((torch.arange(n, device=x.device) - start) / every).clamp(0, last)
        low = place.floor().long()
        share = (place - low).to(x.dtype).view(-1, *(1,) * (x.dim() - 1 - axis))
        x = torch.lerp(x.index_select(axis, low), x.index_select(axis, (low + 1).clamp(max=last)), share)
    return x


def box_filter(x: Tensor, size: Sequence[int]) -> Tensor:
    """The mean over a window of `size` positions, at each place where it fits."""
    return _POOL[len(size)](x, tuple(size), 1)


class _MeanOfTwo(torch.autograd.Function):
    """A mean of every two neighbours, whose transpose is one as well: PyTorch's own backward takes twice the time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: Sequence[int], padding: Sequence[int]) -> Tensor:
        ctx.size, ctx.padding = size, padding
        return _POOL[len(size)](x, size, 1, padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        padding = tuple(n - 1 - p for n, p in zip(ctx.size, ctx.padding, strict=True))
        return _means_of_two(gradient, ctx.size, padding), None, None


_means_of_two: Callable[..., Tensor] = _MeanOfTwo.apply


def mean_of_two(x: Tensor, axes: Sequence[bool]) -> Tensor:
    """Mean of every two neighbours along the chosen axes, zero beyond the ends: each such axis grows by one."""
    size = tuple(2 if chosen else 1 for chosen in axes)
    return _means_of_two(x, size, tuple(n - 1 for n in size))
