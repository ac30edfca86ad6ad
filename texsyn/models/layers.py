"""Convolutions over two or three axes: the one file that names them by how many there are.

The number of axes is the length of `kernel`. A wrapped axis is a torus: what leaves on one side enters on the other, so
that shifting the input by one position shifts the output by `stride` positions, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsyn.core import ops
from texsyn.models import im2col

_MANY = 2048  # positions
_CONV: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
_PLAIN: dict[int, Callable[..., Tensor]] = {2: F.conv2d, 3: F.conv3d}
_UP = {2: F.conv_transpose2d, 3: F.conv_transpose3d}


def conv(inputs: int, outputs: int, kernel: Sequence[int], stride: Sequence[int], padded: bool = True) -> nn.Module:
    """A strided convolution; padded with zeros it divides every size by `stride`."""
    if tuple(kernel) == tuple(stride):
        return PatchConv(inputs, outputs, kernel)
    padding: tuple[int, ...] = (
        tuple(-(-(k - f) // 2) for k, f in zip(kernel, stride, strict=True)) if padded else (0,) * len(kernel)
    )
    wide = math.prod(kernel) >= im2col.WIDE and not any(padding)
    made: nn.Module = (_WIDE_CONV if wide else _CONV)[len(kernel)](
        inputs, outputs, tuple(kernel), tuple(stride), padding
    )
    return made


def channels_last(network: nn.Module, axes: int) -> nn.Module:
    """Lay the weights of `network` out for `grids.memory_format(axes)`, in place."""
    for parameter in network.parameters():
        if parameter.dim() == axes + 2:
            parameter.data = parameter.data.contiguous(memory_format=ops.memory_format(axes))
    return network


def leaky_backward(gradient: Tensor, out: Tensor, slope: float) -> Tensor:
    """What passes back through a leaky ReLU that made `out`: piecewise constant, so `out` has no part in it."""
    passed: Tensor = torch.ops.aten.leaky_relu_backward(gradient, out.detach(), slope, True)
    return passed


def adjoint(layer: nn.Module, gradient: Tensor, sizes: Sequence[int]) -> Tensor:
    """The transpose of a layer made by `conv`; `sizes` are those of the layer's input."""
    if isinstance(layer, PatchConv):
        return _patch_conv_transpose(gradient, layer.weight)
    assert isinstance(layer, (nn.Conv2d, nn.Conv3d))
    if isinstance(layer, (Wide2d, Wide3d)) and im2col.few_positions(gradient, gradient.shape[2:], layer.kernel_size):
        return im2col.conv_transpose_gemm(gradient, layer.weight, sizes, layer.stride)
    out = _UP[len(sizes)](gradient, layer.weight, None, layer.stride)
    # Where the kernel did not reach, at the end of an axis, nothing passes; what it took from the padding is cut off.
    paddings: Any = layer.padding
    ends = [(-p, size + p - have) for p, size, have in zip(paddings, sizes, out.shape[2:], strict=True)]
    return F.pad(out, [part for each in reversed(ends) for part in each]) if any(map(any, ends)) else out


class _Wide(nn.modules.conv._ConvNd):
    """A convolution without padding that is a product of matrices where it has few positions."""

    def forward(self, input: Tensor) -> Tensor:
        pairs = zip(input.shape[2:], self.kernel_size, self.stride, strict=True)
        if not im2col.few_positions(input, [(n - k) // f + 1 for n, k, f in pairs], self.kernel_size):
            plain: Tensor = super().forward(input)
            return plain
        seen = im2col.im2col(input.movedim(1, -1), self.kernel_size, self.stride)
        rank = len(self.kernel_size)
        return im2col.linear_float32(seen.flatten(1 + rank), self.weight.movedim(1, -1).flatten(1), self.bias).movedim(
            -1, 1
        )


class Wide2d(_Wide, nn.Conv2d):
    """With two axes."""


class Wide3d(_Wide, nn.Conv3d):
    """With three axes."""


_WIDE_CONV: dict[int, Any] = {2: Wide2d, 3: Wide3d}


class PatchConv(nn.Module):
    """A convolution whose kernel is as large as its stride: one matrix product a block.

    PyTorch 2.13 on CPU computes some of these wrongly as convolutions in bfloat16 (kernel and stride (1, 4, 4)).
    """

    def __init__(self, inputs: int, outputs: int, kernel: Sequence[int]) -> None:
        super().__init__()
        self.kernel = tuple(kernel)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, *kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        blocks = ops.space_to_depth(x, self.kernel).movedim(1, -1)
        return F.linear(blocks, self.weight.flatten(1), self.bias).movedim(-1, 1)


Rims = tuple[tuple[int, int, str], ...]  # per axis: how wide before and after, and "wrap", "mirror" or "drop"


class _OverlapAdd(torch.autograd.Function):
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
        return out.clone(memory_format=ops.memory_format(len(rims)))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        rank = len(ctx.rims)
        sizes = [n + before + after for n, (before, after, _) in zip(gradient.shape[2:], ctx.rims, strict=True)]
        full = torch.empty(
            (*gradient.shape[:2], *sizes),
            dtype=gradient.dtype,
            device=gradient.device,
            memory_format=ops.memory_format(rank),
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


class ConvTranspose(nn.Module):
    """A transposed convolution that multiplies every size by `stride`; on wrapped axes it is one on a torus."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Sequence[int],
        stride: Sequence[int],
        bias: bool,
        edges: bool = False,
        smooth: str = "",
    ) -> None:
        super().__init__()
        self.stride, self.edges = tuple(stride), edges
        # A mean of every two neighbours is zero at the grid's Nyquist frequency, where strides leave a raster.
        self.smoothed = tuple(f > 1 and bool(smooth) for f in stride)
        self.rims = tuple(
            (-(-(k - f) // 2) + (blurs and smooth == "before"), (k - f) // 2 + (blurs and smooth == "after"))
            for k, f, blurs in zip(kernel, stride, self.smoothed, strict=True)
        )
        # One that makes no blocks has nothing to gain.
        self.in_blocks = math.prod(stride) > 1 and not any(k % f for k, f in zip(kernel, stride, strict=True))
        # With few outputs, a convolution that makes the positions of a block as channels takes a third of the time.
        self.phased = self.in_blocks and math.prod(stride) <= inputs / outputs
        self.weight = nn.Parameter(torch.empty(inputs, outputs, *kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor, wrapped: Sequence[bool]) -> Tensor:
        rank = len(self.stride)
        if self.stride == tuple(self.weight.shape[2:]):
            out = _patch_conv_transpose(x, self.weight)
        else:
            rims = self.rims_for(wrapped)
            up: Callable[..., Tensor] = _UP[rank]
            # Without padding, even where rims are dropped: with paddings that differ between axes PyTorch 2.13 on CPU
            # leaves gradients of weights uninitialised.
            bring_back: Callable[..., Tensor] = _OverlapAdd.apply
            if self.phased or self._better_in_phases(x):
                out = _subpixel_conv(x, self.weight, self.stride)
            elif im2col.few_positions(x, x.shape[2:], self.weight.shape[2:]):
                grown = zip(x.shape[2:], self.weight.shape[2:], self.stride, strict=True)
                out = im2col.conv_transpose_gemm(x, self.weight, [(n - 1) * f + k for n, k, f in grown], self.stride)
            else:
                out = up(x, self.weight, None, self.stride)
            if any(self.smoothed):
                out = ops.mean_of_two(out, self.smoothed)
            out = bring_back(out, rims)
        return out if self.bias is None else out + self.bias.view(-1, *(1,) * rank)

    def _better_in_phases(self, x: Tensor) -> bool:
        """In bfloat16 on CPU: quick for any size, where transposed convolutions take up to ten times as long for some.

        Bringing the weights into order is not worth it for a few positions, nor is its backward.
        """
        return (
            self.in_blocks
            and x.device.type == "cpu"
            and torch.is_autocast_enabled("cpu")
            and not torch.is_grad_enabled()
            and math.prod(x.shape[2:]) >= _MANY
        )

    def rims_for(self, wrapped: Sequence[bool]) -> Rims:
        """What becomes of the rims on each axis."""
        other = "mirror" if self.edges else "drop"
        return tuple((*rim, "wrap" if around else other) for rim, around in zip(self.rims, wrapped, strict=True))

    def filter(self) -> Tensor:
        """The weights with the mean of neighbours in them: one transposed convolution does both."""
        weight = self.weight.detach()
        if not any(self.smoothed) or self.stride == tuple(weight.shape[2:]):
            return weight
        return ops.mean_of_two(weight, self.smoothed)


def _subpixel_conv(x: Tensor, weight: Tensor, stride: Sequence[int]) -> Tensor:
    """A transposed convolution without padding, whose kernel is a multiple of its stride, as a plain convolution.

    It makes the positions of a block as channels, each position's side by side, so that they are moved in long runs.
    """
    rank = len(stride)
    reach = [k // f for k, f in zip(weight.shape[2:], stride, strict=True)]
    split = [part for each in zip(reach, stride, strict=True) for part in each]
    taps = weight.reshape(*weight.shape[:2], *split).permute(
        *range(3, 3 + 2 * rank, 2), 1, *range(2, 2 + 2 * rank, 2), 0
    )
    filters = taps.flatten(0, rank).flip(*range(1, 1 + rank)).movedim(-1, 1)
    made = _PLAIN[rank](x, filters, None, 1, tuple(n - 1 for n in reach)).movedim(1, -1)
    count, *sizes, _ = made.shape
    order = [part for axis in range(rank) for part in (1 + axis, 1 + rank + axis)]
    blocks = made.reshape(count, *sizes, *stride, -1).permute(0, *order, 1 + 2 * rank)
    return blocks.reshape(count, *(n * f for n, f in zip(sizes, stride, strict=True)), -1).movedim(-1, 1)


def _patch_conv_transpose(x: Tensor, weight: Tensor) -> Tensor:
    """A transposed convolution whose kernel is as large as its stride: each position makes a block of its own."""
    flat: Tensor = F.linear(x.movedim(1, -1), weight.flatten(1).T)
    return ops.depth_to_space(flat.movedim(-1, 1), weight.shape[2:])


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over any number of axes. With stored statistics and no gradients it works in place."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training or torch.is_grad_enabled():
            plain: Tensor = super().forward(input)
            return plain
        # Of a large texture, the memory of one more copy takes longer than the arithmetic.
        scale, offset = (each.to(input.dtype) for each in self.folded())
        shape = (-1, *(1,) * (input.dim() - 2))
        return torch.addcmul(offset.view(shape), input, scale.view(shape), out=input)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Scale and offset for each channel that do the same with the stored statistics."""
        assert self.running_mean is not None
        assert self.running_var is not None
        scale = self.weight / (self.running_var + self.eps).sqrt()
        return scale, self.bias - self.running_mean * scale

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
