"""A prior of latent fields learnt from codes: the mixture of posteriors, neighbourhood by neighbourhood.

N(0, I), independent at every position, is not where the posterior's samples lie: neighbours belong together. Here a
bank holds the posterior's codes of crops of the exemplars, and p(z) is the mixture of posteriors (Tomczak, Welling
2018) of a position and its neighbours. For a mixture of Gaussians the flow of flow matching (Lipman et al. 2023) needs
no training: on the straight path x_t = (1 - t) n + t z from noise n to codes z, what is known of z at a position is a
mean over the bank, weighted by the likelihood of the neighbourhood in x_t. A draw agrees with itself everywhere,
depends on noise only a few positions away, and is new at large (Kamb, Ganguli 2024).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from texsyn.core import ops
from texsyn.core.architecture import Design
from texsyn.core.modality import Modality
from texsyn.models.seams import Pieces, Seams

_STEPS = 8  # from noise to a draw
_CODES, _MOST_CODES = 16, 256  # in the bank: for each exemplar, and in all
_WINDOWS = 2  # a code has at most the positions of so many training windows, per axis
# Of a Gaussian beside its posterior's, as a part of the variance of codes: with none, draws of a long fit are copies.
BANDWIDTH = 0.15  # in training, unless the recipe says another
_LEAST_SHARE = 1e-30
_OTHER_PHASE = -1e4  # logarithm of what a code in another place of a period counts


class MixturePrior(nn.Module):
    """Noise -> latent fields of one model, both `b latent_channels+labels *latent_grid`; labels stay as they are."""

    means: Tensor
    variances: Tensor
    labels: Tensor
    starts: Tensor
    sources: Tensor
    bandwidth: Tensor

    def __init__(self, modality: Modality, design: Design, traced: bool = False) -> None:
        """traced: codes know the places of the exemplars that they are of, for `trace`."""
        super().__init__()
        self.stationary, self.channels = modality.stationary, design.latent_channels
        # Positions on fixed axes differ by their place, so they are channels.
        whole = modality.network_size(modality.size)
        sizes = list(zip(whole, modality.window, design.stride, modality.stationary, strict=True))
        self.folded = tuple(1 if same else w // f for _, w, f, same in sizes)
        self.ring = tuple(int(same) for same in modality.stationary)  # positions at the ends that are only neighbours
        inner = (max(1, min(n - f + 1, _WINDOWS * w) // f) for n, w, f, _ in sizes)
        # Per axis: positions of a code, without the ring.
        self.inner = tuple(n if same else f for n, f, same in zip(inner, self.folded, self.stationary, strict=True))
        grid = tuple(n + 2 * r for n, r in zip(self.inner, self.ring, strict=True))
        count = max(design.exemplars, min(_CODES * design.exemplars, _MOST_CODES))
        # Of the posterior: means, and variances averaged over stationary axes.
        self.register_buffer("means", torch.zeros(count, self.channels, *grid))
        self.register_buffer("variances", torch.ones(count, self.channels, *self.folded))
        self.register_buffer("labels", torch.zeros(count, design.labels))  # of the codes' exemplars
        self.register_buffer("bandwidth", torch.tensor(BANDWIDTH))
        self.seams = Seams(design.fields, self.stationary, self.folded)
        self.traced = traced
        if traced:  # number of the exemplar, and per axis the middle in its pixels, of the finest field's positions
            fine = (n * f for n, f in zip(grid, self.seams.fine, strict=True))
            self.register_buffer("sources", torch.zeros(count, 1 + len(grid), *fine))
        # Of a regular pattern, a code's positions are drawn only where they are in the same place of a period.
        self.phases, raster = modality.phases(design.stride), modality.raster(design.stride)
        self.raster, self.step = raster, tuple(f // n for f, n in zip(design.stride, raster, strict=True))
        self.repeats = max(self.phases) > 1
        if self.repeats:
            self.register_buffer("starts", torch.zeros(count, len(grid), dtype=torch.long))  # of crops, in rasters

    @property
    def reach(self) -> tuple[int, ...]:
        """Per axis: positions beyond which noise has no influence on a draw. The first step sees only its own."""
        return tuple((_STEPS - 1) * n + m for n, m in zip(self.ring, self.seams.reach, strict=True))

    def store(
        self,
        slots: Sequence[int],
        mean: Tensor,
        log_variance: Tensor,
        labels: Tensor | None = None,
        starts: Sequence[int] | None = None,
    ) -> None:
        """Put codes into the bank's `slots`. mean, log_variance: `n latent_channels *grid`; labels: `n labels`.

        starts: where their crops start, in pixels per axis, multiples of the raster; 0 by default.
        """
        fixed = [axis for axis, same in enumerate(self.stationary, start=2) if same]
        self.means[slots] = mean
        self.variances[slots] = log_variance.exp().mean(fixed, keepdim=True) if fixed else log_variance.exp()
        if labels is not None:
            self.labels[slots] = labels
        if starts is not None and self.repeats:
            rasters = [start // n for start, n in zip(starts, self.raster, strict=True)]
            self.starts[slots] = torch.tensor(rasters, device=mean.device)

    def note_sources(self, slot: int, exemplar: int, middles: Tensor) -> None:
        """Note where a code is from: the number of its exemplar, and `1 axes *positions` of the finest field."""
        self.sources[slot, 0] = exemplar
        self.sources[slot, 1:] = middles[0].to(self.sources)

    def forward(
        self,
        noise: Tensor,
        wrapped: Sequence[bool] | None = None,
        given: Tensor | None = None,
        known: Tensor | None = None,
        origin: Sequence[int] | None = None,
    ) -> Tensor:
        """A draw: the latent fields at the end of the paths that begin at `noise`.

        wrapped: the axes on which `noise` is a torus; by default all stationary ones. given: values, `b
        latent_channels *latent_grid`, for where `known`, of the same shape, is true: what is drawn beside them fits.
        origin: place of the first position in the whole field, per axis (default 0), which regular patterns depend on.
        """
        return self._draw(noise, wrapped, given, known, origin)[0]

    def trace(
        self,
        noise: Tensor,
        wrapped: Sequence[bool] | None = None,
        origin: Sequence[int] | None = None,
        given: Tensor | None = None,
        known: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """A draw as `forward` makes it, and where it is from: `b 1+axes *positions` of the finest field.

        For each position the number of the exemplar, and the place of its middle, per axis in the exemplar's pixels.
        """
        drawn, pieces, chosen = self._draw(noise, wrapped, given, known, origin)
        return drawn, self.seams.follow(self.sources, pieces, chosen, self.stationary if wrapped is None else wrapped)

    def _draw(
        self,
        noise: Tensor,
        wrapped: Sequence[bool] | None,
        given: Tensor | None,
        known: Tensor | None,
        origin: Sequence[int] | None,
    ) -> tuple[Tensor, Pieces, Tensor]:
        """A draw, its pieces, and the number of the piece that each position of the finest field is from."""
        wrapped = self.stationary if wrapped is None else wrapped
        noise, labels = noise.tensor_split([self.channels], 1)
        x = start = self._fold(noise)
        mixture = self._mixture(self._log_chances(x, labels, origin or (0,) * len(self.phases)))
        held, fixed = (None, None) if given is None or known is None else (self._fold(given), self._fold(known))

        def hold(x: Tensor, time: float) -> Tensor:
            return x if held is None or fixed is None else torch.where(fixed, torch.lerp(start, held, time), x)

        with torch.autocast(x.device.type, enabled=False):
            for step in range(_STEPS):
                time = step / _STEPS
                x = self._step(hold(x, time), time, time + 1 / _STEPS, mixture, wrapped)
            pieces = self._pieces(hold(x, 1.0), mixture)
            variance = mixture.variance.view(1, -1, *(1,) * len(self.ring))
            scale = ops.depth_to_space(variance.rsqrt(), self.folded)
            chosen = self.seams.choose(self.means, scale, pieces, wrapped, None if fixed is None else fixed.any(1))
            if self.seams.axes:
                joined = self.seams.join(self.means, pieces, chosen, wrapped)
                x = self._fold(joined) + variance.sqrt() * start
        x = hold(x, 1.0)
        return torch.cat((ops.depth_to_space(x, self.folded), labels), 1), pieces, chosen

    def _mixture(self, chances: Tensor | None) -> _Mixture:
        """The bank's Gaussians."""
        codes = self._fold(self.means)
        inner = codes[(..., *(slice(r, -r or None) for r in self.ring))]
        middle = _rows(inner)
        posterior = self._fold(self.variances.mean(0, keepdim=True)).flatten()
        return _Mixture(
            around=_rows(self._neighbourhoods(codes)),
            middle=middle,
            variance=posterior + self.bandwidth * middle.var(0),
            chances=chances,
        )

    def _pieces(self, x: Tensor, mixture: _Mixture) -> Pieces:
        """The places of the bank that the cells of a draw `x` are most likely of."""
        logits = _log_likelihood(_rows(x), mixture.middle, 1.0, mixture.variance)
        if mixture.chances is not None:
            logits = logits + mixture.chances
        nearest = logits.argmax(1).view(x.shape[0], *x.shape[2:])
        cells = (n // f for n, f in zip(self.inner, self.folded, strict=True))
        code, *inner = torch.unravel_index(nearest, (len(self.means), *cells))
        return Pieces(code, tuple(cell + ring for cell, ring in zip(inner, self.ring, strict=True)))

    def _step(self, x: Tensor, time: float, after: float, mixture: _Mixture, wrapped: Sequence[bool]) -> Tensor:
        """x at time `after` from x at `time`."""
        # The variances of x around t times a mean. The path within one Gaussian is known in closed form.
        now, then = ((1 - t) ** 2 + t**2 * mixture.variance for t in (time, after))
        logits = mixture.around.new_zeros(1, len(mixture.around))
        if time:  # x is pure noise before
            around = _rows(self._neighbourhoods(ops.pad(x, self.ring, wrapped)))
            logits = _log_likelihood(around, mixture.around, time, now.repeat(around.shape[1] // len(now)))
        if mixture.chances is not None:
            logits = logits + mixture.chances
        mean = logits.softmax(1) @ mixture.middle
        moved = after * mean + (then / now).sqrt() * (_rows(x) - time * mean)
        return moved.view(x.shape[0], *x.shape[2:], -1).movedim(-1, 1)

    def _neighbourhoods(self, x: Tensor) -> Tensor:
        """`b values *grid` -> `b places*values *inner_grid`, without the ring."""
        sizes = [size - 2 * n for size, n in zip(x.shape[2:], self.ring, strict=True)]
        shifted = []
        for offsets in product(*(range(2 * n + 1) for n in self.ring)):
            part = x
            for axis, (offset, size) in enumerate(zip(offsets, sizes, strict=True), start=2):
                part = part.narrow(axis, offset, size)
            shifted.append(part)
        return torch.cat(shifted, 1)

    def _fold(self, z: Tensor) -> Tensor:
        return ops.space_to_depth(z, self.folded)

    def _log_chances(self, x: Tensor, labels: Tensor, origin: Sequence[int]) -> Tensor | None:
        """`positions n`: the logarithm of what each of the bank's positions counts there; None where all count one."""
        shares = self._log_shares(labels)
        if not self.repeats:
            return shares
        own = self._places(x.shape[2:], torch.tensor([list(origin)]) * torch.tensor(self.step), x.device)
        grid = [n // f for n, f in zip(self.inner, self.folded, strict=True)]
        bank = self._places(grid, self.starts, x.device)
        other = torch.where(own[:, None] == bank, 0.0, _OTHER_PHASE).repeat(x.shape[0], 1)
        return other if shares is None else shares + other

    def _places(self, grid: Sequence[int], starts: Tensor, device: torch.device) -> Tensor:
        """For each position of grids that start there (`n axes`): a number for its place in the period."""
        place = torch.zeros((len(starts), *grid), dtype=torch.long, device=device)
        for axis, (size, step, phases) in enumerate(zip(grid, self.step, self.phases, strict=True)):
            along = (starts[:, axis : axis + 1].to(device) + step * torch.arange(size, device=device)) % phases
            place = place * phases + along.view(-1, *(size if n == axis else 1 for n in range(len(grid))))
        return place.flatten()

    def _log_shares(self, labels: Tensor) -> Tensor | None:
        """`positions n`: the logarithm of the share that the exemplar of each of the bank's positions has there."""
        if not labels.shape[1]:
            return None
        for axis, same in enumerate(self.stationary, start=2):
            labels = labels if same else labels.narrow(axis, 0, 1)
        shares = (_rows(labels) @ self.labels.T).clamp(min=_LEAST_SHARE)
        return shares.log().repeat_interleave(math.prod(self.inner) // math.prod(self.folded), 1)


@dataclass(frozen=True)
class _Mixture:
    """Gaussians around `n` positions of the bank."""

    around: Tensor  # `n places*values`: the means of a position and its neighbours
    middle: Tensor  # `n values`: those of the position
    variance: Tensor  # `values`
    chances: Tensor | None  # `positions n`: the logarithm of what each counts at the positions of a field


def _log_likelihood(x: Tensor, means: Tensor, time: float, variance: Tensor) -> Tensor:
    """log N(x; time * means, variance) of rows `x` for each of the `means`, but for what is the same for all."""
    scaled = means * (time / variance)
    return x @ scaled.T - (0.5 * time * means * scaled).sum(1)


def _rows(x: Tensor) -> Tensor:
    """`b values *grid` -> `positions values`."""
    return x.movedim(1, -1).flatten(0, -2)
