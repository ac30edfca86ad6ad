"""The energy as a judge: how like the data a texture is, where it does not belong, and a step towards the data.

pi(x) ~ exp f(x) (Han et al., arXiv 1812.10907, section 3), so what has more energy f is more like what was learnt.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from texsyn import grids
from texsyn.errors import Exit, TexsynError
from texsyn.triangle import Triangle

_NEAR = 9  # positions of the filters, per axis, whose mean is judged together
_USUAL = 0.99  # of an exemplar is as it should be
_SHRINKAGE = 0.02  # of a covariance towards a multiple of the identity


@torch.no_grad()
def energy(triangle: Triangle, x: Tensor, *, exemplar: int = 0) -> float:
    """f(x) in nats for each value of `x`, `channels *axes` in [-1, 1]: larger where it is more like the data.

    exemplar: number of the one that `x` should be like, where the model knows several. Raises TexsynError (exit 3) for
    channels or a size that the networks cannot take.
    """
    _check(triangle, x)
    return float(triangle.energy(x[None].to(triangle.device), triangle.labels([exemplar]))) / x.numel()


@torch.no_grad()
def heatmap(triangle: Triangle, x: Tensor, typical: Tensor, *, exemplar: int = 0) -> Tensor:
    """Where `x` does not belong: `1 *axes`, above 1 where it is stranger than all but a hundredth of `typical`.

    x, typical: `channels *axes` in [-1, 1], the latter the exemplar. What the first filters of the energy say, averaged
    round each place, is taken for a normal distribution over the exemplar; the map is the Mahalanobis distance from it.
    (The energy itself, a sum over filters, says far less: a defect that raises some lowers others. See ENERGY.md.)
    Raises TexsynError (exit 3) for channels or a size that the networks cannot take.
    """
    for each in (typical, x):
        _check(triangle, each)
    labels, layer = triangle.labels([exemplar]), triangle.design.energy[0]
    maps = [grids.full(triangle.energy.first(each[None].to(triangle.device), labels)) for each in (typical, x)]
    near = [max(1, min(_NEAR, *(n // 2 for n in sizes))) for sizes in zip(*(m.shape[2:] for m in maps), strict=True)]
    usual, found = (grids.means(each, near)[0].double() for each in maps)
    # Each half as the other sees it: what a distribution was estimated from looks less strange to it than it is.
    halves = usual.chunk(2, -1)
    own = torch.cat([_distance(one, other).flatten() for one, other in (halves, halves[::-1])]).sort().values
    strange = (_distance(found, usual) / own[int(_USUAL * (len(own) - 1))].clamp(min=1e-12)).float()
    first = [
        (k - 1) / 2 - (-(-(k - f) // 2) if layer.padded else 0) + (n - 1) / 2 * f
        for k, f, n in zip(layer.kernel, layer.factor, near, strict=True)
    ]
    return grids.spread(strange[None, None], x.shape[1:], first, layer.factor)[0].cpu()


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


def langevin(
    triangle: Triangle,
    x: Tensor,
    *,
    steps: int,
    size: float = 0.02,
    temperature: float = 0.0,
    seed: int = 0,
    wrapped: Sequence[bool] | None = None,
    exemplar: int = 0,
) -> Tensor:
    """`x`, `channels *axes` in [-1, 1], after Langevin steps on the energy: more like the data, as f sees it.

    Each step adds size^2 / 2 grad f(x) + size sqrt(temperature) noise (equation 4 of the paper's section on the
    energy-based model); temperature 1 samples pi(x), 0 climbs. wrapped: axes round which `x` is a torus, by default
    all stationary ones; it stays one. Raises TexsynError: exit 2 for steps or a size out of range, exit 3 for channels
    or a size that the networks cannot take.
    """
    if not (0 <= steps <= 10_000 and 0 < size <= 1 and 0 <= temperature <= 1):
        raise TexsynError("steps must lie in 0 to 10000, their size in 0 to 1, the temperature in 0 to 1", Exit.USAGE)
    _check(triangle, x)
    wrapped = triangle.modality.stationary if wrapped is None else wrapped
    random, labels = torch.Generator().manual_seed(seed), triangle.labels([exemplar])
    made = x.to(triangle.device)
    for _ in range(steps):
        leaf = made.clone().requires_grad_(True)
        total = triangle.energy(leaf[None], labels, wrapped).sum()
        (slope,) = torch.autograd.grad(total, leaf)
        noise = torch.randn(x.shape, generator=random).to(made)
        made = (made + size**2 / 2 * slope + size * temperature**0.5 * noise).clamp(-1, 1)
    return made.cpu()


def _check(triangle: Triangle, x: Tensor) -> None:
    triangle.check(x)
    design = triangle.design
    if not all(design.positions(x.shape[1:], triangle.modality.halvings(design.energy_scales - 1))):
        raise TexsynError(f"{' x '.join(map(str, x.shape[:0:-1]))} is less than the energy looks at")
