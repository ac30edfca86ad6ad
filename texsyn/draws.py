"""What a step of learning draws: windows of the exemplars, and noise, from (seed, stream, step) and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from texsyn.media import Exemplar
from texsyn.triangle import Triangle

_ESTIMATE_RATE = 0.1  # by which an estimate of what is missing moves towards each new reconstruction
_STREAMS = {"crop": 1, "prior": 2, "posterior": 3, "settle": 4}


def random(seed: int, stream: str, step: int) -> torch.Generator:
    """A generator that depends on its three arguments and on nothing else. It lives on the CPU on every device."""
    mixed = (seed * 0x9E3779B97F4A7C15 + _STREAMS[stream] * 0xBF58476D1CE4E5B9 + step * 0x94D049BB133111EB) % 2**63
    return torch.Generator().manual_seed(mixed)


def noise(triangle: Triangle, count: int, seed: int, stream: str, step: int) -> Tensor:
    """`count latent_channels *latent_grid` from the prior: fields of textures as large as the training window."""
    shape = (count, *triangle.latent_shape(triangle.modality.window))
    return torch.randn(shape, generator=random(seed, stream, step)).to(triangle.device)


Place = tuple[int, tuple[slice, ...]]  # an exemplar's number, and a window of `channels *axes`


def places(
    sizes: Sequence[Sequence[int]],
    window: Sequence[int],
    first: int,
    count: int,
    random: Any,
    raster: Sequence[int] | None = None,
) -> list[Place]:
    """`count` windows at uniformly random places of exemplars of these sizes, taken in turn from number `first` on.

    raster: per axis, of what a window begins at a multiple; everywhere, where there is none.
    """
    raster = raster or [1] * len(window)
    found: list[Place] = []
    for index in range(first, first + count):
        size = sizes[index % len(sizes)]
        starts = [
            step * int(torch.randint((n - w) // step + 1, (), generator=random))
            for n, w, step in zip(size, window, raster, strict=True)
        ]
        cut = (slice(None), *(slice(s, s + w) for s, w in zip(starts, window, strict=True)))
        found.append((index % len(sizes), cut))
    return found


def crops(
    pixels: Tensor, window: tuple[int, ...], count: int, generator: torch.Generator, raster: Sequence[int] | None = None
) -> Tensor:
    """`c *axes` -> `count c *window`, at uniformly random places."""
    return torch.stack([pixels[place] for _, place in places([pixels.shape[1:]], window, 0, count, generator, raster)])


@dataclass(frozen=True)
class Data:
    """What crops are cut from, on the fit's device: exemplars, and where each is hidden (None where it is not)."""

    pixels: list[Tensor]
    hidden: list[Tensor | None]

    @classmethod
    def of(cls, exemplars: Sequence[Exemplar], pixels: list[Tensor]) -> Data:
        """pixels: the exemplars' own, or the newest estimates of what is missing in them."""
        hidden = [None if e.hidden is None else e.hidden.to(p.device) for e, p in zip(exemplars, pixels, strict=True)]
        return cls(pixels, hidden)

    def visible(self, places: Sequence[Place]) -> Tensor | None:
        """`b 1 *window`: 1 where crops are data, 0 where they are estimates; None where nothing is hidden."""
        if all(each is None for each in self.hidden):
            return None
        parts = []
        for exemplar, place in places:
            mask = self.hidden[exemplar]
            parts.append(self.pixels[exemplar][:1][place] * 0 + 1 if mask is None else 1 - mask[place])
        return torch.stack(parts)

    def estimate(self, places: Sequence[Place], decoded: Tensor) -> None:
        """Move what is hidden in the crops towards their reconstructions."""
        for (exemplar, place), found in zip(places, decoded, strict=True):
            mask = self.hidden[exemplar]
            if mask is not None:
                part = self.pixels[exemplar][place]
                part.lerp_(found.to(part.dtype), _ESTIMATE_RATE * mask[place])
