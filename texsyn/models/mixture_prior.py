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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from texsyn.core import ops
from texsyn.core.architecture import Design
from texsyn.core.modality import Modality
from texsyn.models import precision
from texsyn.models.balance import balanced
from texsyn.models.seams import Pieces, Seams

_STEPS = 8  # from noise to a draw
_MOST_CODES = 256  # in the bank, of all exemplars
_WINDOWS = 2  # a code has at most the positions of so many training windows, per axis
# Of a Gaussian beside its posterior's, as a part of the variance of codes: with none, draws of a long fit are copies.
BANDWIDTH = 0.15  # in training, unless the recipe says another
_NO_SHARE = -1e6  # logarithm of the share of an exemplar that has none
_OTHER_PHASE = -1e4  # logarithm of what a code in another place of a period counts
_CELLS, _MOST_CELLS = 512, 2048  # of draws by which places are balanced: at most of each exemplar, and of all
_PER_PLACE = 4  # of these, at most
_BLOCK = 2  # cells along each axis of a still that a draw takes from one place: half as many seams
_COARSE = 4  # pixels of the blocks whose means `pictures` are, unless the finest field has more positions


@dataclass(frozen=True)
class Picture:
    """What textures should show, coarsely."""

    pixels: Tensor  # `b channels *blocks`, means over blocks
    known: Tensor  # `b 1 *blocks`: 1 where pieces are whole; 0 beside seams, where there is nothing to compare with

    def part(self, chunk: slice) -> Picture:
        return Picture(self.pixels[chunk], self.known[chunk])


class MixturePrior(nn.Module):
    """Noise -> latent fields of one model, both `b latent_channels+labels *latent_grid`; labels stay as they are."""

    means: Tensor
    variances: Tensor
    labels: Tensor
    outside: Tensor
    balance: Tensor
    starts: Tensor
    sources: Tensor
    bandwidth: Tensor
    pictures: Tensor

    def __init__(self, modality: Modality, design: Design, traced: bool = False) -> None:
        """traced: codes know the places of the exemplars that they are of, for `trace`."""
        super().__init__()
        self.stationary, self.channels, self.stride = modality.stationary, design.latent_channels, design.stride
        # Positions on fixed axes differ by their place, so they are channels.
        whole = modality.network_size(modality.size)
        sizes = list(zip(whole, modality.window, design.stride, modality.stationary, strict=True))
        self.folded = tuple(1 if same else w // f for _, w, f, same in sizes)
        self.ring = tuple(int(same) for same in modality.stationary)  # positions at the ends that are only neighbours
        inner = (max(1, min(n - f + 1, _WINDOWS * w) // f) for n, w, f, _ in sizes)
        # Per axis: positions of a code, without the ring.
        self.inner = tuple(n if same else f for n, f, same in zip(inner, self.folded, self.stationary, strict=True))
        self.cells = tuple(n // f for n, f in zip(self.inner, self.folded, strict=True))  # likewise, folded
        grid = tuple(n + 2 * r for n, r in zip(self.inner, self.ring, strict=True))
        count = max(design.exemplars, min(design.codes * design.exemplars, _MOST_CODES))
        # Of the posterior: means, and variances averaged over stationary axes.
        self.register_buffer("means", torch.zeros(count, self.channels, *grid))
        self.register_buffer("variances", torch.ones(count, self.channels, *self.folded))
        self.register_buffer("labels", torch.zeros(count, design.labels))  # of the codes' exemplars
        self.register_buffer("bandwidth", torch.tensor(BANDWIDTH))
        self.phases, raster = modality.phases(design.stride), modality.raster(design.stride)
        self.repeats = max(self.phases) > 1
        eased = modality.is_stationary_still and not self.repeats
        self.seams = Seams(design.fields, self.stationary, self.folded, eased)
        # Per axis; codes of small windows have fewer cells.
        self.block = tuple(min(_BLOCK, n) if modality.is_stationary_still else 1 for n in self.inner)
        # Added to the log-likelihoods, per value, of blocks that begin at a place: see `settle`.
        begins = (n - b + 1 for n, b in zip(self.cells, self.block, strict=True))
        self.register_buffer("balance", torch.zeros(count, *begins))
        # Per axis: pixels of the blocks whose means `pictures` are.
        self.coarse = tuple(min(_COARSE, f // n) for f, n in zip(design.stride, self.seams.fine, strict=True))
        # Of positions of the finest field (one along fixed axes): the share that lies outside the exemplar, reflected.
        fine = [n * f // each for n, f, each in zip(grid, self.seams.fine, self.folded, strict=True)]
        self.register_buffer("outside", torch.zeros(count, *fine))
        self.traced = traced
        if traced:  # number of the exemplar, and per axis the middle in its pixels, of the finest field's positions
            self.register_buffer("sources", torch.zeros(count, 1 + len(grid), *fine))
        # Of a regular pattern, a code's positions are drawn only where they are in the same place of a period.
        self.raster, self.step = raster, tuple(f // n for f, n in zip(design.stride, raster, strict=True))
        if self.repeats:
            self.register_buffer("starts", torch.zeros(count, len(grid), dtype=torch.long))  # of crops, in rasters

    @property
    def reach(self) -> tuple[int, ...]:
        """Per axis: positions beyond which noise has no influence on a draw. The first step sees only its own."""
        axes = zip(self.ring, self.seams.reach, self.block, strict=True)
        return tuple((_STEPS - 1) * n + m + 2 * (block - 1) for n, m, block in axes)

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

    def repeat_first(self, count: int) -> None:
        """Copy the first codes, so many, into all other slots, in turn: as if there were only these."""
        turn = torch.arange(len(self.means), device=self.means.device) % count
        for name, values in self.named_buffers():
            if name != "bandwidth":
                values.copy_(values[turn])

    def note_outside(self, slot: int, share: Tensor) -> None:
        """Note how much of each position of the finest field, `*positions`, lies outside the exemplar: 0 to 1."""
        self.outside[slot] = share

    @torch.no_grad()
    def settle(self, bandwidth: float) -> None:
        """Set the bandwidth, and balance the places of the codes, which depends on it.

        Where neighbours in a field disagree, codes in the midst of all others are nearest to all of them: flat and dark
        places would be drawn a hundred times as often as some. What is added to likelihoods here makes draws take each
        place as often as any other of its exemplar, and never those that reach outside. Regular patterns, of which a
        cell has few places, are not balanced otherwise.
        """
        self.bandwidth.fill_(bandwidth)
        fine = self.seams.fine
        inner = ops.without_margins(self.outside, [r * n for r, n in zip(self.ring, fine, strict=True)])
        outside = self._block_totals(ops.block_mean(inner[:, None], fine)[:, 0])
        exemplars = self.labels.argmax(1) if self.labels.shape[1] else self.labels.new_zeros(len(self.labels))
        typical = None if self.repeats else self._typical_logits()
        for exemplar in range(self.labels.shape[1] or 1):
            own = exemplars == exemplar
            if not own.any():  # nothing is encoded yet
                continue
            free = (outside[own] == outside[own].min()).to(outside).flatten()
            added = free.log() if typical is None else balanced(typical[exemplar][:, own].flatten(1), free / free.sum())
            self.balance[own] = added.view_as(outside[own])

    def _typical_logits(self) -> Tensor:
        """For each exemplar, `draws n *begins`: the log-likelihoods per value of blocks of a draw on a torus."""
        labels = torch.eye(self.labels.shape[1]).to(self.labels) if self.labels.shape[1] else self.labels[:1]
        count = min(_CELLS, _MOST_CELLS / len(labels), _PER_PLACE * self.balance.numel() / len(labels))
        side = max(2, round(count ** (1 / max(1, sum(self.stationary)))))
        grid = [side if same else 1 for same in self.stationary]
        channels = self.channels * math.prod(self.folded)
        start = torch.randn(len(labels), channels, *grid, generator=ops.seeded_generator(0)).to(self.means)
        fields = labels.view(*labels.shape, *(1 for _ in grid)).expand(-1, -1, *grid)
        mixture = self._mixture(self._log_chances(start, fields, (0,) * len(grid)))
        with precision.autocast("float32", start.device):
            logits = self._logits(self._flow(start, mixture, self.stationary), mixture)
            sums = self._block_sums(logits, self.stationary) / len(mixture.variance)
        return sums.flatten(1, len(grid))

    def note_sources(self, slot: int, exemplar: int, middles: Tensor) -> None:
        """Note where a code is from: the number of its exemplar, and `1 axes *positions` of the finest field."""
        self.sources[slot, 0] = exemplar
        self.sources[slot, 1:] = middles[0].to(self.sources)

    def keep_pictures(self, channels: int) -> None:
        """Keep what the crops of codes show, in means over blocks of 4 x 4 pixels, for `illustrate`."""
        grid = (n * f // each for n, f, each in zip(self.means.shape[2:], self.stride, self.coarse, strict=True))
        self.register_buffer("pictures", self.means.new_zeros(len(self.means), channels, *grid))

    @property
    def has_pictures(self) -> bool:
        return hasattr(self, "pictures")

    def note_picture(self, slot: int, pixels: Tensor) -> None:
        """Note what the crop of a code shows, `channels *pixels`."""
        self.pictures[slot] = ops.block_mean(pixels[None], self.coarse)[0]

    def illustrate(self, noise: Tensor) -> tuple[Tensor, Picture]:
        """A draw on a torus, and what it should show: of each piece what the crop shows whose code it is of."""
        drawn, pieces, chosen = self._draw(noise, self.stationary)
        fine = self.seams.fine
        blocks = [f // n // each for f, n, each in zip(self.stride, fine, self.coarse, strict=True)]
        shown = self.seams.follow(ops.space_to_depth(self.pictures, blocks), pieces, chosen, self.stationary)
        bank = (len(self.means), *(n * f for n, f in zip(self.means.shape[2:], fine, strict=True)))
        whole = self.seams.undivided(bank, pieces, chosen)[:, None].to(drawn)
        return drawn, Picture(ops.depth_to_space(shown, blocks), ops.repeat(whole, blocks))

    def forward(
        self,
        noise: Tensor,
        wrapped: Sequence[bool] | None = None,
        given: Tensor | None = None,
        known: Tensor | None = None,
        origin: Sequence[int] | None = None,
        whole: Sequence[int] | None = None,
    ) -> Tensor:
        """A draw: the latent fields at the end of the paths that begin at `noise`.

        wrapped: the axes on which `noise` is a torus; by default all stationary ones. given: values, `b
        latent_channels *latent_grid`, for where `known`, of the same shape, is true: what is drawn beside them fits.
        origin: place of the first position in the whole field, per axis (default 0), which blocks and regular patterns
        depend on. whole: positions of the whole field, per axis (default: of `noise`), after which it begins again.
        """
        return self._draw(noise, wrapped, given, known, origin, whole)[0]

    def trace(
        self,
        noise: Tensor,
        wrapped: Sequence[bool] | None = None,
        origin: Sequence[int] | None = None,
        given: Tensor | None = None,
        known: Tensor | None = None,
        whole: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """A draw as `forward` makes it, and where it is from: `b 1+axes *positions` of the finest field.

        For each position the number of the exemplar, and the place of its middle, per axis in the exemplar's pixels.
        """
        drawn, pieces, chosen = self._draw(noise, wrapped, given, known, origin, whole)
        return drawn, self.seams.follow(self.sources, pieces, chosen, self.stationary if wrapped is None else wrapped)

    def _draw(
        self,
        noise: Tensor,
        wrapped: Sequence[bool] | None = None,
        given: Tensor | None = None,
        known: Tensor | None = None,
        origin: Sequence[int] | None = None,
        whole: Sequence[int] | None = None,
    ) -> tuple[Tensor, Pieces, Tensor]:
        """A draw, its pieces, and the number of the piece that each position of the finest field is from."""
        wrapped = self.stationary if wrapped is None else wrapped
        noise, labels = noise.tensor_split([self.channels], 1)
        start = self._fold(noise)
        origin = origin or (0,) * len(self.phases)
        mixture = self._mixture(self._log_chances(start, labels, origin))
        held, fixed = (None, None) if given is None or known is None else (self._fold(given), self._fold(known))

        def hold(x: Tensor, time: float) -> Tensor:
            return x if held is None or fixed is None else torch.where(fixed, torch.lerp(start, held, time), x)

        with precision.autocast("float32", start.device):
            x = self._flow(start, mixture, wrapped, hold)
            kept = None if fixed is None else fixed.any(1)
            within = self._within(x, origin, whole)
            pieces = self._pieces(x, mixture, wrapped, within, kept)
            variance = mixture.variance.view(1, -1, *(1,) * len(self.ring))
            scale = ops.depth_to_space(variance.rsqrt(), self.folded)
            chosen = self.seams.choose(self.means, scale, self.outside, pieces, wrapped, kept)
            if self.seams.axes:
                joined = self.seams.join(self.means, pieces, chosen, wrapped)
                x = self._fold(joined) + variance.sqrt() * start
        x = hold(x, 1.0)
        return torch.cat((ops.depth_to_space(x, self.folded), labels), 1), pieces, chosen

    def _mixture(self, chances: Tensor | None) -> _Mixture:
        """The bank's Gaussians."""
        codes = self._fold(self.means)
        middle = _rows(ops.without_margins(codes, self.ring))
        posterior = self._fold(self.variances.mean(0, keepdim=True)).flatten()
        return _Mixture(
            around=_rows(self._neighbourhoods(codes)),
            middle=middle,
            variance=posterior + self.bandwidth * middle.var(0),
            chances=chances,
        )

    def _pieces(
        self, x: Tensor, mixture: _Mixture, wrapped: Sequence[bool], within: Sequence[Tensor], kept: Tensor | None
    ) -> Pieces:
        """The places of the bank that the cells of a draw `x` are most likely of, block by block.

        within: of `_within`. Cells of a block are from places beside each other; but where one of its cells is `kept`,
        `b *cells`, each cell is from its own.
        """
        logits = self._logits(x, mixture)
        begins = self._block_sums(logits, wrapped) / len(mixture.variance) + self.balance
        blocks = self._of_blocks(self._nearest(begins), within)
        if kept is None:
            return blocks
        singles, apart = self._nearest(logits), self._touched(kept, wrapped, within)
        places = zip(singles.places, blocks.places, strict=True)
        return Pieces(torch.where(apart, singles.code, blocks.code), tuple(torch.where(apart, a, b) for a, b in places))

    def _logits(self, x: Tensor, mixture: _Mixture) -> Tensor:
        """`b *cells n *cells`: the log-likelihood of each cell of a draw `x` for each place of the bank."""
        logits = _log_likelihood(_rows(x), mixture.middle, 1.0, mixture.variance)
        if mixture.chances is not None:
            logits = logits + mixture.chances
        return logits.view(x.shape[0], *x.shape[2:], len(self.means), *self.cells)

    def _nearest(self, logits: Tensor) -> Pieces:
        """The likeliest places for each cell. logits: `b *cells n *cells` of the field and of the bank."""
        axes = len(self.ring)
        code, *inner = torch.unravel_index(logits.flatten(1 + axes).argmax(-1), logits.shape[1 + axes :])
        return Pieces(code, tuple(cell + ring for cell, ring in zip(inner, self.ring, strict=True)))

    def _block_totals(self, values: Tensor) -> Tensor:
        """`n *cells` of the bank -> `n *begins`: sums over the blocks that begin there."""
        for axis, block in enumerate(self.block, start=1):
            values = values.unfold(axis, block, 1).sum(-1)
        return values

    def _block_sums(self, logits: Tensor, wrapped: Sequence[bool]) -> Tensor:
        """Likelihoods of the blocks that begin at each cell. Beyond an end that is not wrapped, nothing is added."""
        axes = len(self.ring)
        for axis, (block, circular) in enumerate(zip(self.block, wrapped, strict=True)):
            field, bank = axis + 1, axis + 2 + axes
            total = logits.narrow(bank, 0, logits.shape[bank] - block + 1)
            for n in range(1, block):
                beside = _shifted(logits, field, n, circular)
                total = total + beside.narrow(bank, n, logits.shape[bank] - block + 1)
            logits = total
        return logits

    def _within(self, x: Tensor, origin: Sequence[int], whole: Sequence[int] | None) -> list[Tensor]:
        """Per axis: the place of each cell within its block. Blocks are counted from the whole field's first cell."""
        found = []
        for axis, (block, first) in enumerate(zip(self.block, origin, strict=True)):
            own = torch.arange(x.shape[axis + 2], device=x.device) + first
            found.append((own if whole is None else own % whole[axis]) % block)
        return found

    def _of_blocks(self, starts: Pieces, within: Sequence[Tensor]) -> Pieces:
        """For each cell the place that its block's first cell gives it."""
        code, places = starts.code, list(starts.places)
        for axis, place in enumerate(within):
            # A block that begins before a band is no part of what is kept of it.
            begins = (torch.arange(code.shape[axis + 1], device=code.device) - place).clamp(min=0)
            code, *places = (each.index_select(axis + 1, begins) for each in (code, *places))
            places[axis] = places[axis] + place.view(-1, *(1,) * (len(within) - 1 - axis))
        return Pieces(code, tuple(places))

    def _touched(self, kept: Tensor, wrapped: Sequence[bool], within: Sequence[Tensor]) -> Tensor:
        """`b *cells`: true in every cell of a block of which one is kept."""
        whole = kept.float()
        for axis, (block, circular) in enumerate(zip(self.block, wrapped, strict=True)):
            whole = sum((_shifted(whole, axis + 1, n, circular) for n in range(1, block)), whole)
        same = torch.zeros_like(kept, dtype=torch.long)
        return self._of_blocks(Pieces((whole > 0).long(), (same,) * len(self.block)), within).code > 0

    def _flow(
        self,
        start: Tensor,
        mixture: _Mixture,
        wrapped: Sequence[bool],
        hold: Callable[[Tensor, float], Tensor] = lambda x, time: x,
    ) -> Tensor:
        """The end of the path that begins at `start`; `hold` gives what is known of x at a time."""
        x = start
        for step in range(_STEPS):
            time = step / _STEPS
            x = self._step(hold(x, time), time, time + 1 / _STEPS, mixture, wrapped)
        return hold(x, 1.0)

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
        bank = self._places(self.cells, self.starts, x.device)
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
        shares = (_rows(labels) @ self.labels.T).log().clamp(min=_NO_SHARE)
        return shares.repeat_interleave(math.prod(self.inner) // math.prod(self.folded), 1)


@dataclass(frozen=True)
class _Mixture:
    """Gaussians around `n` positions of the bank."""

    around: Tensor  # `n places*values`: the means of a position and its neighbours
    middle: Tensor  # `n values`: those of the position
    variance: Tensor  # `values`
    chances: Tensor | None  # `positions n`: the logarithm of what each counts at the positions of a field


def _shifted(x: Tensor, axis: int, n: int, circular: bool) -> Tensor:
    """What lies `n` positions further along an axis; beyond an end that is not circular, 0."""
    index = torch.arange(x.shape[axis], device=x.device)
    moved = x.index_select(axis, index.roll(-n))
    if circular:
        return moved
    inside = (index < x.shape[axis] - n).view(-1, *(1,) * (x.dim() - 1 - axis))
    return torch.where(inside, moved, 0.0)


def _log_likelihood(x: Tensor, means: Tensor, time: float, variance: Tensor) -> Tensor:
    """log N(x; time * means, variance) of rows `x` for each of the `means`, but for what is the same for all."""
    scaled = means * (time / variance)
    return x @ scaled.T - (0.5 * time * means * scaled).sum(1)


def _rows(x: Tensor) -> Tensor:
    """`b values *grid` -> `positions values`."""
    return x.movedim(1, -1).flatten(0, -2)
