"""The latent field of one texture: a torus whose rows are drawn from (seed, row), the same on every device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
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
    axes = zip(extent.size, triangle.stride, triangle.phases, modality.scales, extent.wrapped, strict=True)
    for (size, stride, phases, scale, wrapped), same in zip(axes, modality.stationary, strict=True):
        unit, wanted = phases * stride, round(size * scale) if wrapped else math.ceil(size * scale)
        if wrapped:
            grid.append(max(1, (2 * wanted + unit) // (2 * unit)) * phases)
        else:
            grid.append(-(-(-(-wanted // stride) + (MARGIN if same else 0)) // phases) * phases)
    return tuple(grid)


@dataclass(frozen=True)
class SampledField:
    """The latent field of one texture, or a blend of two. Raises TexsynError (exit 2) for an unknown exemplar."""

    triangle: Triangle
    start: End
    grid: tuple[int, ...]
    blend: Blend | None = None

    def __post_init__(self) -> None:
        exemplars = self.triangle.design.exemplars
        for end in (self.start, self.blend.end) if self.blend else (self.start,):
            if not 0 <= end.exemplar < exemplars:
                raise TexsynError(f"this run has {exemplars} exemplar(s), so no number {end.exemplar}", Exit.USAGE)

    @property
    def size(self) -> tuple[int, ...]:
        """Pixels (frames) round the torus, per axis."""
        return tuple(n * f for n, f in zip(self.grid, self.triangle.stride, strict=True))

    def rows(self, indices: Sequence[int]) -> Tensor:
        """`1 latent_channels+labels n *rest`: consecutive rows of the first axis, counted round the torus."""
        if self.blend is not None and self.blend.steps:
            return self._interpolated(self.blend, indices)
        prior, whole = self.triangle.mixture_prior, len(indices) == self.grid[0]
        reach = 0 if prior is None or whole else prior.reach[0]
        wrapped = list(self.triangle.modality.stationary)
        wrapped[0] = wrapped[0] and whole
        first = indices[0] - reach
        noise = self._noise(range(first, first + len(indices) + 2 * reach))
        origin = (first % self.grid[0], *(0 for _ in self.grid[1:]))
        return self.triangle.draw_latents(noise, wrapped, origin).narrow(2, reach, len(indices))

    def _interpolated(self, blend: Blend, indices: Sequence[int]) -> Tensor:
        place = blend.shares[0] * blend.steps
        first = min(int(place), blend.steps - 1)
        blends = (replace(blend, shares=((first + n) / blend.steps,), steps=0) for n in range(2))
        before, after = (replace(self, blend=each).rows(indices) for each in blends)
        return torch.lerp(before, after, place - first)

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

    def _shares(self, blend: Blend, indices: Sequence[int]) -> Tensor:
        """A blend's shares for rows, shaped to broadcast over `1 channels n *rest`."""
        share = torch.tensor(blend.shares)
        if blend.axis == 0 and len(share) > 1:
            share = share[[index % self.grid[0] for index in indices]]
        return share.view(-1, *(1,) * (len(self.grid) - 1 - blend.axis))

    def _draw(self, end: End, indices: Sequence[int]) -> Tensor:
        shape = (self.triangle.design.latent_channels, *self.grid[1:])
        rows = [torch.randn(shape, generator=ops.seeded_generator(end.seed, index % self.grid[0])) for index in indices]
        field = torch.stack(rows, 1)[None].to(self.triangle.generator_ema.last.weight)
        return self.triangle.labelled(field, self.triangle.labels([end.exemplar]))
