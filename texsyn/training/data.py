"""What a training step draws: crops of the exemplars and noise, from (seed, stream, step) and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor

from texsyn.core import ops
from texsyn.core.modality import Modality
from texsyn.core.recipes import Recipe
from texsyn.media.exemplar import Exemplar, Place, random_places
from texsyn.media.pictures import Pictures
from texsyn.models.mixture_prior import MixturePrior, Picture
from texsyn.models.triangle import Triangle
from texsyn.models.trio import Below
from texsyn.training.deformation import NONE, Source, deformation_of
from texsyn.training.state import TrainState

_ESTIMATE_RATE = 0.1  # at which masked pixels move towards each new reconstruction


class Stream(IntEnum):
    """Uses of random numbers: each has a stream of its own, `ops.seeded_generator(seed, stream, step)`."""

    CROP = 1
    PRIOR = 2
    POSTERIOR = 3
    CALIBRATION = 4
    CODES = 5
    BELOW = 6


def latent_noise(triangle: Triangle, count: int, seed: int, stream: Stream, step: int) -> Tensor:
    """`count latent_channels *latent_grid`, standard normal: latent fields of textures of a training window's size."""
    shape = (count, *triangle.latent_shape(triangle.modality.window))
    return torch.randn(shape, generator=ops.seeded_generator(seed, stream, step)).to(triangle.device)


@dataclass(frozen=True)
class Data:
    """Exemplars on the device, and their masks, `1 *axes` (None where nothing is masked)."""

    sources: list[Source]
    masks: list[Tensor | None]
    pictures: Pictures | None = None  # of a collection, of which each image is a crop

    @classmethod
    def of(cls, exemplars: Sequence[Exemplar], pixels: Sequence[Tensor], modality: Modality, recipe: Recipe) -> Data:
        """pixels: those of the exemplars at the networks' scale, with the newest estimates at masked positions.

        modality: of the triangle, which knows the period of a regular pattern. Where masked pixels are estimated,
        crops are not deformed: estimates belong to places of the exemplar as it is.
        """
        masks = [
            None if each.mask is None else ops.resize_mask(each.mask.to(own.device), own.shape[1:])
            for each, own in zip(exemplars, pixels, strict=True)
        ]
        deformed = all(each is None for each in masks)
        changes = [deformation_of(each, modality, recipe) if deformed else NONE for each in pixels]
        sources = [Source.of(each, change, modality.planes) for each, change in zip(pixels, changes, strict=True)]
        return cls(sources, masks, exemplars[0].pictures)

    @property
    def pixels(self) -> list[Tensor]:
        """The exemplars, `channels *axes` each."""
        return [each.pixels for each in self.sources]

    def crops(self, places: Sequence[Place], random: torch.Generator) -> Tensor:
        """`b channels *window`, deformed at random."""
        return torch.stack([self.sources[exemplar].cut(place, random) for exemplar, place in places])

    def mask(self, places: Sequence[Place]) -> Tensor | None:
        """`b 1 *window`: 1 where crops are masked, else 0; None where no exemplar has a mask."""
        if all(each is None for each in self.masks):
            return None
        parts = []
        for exemplar, place in places:
            mask = self.masks[exemplar]
            parts.append(torch.zeros_like(self.pixels[exemplar][:1][place]) if mask is None else mask[place])
        return torch.stack(parts)

    def estimate(self, places: Sequence[Place], decoded: Tensor) -> None:
        """Move masked pixels of the crops towards their reconstructions, `b channels *window`."""
        for (exemplar, place), reconstructed in zip(places, decoded, strict=True):
            mask = self.masks[exemplar]
            if mask is not None:
                crop = self.pixels[exemplar][place]
                crop.lerp_(reconstructed.to(crop.dtype), _ESTIMATE_RATE * mask[place])


@dataclass(frozen=True)
class Batch:
    """The inputs of one step; see `Triangle.losses`."""

    places: list[Place]
    x: Tensor
    z: Tensor
    noise: Tensor
    labels: Tensor | None
    mask: Tensor | None
    below: Below | None = None  # of a level, what it adds to: that of the data, then that of `z`
    picture: Picture | None = None  # what textures of `z` should show

    def split(self, parts: int) -> Iterator[tuple[float, dict[str, Any]]]:
        """The batch in `parts` smaller ones: the share of each, and its inputs for `Triangle.losses`."""
        size = len(self.x)
        inputs = {"x": self.x, "z": self.z, "noise": self.noise, "labels": self.labels, "mask": self.mask}
        for part in range(parts):
            chunk = slice(part * size // parts, (part + 1) * size // parts)
            chunked: dict[str, Any] = {name: None if each is None else each[chunk] for name, each in inputs.items()}
            chunked["below"] = None if self.below is None else self.below.part(chunk, size)
            chunked["picture"] = None if self.picture is None else self.picture.part(chunk)
            yield (chunk.stop - chunk.start) / size, chunked


def draw_batch(state: TrainState, data: Data, recipe: Recipe) -> Batch:
    """The batch of a step: crops of the exemplars in turn, and noise."""
    triangle, step = state.triangle, state.step
    modality, count, seed = triangle.modality, recipe.batch_size, recipe.seed
    places: list[Place] = []
    if data.pictures is not None:
        chosen = data.pictures.drawn(step * count, count, seed)
        crops, of = data.pictures.read(chosen).to(triangle.device), data.pictures.classes_of(chosen)
    else:
        random = ops.seeded_generator(seed, Stream.CROP, step)
        sizes = [each.shape[1:] for each in data.pixels]
        places = random_places(sizes, modality.window, step * count, count, random, triangle.raster)
        crops, of = data.crops(places, random), [exemplar for exemplar, _ in places]
    labels = triangle.labels(of)
    noise = triangle.labelled(latent_noise(triangle, count, seed, Stream.PRIOR, step), labels)
    drawn, picture = _draw(state.prior, noise)
    return Batch(
        places,
        x=crops.contiguous(memory_format=ops.memory_format(len(modality.window))),
        z=drawn[:, : triangle.design.latent_channels],
        noise=latent_noise(triangle, count, seed, Stream.POSTERIOR, step),
        labels=labels,
        mask=data.mask(places),
        picture=picture,
    )


def _draw(prior: MixturePrior | None, noise: Tensor) -> tuple[Tensor, Picture | None]:
    """Latent fields as a function of noise, with labels both, and what textures of them should show."""
    if prior is None:
        return noise, None
    return prior.illustrate(noise) if prior.has_pictures else (prior(noise), None)
