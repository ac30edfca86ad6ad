"""What a level learns from: what its exemplars lose below it, and draws of what lies below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from texsyn.core import ops
from texsyn.core.maps import channels_of
from texsyn.core.recipes import Recipe
from texsyn.media.exemplar import Place, random_places
from texsyn.models import precision
from texsyn.models.level import LEAST_DEVIATION, Codes, Level
from texsyn.models.triangle import Triangle
from texsyn.models.trio import Below
from texsyn.training.data import Batch, Stream
from texsyn.training.deformation import reflected_crop
from texsyn.training.state import TrainState

_PIECE = 64  # positions of codes that are encoded at once, per axis
_MARGIN = 8  # positions beside them that are encoded as well, which see the zeros beyond the crop
INTERVAL = 10  # steps from one piece to the next, and from one draw of what lies below to the next
_RATE = 0.1  # at which the codes' variance moves to that of a new piece


class Detail:
    """The exemplars of one level, and draws of what lies below it. number: of the level, from 1."""

    def __init__(self, triangle: Triangle, number: int, pixels: Sequence[Tensor]) -> None:
        """pixels: of the exemplars at their own size, `channels *axes` each."""
        self.triangle, self.number = triangle, number
        no_wrap = (False,) * len(triangle.modality.axes)
        self.own = [triangle.reduced(triangle.fitted(each)[None], number)[0] for each in pixels]
        below = [self.level.below(each[None], no_wrap) for each in self.own]
        self.coarse, self.enlarged = [each.coarse[0] for each in below], [each.enlarged[0] for each in below]
        self.lost = [each - enlarged for each, enlarged in zip(self.own, self.enlarged, strict=True)]
        self._drawn: tuple[int, Tensor, Tensor | None] | None = None  # the newest draw of what lies below

    @property
    def level(self) -> Level:
        return self.triangle.detail[self.number - 1]

    def begin(self, state: TrainState, recipe: Recipe) -> None:
        """Before the first step: what is lost is measured in its deviation, of each map, and all is encoded."""
        for part in channels_of(self.triangle.modality.planes):
            squares = torch.cat([each[part].flatten() for each in self.lost]).square()
            self.level.deviation[part] = squares.mean().sqrt().clamp(min=LEAST_DEVIATION)
        self.encode(state.codes[self.number - 1], recipe)

    def encode(self, codes: Codes, recipe: Recipe) -> None:
        """Encode all exemplars."""
        variances = [self._encode(codes, piece, recipe) for piece in self._pieces()]
        codes.variance.copy_(torch.stack(variances).mean(0))

    def renew(self, state: TrainState, recipe: Recipe) -> None:
        """Every few steps, encode another piece."""
        if state.step % INTERVAL:
            return
        codes, pieces = state.codes[self.number - 1], list(self._pieces())
        variance = self._encode(codes, pieces[state.step // INTERVAL % len(pieces)], recipe)
        codes.variance.lerp_(variance, _RATE)

    def batch(self, state: TrainState, recipe: Recipe) -> Batch:
        """The batch of a step: crops of what is lost, and as many of draws."""
        level, step, count = self.level, state.step, recipe.batch_size
        random = ops.seeded_generator(recipe.seed, Stream.CROP, step)
        window = level.modality.window
        sizes = [each.shape[1:] for each in self.lost]
        places = random_places(sizes, window, step * count, count, random, level.stride)
        x = torch.stack([self.lost[n][place] for n, place in places]) / level.deviation
        z, drawn = self.draws(state.codes[self.number - 1], recipe, count, step, Stream.PRIOR)
        shape = (count, *level.latent_shape(window))
        noise = torch.randn(shape, generator=ops.seeded_generator(recipe.seed, Stream.POSTERIOR, step))
        return Batch(
            places,
            x=x.contiguous(memory_format=ops.memory_format(len(window))),
            z=z,
            noise=noise.to(x.device),
            labels=None,
            mask=None,
            below=Below(
                torch.cat((self._cut(self.coarse, places, level.stride), drawn.coarse)),
                torch.cat((self._cut(self.enlarged, places, (1,) * len(window)), drawn.enlarged)),
            ),
        )

    def draws(self, codes: Codes, recipe: Recipe, count: int, step: int, stream: Stream) -> tuple[Tensor, Below]:
        """Random crops of draws of what lies below, and the level's latents for them."""
        level = self.level
        coarse, sources = self._below(recipe, step // INTERVAL)
        random = ops.seeded_generator(recipe.seed, stream, step)
        noise = torch.randn((len(coarse), level.design.latent_channels, *coarse.shape[2:]), generator=random)
        z = level.latents(sources, noise.to(coarse), codes)
        enlarged = level.enlarge(coarse, level.modality.stationary)
        window = [n // f for n, f in zip(level.modality.window, level.stride, strict=True)]
        found = []
        for each in range(count):
            number, starts = each % len(coarse), [int(torch.randint(n, (), generator=random)) for n in coarse.shape[2:]]
            along = list(zip(starts, window, level.stride, strict=True))
            crops = [_around(field[number], [(s, n) for s, n, _ in along]) for field in (z, coarse)]
            found.append((*crops, _around(enlarged[number], [(s * f, n * f) for s, n, f in along])))
        z, coarse, enlarged = (torch.stack(each) for each in zip(*found, strict=True))
        return z, Below(coarse, enlarged)

    def _below(self, recipe: Recipe, number: int) -> tuple[Tensor, Tensor | None]:
        """Draw number `number` of what lies below: tori of a training window of the base, in whole periods."""
        if self._drawn is None or self._drawn[0] != number:
            triangle, count = self.triangle, recipe.batch_size
            random = ops.seeded_generator(recipe.seed, Stream.BELOW, number)
            shape = (count, *triangle.torus_shape(triangle.modality.window))
            noise = torch.randn(shape, generator=random).to(triangle.device)
            exemplars = [(number * count + n) % len(self.lost) for n in range(count)]
            noises, size = [], [n * f for n, f in zip(shape[2:], triangle.stride, strict=True)]
            for level in triangle.detail[: self.number - 1]:
                noises.append(torch.randn((count, level.design.latent_channels, *size), generator=random))
                size = [n * f for n, f in zip(size, level.stride, strict=True)]
            with torch.no_grad():
                z, sources = triangle.trace_latents(triangle.labelled(noise, triangle.labels(exemplars)))
                below = triangle.cascade(z, sources, [each.to(noise) for each in noises])
            self._drawn = number, below.float(), sources
        return self._drawn[1:]

    def _pieces(self) -> Iterator[Place]:
        """Pieces of the exemplars below the level, that of each exemplar in the order of rows."""
        for number, each in enumerate(self.coarse):
            starts = [range(0, size, _PIECE) for size in each.shape[1:]]
            for corner in product(*starts):
                ends = (min(s + _PIECE, size) for s, size in zip(corner, each.shape[1:], strict=True))
                yield number, (slice(None), *(slice(s, e) for s, e in zip(corner, ends, strict=True)))

    @torch.no_grad()
    def _encode(self, codes: Codes, piece: Place, recipe: Recipe) -> Tensor:
        """Encode one piece; returns the posterior's variance there, `latent_channels`."""
        number, place = piece
        level, stride = self.level, self.level.stride
        crop = (place[0], *(slice(p.start * f, p.stop * f) for p, f in zip(place[1:], stride, strict=True)))
        margins = [_MARGIN * f for f in stride]
        lost, enlarged = (reflected_crop(each[number], crop, margins)[None] for each in (self.lost, self.enlarged))
        with precision.autocast(recipe.precision, self.triangle.device):
            mean, log_variance = level.posterior(lost / level.deviation, enlarged)
        inner = (slice(None), *(slice(_MARGIN, -_MARGIN) for _ in stride))
        codes.means[number][place] = mean[0][inner]
        variance: Tensor = log_variance[0][inner].exp().flatten(1).mean(1)
        return variance

    def _cut(self, fields: Sequence[Tensor], places: Sequence[Place], stride: Sequence[int]) -> Tensor:
        """Crops of fields that have one position for each `stride` pixels."""
        crops = []
        for number, (_, *parts) in places:
            crop = (slice(p.start // f, p.stop // f) for p, f in zip(parts, stride, strict=True))
            crops.append(fields[number][(slice(None), *crop)])
        return torch.stack(crops)


def _around(field: Tensor, parts: Sequence[tuple[int, int]]) -> Tensor:
    """A crop of a torus, `channels *grid`: per axis where it starts and its size."""
    for axis, (start, size) in enumerate(parts, start=1):
        index = torch.arange(start, start + size, device=field.device) % field.shape[axis]
        field = field.index_select(axis, index)
    return field
