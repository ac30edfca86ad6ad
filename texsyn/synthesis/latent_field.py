"""The latent field of one texture: a torus whose rows are drawn from (seed, row), the same on every device."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from texsyn.core import ops
from texsyn.core.errors import Exit, TexsynError
from texsyn.models.triangle import Triangle
from texsyn.synthesis.extent import Extent

MARGIN = 3  # latent positions: more than the generator and the equaliser after it reach


@dataclass(frozen=True)
class End:
    """One end of a morph: the latent field of a seed, in the likeness of an exemplar."""

    seed: int = 0
    exemplar: int = 0


@dataclass(frozen=True)
class Blend:
    """A second end. shares: how far each position along `axis` is on its way to it; one number holds for all.

    steps: if not 0, fields are drawn at so many equal steps of the way, and latents interpolated between two of them:
    a draw changes abruptly where the noise leads to another code. For one share only.
    """

    end: End
    shares: tuple[float, ...]
    axis: int = 0
    steps: int = 0


def torus_grid(triangle: Triangle, extent: Extent) -> tuple[int, ...]:
    """Latent positions per axis of a texture's torus.

    On a wrapped axis the nearest multiple of the stride. On an axis that does not wrap, a torus larger than the texture
    by a margin: what is cut out of it has the same statistics up to its borders. Of a regular pattern, whole periods.
    """
    modality, grid = triangle.modality, []
    axes = zip(extent.size, triangle.texture_stride, triangle.phases, modality.scales, extent.wrapped, strict=True)
    for (size, stride, phases, scale, wrapped), same in zip(axes, modality.stationary, strict=True):
        unit, wanted = phases * stride, round(size * scale) if wrapped else math.ceil(size * scale)
        if wrapped:
            grid.append(max(1, (2 * wanted + unit) // (2 * unit)) * phases)
        else:
            grid.append(-(-(-(-wanted // stride) + (MARGIN if same else 0)) // phases) * phases)
    return tuple(grid)


# Rows at two steps of a blend, which fields of a morph share: by step, level, and the first and number of rows.
Drawn = dict[tuple[int, int, int, int], Tensor]


@dataclass(frozen=True)
class SampledField:
    """The latent field of one texture, or a blend of two. Raises TexsynError (exit 2) for an unknown exemplar."""

    triangle: Triangle
    start: End
    grid: tuple[int, ...]
    blend: Blend | None = None
    drawn: Drawn = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        exemplars = self.triangle.design.exemplars
        for end in (self.start, self.blend.end) if self.blend else (self.start,):
            if not 0 <= end.exemplar < exemplars:
                raise TexsynError(f"this run has {exemplars} exemplar(s), so no number {end.exemplar}", Exit.USAGE)

    @property
    def size(self) -> tuple[int, ...]:
        """Pixels (frames) round the torus, per axis."""
        return self.size_at(len(self.triangle.levels))

    def size_at(self, level: int) -> tuple[int, ...]:
        """Likewise, of the texture with so many levels; 0 for the base."""
        factor = math.prod(self.triangle.modality.factors[:level])
        return tuple(n * f * factor for n, f in zip(self.grid, self.triangle.stride, strict=True))

    def rows(self, indices: Sequence[int]) -> Tensor:
        """`1 latent_channels+labels n *rest`: consecutive rows of the first axis, counted round the torus."""
        if self.blend is not None and self.blend.steps:
            return self._interpolated(self.blend, 0, indices)
        return self._drawn(indices, self.triangle.draw_latents)

    def level_rows(self, level: int, indices: Sequence[int]) -> Tensor:
        """`1 latent_channels n *rest`: consecutive rows of the latent field of level number `level`, from 1."""
        if self.blend is not None and self.blend.steps:
            return self._interpolated(self.blend, level, indices)
        detail, below = self.triangle.detail[level - 1], self.size_at(level - 1)
        noise = self._level_noise(level, indices, below)
        if self.triangle.mixture_prior is None:
            return detail.latents(None, noise)
        cell = below[0] // self.grid[0]
        first, last = indices[0] // cell, -(-(indices[0] + len(indices)) // cell)
        sources = self._sources(first, min(last - first, self.grid[0]))
        # What is repeated in blocks begins with a block.
        block = below[0] // (self.grid[0] * self._fine)
        start = indices[0] - first * cell
        before, after = start % block, -(start + len(indices)) % block
        chosen = torch.arange(start - before, start + len(indices) + after, block) // block
        padded = F.pad(noise, (*(0,) * (2 * len(below) - 2), before, after))
        drawn = detail.latents(sources.index_select(2, chosen % sources.shape[2]), padded)
        return drawn.narrow(2, before, len(indices))

    def _sources(self, first: int, count: int) -> Tensor:
        """`1 1+axes *n` of rows of the base's field: see `Triangle.trace_latents`."""
        fine = self._fine

        def trace(noise: Tensor, wrapped: Sequence[bool], origin: Sequence[int], whole: Sequence[int]) -> Tensor:
            sources = self.triangle.trace_latents(noise, wrapped, origin, whole)[1]
            assert sources is not None
            return sources

        return self._drawn(range(first, first + count), trace, fine)

    @property
    def _fine(self) -> int:
        """Positions of the finest field along the first axis for each of the base's."""
        prior = self.triangle.mixture_prior
        return 1 if prior is None else prior.seams.fine[0]

    def _drawn(self, indices: Sequence[int], draw: Callable[..., Tensor], fine: int = 1) -> Tensor:
        """Rows, `fine` of them for each index, of what is drawn from noise."""
        prior, whole = self.triangle.mixture_prior, len(indices) == self.grid[0]
        reach = 0 if prior is None or whole else prior.reach[0]
        wrapped = list(self.triangle.modality.stationary)
        wrapped[0] = wrapped[0] and whole
        first = indices[0] - reach
        noise = self._noise(range(first, first + len(indices) + 2 * reach))
        origin = (first % self.grid[0], *(0 for _ in self.grid[1:]))
        return draw(noise, wrapped, origin, self.grid).narrow(2, fine * reach, fine * len(indices))

    def _interpolated(self, blend: Blend, level: int, indices: Sequence[int]) -> Tensor:
        """Rows of the base (0) or of a level, between those of the two steps beside the blend's share."""
        place = blend.shares[0] * blend.steps
        first = min(int(place), blend.steps - 1)
        for old in [each for each in self.drawn if each[0] not in (first, first + 1)]:
            del self.drawn[old]
        before, after = (self._at_step(blend, step, level, indices) for step in (first, first + 1))
        return torch.lerp(before, after, place - first)

    def _at_step(self, blend: Blend, step: int, level: int, indices: Sequence[int]) -> Tensor:
        key = step, level, indices[0], len(indices)
        if key not in self.drawn:
            there = replace(self, blend=replace(blend, shares=(step / blend.steps,), steps=0))
            self.drawn[key] = there.level_rows(level, indices) if level else there.rows(indices)
        return self.drawn[key]

    def _noise(self, indices: Sequence[int]) -> Tensor:
        """Rows of the noise from which fields are drawn, with labels.

        Blended noise lies on the sphere between both ends, so it is standard normal too; labels are blended linearly.
        """
        start = self._draw(self.start, indices)
        if self.blend is None:
            return start
        end = self._draw(self.blend.end, indices)
        share = self._shares(self.blend, indices).to(start)
        split = self.triangle.design.latent_channels
        latents, labels = start[:, :split], start[:, split:]
        if self.start.seed != self.blend.end.seed:
            angle = share * (math.pi / 2)
            latents = angle.cos() * latents + angle.sin() * end[:, :split]
        return torch.cat((latents, torch.lerp(labels, end[:, split:], share.expand_as(labels))), 1)

    def _level_noise(self, level: int, indices: Sequence[int], size: Sequence[int]) -> Tensor:
        """Rows of the noise of a level's latents, on its torus of `size`; blended noise lies on the sphere."""
        channels = self.triangle.detail[level - 1].design.latent_channels

        def draw(seed: int) -> Tensor:
            generators = (ops.seeded_generator(seed, level, index % size[0]) for index in indices)
            rows = [torch.randn((channels, *size[1:]), generator=each) for each in generators]
            return torch.stack(rows, 1)[None].to(self.triangle.generator_ema.last.weight)

        start = draw(self.start.seed)
        if self.blend is None or self.start.seed == self.blend.end.seed:
            return start
        shares = self.blend.shares
        if len(shares) > 1:  # given for positions of the base's field
            repeats = size[self.blend.axis] // len(shares)
            shares = tuple(share for share in shares for _ in range(repeats))
        angle = self._shares(replace(self.blend, shares=shares), indices).to(start) * (math.pi / 2)
        return angle.cos() * start + angle.sin() * draw(self.blend.end.seed)

    def _shares(self, blend: Blend, indices: Sequence[int]) -> Tensor:
        """A blend's shares for rows, shaped to broadcast over `1 channels n *rest`."""
        share = torch.tensor(blend.shares)
        if blend.axis == 0 and len(share) > 1:
            share = share[[index % len(share) for index in indices]]
        return share.view(-1, *(1,) * (len(self.grid) - 1 - blend.axis))

    def _draw(self, end: End, indices: Sequence[int]) -> Tensor:
        shape = (self.triangle.design.latent_channels, *self.grid[1:])
        rows = [torch.randn(shape, generator=ops.seeded_generator(end.seed, index % self.grid[0])) for index in indices]
        noise = torch.stack(rows, 1)[None].to(self.triangle.generator_ema.last.weight)
        return self.triangle.labelled(noise, self.triangle.labels([end.exemplar]))
