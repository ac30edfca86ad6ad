"""The three networks of the divergence triangle, built from a row of the table (design.md: section 2 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod

import torch
from torch import Tensor, nn

from texsyn.core import ops
from texsyn.core.architecture import Design, Layer
from texsyn.core.modality import Modality
from texsyn.models import layers

_SLOPE = 0.2  # of every leaky ReLU, as in the paper


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Weights from N(0, 0.02^2), biases zero, as in the paper."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d, layers.ConvTranspose, layers.PatchConv)):
            nn.init.normal_(module.weight, 0.0, 0.02, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Generator(nn.Module):
    """g_theta: `b latent_channels+labels *latent_grid` -> `b channels *grid`, in [-1, 1]."""

    def __init__(self, modality: Modality, design: Design) -> None:
        super().__init__()
        self.stationary = modality.stationary
        self.stride = design.stride
        self.constants = None
        if design.constant_channels:
            grid = _frame_of(modality, self.stride)
            self.constants = nn.Parameter(torch.empty(1, design.constant_channels, *grid))
        inputs = design.latents[0] + design.labels + design.constant_channels
        *hidden, last = design.generator
        self.grids = design.latent_grids
        self.frame_grids = design.frame_latent_grids
        packed = (each.packed for each in design.fields)
        self.starts = list(accumulate(packed))  # among the channels, of the fields after the first and of the labels
        self.ups, self.norms = nn.ModuleList(), nn.ModuleList()
        # A finer field, and one that frames share, is added to what it joins, weighted per channel.
        self.joins = nn.ModuleList(
            layers.PatchConv(c, layer.channels, (1,) * len(layer.kernel))
            for c, layer in zip(design.latents[1:], hidden[: len(design.latents) - 1], strict=True)
        )
        self.frames = nn.ModuleList(
            layers.PatchConv(c, layer.channels, (1,) * len(layer.kernel))
            for c, layer in zip(design.frame_latents, hidden[: len(design.frame_latents)], strict=True)
        )
        for index, layer in enumerate(hidden):
            biased = design.normalisation == "none"
            smooth = ("before", "after")[index % 2] if design.blur_upsampling else ""
            self.ups.append(
                layers.ConvTranspose(
                    inputs, layer.channels, layer.kernel, layer.stride, biased, design.reflect_edges, smooth
                )
            )
            self.norms.append(layers.normalisation(design.normalisation, layer.channels))
            inputs = layer.channels
        self.last = layers.ConvTranspose(
            inputs, modality.channels, last.kernel, last.stride, True, design.reflect_edges
        )

    def forward(self, z: Tensor, wrapped: Sequence[bool] | None = None) -> Tensor:
        """`wrapped` says on which axes `z` is a torus; by default on all stationary ones."""
        wrapped = self.stationary if wrapped is None else wrapped
        z, *others, labels = z.tensor_split(self.starts, 1)
        finer, frames = others[: len(self.joins)], others[len(self.joins) :]
        z = torch.cat((z, labels), 1)
        if self.constants is not None:
            z = torch.cat((z, self.constants.expand(z.shape[0], -1, *_grid_of(z, self.stationary))), 1)
        for index, (up, norm) in enumerate(zip(self.ups, self.norms, strict=True)):
            z = up(z, wrapped)
            if index < len(finer):
                z = z + self.joins[index](ops.depth_to_space(finer[index], self.grids[index + 1]))
            if index < len(frames):
                shared = ops.depth_to_space(frames[index][_first_of_frame(self.stationary)], self.frame_grids[index])
                z = z + self.frames[index](shared)
            z = torch.relu_(norm(z))
        return torch.tanh(ops.to_float32(self.last(z, wrapped)))


def _frame_of(modality: Modality, strides: Sequence[int]) -> tuple[int, ...]:
    """Positions that a frame has on the fixed axes, where one is made of so many pixels; one on the others."""
    grid = tuple(
        1 if same else size // stride
        for same, size, stride in zip(modality.stationary, modality.window, strides, strict=True)
    )
    if 0 in grid:
        raise ValueError("a frame is smaller than what one position sees")
    return grid


def _first_of_frame(stationary: Sequence[bool]) -> tuple[slice, ...]:
    """Of a latent field, the first position along the fixed axes: there, what a whole frame shares is kept."""
    return (slice(None), slice(None), *(slice(None) if same else slice(0, 1) for same in stationary))


def _grid_of(z: Tensor, stationary: Sequence[bool]) -> list[int]:
    return [size if same else -1 for size, same in zip(z.shape[2:], stationary, strict=True)]


class Posterior(nn.Module):
    """q_phi: `b channels *grid` -> mean and log variance, each `b latent_channels *latent_grid`."""

    def __init__(self, modality: Modality, design: Design) -> None:
        super().__init__()
        self.bound = design.log_variance_bound
        self.body = _descent(modality.channels, design.posterior, rectify_last=True)
        heads = design.heads
        self.heads = layers.conv(
            design.posterior[-1].channels, 2 * design.latents[0], heads.kernel, heads.stride, heads.padded
        )
        self.stationary, self.frames = modality.stationary, None
        if design.frame_latents:
            shared = sum(each.packed for each in design.fields if each.shared)
            strides = [prod(each) for each in zip(*(layer.stride for layer in design.posterior), strict=True)]
            self.frames = layers.PatchConv(design.posterior[-1].channels, 2 * shared, _frame_of(modality, strides))
        self.grids = design.latent_grids[1:]
        self.taps = [_depth(design, grid) for grid in self.grids]
        self.finer = nn.ModuleList(
            layers.conv(design.posterior[tap - 1].channels, 2 * channels, (3,) * len(grid), (1,) * len(grid))
            for channels, grid, tap in zip(design.latents[1:], self.grids, self.taps, strict=True)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        seen = []
        for step in self.body:
            x = step(x)
            if isinstance(step, nn.LeakyReLU):
                seen.append(x)
        fields = [ops.to_float32(self.heads(x)).chunk(2, 1)]
        for grid, tap, head in zip(self.grids, self.taps, self.finer, strict=True):
            means, log_variances = ops.to_float32(head(seen[tap - 1])).chunk(2, 1)
            fields.append((ops.space_to_depth(means, grid), ops.space_to_depth(log_variances, grid)))
        if self.frames is not None:
            shared = ops.to_float32(self.frames(x))
            # Elsewhere the prior: nothing is drawn from there.
            whole = shared.new_zeros((*shared.shape[:2], *fields[0][0].shape[2:]))
            whole[_first_of_frame(self.stationary)] = shared
            fields.append(whole.chunk(2, 1))
        mean, log_variance = (torch.cat(each, 1) for each in zip(*fields, strict=True))
        if self.bound:
            log_variance = self.bound * torch.tanh(log_variance / self.bound)
        return mean, log_variance


def _depth(design: Design, grid: tuple[int, ...]) -> int:
    """After how many layers the posterior sees `grid` positions for each one of the coarsest latent field."""
    left = tuple(f // g for f, g in zip(design.stride, grid, strict=True))
    reached = (1,) * len(grid)
    for depth, layer in enumerate(design.posterior, start=1):
        reached = tuple(n * f for n, f in zip(reached, layer.stride, strict=True))
        if reached == left:
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
        self.reach, step = [0] * len(self.fixed), [1] * len(self.fixed)  # how far positions see beyond their stride
        for layer in design.energy:
            for axis, (kernel, stride) in enumerate(zip(layer.kernel, layer.stride, strict=True)):
                self.reach[axis] += 0 if layer.padded else (kernel - stride) * step[axis]
                step[axis] *= stride
        inputs = modality.channels + (sum(self.fixed) if self.coordinates else 0) + design.labels
        self.scales = nn.ModuleList(
            _descent(inputs, design.energy, design.energy_rectified) for _ in range(design.energy_scales)
        )
        filters = design.energy[-1].channels
        self.wanted = filters - (filters // 2 if design.energy_signed else 0)  # filters that speak for a texture

    def _views(self, x: Tensor, labels: Tensor | None, wrapped: Sequence[bool] = ()) -> list[Tensor]:
        """What each scale looks at: the texture, ever halved, where it is, and which exemplar it should be like."""
        views = [x]
        while len(views) < len(self.scales):
            views.append(ops.downsample(views[-1], self.space))
        if wrapped:
            views = [ops.wrap_end(each, self.reach, wrapped) for each in views]
        if self.coordinates:
            views = [ops.append_coordinates(each, self.fixed) for each in views]
        return views if labels is None else [ops.append_labels(each, labels) for each in views]

    def local(self, x: Tensor, labels: Tensor | None = None, wrapped: Sequence[bool] = ()) -> list[Tensor]:
        """One map per scale, `b filters *positions`: each position's share before it is summed."""
        return [
            self._counted(scale(view)) for scale, view in zip(self.scales, self._views(x, labels, wrapped), strict=True)
        ]

    def _counted(self, filters: Tensor) -> Tensor:
        """Filters for a texture as they are, those against it negative.

        Rectified filters that all count for a texture only ever ask for more of what they look for: what the last ones
        see, the largest structures, could not be held against it.
        """
        signs = filters.new_ones(filters.shape[1])
        signs[self.wanted :] = -1
        return filters * signs.view(-1, *(1,) * len(self.space))

    def first(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """`b filters *positions`: what the first filters of the finest scale say."""
        convolution, rectified = list(self.scales[0].children())[:2]
        found: Tensor = rectified(convolution(self._views(x, labels)[0]))
        return found

    def forward(self, x: Tensor, labels: Tensor | None = None, wrapped: Sequence[bool] = ()) -> Tensor:
        """labels: `b labels`, where the model knows several exemplars. wrapped: axes round which `x` is a torus."""
        return self._total(x, self.local(x, labels, wrapped))

    def _total(self, x: Tensor, maps: Sequence[Tensor]) -> Tensor:
        over = tuple(range(1, x.dim()))
        if self.mean:
            return x[0].numel() * torch.stack([ops.to_float32(each).mean(over) for each in maps]).sum(0)
        return torch.stack([ops.to_float32(each).sum(over) for each in maps]).sum(0)

    def with_gradient(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """f, `b`, and its gradient with respect to `x`, `b channels *grid`.

        The gradient is written out as transposed convolutions, so that a penalty on it is an ordinary loss: PyTorch's
        double backward computes the weights' part as convolutions with kernels as large as the feature maps.
        """
        maps, gradient = [], torch.zeros_like(x)
        for index, (scale, view) in enumerate(zip(self.scales, self._views(x, labels), strict=True)):
            steps = _follow(scale, view)
            maps.append(self._counted(steps[-1][2]))
            back = self._counted(torch.full_like(maps[-1], x[0].numel() / maps[-1][0].numel() if self.mean else 1.0))
            for module, sizes, out in reversed(steps):
                if isinstance(module, nn.LeakyReLU):
                    back = layers.leaky_backward(back, out, _SLOPE)
                else:
                    back = layers.adjoint(module, back, sizes)
            back = back[:, : x.shape[1]]  # coordinates and labels are no pixels
            for _ in range(index):
                back = ops.downsample_backward(back, self.space)
            gradient = gradient + back
        return self._total(x, maps), gradient


def _follow(scale: nn.Module, x: Tensor) -> list[tuple[nn.Module, torch.Size, Tensor]]:
    """Each module of a scale with the size of what it got and what it made of it."""
    steps = []
    for module in scale.children():
        sizes = x.shape[2:]
        x = module(x)
        steps.append((module, sizes, x))
    return steps


def _descent(inputs: int, rows: Sequence[Layer], rectify_last: bool) -> nn.Sequential:
    steps: list[nn.Module] = []
    for index, row in enumerate(rows):
        steps.append(layers.conv(inputs, row.channels, row.kernel, row.stride, row.padded))
        if rectify_last or index < len(rows) - 1:
            steps.append(nn.LeakyReLU(_SLOPE, inplace=True))
        inputs = row.channels
    return nn.Sequential(*steps)
