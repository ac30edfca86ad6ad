"""Convolutions over two or three axes: the one file that knows how many there are.

The number of axes is the length of `kernel`. A wrapped axis is a torus: what leaves on one side enters on the other, so
that shifting the input by one position shifts the output by `factor` positions, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_CONV: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
_PLAIN: dict[int, Callable[..., Tensor]] = {2: F.conv2d, 3: F.conv3d}
_UP = {2: F.conv_transpose2d, 3: F.conv_transpose3d}
_POOL = {2: F.avg_pool2d, 3: F.avg_pool3d}
_FORMAT = {2: torch.channels_last, 3: torch.channels_last_3d}


def memory_format(axes: int) -> torch.memory_format:
    """The channels-last layout for `axes` spatial axes, which CPU and CUDA kernels prefer."""
    return _FORMAT[axes]


def conv(inputs: int, outputs: int, kernel: Sequence[int], factor: Sequence[int], padded: bool = True) -> nn.Module:
    """A strided convolution; padded with zeros it divides every size by `factor`."""
    if tuple(kernel) == tuple(factor):
        return Blocks(inputs, outputs, kernel)
    padding: tuple[int, ...] = (
        tuple(-(-(k - f) // 2) for k, f in zip(kernel, factor, strict=True)) if padded else (0,) * len(kernel)
    )
    wide = math.prod(kernel) >= _WIDE and not any(padding)
    made: nn.Module = (_WIDE_CONV if wide else _CONV)[len(kernel)](
        inputs, outputs, tuple(kernel), tuple(factor), padding
    )
    return made


def channels_last(network: nn.Module, axes: int) -> nn.Module:
    """Lay the weights of `network` out for `memory_format(axes)`, in place."""
    for parameter in network.parameters():
        if parameter.dim() == axes + 2:
            parameter.data = parameter.data.contiguous(memory_format=memory_format(axes))
    return network


def memory_order(x: Tensor) -> list[int]:
    """The axes of `x` from the slowest in memory to the quickest: permuted so, what lies without gaps is contiguous."""
    return sorted(range(x.dim()), key=lambda axis: -x.stride()[axis])


def halve(x: Tensor, axes: Sequence[bool]) -> Tensor:
    """Mean over blocks of two along the chosen axes."""
    return _POOL[len(axes)](x, tuple(2 if chosen else 1 for chosen in axes))


def halve_backward(gradient: Tensor, axes: Sequence[bool]) -> Tensor:
    """The transpose of `halve`."""
    for axis, chosen in enumerate(axes, start=2):
        if chosen:
            gradient = gradient.repeat_interleave(2, axis) / 2
    return gradient


def leaky_backward(gradient: Tensor, out: Tensor, slope: float) -> Tensor:
    """What passes back through a leaky ReLU that made `out`: piecewise constant, so `out` has no part in it."""
    passed: Tensor = torch.ops.aten.leaky_relu_backward(gradient, out.detach(), slope, True)
    return passed


def adjoint(layer: nn.Module, gradient: Tensor, sizes: Sequence[int]) -> Tensor:
    """The transpose of a layer made by `conv`; `sizes` are those of the layer's input."""
    if isinstance(layer, Blocks):
        return _blocks(gradient, layer.weight)
    assert isinstance(layer, (nn.Conv2d, nn.Conv3d))
    if isinstance(layer, (Wide2d, Wide3d)) and _few(gradient, gradient.shape[2:], layer.kernel_size):
        return _raise_windows(gradient, layer.weight, sizes, layer.stride)
    out = _UP[len(sizes)](gradient, layer.weight, None, layer.stride)
    # Where the kernel did not reach, at the end of an axis, nothing passes; what it took from the padding is cut off.
    paddings: Any = layer.padding
    ends = [(-p, size + p - have) for p, size, have in zip(paddings, sizes, out.shape[2:], strict=True)]
    return F.pad(out, [part for each in reversed(ends) for part in each]) if any(map(any, ends)) else out


def extend(x: Tensor, margins: Sequence[int], wrapped: Sequence[bool]) -> Tensor:
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


def continued(x: Tensor, margins: Sequence[int], wrapped: Sequence[bool]) -> Tensor:
    """`x` and, beyond the end of each wrapped axis, so many positions of its beginning."""
    for axis, (margin, around) in enumerate(zip(margins, wrapped, strict=True), start=2):
        if around and margin:
            size = x.shape[axis]
            x = torch.cat([x] * (1 + -(-margin // size)), axis).narrow(axis, 0, size + margin)
    return x


def fold(x: Tensor, grid: Sequence[int]) -> Tensor:
    """`b c *(n g)` -> `b (c g...) *n`: blocks of `grid` positions become channels."""
    b, c, *sizes = x.shape
    rank = len(sizes)
    split = [part for size, g in zip(sizes, grid, strict=True) for part in (size // g, g)]
    blocks = x.reshape(b, c, *split).permute(0, 1, *range(3, 3 + 2 * rank, 2), *range(2, 2 + 2 * rank, 2))
    return blocks.flatten(1, 1 + rank)


def unfold(x: Tensor, grid: Sequence[int]) -> Tensor:
    """The inverse of `fold`."""
    b, channels, *sizes = x.shape
    rank = len(sizes)
    blocks = x.reshape(b, channels // math.prod(grid), *grid, *sizes)
    order = [part for axis in range(rank) for part in (2 + rank + axis, 2 + axis)]
    return blocks.permute(0, 1, *order).reshape(b, -1, *(n * g for n, g in zip(sizes, grid, strict=True)))


_WIDE = 100  # positions of a kernel that make it wide


def _few(x: Tensor, positions: Sequence[int], kernel: Sequence[int]) -> bool:
    """Whether a layer has so few positions and so many weights that on CPU it is quicker as a product of matrices."""
    wide = x.device.type == "cpu" and math.prod(kernel) >= _WIDE
    return wide and min(positions) > 0 and math.prod(positions) <= math.prod(kernel)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` in float32 or wider, as the weights are, which are so many that reading them takes the time.

    In bfloat16 PyTorch 2.13 on CPU dies of a division by zero where 12 rows meet a weight of 131,072 columns.
    """
    with torch.autocast(x.device.type, enabled=False):
        return F.linear(full(x), full(weight), None if bias is None else full(bias)).to(weight.dtype)


class _Windows(torch.autograd.Function):
    """What a strided kernel sees at each of its positions: `b *grid c` -> `b *positions *kernel c`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Sequence[int], factor: Sequence[int]) -> Tensor:
        ctx.size, ctx.factor = x.shape[1:-1], factor
        for axis, (k, f) in enumerate(zip(kernel, factor, strict=True), start=1):
            x = x.unfold(axis, k, f)
        return x.movedim(len(kernel) + 1, -1).contiguous()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _add_windows(gradient, ctx.size, ctx.factor), None, None


class _AddWindows(torch.autograd.Function):
    """The transpose of `_Windows`: `b *positions *kernel c` -> `b *size c`, the sum of all where they overlap."""

    @staticmethod
    def forward(ctx: Any, windows: Tensor, size: Sequence[int], factor: Sequence[int]) -> Tensor:
        rank = len(size)
        ctx.kernel, ctx.factor = windows.shape[1 + rank : -1], factor
        total = windows.new_zeros((len(windows), *size, windows.shape[-1]))
        places = product(*(range(n) for n in windows.shape[1 : 1 + rank]))
        for place, window in zip(places, windows.flatten(1, rank).unbind(1), strict=True):
            part = total
            for axis, (n, k, f) in enumerate(zip(place, ctx.kernel, factor, strict=True), start=1):
                part = part.narrow(axis, n * f, k)
            part.add_(window)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _windows(gradient, ctx.kernel, ctx.factor), None, None


_windows: Callable[..., Tensor] = _Windows.apply
_add_windows: Callable[..., Tensor] = _AddWindows.apply


def _raise_windows(x: Tensor, weight: Tensor, size: Sequence[int], factor: Sequence[int]) -> Tensor:
    """A transposed convolution without padding as one product of matrices: `b inputs *positions` -> `b c *size`."""
    taps = weight.movedim(1, -1)  # `inputs *kernel c`, as weights lie in memory
    made = _product(x.movedim(1, -1), taps.flatten(1).T)
    return _add_windows(made.reshape(*made.shape[:-1], *taps.shape[1:]), size, factor).movedim(-1, 1)


class _Wide(nn.modules.conv._ConvNd):
    """A convolution without padding that is a product of matrices where it has few positions."""

    def forward(self, input: Tensor) -> Tensor:
        pairs = zip(input.shape[2:], self.kernel_size, self.stride, strict=True)
        if not _few(input, [(n - k) // f + 1 for n, k, f in pairs], self.kernel_size):
            plain: Tensor = super().forward(input)
            return plain
        seen = _windows(input.movedim(1, -1), self.kernel_size, self.stride)
        rank = len(self.kernel_size)
        return _product(seen.flatten(1 + rank), self.weight.movedim(1, -1).flatten(1), self.bias).movedim(-1, 1)


class Wide2d(_Wide, nn.Conv2d):
    """With two axes."""


class Wide3d(_Wide, nn.Conv3d):
    """With three axes."""


_WIDE_CONV: dict[int, Any] = {2: Wide2d, 3: Wide3d}


class Blocks(nn.Module):
    """A convolution whose kernel is as large as its stride: one matrix product a block.

    PyTorch 2.13 on CPU computes some of these wrongly as convolutions in bfloat16 (kernel and stride (1, 4, 4)).
    """

    def __init__(self, inputs: int, outputs: int, kernel: Sequence[int]) -> None:
        super().__init__()
        self.kernel = tuple(kernel)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, *kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        blocks = fold(x, self.kernel).movedim(1, -1)
        return F.linear(blocks, self.weight.flatten(1), self.bias).movedim(-1, 1)


Rims = tuple[tuple[int, int, str], ...]  # per axis: how wide before and after, and "wrap", "mirror" or "drop"


class _FoldRims(torch.autograd.Function):
    """Bring the rims that a transposed convolution leaves around its grid back into it.

    Where they wrap they are added on the opposite side, where they are mirrored on their own; else they are dropped.
    """

    @staticmethod
    def forward(ctx: Any, out: Tensor, rims: Rims) -> Tensor:
        ctx.rims = rims
        for axis, (before, after, how) in enumerate(rims, start=2):
            size = out.shape[axis] - before - after
            left, right = out.narrow(axis, 0, before), out.narrow(axis, before + size, after)
            if how == "wrap":
                out.narrow(axis, size, before).add_(left)
                out.narrow(axis, before, after).add_(right)
            elif how == "mirror":
                out.narrow(axis, before, before).add_(left.flip(axis))
                out.narrow(axis, before + size - after, after).add_(right.flip(axis))
            out = out.narrow(axis, before, size)
        return out.clone(memory_format=memory_format(len(rims)))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        rank = len(ctx.rims)
        sizes = [n + before + after for n, (before, after, _) in zip(gradient.shape[2:], ctx.rims, strict=True)]
        full = torch.empty(
            (*gradient.shape[:2], *sizes),
            dtype=gradient.dtype,
            device=gradient.device,
            memory_format=memory_format(rank),
        )
        _inside(full, ctx.rims, 0).copy_(gradient)
        for axis, (before, after, how) in enumerate(ctx.rims):
            # Axes before this one have their rims by now; of those after it, only the inside is there.
            part = _inside(full, ctx.rims, axis + 1)
            size = gradient.shape[axis + 2]
            left, right = part.narrow(axis + 2, 0, before), part.narrow(axis + 2, before + size, after)
            if how == "drop":
                left.zero_()
                right.zero_()
            elif how == "wrap":
                left.copy_(part.narrow(axis + 2, size, before))
                right.copy_(part.narrow(axis + 2, before, after))
            else:
                left.copy_(part.narrow(axis + 2, before, before).flip(axis + 2))
                right.copy_(part.narrow(axis + 2, before + size - after, after).flip(axis + 2))
        return full, None


def _inside(full: Tensor, rims: Rims, first: int) -> Tensor:
    """`full` without the rims of the axes from `first` on."""
    for axis, (before, after, _) in list(enumerate(rims))[first:]:
        full = full.narrow(axis + 2, before, full.shape[axis + 2] - before - after)
    return full


class Up(nn.Module):
    """A transposed convolution that multiplies every size by `factor`; on wrapped axes it is one on a torus."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Sequence[int],
        factor: Sequence[int],
        bias: bool,
        edges: bool = False,
        smooth: str = "",
    ) -> None:
        super().__init__()
        self.factor, self.edges = tuple(factor), edges
        # A mean of every two neighbours is zero at the grid's Nyquist frequency, where strides leave a raster.
        self.smoothed = tuple(f > 1 and bool(smooth) for f in factor)
        self.rims = tuple(
            (-(-(k - f) // 2) + (blurs and smooth == "before"), (k - f) // 2 + (blurs and smooth == "after"))
            for k, f, blurs in zip(kernel, factor, self.smoothed, strict=True)
        )
        # With few outputs, a convolution that makes the positions of a block as channels takes a third of the time.
        self.phased = outputs * math.prod(factor) <= inputs and not any(
            k % f for k, f in zip(kernel, factor, strict=True)
        )
        self.weight = nn.Parameter(torch.empty(inputs, outputs, *kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor, wrapped: Sequence[bool]) -> Tensor:
        rank = len(self.factor)
        if self.factor == tuple(self.weight.shape[2:]):
            out = _blocks(x, self.weight)
        else:
            rims = self.rims_for(wrapped)
            up: Callable[..., Tensor] = _UP[rank]
            # Without padding, even where rims are dropped: with paddings that differ between axes PyTorch 2.13 on CPU
            # leaves gradients of weights uninitialised.
            bring_back: Callable[..., Tensor] = _FoldRims.apply
            if self.phased:
                out = _phases(x, self.weight, self.factor)
            elif _few(x, x.shape[2:], self.weight.shape[2:]):
                grown = zip(x.shape[2:], self.weight.shape[2:], self.factor, strict=True)
                out = _raise_windows(x, self.weight, [(n - 1) * f + k for n, k, f in grown], self.factor)
            else:
                out = up(x, self.weight, None, self.factor)
            if any(self.smoothed):
                out = _mean_of_two(out, self.smoothed)
            out = bring_back(out, rims)
        return out if self.bias is None else out + self.bias.view(-1, *(1,) * rank)

    def rims_for(self, wrapped: Sequence[bool]) -> Rims:
        """What becomes of the rims on each axis."""
        other = "mirror" if self.edges else "drop"
        return tuple((*rim, "wrap" if around else other) for rim, around in zip(self.rims, wrapped, strict=True))

    def filter(self) -> Tensor:
        """The weights with the mean of neighbours in them: one transposed convolution does both."""
        weight = self.weight.detach()
        if not any(self.smoothed) or self.factor == tuple(weight.shape[2:]):
            return weight
        return _mean_of_two(weight, self.smoothed)


def _mean_of_two(x: Tensor, axes: Sequence[bool]) -> Tensor:
    """Mean of every two neighbours along the chosen axes, zero beyond the ends: each such axis grows by one."""
    size = tuple(2 if chosen else 1 for chosen in axes)
    return _POOL[len(axes)](x, size, 1, tuple(int(chosen) for chosen in axes))


def _phases(x: Tensor, weight: Tensor, factor: Sequence[int]) -> Tensor:
    """A transposed convolution without padding, whose kernel is a multiple of its factor, as a plain convolution."""
    rank = len(factor)
    reach = [k // f for k, f in zip(weight.shape[2:], factor, strict=True)]
    split = [part for each in zip(reach, factor, strict=True) for part in each]
    taps = weight.reshape(*weight.shape[:2], *split).permute(
        1, *range(3, 3 + 2 * rank, 2), 0, *range(2, 2 + 2 * rank, 2)
    )
    filters = taps.flatten(0, rank).flip(*range(2, 2 + rank)).contiguous(memory_format=memory_format(rank))
    return unfold(_PLAIN[rank](x, filters, None, 1, tuple(n - 1 for n in reach)), factor)


def _blocks(x: Tensor, weight: Tensor) -> Tensor:
    """A transposed convolution whose kernel is as large as its factor: each position makes a block of its own."""
    flat: Tensor = F.linear(x.movedim(1, -1), weight.flatten(1).T)
    return unfold(flat.movedim(-1, 1), weight.shape[2:])


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over any number of axes."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2 axes, got {input.dim()}")


def normalisation(kind: str, channels: int) -> nn.Module:
    """`batch` or `none`."""
    return BatchNorm(channels) if kind == "batch" else nn.Identity()


@contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Within the block, batch norm takes the statistics of what it gets, and keeps those it has stored."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    for norm in norms:
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for norm in norms:
            norm.training, norm.track_running_stats = False, True


def full(x: Tensor) -> Tensor:
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


def with_coordinates(x: Tensor, axes: Sequence[bool]) -> Tensor:
    """`x` and its coordinates as further channels; rounded first where a convolution would round them anyway."""
    if not x.is_meta and torch.is_autocast_enabled(x.device.type):
        x = x.to(torch.get_autocast_dtype(x.device.type))
    return torch.cat((x, coordinates(x, axes)), 1)


def with_labels(x: Tensor, labels: Tensor) -> Tensor:
    """`x` and, as further channels that are the same everywhere, `labels`, `b n`."""
    maps = labels.to(x.dtype).view(*labels.shape, *(1,) * (x.dim() - 2))
    return torch.cat((x, maps.expand(-1, -1, *x.shape[2:])), 1)


def enlarge(x: Tensor, factor: Sequence[int], wrapped: Sequence[bool]) -> Tensor:
    """Linear interpolation to `factor` times the size, round a torus on wrapped axes and by the rim elsewhere."""
    size = [f * n for f, n in zip(factor, x.shape[2:], strict=True)]
    return spread(extend(x, (1,) * len(size), wrapped), size, [-f / 2 - 0.5 for f in factor], factor)


def spread(x: Tensor, size: Sequence[int], first: Sequence[float], step: Sequence[int]) -> Tensor:
    """Values given at `first`, `first + step`, ... of `size` positions, linearly between them and constant outside."""
    for axis, (n, start, every) in enumerate(zip(size, first, step, strict=True), start=2):
        last = x.shape[axis] - 1
        place = ((torch.arange(n, device=x.device) - start) / every).clamp(0, last)
        low = place.floor().long()
        share = (place - low).to(x.dtype).view(-1, *(1,) * (x.dim() - 1 - axis))
        x = torch.lerp(x.index_select(axis, low), x.index_select(axis, (low + 1).clamp(max=last)), share)
    return x


def means(x: Tensor, size: Sequence[int]) -> Tensor:
    """The mean over a window of `size` positions, at each place where it fits."""
    return _POOL[len(size)](x, tuple(size), 1)
