"""A learnt prior of latent fields: a flow that carries standard normal noise to where a texture's codes lie.

N(0, I), independent at every position, is not where the posterior's samples lie: neighbours belong together. The flow
is trained on them by flow matching (Lipman et al. 2023; the straight path of Liu et al. 2023): on x_t = (1 - t) n + t z
between noise n and codes z, a small convolutional network v regresses z - n, and dx/dt = v carries n to a draw. Its
reach is short, so it learns how neighbours belong together and cannot repeat an exemplar's layout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsyn.core import ops
from texsyn.core.architecture import Design
from texsyn.core.modality import Modality
from texsyn.models import layers
from texsyn.models.field_layout import FieldLayout

_STEPS = 4  # of Euler's method from noise to a draw
_COMPLETION_STEPS = 16  # likewise where a part is known
_LAYERS = 5  # convolutions of the velocity
_FREQUENCIES = 32  # of the embedding of time
_EMBEDDED = 128
_SMALLEST = 1e-6  # variance that counts


class LatentFlow(nn.Module):
    """Noise -> latent fields of one model, both `b latent_channels+labels *latent_grid`; labels stay as they are."""

    mean: Tensor
    factor: Tensor
    drawn_mean: Tensor
    drawn_inverse: Tensor

    def __init__(self, modality: Modality, design: Design) -> None:
        super().__init__()
        self.stationary, self.labels = modality.stationary, design.labels
        self.layout = FieldLayout(modality, design)
        kernel = tuple(3 if same else 1 for same in self.stationary)
        self.pads = tuple(int(same) for same in self.stationary)
        channels, width = self.layout.channels, design.flow_channels
        inputs = channels + math.prod(self.layout.finest) + design.labels
        widths = [inputs, *[width] * (_LAYERS - 1), channels]
        self.convolutions = nn.ModuleList(
            layers.conv(a, b, kernel, (1,) * len(kernel), padded=False) for a, b in pairwise(widths)
        )
        self.time = nn.Sequential(
            nn.Linear(2 * _FREQUENCIES, _EMBEDDED), nn.SiLU(), nn.Linear(_EMBEDDED, 2 * width * (_LAYERS - 1))
        )
        # Of the codes: mean and Cholesky factor of the covariance of channels. It is lower triangular, and coarser
        # fields are the first channels, so what is standardised with it is as coarse as before.
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("factor", torch.eye(channels))
        # Of what becomes of noise: mean and inverse factor. A flow of few steps that is not trained yet loses some.
        self.register_buffer("drawn_mean", torch.zeros(channels))
        self.register_buffer("drawn_inverse", torch.eye(channels))

    def initialise(self, random: torch.Generator) -> None:
        """Draw weights from N(0, 1 / (3 inputs)), as PyTorch's layers have them; the velocity begins as zero."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, 0.0, (3 * parameter[0].numel()) ** -0.5, generator=random)
            else:
                nn.init.zeros_(parameter)
        nn.init.zeros_(next(self.convolutions[-1].parameters()))

    @property
    def reach(self) -> tuple[int, ...]:
        """Per axis: positions of the coarsest field beyond which noise has no influence on a draw."""
        finest = _STEPS * _LAYERS
        return tuple(-(-finest * pad // n) for pad, n in zip(self.pads, self.layout.finest, strict=True))

    def forward(self, noise: Tensor, wrapped: Sequence[bool] | None = None) -> Tensor:
        """A draw: the latent fields at the end of the paths that begin at `noise`.

        wrapped: the axes on which `noise` is a torus; by default all stationary ones.
        """
        noise, labels = self._split(noise)
        drawn = self._finish(self._integrate(self.layout.unpack(noise), labels, wrapped))
        return torch.cat((drawn, labels), 1)

    def complete(self, noise: Tensor, z: Tensor, known: Tensor, wrapped: Sequence[bool]) -> Tensor:
        """A draw that equals `z` where `known`, `b latent_channels *latent_grid`, is true.

        Known values follow their own straight paths, so that what is drawn beside them fits.
        """
        (noise, labels), (z, _labels) = self._split(noise), self._split(z)
        start, share = self.layout.unpack(noise), self.layout.unpack(known.to(noise.dtype))
        # The ends of the paths have the moments of draws: so have the known ones here.
        given = _shift(_map(torch.linalg.inv(self.drawn_inverse), self._standard(z)), self.drawn_mean)
        x = start
        for step in range(_COMPLETION_STEPS):
            time = step / _COMPLETION_STEPS
            x = torch.lerp(x, torch.lerp(start, given, time), share)
            x = x + self._velocity(x, time, labels, wrapped) / _COMPLETION_STEPS
        return torch.cat((torch.where(known, z, self._finish(x)), labels), 1)

    def loss(self, noise: Tensor, z: Tensor, time: Tensor) -> Tensor:
        """Mean squared error of the velocity at `time`, `b`, between noise and codes `z` of crops, with labels.

        Positions at the ends do not count: what lies beyond them is not known.
        """
        (noise, labels), (z, _labels) = self._split(noise), self._split(z)
        start, end = self.layout.unpack(noise), self._standard(z)
        at = torch.lerp(start, end, time.view(-1, *(1,) * (start.dim() - 1)))
        error = self.velocity(at, time, labels, (False,) * len(self.stationary)) - (end - start)
        for axis, (same, n) in enumerate(zip(self.stationary, self.layout.finest, strict=True), start=2):
            margin = n // 2 if same and error.shape[axis] > 2 * n else 0
            error = error.narrow(axis, margin, error.shape[axis] - 2 * margin)
        return error.square().mean()

    def velocity(self, x: Tensor, time: Tensor, labels: Tensor, wrapped: Sequence[bool]) -> Tensor:
        """v(x, t): `b channels *finest_grid` in float32; time: `b`, in [0, 1]; labels: `b labels *latent_grid`."""
        phases = self.layout.phases(x).expand(x.shape[0], *(-1,) * (x.dim() - 1))
        hidden = torch.cat((x, phases, self.layout.unpack_labels(labels)), 1)
        first, *others = self.convolutions
        hidden = self._convolve(first, hidden, wrapped)
        modulation = self.time(_embedding(time)).view(x.shape[0], len(others), 2, -1, *(1,) * (x.dim() - 2))
        for index, convolution in enumerate(others):
            scale, shift = modulation[:, index].to(hidden.dtype).unbind(1)
            out = self._convolve(convolution, F.silu(torch.addcmul(shift, hidden, 1 + scale)), wrapped)
            hidden = hidden + out if index < len(others) - 1 else out
        return self.layout.project(ops.to_float32(hidden))

    def _convolve(self, convolution: nn.Module, x: Tensor, wrapped: Sequence[bool]) -> Tensor:
        out: Tensor = convolution(ops.pad(x, self.pads, wrapped))
        return out

    def _split(self, z: Tensor) -> tuple[Tensor, ...]:
        return z.tensor_split([z.shape[1] - self.labels], 1)

    def _standard(self, z: Tensor) -> Tensor:
        return _map(torch.linalg.inv(self.factor), _shift(self.layout.unpack(z), -self.mean))

    def _velocity(self, x: Tensor, time: float, labels: Tensor, wrapped: Sequence[bool]) -> Tensor:
        return self.velocity(x, x.new_full((x.shape[0],), time), labels, wrapped)

    def _integrate(self, x: Tensor, labels: Tensor, wrapped: Sequence[bool] | None) -> Tensor:
        wrapped = self.stationary if wrapped is None else wrapped
        for step in range(_STEPS):
            x = x + self._velocity(x, step / _STEPS, labels, wrapped) / _STEPS
        return x

    def _finish(self, x: Tensor) -> Tensor:
        standard = _map(self.drawn_inverse, _shift(x, -self.drawn_mean))
        return self.layout.pack(_shift(_map(self.factor, standard), self.mean))

    # ------------------------------------------------------------ statistics

    @torch.no_grad()
    def standardise(self, codes: Tensor) -> None:
        """Take the moments of codes, `b latent_channels *latent_grid`, without labels."""
        mean, factor = self._moments(self.layout.unpack(codes))
        self.mean.copy_(mean)
        self.factor.copy_(factor)

    @torch.no_grad()
    def measure_draws(self, noise: Tensor) -> None:
        """Measure the moments of what comes of `noise`, so that draws have those of the codes."""
        noise, labels = self._split(noise)
        mean, factor = self._moments(self._integrate(self.layout.unpack(noise), labels, None))
        self.drawn_mean.copy_(mean)
        self.drawn_inverse.copy_(torch.linalg.inv(factor))

    @torch.no_grad()
    def copy_draw_moments(self, other: LatentFlow) -> None:
        """Take what `other` measured of draws."""
        self.drawn_mean.copy_(other.drawn_mean)
        self.drawn_inverse.copy_(other.drawn_inverse)

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and factor of the covariance of channels; with few positions, correlations are trusted less."""
        rows = x.movedim(1, -1).flatten(0, -2)
        covariance = torch.cov(rows.T)
        variances = covariance.diagonal()
        positions = len(rows) / math.prod(self.layout.finest)
        shrunk = torch.lerp(covariance, variances.diag(), min(1.0, self.layout.channels / positions))
        factor = torch.linalg.cholesky(shrunk + _SMALLEST * torch.eye(len(shrunk)).to(shrunk))
        return rows.mean(0), factor


def _map(matrix: Tensor, x: Tensor) -> Tensor:
    """A linear map of channels at each position of `b channels *grid`, in float32 whatever autocast says."""
    with torch.autocast(x.device.type, enabled=False):
        return torch.einsum("ij,bj...->bi...", matrix, x)


def _shift(x: Tensor, offset: Tensor) -> Tensor:
    """`x`, `b channels *grid`, with an offset for each channel."""
    return x + offset.view(-1, *(1,) * (x.dim() - 2))


def _embedding(time: Tensor) -> Tensor:
    """`b` -> `b 2 frequencies`: sines and cosines of time."""
    angles = time[:, None] * torch.exp(torch.linspace(0, 5, _FREQUENCIES, device=time.device))
    return torch.cat((angles.sin(), angles.cos()), 1)
