"""The latent field of one texture, drawn from its seed row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from texsyn.core.errors import Exit, TexsynError
from texsyn.models.triangle import Triangle

MARGIN = 3  # latent positions: more than the generator and the equaliser after it reach
PIECE = {2: (512, 2048), 3: (128, 192, 192)}  # pixels (frames) per axis that are made at once, without margins


@dataclass(frozen=True)
class End:
    """One end of a morph: the latent field of a seed, in the likeness of an exemplar."""

    seed: int = 0
    exemplar: int = 0


@dataclass(frozen=True)
class SampledField:
    """The latent field of one texture: drawn from its seed row by row along the first axis, on every device alike.

    Where there is another end, `shares` says how far each position along `axis` is on its way to it: one number for
    each position, or one for all.
    """

    triangle: Triangle
    start: End
    grid: tuple[int, ...]
    end: End | None = None
    axis: int = 0
    shares: tuple[float, ...] = (0.0,)

    @classmethod
    def of(
        cls,
        triangle: Triangle,
        start: End,
        goal: Sequence[int],
        wrapped: Sequence[bool],
        end: End | None = None,
        axis: int = 0,
        shares: tuple[float, ...] = (0.0,),
    ) -> SampledField:
        """An axis that must not wrap is cut out of a larger torus: its rims are like its inside."""
        for each in (start, end or start):
            if not 0 <= each.exemplar < triangle.design.exemplars:
                raise TexsynError(
                    f"this run knows {triangle.design.exemplars} exemplar(s), so there is no number {each.exemplar}",
                    Exit.USAGE,
                )
        stationary = triangle.modality.stationary
        grid = tuple(
            max(1, (2 * size + factor) // (2 * factor)) if around else -(-size // factor) + (MARGIN if same else 0)
            for size, factor, same, around in zip(goal, triangle.stride, stationary, wrapped, strict=True)
        )
        return cls(triangle, start, grid, end, axis, shares)

    @property
    def size(self) -> tuple[int, ...]:
        """Pixels (frames) round the torus, per axis."""
        return tuple(n * f for n, f in zip(self.grid, self.triangle.stride, strict=True))

    def rows(self, indices: Sequence[int]) -> Tensor:
        """`1 latent_channels+labels n *rest` from the prior."""
        field = self._drawn(self.start, indices)
        if self.end is None:
            return field
        share = torch.tensor(self.shares)
        if self.axis == 0 and len(share) > 1:
            share = share[[index % self.grid[0] for index in indices]]
        share = share.view(-1, *(1,) * (len(self.grid) - 1 - self.axis)).to(field)
        other = self._drawn(self.end, indices)
        split = self.triangle.design.latent_channels
        latents = field[:, :split]
        if self.start.seed != self.end.seed:
            angle = share * (math.pi / 2)
            latents = angle.cos() * latents + angle.sin() * other[:, :split]
        return torch.cat(
            (latents, torch.lerp(field[:, split:], other[:, split:], share.expand_as(field[:, split:]))), 1
        )

    def _drawn(self, end: End, indices: Sequence[int]) -> Tensor:
        shape = (self.triangle.design.latent_channels, *self.grid[1:])
        drawn = [torch.randn(shape, generator=_row_generator(end.seed, index % self.grid[0])) for index in indices]
        field = torch.stack(drawn, 1)[None].to(self.triangle.generator_ema.last.weight)
        return self.triangle.labelled(field, self.triangle.labels([end.exemplar]))

    @torch.inference_mode()
    def texture(self, first: int, last: int) -> Tensor:
        """`channels last-first *rest`: pixels `first` to `last` round the first axis, all of the others."""
        return self._pieces([(first, last)])

    def _pieces(self, windows: list[tuple[int, int]]) -> Tensor:
        axis, pieces = len(windows), PIECE[len(self.grid)]
        if axis == len(self.grid):
            return self._piece(windows)
        size, step = self.size[axis], pieces[axis] if self.triangle.modality.stationary[axis] else self.size[axis]
        parts = [self._pieces([*windows, (n, min(size, n + step))]) for n in range(0, size, step)]
        return torch.cat(parts, axis + 1) if len(parts) > 1 else parts[0]

    def _piece(self, windows: Sequence[tuple[int, int]]) -> Tensor:
        factor, wrapped, cuts = self.triangle.stride, list(self.triangle.modality.stationary), []
        indices: list[list[int]] = []
        margin = MARGIN + (
            self.triangle.modality.moving and self.triangle.design.subband_matching > 0
        )  # it reaches further
        for axis, (first, last) in enumerate(windows):
            low, high = first // factor[axis], -(-last // factor[axis])
            if high - low + 2 * margin >= self.grid[axis]:  # the whole torus is no more work
                indices.append(list(range(self.grid[axis])))
                cuts.append(torch.arange(first, last) % self.size[axis])
            else:
                indices.append([n % self.grid[axis] for n in range(low - margin, high + margin)])
                wrapped[axis] = False
                cuts.append(torch.arange(first, last) - (low - margin) * factor[axis])
        z = self.rows(indices[0])
        for axis, chosen in enumerate(indices[1:], start=3):
            z = z.index_select(axis, torch.tensor(chosen, device=z.device))
        self.triangle.generator_ema.eval()
        texture = self.triangle.synthesize(z, wrapped)[0].cpu()
        for axis, cut in enumerate(cuts, start=1):
            if len(cut) != texture.shape[axis] or int(cut[0]):
                texture = texture.index_select(axis, cut)
        return texture


def _row_generator(seed: int, row: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed * 0x9E3779B97F4A7C15 + row * 0xBF58476D1CE4E5B9) % 2**63)
