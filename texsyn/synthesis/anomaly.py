"""Where a texture does not belong to what was learnt."""

from __future__ import annotations

import torch
from torch import Tensor

from texsyn.core import ops
from texsyn.models.triangle import Triangle
from texsyn.synthesis.energy import check_input

_NEAR = 9  # positions of the filters, per axis, whose mean is judged together
_USUAL = 0.99  # of an exemplar is as it should be
_SHRINKAGE = 0.02  # of a covariance towards a multiple of the identity


@torch.no_grad()
def heatmap(triangle: Triangle, x: Tensor, typical: Tensor, *, exemplar: int = 0) -> Tensor:
    """Where `x` does not belong: `1 *axes`, above 1 where it is stranger than all but a hundredth of `typical`.

    x, typical: `channels *axes` in [-1, 1], the latter the exemplar. What the first filters of the energy say, averaged
    round each place, is taken for a normal distribution over the exemplar; the map is the Mahalanobis distance from it.
    (The energy itself, a sum over filters, says far less: a defect that raises some lowers others. See ENERGY.md.)
    Raises TexsynError (exit 3) for channels or a size that the networks cannot take.
    """
    for each in (typical, x):
        check_input(triangle, each)
    labels, layer = triangle.labels([exemplar]), triangle.design.energy[0]
    maps = [ops.to_float32(triangle.energy.first(each[None].to(triangle.device), labels)) for each in (typical, x)]
    near = [max(1, min(_NEAR, *(n // 2 for n in sizes))) for sizes in zip(*(m.shape[2:] for m in maps), strict=True)]
    usual, found = (ops.box_filter(each, near)[0].double() for each in maps)
    # Each half as the other sees it: what a distribution was estimated from looks less strange to it than it is.
    halves = usual.chunk(2, -1)
    own = torch.cat([_distance(one, other).flatten() for one, other in (halves, halves[::-1])]).sort().values
    strange = (_distance(found, usual) / own[int(_USUAL * (len(own) - 1))].clamp(min=1e-12)).float()
    first = [
        (k - 1) / 2 - (-(-(k - f) // 2) if layer.padded else 0) + (n - 1) / 2 * f
        for k, f, n in zip(layer.kernel, layer.stride, near, strict=True)
    ]
    return ops.interpolate(strange[None, None], x.shape[1:], first, layer.stride)[0].cpu()


def _distance(values: Tensor, usual: Tensor) -> Tensor:
    """`*positions`: the Mahalanobis distance of `filters *positions` from what `usual` says of them."""
    flat = usual.flatten(1)
    centre = flat.mean(1, keepdim=True)
    covariance = (flat - centre) @ (flat - centre).T / max(1, flat.shape[1] - 1)
    spread = covariance.diagonal().mean().clamp(min=1e-12)
    covariance = covariance + _SHRINKAGE * spread * torch.eye(len(flat)).to(covariance)
    off = values.flatten(1) - centre
    squares: Tensor = (off * torch.linalg.solve(covariance, off)).sum(0)
    return squares.sqrt().view(values.shape[1:])


def overlay(x: Tensor, heat: Tensor) -> Tensor:
    """`3 *axes` in [-1, 1]: `x`, `channels *axes`, in faint grey, ever redder as `heat`, `1 *axes`, reaches 1."""
    grey = x[:3].mean(0, keepdim=True) * 0.5
    red = ((heat - 0.7) / 0.5).clamp(0, 0.9)
    colour = torch.tensor([1.0, -0.6, -0.7]).view(3, *(1,) * (x.dim() - 1))
    return torch.lerp(grey.expand(3, *x.shape[1:]), colour.expand(3, *x.shape[1:]), red.expand(3, *x.shape[1:]))
