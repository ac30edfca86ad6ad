"""The three networks of the divergence triangle, built from a row of the table (design.md: section 2 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from texsyn import layers
from texsyn.modality import Design, Layer, Modality

_SLOPE = 0.2  # of every leaky ReLU, as in the paper


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Weights from N(0, 0.02^2), biases zero, as in the paper."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d, layers.Up, layers.Blocks)):
            nn.init.normal_(module.weight, 0.0, 0.02, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Generator(nn.Module):
    """g_theta: `b latent_channels *latent_grid` -> `b channels *grid`, in [-1, 1]."""

    def __init__(self, modality: Modality, design: Design) -> None:
        super().__init__()
        self.stationary = modality.stationary
        self.factor = design.factor
        grid = tuple(
            1 if same else size // f
            for same, size, f in zip(modality.stationary, modality.window, self.factor, strict=True)
        )
        self.constants = (
            nn.Parameter(torch.empty(1, design.constant_channels, *grid)) if design.constant_channels else None
        )
        inputs = design.latent_channels + design.constant_channels
        *hidden, last = design.generator
        self.ups, self.norms = nn.ModuleList(), nn.ModuleList()
        for layer in hidden:
            biased = design.normalisation == "none"
            self.ups.append(layers.Up(inputs, layer.channels, layer.kernel, layer.factor, biased, design.edges))
            self.norms.append(layers.normalisation(design.normalisation, layer.channels))
            inputs = layer.channels
        self.last = layers.Up(inputs, modality.channels, last.kernel, last.factor, True, design.edges)

    def forward(self, z: Tensor, wrapped: Sequence[bool] | None = None) -> Tensor:
        """`wrapped` says on which axes `z` is a torus; by default on all stationary ones."""
        wrapped = self.stationary if wrapped is None else wrapped
        if self.constants is not None:
            z = torch.cat((z, self.constants.expand(z.shape[0], -1, *_grid_of(z, self.stationary))), 1)
        for up, norm in zip(self.ups, self.norms, strict=True):
            z = torch.relu_(norm(up(z, wrapped)))
        return torch.tanh(layers.full(self.last(z, wrapped)))


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
            design.posterior[-1].channels, 2 * design.latent_channels, heads.kernel, heads.factor, heads.padded
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = layers.full(self.heads(self.body(x))).chunk(2, 1)
        if self.bound:
            log_variance = self.bound * torch.tanh(log_variance / self.bound)
        return mean, log_variance


class Energy(nn.Module):
    """f_alpha: `b channels *grid` -> `b`, in nats; larger where a texture is more like the data (pi ~ exp f)."""

    def __init__(self, modality: Modality, design: Design) -> None:
        super().__init__()
        self.fixed = tuple(not same for same in modality.stationary)
        self.space = tuple(axis != "t" for axis in modality.axes)
        self.coordinates = design.coordinates and any(self.fixed)
        self.mean = design.energy_mean
        inputs = modality.channels + (sum(self.fixed) if self.coordinates else 0)
        self.scales = nn.ModuleList(
            _descent(inputs, design.energy, design.energy_rectified) for _ in range(design.energy_scales)
        )

    def local(self, x: Tensor) -> list[Tensor]:
        """One map per scale, `b filters *positions`: each position's share before it is summed."""
        maps = []
        for index, scale in enumerate(self.scales):
            if index:
                x = layers.halve(x, self.space)
            maps.append(scale(layers.with_coordinates(x, self.fixed) if self.coordinates else x))
        return maps

    def forward(self, x: Tensor) -> Tensor:
        over = tuple(range(1, x.dim()))
        maps = self.local(x)
        if self.mean:
            return x[0].numel() * torch.stack([layers.full(each).mean(over) for each in maps]).sum(0)
        return torch.stack([layers.full(each).sum(over) for each in maps]).sum(0)


def _descent(inputs: int, rows: Sequence[Layer], rectify_last: bool) -> nn.Sequential:
    steps: list[nn.Module] = []
    for index, row in enumerate(rows):
        steps.append(layers.conv(inputs, row.channels, row.kernel, row.factor, row.padded))
        if rectify_last or index < len(rows) - 1:
            steps.append(nn.LeakyReLU(_SLOPE, inplace=True))
        inputs = row.channels
    return nn.Sequential(*steps)
