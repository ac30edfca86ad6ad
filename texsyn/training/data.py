"""What a step of learning draws: windows of the exemplars, and noise, from (seed, stream, step) and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from texsyn.media.exemplar import Exemplar, Place
from texsyn.models.triangle import Triangle

_ESTIMATE_RATE = 0.1  # by which an estimate of what is missing moves towards each new reconstruction
_STREAMS = {"crop": 1, "prior": 2, "posterior": 3, "settle": 4}


def seeded_generator(seed: int, stream: str, step: int) -> torch.Generator:
    """A generator that depends on its three arguments and on nothing else. It lives on the CPU on every device."""
    mixed = (seed * 0x9E3779B97F4A7C15 + _STREAMS[stream] * 0xBF58476D1CE4E5B9 + step * 0x94D049BB133111EB) % 2**63
    return torch.Generator().manual_seed(mixed)


def latent_noise(triangle: Triangle, count: int, seed: int, stream: str, step: int) -> Tensor:
    """`count latent_channels *latent_grid` from the prior: fields of textures as large as the training window."""
    shape = (count, *triangle.latent_shape(triangle.modality.window))
    return torch.randn(shape, generator=seeded_generator(seed, stream, step)).to(triangle.device)


@dataclass(frozen=True)
class Data:
    """What crops are cut from, on the fit's device: exemplars, and where each is mask (None where it is not)."""

    pixels: list[Tensor]
    mask: list[Tensor | None]

    @classmethod
    def of(cls, exemplars: Sequence[Exemplar], pixels: list[Tensor]) -> Data:
        """pixels: the exemplars' own, or the newest estimates of what is missing in them."""
        mask = [None if e.mask is None else e.mask.to(p.device) for e, p in zip(exemplars, pixels, strict=True)]
        return cls(pixels, mask)

    def visible(self, places: Sequence[Place]) -> Tensor | None:
        """`b 1 *window`: 1 where crops are data, 0 where they are estimates; None where nothing is mask."""
        if all(each is None for each in self.mask):
            return None
        parts = []
        for exemplar, place in places:
            mask = self.mask[exemplar]
            parts.append(self.pixels[exemplar][:1][place] * 0 + 1 if mask is None else 1 - mask[place])
        return torch.stack(parts)

    def estimate(self, places: Sequence[Place], decoded: Tensor) -> None:
        """Move what is mask in the crops towards their reconstructions."""
        for (exemplar, place), found in zip(places, decoded, strict=True):
            mask = self.mask[exemplar]
            if mask is not None:
                part = self.pixels[exemplar][place]
                part.lerp_(found.to(part.dtype), _ESTIMATE_RATE * mask[place])
