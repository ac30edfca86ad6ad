"""Scores of a model of a collection: how it reconstructs, how likely new images are, and how its samples are spread."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from texsyn.core.errors import TexsynError
from texsyn.core.modality import Modality
from texsyn.media import writing
from texsyn.media.collection import images_of, sheet
from texsyn.media.exemplar import Exemplar
from texsyn.media.pictures import Pictures
from texsyn.metrics import distribution, features
from texsyn.metrics.features import FeatureNetwork
from texsyn.models.triangle import Triangle
from texsyn.runs import events, storage
from texsyn.runs.fields import damaged
from texsyn.runs.run import Run
from texsyn.synthesis import inversion, sampling

CARD = "collection.json"  # in the run's folder
NEAREST = "nearest.png"
_RECONSTRUCTED = 500  # images of each part, at most
_SHOWN = 24  # samples beside which their nearest images are shown
_CHUNK = 2048  # images read at a time
_BATCH, _STEPS = 64, 400  # images from which the classifier learns at a time, and how often


@dataclass(frozen=True)
class CollectionCard:
    """Scores of samples, and of held-out images in their place."""

    images: int  # samples, and as many images of training, that are compared
    held: int  # held-out images
    features: str  # of which network
    scores: dict[str, float]
    reference: dict[str, float]


DESCRIPTIONS = {
    "reconstruction": "mean squared error of reconstructions, of training and held-out images, values in [0, 1]",
    "bits": "bound on the bits for each value, of training and held-out images (lower is better)",
    "frechet": "Frechet distance from training images, in the features named above",
    "kernel": "kernel distance, in 1/1000",
    "precision": "share that lies among training images",
    "recall": "share of training images that lies among them",
    "classes": "score of classes: sure of each, even over all",
    "nearest": "distance to the nearest training image, root mean square of values in [0, 1], median",
    "copied": "share that is nearer to a training image than 99 % of the held-out images are",
}


def reconstruction(run: Run, triangle: Triangle) -> tuple[float, float]:
    """Mean squared error, for each value in [0, 1], of reconstructed training and held-out images of a collection.

    At most 500 images of each are reconstructed. The result is also stored as an event.
    Raises TexsynError (exit 3) where no images were held out.
    """
    parts = _parts(run, triangle.modality, _RECONSTRUCTED)
    train, held = (inversion.reconstruction_error(triangle, each.images, each.classes) for each in parts)
    events.append(run.event_file, lambda warning: None, event="reconstruction", train=train, held=held)
    return train, held


def score_collection(
    run: Run, triangle: Triangle, network: Path | None = None, count: int = 2000, seed: int = 0
) -> CollectionCard:
    """Compare `count` samples with as many training images, and store the card and a picture of nearest images.

    network: an ONNX file whose features are used; by default those of a classifier that is learnt on the images, or,
    where these have no classes, the run's own posterior means.
    Raises TexsynError (exit 3): for a file that is no such network, or without the extra texsyn[scores].
    """
    exemplar = run.exemplars()[0]
    learnt, held = _parts(run, triangle.modality, count)
    extract = features.from_onnx(network) if network else _own_features(exemplar, triangle, learnt, seed)
    samples = sampling.sample(triangle, count=len(learnt.images), seed=seed, exemplar=learnt.classes)
    (real, _), (of_held, held_logits), (made, logits) = map(extract, (learnt.images, held.images, samples))
    near, nearest = _nearest(samples, exemplar)
    held_near, _ = _nearest(held.images, exemplar)
    errors = [inversion.reconstruction_error(triangle, each.images, each.classes) for each in (learnt, held)]
    bounds = [inversion.evidence(triangle, each.images, each.classes) for each in (learnt, held)]
    bits = [each.bits(variance=bounds[0].error) for each in bounds]
    limit = float(np.quantile(held_near, 0.01))
    scores, reference = (
        {
            "reconstruction": error,
            "bits": bound,
            **_spread(of, real),
            **({} if given is None else {"classes": distribution.classes_score(given)}),
            "nearest": float(np.median(each)),
            "copied": float((each < limit).mean()),
        }
        for error, bound, of, given, each in zip(
            errors, bits, (made, of_held), (logits, held_logits), (near, held_near), strict=True
        )
    )
    card = CollectionCard(len(samples), len(held.images), extract.name, scores, reference)
    storage.write_json(run.path / CARD, asdict(card))
    pairs = torch.stack((samples[:_SHOWN], nearest[:_SHOWN]), 1).flatten(0, 1)
    writing.write(sheet(pairs), run.path / NEAREST, force=True)
    return card


def describe(card: CollectionCard) -> list[str]:
    """The card as lines of a table."""
    lines = [f"{card.images} samples, {card.held} held-out images as reference; features of {card.features}"]
    lines.append(f"{'':16}{'samples':>10}{'reference':>11}")
    for name, value in card.scores.items():
        lines.append(f"{name:16}{value:10.4f}{card.reference[name]:11.4f}  {DESCRIPTIONS[name]}")
    return lines


@dataclass(frozen=True)
class _Part:
    """Some images of a collection."""

    images: Tensor  # `n channels side side` in [-1, 1]
    classes: list[int]


def _parts(run: Run, modality: Modality, count: int) -> tuple[_Part, _Part]:
    """The first training images, and the first held-out ones, up to `count` of each."""
    exemplar = run.exemplars()[0]
    if exemplar.held is None:
        raise damaged(run.path, "exemplar")
    if exemplar.classes and exemplar.pictures is None:
        raise TexsynError(f"{run.path.name} was packed, without its images: score the run that it was packed from")
    found = (exemplar.pixels, exemplar.pictures), (exemplar.held, exemplar.held_pictures)
    learnt, held = (_part(sheet, pictures, modality.side, count) for sheet, pictures in found)
    return learnt, held


def _part(shown: Tensor, pictures: Pictures | None, side: int, count: int) -> _Part:
    """Of the images that are kept; of those that are shown, where no others are."""
    if pictures is None:
        images = images_of(shown, side)[:count]
        return _Part(images, [0] * len(images))
    chosen = range(min(count, len(pictures)))
    return _Part(pictures.read(chosen), pictures.classes_of(chosen))


def _own_features(exemplar: Exemplar, triangle: Triangle, learnt: _Part, seed: int) -> FeatureNetwork:
    pictures = exemplar.pictures
    if pictures is None or not exemplar.classes:
        return FeatureNetwork("this run's posterior", lambda images: (_posterior_means(triangle, images), None))

    def draw(step: int) -> tuple[Tensor, Tensor]:
        chosen = pictures.drawn(step * _BATCH, _BATCH, seed)
        return pictures.read(chosen), torch.tensor(pictures.classes_of(chosen))

    return features.learnt(draw, triangle.modality.channels, len(exemplar.classes), _STEPS, seed)


@torch.no_grad()
def _posterior_means(triangle: Triangle, images: Tensor) -> Tensor:
    mean: Tensor = triangle.posterior(images.to(triangle.device))[0]
    return mean.flatten(1).cpu()


def _spread(of: Tensor, real: Tensor) -> dict[str, float]:
    found = distribution.distances(of, real)
    return {
        "frechet": found.frechet,
        "kernel": 1000 * found.kernel,
        "precision": found.precision,
        "recall": found.recall,
    }


def _nearest(images: Tensor, exemplar: Exemplar) -> tuple[np.ndarray, Tensor]:
    """Of each image its distance to the nearest training image, and that image."""
    pictures, side = exemplar.pictures, exemplar.modality.side
    flat = images.flatten(1)
    best, found = torch.full((len(flat),), math.inf), torch.zeros_like(images)
    for part in _chunks(exemplar.pixels, pictures, side):
        distance, place = torch.cdist(flat, part.flatten(1)).min(1)
        closer = distance < best
        best, found = torch.where(closer, distance, best), torch.where(closer.view(-1, 1, 1, 1), part[place], found)
    return (best / 2 / math.sqrt(flat.shape[1])).numpy(), found


def _chunks(shown: Tensor, pictures: Pictures | None, side: int) -> Iterator[Tensor]:
    """All images, a few thousand at a time."""
    if pictures is None:
        yield images_of(shown, side)
        return
    for first in range(0, len(pictures), _CHUNK):
        yield pictures.read(range(first, min(len(pictures), first + _CHUNK)))
