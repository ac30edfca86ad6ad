"""The three networks of the divergence triangle, built from a design (arXiv 1812.10907, section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsyn.core import ops
from texsyn.core.architecture import Design, Layer
from texsyn.core.modality import Modality
from texsyn.models import layers
from texsyn.models.colour_balance import ColourBalance

_SLOPE = 0.2  # of every leaky ReLU, as in the paper


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw weights from N(0, 0.02^2) and set biases to zero, as in the paper."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d, layers.ConvTranspose, layers.PatchConv)):
            nn.init.normal_(module.weight, 0.0, 0.02, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Generator(nn.Module):
    """g_theta: `b latent_channels+labels *latent_grid` -> `b channels *grid`, in [-1, 1]; of a level, not bounded."""

    def __init__(self, modality: Modality, design: Design) -> None:
        super().__init__()
        *hidden, last = design.generator
        self.stationary = modality.stationary
        self.stride = design.stride
        self.residual = design.residual
        self.activation_bound, self.conditional = design.activation_bound, design.conditional
        self.latent_grids, self.frame_latent_grids = design.latent_grids, design.frame_latent_grids
        # Where the channels of z are split: after each latent field, the labels last.
        self.splits = list(accumulate(each.packed for each in design.fields))
        self.constants = None
        if design.constant_channels:
            grid = _frame_grid(modality, self.stride)
            self.constants = nn.Parameter(torch.empty(1, design.constant_channels, *grid))
        self.ups, self.norms = nn.ModuleList(), nn.ModuleList()
        # Finer latent fields and those shared by a frame are added to the output of hidden layers, by 1 x 1 layers.
        self.joins = _pointwise(design.latents[1:], hidden)
        self.frames = _pointwise(design.frame_latents, hidden)
        biased = design.normalisation == "none"
        inputs = design.latents[0] + design.labels + design.constant_channels + _told(modality, design)
        for index, layer in enumerate(hidden):
            blur = ("before", "after")[index % 2] if design.blur_upsampling else ""  # alternating, so nothing shifts
            self.ups.append(_up(inputs, layer.channels, layer, design, biased, blur))
            self.norms.append(layers.normalisation(design.normalisation, layer.channels))
            inputs = layer.channels
        self.last = _up(inputs, modality.channels, last, design, biased=True)

    def forward(self, z: Tensor, wrapped: Sequence[bool] | None = None, coarse: Tensor | None = None) -> Tensor:
        """wrapped: the axes on which `z` is a torus; by default all stationary ones.

        coarse: `b channels *latent_grid`, the coarser texture, for a level.
        """
        wrapped = self.stationary if wrapped is None else wrapped
        z, *others, labels = z.tensor_split(self.splits, 1)
        finer, frames = others[: len(self.joins)], others[len(self.joins) :]
        z = torch.cat((z, labels) if coarse is None else (z, labels, coarse), 1)
        if self.constants is not None:
            grid = [size if same else -1 for size, same in zip(z.shape[2:], self.stationary, strict=True)]
            z = torch.cat((z, self.constants.expand(z.shape[0], -1, *grid)), 1)
        for index, (up, norm) in enumerate(zip(self.ups, self.norms, strict=True)):
            given, z = z, up(z, wrapped)
            if index < len(finer):
                z = z + self.joins[index](ops.depth_to_space(finer[index], self.latent_grids[index + 1]))
            if index < len(frames):
                shared = frames[index][_first_of_frame(self.stationary)]
                z = z + self.frames[index](ops.depth_to_space(shared, self.frame_latent_grids[index]))
            z = norm(z)
            z = F.hardtanh_(z, 0.0, self.activation_bound) if self.activation_bound else torch.relu_(z)
            if self.residual and given.shape == z.shape:
                z = z + given
        out = ops.to_float32(self.last(z, wrapped))
        return out if self.conditional else torch.tanh(out)


def _told(modality: Modality, design: Design) -> int:
    """Channels of the coarser texture that a network of a level also sees."""
    return modality.channels * design.conditional


def _up(inputs: int, outputs: int, layer: Layer, design: Design, biased: bool, blur: str = "") -> layers.ConvTranspose:
    return layers.ConvTranspose(inputs, outputs, layer.kernel, layer.stride, biased, design.reflect_edges, blur)


def _pointwise(channels: Sequence[int], hidden: Sequence[Layer]) -> nn.ModuleList:
    """One layer with a kernel of 1 for each of `channels`, to the outputs of the first of the hidden layers."""
    return nn.ModuleList(
        layers.PatchConv(c, layer.channels, (1,) * len(layer.kernel))
        for c, layer in zip(channels, hidden[: len(channels)], strict=True)
    )


def _frame_grid(modality: Modality, strides: Sequence[int]) -> tuple[int, ...]:
    """Positions on the fixed axes when each has `strides` pixels; 1 on stationary axes."""
    grid = tuple(
        1 if same else size // stride
        for same, size, stride in zip(modality.stationary, modality.window, strides, strict=True)
    )
    if 0 in grid:
        raise ValueError("a frame is smaller than the stride of the networks")
    return grid


def _first_of_frame(stationary: Sequence[bool]) -> tuple[slice, ...]:
    """The part of a latent field that holds what a frame shares: the first position along the fixed axes."""
    return (slice(None), slice(None), *(slice(None) if same else slice(0, 1) for same in stationary))


class Posterior(nn.Module):
    """q_phi: `b channels *grid` -> mean and log variance, each `b latent_channels *latent_grid`."""

    def __init__(self, modality: Modality, design: Design) -> None:
        super().__init__()
        heads, width = design.heads, design.posterior[-1].channels
        self.stationary = modality.stationary
        self.bound = design.log_variance_bound
        self.colours = _colours(modality, design)
        self.body = _descending(modality.channels + _told(modality, design), design.posterior, rectify_last=True)
        self.heads = layers.conv(width, 2 * design.latents[0], heads.kernel, heads.stride, heads.padded)
        self.frames = None
        if design.frame_latents:
            shared = sum(each.packed for each in design.fields if each.shared)
            strides = [prod(each) for each in zip(*(layer.stride for layer in design.posterior), strict=True)]
            self.frames = layers.PatchConv(width, 2 * shared, _frame_grid(modality, strides))
        self.finer_grids = design.latent_grids[1:]
        self.depths = [_depth(design, grid) for grid in self.finer_grids]
        self.finer = nn.ModuleList(
            layers.conv(design.posterior[depth - 1].channels, 2 * channels, (3,) * len(grid), (1,) * len(grid))
            for channels, grid, depth in zip(design.latents[1:], self.finer_grids, self.depths, strict=True)
        )

    def forward(self, x: Tensor, enlarged: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """enlarged: `b channels *grid`, the coarser texture brought to the grid of `x`, for a level."""
        outputs = []
        x = self.colours(x) if enlarged is None else torch.cat((self.colours(x), enlarged), 1)
        for step in self.body:
            x = step(x)
            if isinstance(step, nn.LeakyReLU):
                outputs.append(x)
        fields = [ops.to_float32(self.heads(x)).chunk(2, 1)]
        for grid, depth, head in zip(self.finer_grids, self.depths, self.finer, strict=True):
            means, log_variances = ops.to_float32(head(outputs[depth - 1])).chunk(2, 1)
            fields.append((ops.space_to_depth(means, grid), ops.space_to_depth(log_variances, grid)))
        if self.frames is not None:
            shared = ops.to_float32(self.frames(x))
            # Mean and log variance 0, as in the prior, at the positions that the generator does not read.
            whole = shared.new_zeros((*shared.shape[:2], *fields[0][0].shape[2:]))
            whole[_first_of_frame(self.stationary)] = shared
            fields.append(whole.chunk(2, 1))
        mean, log_variance = (torch.cat(each, 1) for each in zip(*fields, strict=True))
        if self.bound:
            log_variance = self.bound * torch.tanh(log_variance / self.bound)
        return mean, log_variance


def _depth(design: Design, grid: tuple[int, ...]) -> int:
    """The number of posterior layers after which there are `grid` positions for each one of the coarsest field."""
    wanted = tuple(f // g for f, g in zip(design.stride, grid, strict=True))
    stride = (1,) * len(grid)
    for depth, layer in enumerate(design.posterior, start=1):
        stride = tuple(n * f for n, f in zip(stride, layer.stride, strict=True))
        if stride == wanted:
            return depth
    raise ValueError(f"no layer of the posterior has the grid of the latent field {grid}")


class Energy(nn.Module):
    """f_alpha: `b channels *grid` -> `b`, in nats; larger where a texture is more like the data (pi ~ exp f)."""

    def __init__(self, modality: Modality, design: Design) -> None:
        super().__init__()
        self.fixed = tuple(not same for same in modality.stationary)
        self.space = tuple(axis != "t" for axis in modality.axes)
        self.coordinates = design.coordinates and any(self.fixed)
        self.mean = design.energy_mean
        self.colours = _colours(modality, design)
        self.reach = _reach(design.energy)
        inputs = modality.channels + (sum(self.fixed) if self.coordinates else 0) + design.labels
        inputs += _told(modality, design)
        self.scales = nn.ModuleList(
            _descending(inputs, design.energy, design.energy_rectified) for _ in range(design.energy_scales)
        )
        filters = design.energy[-1].channels
        self.positive = filters - (filters // 2 if design.energy_signed else 0)  # filters with a positive sign

    def forward(
        self,
        x: Tensor,
        labels: Tensor | None = None,
        wrapped: Sequence[bool] = (),
        enlarged: Tensor | None = None,
    ) -> Tensor:
        """labels: `b labels`, where the model has several exemplars. wrapped: the axes on which `x` is a torus.

        enlarged: `b channels *grid`, the coarser texture brought to the grid of `x`, for a level.
        """
        return self._total(x, self.local(x, labels, wrapped, enlarged))

    def local(
        self,
        x: Tensor,
        labels: Tensor | None = None,
        wrapped: Sequence[bool] = (),
        enlarged: Tensor | None = None,
    ) -> list[Tensor]:
        """One map per scale, `b filters *positions`: the share of each position in the energy before it is summed."""
        views = self._views(x, labels, wrapped, enlarged)
        return [self._signed(scale(view)) for scale, view in zip(self.scales, views, strict=True)]

    def first(self, x: Tensor, labels: Tensor | None = None, enlarged: Tensor | None = None) -> Tensor:
        """`b filters *positions`: the output of the first filters of the finest scale."""
        convolution, rectifier = list(self.scales[0].children())[:2]
        out: Tensor = rectifier(convolution(self._views(x, labels, (), enlarged)[0]))
        return out

    def with_gradient(
        self, x: Tensor, labels: Tensor | None = None, enlarged: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """f, `b`, and its gradient with respect to `x` with its colours in balance, `b channels *grid`.

        The gradient is written out as transposed convolutions, so that a penalty on it is an ordinary loss: PyTorch's
        double backward computes the weights' part as convolutions with kernels as large as the feature maps.
        """
        maps, gradient = [], torch.zeros_like(x)
        for index, (scale, view) in enumerate(zip(self.scales, self._views(x, labels, (), enlarged), strict=True)):
            trace = _trace(scale, view)
            maps.append(self._signed(trace[-1][2]))
            weight = x[0].numel() / maps[-1][0].numel() if self.mean else 1.0
            back = self._signed(torch.full_like(maps[-1], weight))
            for module, sizes, out in reversed(trace):
                if isinstance(module, nn.LeakyReLU):
                    back = layers.leaky_relu_backward(back, out, _SLOPE)
                else:
                    back = layers.conv_backward(module, back, sizes)
            back = back[:, : x.shape[1]]  # without the coarser texture, coordinates and labels
            for _ in range(index):
                back = ops.downsample_backward(back, self.space)
            gradient = gradient + back
        return self._total(x, maps), gradient

    def _views(
        self, x: Tensor, labels: Tensor | None, wrapped: Sequence[bool] = (), enlarged: Tensor | None = None
    ) -> list[Tensor]:
        """The input of each scale: the texture and a coarser one, halved 0, 1, ... times, coordinates and labels."""
        views = [self.colours(x) if enlarged is None else torch.cat((self.colours(x), enlarged), 1)]
        while len(views) < len(self.scales):
            views.append(ops.downsample(views[-1], self.space))
        if wrapped:
            views = [ops.wrap_end(each, self.reach, wrapped) for each in views]
        if self.coordinates:
            views = [ops.append_coordinates(each, self.fixed) for each in views]
        return views if labels is None else [ops.append_labels(each, labels) for each in views]

    def _signed(self, filters: Tensor) -> Tensor:
        """Positive filters as they are, the others negated.

        With only positive rectified filters the energy can only reward; negative signs let it penalise what the last
        filters see, the largest structures.
        """
        signs = filters.new_ones(filters.shape[1])
        signs[self.positive :] = -1
        return filters * signs.view(-1, *(1,) * len(self.space))

    def _total(self, x: Tensor, maps: Sequence[Tensor]) -> Tensor:
        over = tuple(range(1, x.dim()))
        if self.mean:
            return x[0].numel() * torch.stack([ops.to_float32(each).mean(over) for each in maps]).sum(0)
        return torch.stack([ops.to_float32(each).sum(over) for each in maps]).sum(0)


def _reach(rows: Sequence[Layer]) -> list[int]:
    """Per axis: how far beyond its own stride a position of the last layer sees, in pixels."""
    reach, step = [0] * len(rows[0].kernel), [1] * len(rows[0].kernel)
    for layer in rows:
        for axis, (kernel, stride) in enumerate(zip(layer.kernel, layer.stride, strict=True)):
            reach[axis] += 0 if layer.padded else (kernel - stride) * step[axis]
            step[axis] *= stride
    return reach


def _trace(scale: nn.Module, x: Tensor) -> list[tuple[nn.Module, torch.Size, Tensor]]:
    """Each module of a scale, with the size of its input and with its output."""
    trace = []
    for module in scale.children():
        sizes = x.shape[2:]
        x = module(x)
        trace.append((module, sizes, x))
    return trace


def _colours(modality: Modality, design: Design) -> nn.Module:
    """What balances the colours of a network's input, where the design has that."""
    return ColourBalance(modality) if design.balanced_colours else nn.Identity()


def _descending(inputs: int, rows: Sequence[Layer], rectify_last: bool) -> nn.Sequential:
    """Strided convolutions with leaky ReLUs between them and, where asked for, after the last."""
    steps: list[nn.Module] = []
    for index, row in enumerate(rows):
        steps.append(layers.conv(inputs, row.channels, row.kernel, row.stride, row.padded))
        if rectify_last or index < len(rows) - 1:
            steps.append(nn.LeakyReLU(_SLOPE, inplace=True))
        inputs = row.channels
    return nn.Sequential(*steps)
