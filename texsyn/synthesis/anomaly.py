"""Anomaly maps: where a texture differs from its exemplar, such as at defects of a fabric."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from texsyn.core import ops
from texsyn.core.architecture import Layer
from texsyn.models.triangle import Triangle
from texsyn.synthesis.energy import check_input

_WINDOW = 9  # positions of the filters, per axis, whose mean is compared
_QUANTILE = 0.99  # of the exemplar's own distances, which becomes 1 on the map
_SHRINKAGE = 0.02  # of a covariance towards a multiple of the identity


@torch.no_grad()
def heatmap(triangle: Triangle, x: Tensor, typical: Tensor, *, exemplar: int = 0) -> Tensor:
    """Where `x` differs: `1 *axes`, above 1 where it is less typical than 99 % of `typical`.

    x, typical: `channels *axes` in [-1, 1], the latter the exemplar. The outputs of the energy's first filters,
    averaged around each position, are modelled as normally distributed over the exemplar; the map is the Mahalanobis
    distance. (The energy itself detects far less: it is a sum over filters, and a defect raises some and lowers others.
    See tests/benchmarks/ENERGY.md.) Of a model with levels of detail it is the largest of the maps of all.
    Raises TexsynError (exit 3) for channels or a size that the networks cannot take.
    """
    for each in (typical, x):
        check_input(triangle, each)
    own, labels = x.shape[1:], triangle.labels([exemplar])
    pair = [each.to(triangle.device) for each in (typical, x)]
    base = [triangle.scaled(each) for each in pair]
    firsts = [triangle.energy.first(each[None], labels) for each in base]
    heat = ops.resize(_heat(firsts, triangle.design.energy[0], base[1].shape[1:]), own)
    pair = [triangle.fitted(each)[None] for each in pair]
    for number, level in enumerate(triangle.detail, start=1):
        reduced = [triangle.reduced(each, number) for each in pair]
        split = [level.split(each, (False,) * len(own)) for each in reduced]
        firsts = [level.energy.first(added, None, below.enlarged) for added, below in split]
        finer = _heat(firsts, level.design.energy[0], reduced[1].shape[2:])
        heat = torch.maximum(heat, ops.resize(finer, own))
    return heat.cpu()


def _heat(firsts: Sequence[Tensor], layer: Layer, size: Sequence[int]) -> Tensor:
    """`1 *size`: how much the second of two outputs of a layer differs from the first, in its quantile."""
    maps = [ops.to_float32(each) for each in firsts]
    window = [
        max(1, min(_WINDOW, *(n // 2 for n in sizes))) for sizes in zip(*(m.shape[2:] for m in maps), strict=True)
    ]
    reference, features = (ops.box_filter(each, window)[0].double() for each in maps)
    distance = (_mahalanobis(features, reference) / _typical_distance(reference)).float()
    return ops.interpolate(distance[None, None], size, _centres(layer, window), layer.stride)[0]


def _typical_distance(reference: Tensor) -> Tensor:
    """The quantile of the reference's distances from itself, each half from the other.

    What a distribution was estimated from lies closer to it than other samples of it do.
    """
    halves = reference.chunk(2, -1)
    distances = torch.cat([_mahalanobis(*pair).flatten() for pair in (halves, halves[::-1])]).sort().values
    return distances[int(_QUANTILE * (len(distances) - 1))].clamp(min=1e-12)


def _mahalanobis(features: Tensor, reference: Tensor) -> Tensor:
    """`*positions`: distance of `filters *positions` from the normal distribution fitted to `reference`."""
    flat = reference.flatten(1)
    mean = flat.mean(1, keepdim=True)
    covariance = (flat - mean) @ (flat - mean).T / max(1, flat.shape[1] - 1)
    variance = covariance.diagonal().mean().clamp(min=1e-12)
    covariance = covariance + _SHRINKAGE * variance * torch.eye(len(flat)).to(covariance)
    deviation = features.flatten(1) - mean
    squares: Tensor = (deviation * torch.linalg.solve(covariance, deviation)).sum(0)
    return squares.sqrt().view(features.shape[1:])


def _centres(layer: Layer, window: list[int]) -> list[float]:
    """Per axis: the pixel at the centre of what the first window of the layer's outputs depends on."""
    return [
        (kernel - 1) / 2 - (-(-(kernel - stride) // 2) if layer.padded else 0) + (n - 1) / 2 * stride
        for kernel, stride, n in zip(layer.kernel, layer.stride, window, strict=True)
    ]


def overlay(x: Tensor, heat: Tensor) -> Tensor:
    """`3 *axes` in [-1, 1]: `x`, `channels *axes`, in faint grey, turning red as `heat`, `1 *axes`, approaches 1."""
    grey = x[:3].mean(0, keepdim=True) * 0.5
    share = ((heat - 0.7) / 0.5).clamp(0, 0.9)
    red = torch.tensor([1.0, -0.6, -0.7]).view(3, *(1,) * (x.dim() - 1))
    return torch.lerp(*(each.expand(3, *x.shape[1:]) for each in (grey, red, share)))
