"""Convolutions over two or three axes: only this file names them by the number of axes.

The number of axes is the length of `kernel`. A wrapped axis is a torus: shifting the input by one position shifts the
output by `stride` positions, exactly.
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
from texsyn.core.group import Group, total
from texsyn.models import im2col
from texsyn.models.overlap_add import Margins, overlap_add

_CONV_MODULE: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
_CONV: dict[int, Callable[..., Tensor]] = {2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE: dict[int, Callable[..., Tensor]] = {2: F.conv_transpose2d, 3: F.conv_transpose3d}
_MANY_POSITIONS = 2048  # from which on reordering the weights for a sub-pixel convolution pays


def conv(inputs: int, outputs: int, kernel: Sequence[int], stride: Sequence[int], padded: bool = True) -> nn.Module:
    """A strided convolution; padded with zeros it divides every size by `stride`."""
    if tuple(kernel) == tuple(stride):
        return PatchConv(inputs, outputs, kernel)
    padding: tuple[int, ...] = (
        tuple(-(-(k - f) // 2) for k, f in zip(kernel, stride, strict=True)) if padded else (0,) * len(kernel)
    )
    wide = math.prod(kernel) >= im2col.WIDE_KERNEL and not any(padding)
    modules = _WIDE_CONV_MODULE if wide else _CONV_MODULE
    module: nn.Module = modules[len(kernel)](inputs, outputs, tuple(kernel), tuple(stride), padding)
    return module


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A convolution at each place where the whole kernel fits. weight: `to from *kernel`."""
    return _CONV[x.dim() - 2](x, weight, bias)


def channels_last(network: nn.Module, axes: int) -> nn.Module:
    """Lay the weights of `network` out in `ops.memory_format(axes)`, in place."""
    for parameter in network.parameters():
        if parameter.dim() == axes + 2:
            parameter.data = parameter.data.contiguous(memory_format=ops.memory_format(axes))
    return network


def leaky_relu_backward(gradient: Tensor, out: Tensor, slope: float) -> Tensor:
    """The gradient at the input of a leaky ReLU with this output. It does not depend on `out` continuously."""
    passed: Tensor = torch.ops.aten.leaky_relu_backward(gradient, out.detach(), slope, True)
    return passed


def conv_backward(layer: nn.Module, gradient: Tensor, sizes: Sequence[int]) -> Tensor:
    """The gradient at the input of a layer made by `conv`; `sizes` are those of that input."""
    if isinstance(layer, PatchConv):
        return _patch_conv_transpose(gradient, layer.weight)
    assert isinstance(layer, (nn.Conv2d, nn.Conv3d))
    if isinstance(layer, _WideConv) and im2col.few_positions(gradient, gradient.shape[2:], layer.kernel_size):
        return im2col.conv_transpose_gemm(gradient, layer.weight, sizes, layer.stride)
    out = _CONV_TRANSPOSE[len(sizes)](gradient, layer.weight, None, layer.stride)
    # Positions at the end of an axis that the kernel did not reach get zero; those of the padding are cut off.
    paddings: Any = layer.padding
    ends = [(-p, size + p - have) for p, size, have in zip(paddings, sizes, out.shape[2:], strict=True)]
    return F.pad(out, [part for each in reversed(ends) for part in each]) if any(map(any, ends)) else out


class _WideConv(nn.modules.conv._ConvNd):
    """A convolution without padding that is computed as a matrix product where it has few positions."""

    def forward(self, input: Tensor) -> Tensor:
        pairs = zip(input.shape[2:], self.kernel_size, self.stride, strict=True)
        if not im2col.few_positions(input, [(n - k) // f + 1 for n, k, f in pairs], self.kernel_size):
            out: Tensor = super().forward(input)
            return out
        columns = im2col.im2col(input.movedim(1, -1), self.kernel_size, self.stride)
        weight = self.weight.movedim(1, -1).flatten(1)
        return im2col.linear_float32(columns.flatten(1 + len(self.kernel_size)), weight, self.bias).movedim(-1, 1)


class _WideConv2d(_WideConv, nn.Conv2d):
    """With two axes."""


class _WideConv3d(_WideConv, nn.Conv3d):
    """With three axes."""


_WIDE_CONV_MODULE: dict[int, Any] = {2: _WideConv2d, 3: _WideConv3d}


class PatchConv(nn.Module):
    """A convolution whose kernel equals its stride: one matrix product for each patch.

    As a convolution, PyTorch 2.13 on CPU computes some wrongly in bfloat16 (kernel and stride (1, 4, 4)).
    """

    def __init__(self, inputs: int, outputs: int, kernel: Sequence[int]) -> None:
        super().__init__()
        self.kernel = tuple(kernel)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, *kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        patches = ops.space_to_depth(x, self.kernel).movedim(1, -1)
        return F.linear(patches, self.weight.flatten(1), self.bias).movedim(-1, 1)


class ConvTranspose(nn.Module):
    """A transposed convolution that multiplies every size by `stride`; circular on wrapped axes.

    reflect: what it adds beyond the ends of other axes is reflected into the grid instead of cropped. blur: "before" or
    "after" averages every two neighbours of the output along axes with a stride, which grow by one position on that
    side, cut off with the margins. The mean is zero at the Nyquist frequency, where strides leave a checkerboard.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Sequence[int],
        stride: Sequence[int],
        bias: bool,
        reflect: bool = False,
        blur: str = "",
    ) -> None:
        super().__init__()
        self.stride, self.reflect = tuple(stride), reflect
        self.blurred = tuple(f > 1 and bool(blur) for f in stride)  # per axis
        self.margins = tuple(
            (-(-(k - f) // 2) + (blurred and blur == "before"), (k - f) // 2 + (blurred and blur == "after"))
            for k, f, blurred in zip(kernel, stride, self.blurred, strict=True)
        )
        self.has_subpixel_form = math.prod(stride) > 1 and not any(k % f for k, f in zip(kernel, stride, strict=True))
        # With few outputs, the sub-pixel form takes a third of the time.
        self.always_subpixel = self.has_subpixel_form and math.prod(stride) <= inputs / outputs
        self.weight = nn.Parameter(torch.empty(inputs, outputs, *kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor, wrapped: Sequence[bool]) -> Tensor:
        """`b inputs *grid` -> `b outputs *(stride grid)`. wrapped: per axis, whether it is a torus."""
        if self.stride == tuple(self.weight.shape[2:]):
            out = _patch_conv_transpose(x, self.weight)
        else:
            out = self._with_margins(x)
            if any(self.blurred):
                out = ops.blur(out, self.blurred)
            out = overlap_add(out, self.overlap_modes(wrapped))
        return out if self.bias is None else out + self.bias.view(-1, *(1,) * len(self.stride))

    def _with_margins(self, x: Tensor) -> Tensor:
        """The transposed convolution without padding, by the fastest way; as such in an exported graph, for all sizes.

        Even where margins are cropped: with paddings that differ between axes PyTorch 2.13 on CPU leaves gradients of
        weights uninitialised.
        """
        if torch.compiler.is_exporting():
            return _CONV_TRANSPOSE[len(self.stride)](x, self.weight, None, self.stride)
        if self.always_subpixel or self._is_faster_subpixel(x):
            return _subpixel_conv(x, self.weight, self.stride)
        if im2col.few_positions(x, x.shape[2:], self.weight.shape[2:]):
            sizes = zip(x.shape[2:], self.weight.shape[2:], self.stride, strict=True)
            return im2col.conv_transpose_gemm(x, self.weight, [(n - 1) * f + k for n, k, f in sizes], self.stride)
        return _CONV_TRANSPOSE[len(self.stride)](x, self.weight, None, self.stride)

    def _is_faster_subpixel(self, x: Tensor) -> bool:
        """In bfloat16 on CPU without gradients: transposed convolutions of some sizes take up to ten times as long.

        Reordering the weights does not pay for few positions, nor does its backward.
        """
        return (
            self.has_subpixel_form
            and x.device.type == "cpu"
            and torch.is_autocast_enabled("cpu")
            and not torch.is_grad_enabled()
            and math.prod(x.shape[2:]) >= _MANY_POSITIONS
        )

    def overlap_modes(self, wrapped: Sequence[bool]) -> Margins:
        """Per axis: the margins before and after, and what becomes of them."""
        edge = "reflect" if self.reflect else "crop"
        modes = ("circular" if circular else edge for circular in wrapped)
        return tuple((*margin, mode) for margin, mode in zip(self.margins, modes, strict=True))


def _subpixel_conv(x: Tensor, weight: Tensor, stride: Sequence[int]) -> Tensor:
    """A transposed convolution without padding as a convolution and a shuffle (Shi et al. 2016).

    The kernel is a multiple of the stride. All positions of a block of `stride` are channels of the convolution, each
    position's side by side, so that the shuffle moves long runs of memory.
    """
    rank = len(stride)
    reach = [k // f for k, f in zip(weight.shape[2:], stride, strict=True)]
    split = [part for each in zip(reach, stride, strict=True) for part in each]
    taps = weight.reshape(*weight.shape[:2], *split).permute(
        *range(3, 3 + 2 * rank, 2), 1, *range(2, 2 + 2 * rank, 2), 0
    )
    filters = taps.flatten(0, rank).flip(*range(1, 1 + rank)).movedim(-1, 1)
    out = _CONV[rank](x, filters, None, 1, tuple(n - 1 for n in reach)).movedim(1, -1)
    count, *sizes, _ = out.shape
    order = [part for axis in range(rank) for part in (1 + axis, 1 + rank + axis)]
    blocks = out.reshape(count, *sizes, *stride, -1).permute(0, *order, 1 + 2 * rank)
    return blocks.reshape(count, *(n * f for n, f in zip(sizes, stride, strict=True)), -1).movedim(-1, 1)


def _patch_conv_transpose(x: Tensor, weight: Tensor) -> Tensor:
    """A transposed convolution whose kernel equals its stride: each position has a patch of its own."""
    flat: Tensor = F.linear(x.movedim(1, -1), weight.flatten(1).T)
    return ops.depth_to_space(flat.movedim(-1, 1), weight.shape[2:])


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over any number of axes. With stored statistics and no gradients it works in place."""

    group: Group | None = None  # processes whose batches are one

    def forward(self, input: Tensor) -> Tensor:
        if self.training and self.group is not None:
            return self._over_all(input, self.group)
        if self.training or torch.is_grad_enabled():
            out: Tensor = super().forward(input)
            return out
        # For large textures, the memory of one more copy takes longer than the arithmetic.
        scale, offset = (each.to(input.dtype) for each in self.scale_and_offset())
        shape = (-1, *(1,) * (input.dim() - 2))
        return torch.addcmul(offset.view(shape), input, scale.view(shape), out=input)

    def scale_and_offset(self) -> tuple[Tensor, Tensor]:
        """Scale and offset for each channel that are equivalent to the norm with stored statistics."""
        assert self.running_mean is not None
        assert self.running_var is not None
        scale = self.weight / (self.running_var + self.eps).sqrt()
        return scale, self.bias - self.running_mean * scale

    def _over_all(self, input: Tensor, group: Group) -> Tensor:
        """In training, with the statistics of the parts of all processes."""
        assert self.running_mean is not None
        assert self.running_var is not None
        axes = [0, *range(2, input.dim())]
        x = ops.to_float32(input)
        count = x.new_full((1,), input.numel() / input.shape[1])
        measured = total(torch.cat((x.sum(axes), x.square().sum(axes), count)), group)
        sums, squares, count = torch.split(measured, [input.shape[1], input.shape[1], 1])
        mean = sums / count
        variance = (squares / count - mean.square()).clamp(min=0)
        if self.track_running_stats:
            keep = 0.0 if self.momentum is None else self.momentum
            with torch.no_grad():
                self.running_mean.lerp_(mean, keep)
                self.running_var.lerp_(variance * count / (count - 1), keep)
                if self.num_batches_tracked is not None:
                    self.num_batches_tracked.add_(1)
        shape = (-1, *(1,) * (input.dim() - 2))
        scale = self.weight * (variance + self.eps).rsqrt()
        return torch.addcmul((self.bias - mean * scale).view(shape), x, scale.view(shape)).to(input.dtype)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2 axes, got {input.dim()}")


def normalisation(kind: str, channels: int) -> nn.Module:
    """A layer of kind `batch` or `none`."""
    return BatchNorm(channels) if kind == "batch" else nn.Identity()


@contextmanager
def shared_statistics(network: nn.Module, group: Group) -> Iterator[None]:
    """Within the block, batch norms in training use the statistics of the batches of all processes together."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)] if group.count > 1 else []
    for norm in norms:
        norm.group = group
    try:
        yield
    finally:
        for norm in norms:
            norm.group = None


@contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Within the block, batch norms use the statistics of their input, and keep the stored ones unchanged."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    for norm in norms:
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for norm in norms:
            norm.training, norm.track_running_stats = False, True
