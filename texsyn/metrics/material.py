"""Whether the maps of a material belong together, and how good each one is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from texsyn.core import ops
from texsyn.core.maps import COLOUR, HEIGHT, NORMAL, Plane, channels_of
from texsyn.metrics import image
from texsyn.metrics.card import Card
from texsyn.metrics.sliced_wasserstein import Array

_FLAT = 1e-6  # variance of a channel below which it correlates with nothing


def with_maps(card: Card, samples: Sequence[Tensor], exemplar: Tensor, planes: Sequence[Plane]) -> Card:
    """The card of a material's colours with what its other maps are like; of anything else as it is.

    samples, exemplar: `channels y x` in [-1, 1] of one size. The reference compares the exemplar's halves, as the card
    does.
    """
    if len(planes) < 2:
        return card
    whole = _split(exemplar, planes)
    half = exemplar.shape[2] // 2
    left, right = _split(exemplar[..., :half], planes), _split(exemplar[..., half : 2 * half], planes)
    rows = [_row(_split(each, planes), whole, planes) for each in samples]
    metrics = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    reference = _row(right, left, planes)
    if "normal_angle" in reference:
        reference["normal_angle"] = normal_angle(whole, whole, planes)
    return replace(card, metrics=card.metrics | metrics, reference=card.reference | reference)


def _split(texture: Tensor, planes: Sequence[Plane]) -> dict[str, Array]:
    """`y x channels` in [0, 1] of each plane."""
    values = (texture.detach().float().cpu().clamp(-1, 1).movedim(0, -1).numpy() + 1) / 2
    return {plane.name: values[..., part] for plane, part in zip(planes, channels_of(planes), strict=True)}


def _row(sample: dict[str, Array], exemplar: dict[str, Array], planes: Sequence[Plane]) -> dict[str, float]:
    row = {"maps": correlation_difference(sample, exemplar)}
    if {HEIGHT, NORMAL} <= sample.keys():
        row["normal_angle"] = normal_angle(sample, exemplar, planes)
    for name in sample:
        if name == COLOUR:
            continue
        own, other = (np.repeat(each[name], 3 // each[name].shape[-1], -1) for each in (sample, exemplar))
        row[f"swd_{name}"] = image.sliced_wasserstein(own, other) if other.var() > _FLAT else math.nan
        row[f"sharp_{name}"] = image.sharpness(own, other) if other.var() > _FLAT else math.nan
    return row


def correlation_difference(sample: dict[str, Array], exemplar: dict[str, Array]) -> float:
    """How much correlations between channels of different maps differ, in the mean; 0 is right, 1 is independence or
    worse.
    """
    own, other = (_correlations(each) for each in (sample, exemplar))
    return float(np.abs(own - other).mean())


def _correlations(maps: dict[str, Array]) -> Array:
    """Of every two channels of different maps; 0 where one of them is constant."""
    flat = np.concatenate([each.reshape(-1, each.shape[-1]) for each in maps.values()], 1)
    owner = np.repeat(np.arange(len(maps)), [each.shape[-1] for each in maps.values()])
    centred = flat - flat.mean(0)
    deviation = np.sqrt(np.maximum(centred.var(0), _FLAT))
    matrix = centred.T @ centred / len(centred) / np.outer(deviation, deviation)
    first, second = np.triu_indices(len(owner), 1)
    return np.asarray(matrix[first, second][owner[first] != owner[second]])


def normal_angle(sample: dict[str, Array], exemplar: dict[str, Array], planes: Sequence[Plane]) -> float:
    """The median angle between the map of normals and those of the height, in degrees.

    How steep a unit of height is, no file says: the exemplar's two maps do, by least squares.
    """
    flipped = next(plane.flipped for plane in planes if plane.name == NORMAL)
    slopes, rises = _slopes(exemplar, flipped), _rises(exemplar)
    steep = float((slopes * rises).sum() / max(float((rises**2).sum()), 1e-12))
    slopes, rises = _slopes(sample, flipped), steep * _rises(sample)
    cosine = (1 + (slopes * rises).sum(-1)) / np.sqrt((1 + (slopes**2).sum(-1)) * (1 + (rises**2).sum(-1)))
    return float(np.degrees(np.median(np.arccos(np.clip(cosine, -1, 1)))))


def _rises(maps: dict[str, Array]) -> Array:
    """`y x 2`: how much the height rises a pixel, downwards and to the right, without the rim."""
    down, right = np.gradient(maps[HEIGHT][..., 0])
    return np.stack((down, right), -1)[1:-1, 1:-1]


def _slopes(maps: dict[str, Array], flipped: bool) -> Array:
    """The same as the map of normals says it; y of normals points up, or, where flipped, down."""
    vectors = torch.from_numpy(maps[NORMAL][1:-1, 1:-1] * 2 - 1)
    return ops.slopes_of(vectors, flipped, axis=-1).numpy()
