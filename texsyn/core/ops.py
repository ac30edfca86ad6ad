"""Tensor operations on grids of any number of axes, `b c *grid`, and the seeds of random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_AVG_POOL: dict[int, Callable[..., Tensor]] = {2: F.avg_pool2d, 3: F.avg_pool3d}
_LOBES = 8  # on each side of the sinc with which textures are resampled
_STEEPEST = 0.05  # least z of a normal whose slope is taken
_CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}
_SEED_FACTORS = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # as in SplitMix64


def seeded_generator(*numbers: int) -> torch.Generator:
    """A generator on the CPU whose seed is mixed from one to three numbers."""
    mixed = sum(n * factor for n, factor in zip(numbers, _SEED_FACTORS[: len(numbers)], strict=True))
    return torch.Generator().manual_seed(mixed % 2**63)


def identity(size: int) -> Tensor:
    """The identity matrix. On the meta device `torch.eye` imports a compiler first, which takes a second."""
    return torch.zeros(size, size).fill_diagonal_(1.0)


def memory_format(axes: int) -> torch.memory_format:
    """The channels-last layout for `axes` spatial axes, in which CPU and CUDA kernels are faster."""
    return _CHANNELS_LAST[axes]


def memory_order(x: Tensor) -> list[int]:
    """The axes of `x` from the largest stride to the smallest: permuted so, a dense tensor is contiguous."""
    return sorted(range(x.dim()), key=lambda axis: -x.stride()[axis])


def to_float32(x: Tensor) -> Tensor:
    """Half precision to float32, for sums; wider types stay."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def downsample(x: Tensor, axes: Sequence[bool]) -> Tensor:
    """Mean over blocks of two along the chosen axes."""
    return _AVG_POOL[len(axes)](x, tuple(2 if chosen else 1 for chosen in axes))


def downsample_backward(gradient: Tensor, axes: Sequence[bool]) -> Tensor:
    """The transpose of `downsample`."""
    for axis, chosen in enumerate(axes, start=2):
        if chosen:
            gradient = gradient.repeat_interleave(2, axis) / 2
    return gradient


def pad(x: Tensor, margins: Sequence[int], wrapped: Sequence[bool]) -> Tensor:
    """`x` with `margins` more positions on both sides of each axis: circular on wrapped axes, replicated on others.

    Unlike `F.pad`, a circular margin may be larger than the axis.
    """
    for axis, (margin, circular) in enumerate(zip(margins, wrapped, strict=True), start=2):
        if margin and not circular:
            first, last = x.narrow(axis, 0, 1), x.narrow(axis, x.shape[axis] - 1, 1)
            x = torch.cat((*[first] * margin, x, *[last] * margin), axis)
        elif margin:
            copies = -(-margin // x.shape[axis])
            tiled = torch.cat([x] * copies, axis) if copies > 1 else x
            before, after = tiled.narrow(axis, tiled.shape[axis] - margin, margin), tiled.narrow(axis, 0, margin)
            x = torch.cat((before, x, after), axis)
    return x


def without_margins(x: Tensor, margins: Sequence[int]) -> Tensor:
    """Without so many positions at both ends of each of the last axes."""
    return x[(..., *(slice(n, -n or None) for n in margins))]


def wrap_end(x: Tensor, margins: Sequence[int], wrapped: Sequence[bool]) -> Tensor:
    """`x` with the first `margins` positions of each wrapped axis repeated after its end."""
    for axis, (margin, circular) in enumerate(zip(margins, wrapped, strict=True), start=2):
        if circular and margin:
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
    """`b (c g...) *n` -> `b c *(n g)`: the inverse of `space_to_depth`."""
    b, channels, *sizes = x.shape
    rank = len(sizes)
    blocks = x.reshape(b, channels // math.prod(grid), *grid, *sizes)
    order = [part for axis in range(rank) for part in (2 + rank + axis, 2 + axis)]
    return blocks.permute(0, 1, *order).reshape(b, -1, *(n * g for n, g in zip(sizes, grid, strict=True)))


def block_mean(x: Tensor, size: Sequence[int]) -> Tensor:
    """Mean over blocks of `size` positions: the transpose of `repeat`, divided by the block's size."""
    return _AVG_POOL[len(size)](x, tuple(size)) if any(n > 1 for n in size) else x


def whole_blocks(x: Tensor, size: int) -> Tensor:
    """`channels *axes` without what is left over at the ends of blocks of `size` positions."""
    return x[(slice(None), *(slice(n // size * size) for n in x.shape[1:]))]


def repeat(x: Tensor, size: Sequence[int]) -> Tensor:
    """Each position repeated in a block of `size` positions."""
    for axis, n in enumerate(size, start=2):
        x = x.repeat_interleave(n, axis) if n > 1 else x
    return x


def coordinates(like: Tensor, axes: Sequence[bool]) -> Tensor:
    """`b c *grid` -> `b n *grid`: the coordinate in [-1, 1] along each of the n chosen axes."""
    maps = []
    for axis, chosen in enumerate(axes, start=2):
        if chosen:
            ramp = torch.linspace(-1, 1, like.shape[axis], device=like.device).to(like.dtype)
            maps.append(_along(ramp, axis, like.dim()).expand(like.shape[0], 1, *like.shape[2:]))
    return torch.cat(maps, 1)


def append_coordinates(x: Tensor, axes: Sequence[bool]) -> Tensor:
    """`x` with its coordinates as further channels, in autocast's type: the next convolution would cast all anyway."""
    if not x.is_meta and torch.is_autocast_enabled(x.device.type):
        x = x.to(torch.get_autocast_dtype(x.device.type))
    return torch.cat((x, coordinates(x, axes)), 1)


def append_labels(x: Tensor, labels: Tensor) -> Tensor:
    """`x` with `labels`, `b n`, as n further channels that are constant over the grid."""
    maps = labels.to(x.dtype).view(*labels.shape, *(1,) * (x.dim() - 2))
    return torch.cat((x, maps.expand(-1, -1, *x.shape[2:])), 1)


def upsample(x: Tensor, factor: Sequence[int], wrapped: Sequence[bool]) -> Tensor:
    """Linear interpolation to `factor` times the size: circular on wrapped axes, constant beyond the ends of others."""
    size = [f * n for f, n in zip(factor, x.shape[2:], strict=True)]
    return interpolate(pad(x, (1,) * len(size), wrapped), size, [-f / 2 - 0.5 for f in factor], factor)


def interpolate(x: Tensor, size: Sequence[int], first: Sequence[float], step: Sequence[int]) -> Tensor:
    """Values at positions `first`, `first + step`, ... linearly interpolated at 0 to `size - 1`; constant outside."""
    for axis, (n, start, spacing) in enumerate(zip(size, first, step, strict=True), start=2):
        last = x.shape[axis] - 1
        index = ((torch.arange(n, device=x.device) - start) / spacing).clamp(0, last)
        low = index.floor().long()
        fraction = _along((index - low).to(x.dtype), axis, x.dim())
        x = torch.lerp(x.index_select(axis, low), x.index_select(axis, (low + 1).clamp(max=last)), fraction)
    return x


def _along(values: Tensor, axis: int, dims: int) -> Tensor:
    """A vector that broadcasts along `axis` of a tensor with `dims` axes."""
    return values.view(-1, *(1,) * (dims - 1 - axis))


def reflected(index: Tensor, size: int) -> Tensor:
    """Indices into `size` positions: those beyond the ends are reflected there."""
    last = max(1, size - 1)
    return (last - (last - index % (2 * last)).abs()).clamp(max=size - 1)


def resampling_taps(source: float, size: int, start: int, stop: int) -> tuple[Tensor, Tensor]:
    """How new positions `start` to `stop` follow from old ones, of which there are `source` for `size` new ones.

    Returns old positions (int64), which may lie beyond the ends, and their weights (float64), `stop-start taps` each: a
    sinc in a Lanczos window of eight lobes, wider where there are fewer new positions than old. Cubic interpolation
    would take a fifth of the finest detail away.
    """
    place = torch.arange(start, stop, dtype=torch.float64) * source / size
    base, scale = place.floor(), max(1.0, source / size)
    half = math.ceil(_LOBES * scale)
    offsets = torch.arange(1 - half, half + 1)
    distance = ((place - base)[:, None] - offsets) / scale
    window = torch.where(distance.abs() < _LOBES, torch.sinc(distance / _LOBES), 0.0)
    weights = torch.sinc(distance) * window
    return base.long()[:, None] + offsets, weights / weights.sum(1, keepdim=True)


def unit_vectors(x: Tensor, parts: Sequence[slice], axis: int = 0) -> Tensor:
    """`x` with vectors, which lie in these `parts` of an axis, brought to length one."""
    for part in parts:
        before, vectors, after = x.tensor_split((part.start, part.stop), axis)
        x = torch.cat((before, F.normalize(vectors, dim=axis, eps=1e-3), after), axis)
    return x


def slopes_of(normals: Tensor, flipped: bool, axis: int) -> Tensor:
    """How much the surface of normals rises downwards and to the right: two along `axis`, of which three are given.

    flipped: y of normals points down instead of up.
    """
    x, y, z = torch.split(normals, 1, axis)
    return torch.cat((-y if flipped else y, -x), axis) / z.clamp(min=_STEEPEST)


def normals_of(slopes: Tensor, flipped: bool, axis: int) -> Tensor:
    """The inverse of `slopes_of`: vectors of length one."""
    down, right = torch.split(slopes, 1, axis)
    return F.normalize(torch.cat((-right, -down if flipped else down, torch.ones_like(down)), axis), dim=axis)


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """`channels *axes` resampled to `size`, within the range of its values; what has that size stays as it is.

    Position 0 stays where it is. Beyond its ends `x` is reflected.
    """
    if tuple(x.shape[1:]) == tuple(size):
        return x
    low, high = float(x.min()), float(x.max())
    for axis, wanted in enumerate(size, start=1):
        have = x.shape[axis]
        if have == wanted:
            continue
        index, weights = resampling_taps(have, wanted, 0, wanted)
        matrix = torch.zeros(wanted, have, dtype=torch.float64).scatter_add_(1, reflected(index, have), weights)
        x = torch.tensordot(x, matrix.to(x), dims=([axis], [1])).movedim(-1, axis)
    return x.clamp(low, high)


def resize_mask(mask: Tensor, size: Sequence[int]) -> Tensor:
    """`1 y x` of that size: 1 where any part is masked, else 0; a mask of that size and any axes stays as it is."""
    if tuple(mask.shape[1:]) == tuple(size):
        return mask
    return (F.interpolate(mask[None], tuple(size), mode="area")[0] > 0).to(mask)


def box_filter(x: Tensor, size: Sequence[int]) -> Tensor:
    """The mean over a window of `size` positions, at each place where it fits."""
    return _AVG_POOL[len(size)](x, tuple(size), 1)


class _BoxBlur(torch.autograd.Function):
    """A box filter of sizes 1 and 2 whose backward is a box filter as well: PyTorch's own takes twice the time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: Sequence[int], padding: Sequence[int]) -> Tensor:
        ctx.size, ctx.padding = size, padding
        return _AVG_POOL[len(size)](x, size, 1, padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        padding = tuple(n - 1 - p for n, p in zip(ctx.size, ctx.padding, strict=True))
        return _box_blur(gradient, ctx.size, padding), None, None


_box_blur: Callable[..., Tensor] = _BoxBlur.apply


def blur(x: Tensor, axes: Sequence[bool]) -> Tensor:
    """Mean of every two neighbours along the chosen axes, with zeros beyond the ends: such an axis grows by one."""
    size = tuple(2 if chosen else 1 for chosen in axes)
    return _box_blur(x, size, tuple(n - 1 for n in size))
