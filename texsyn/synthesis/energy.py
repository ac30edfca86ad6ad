"""The energy of textures, and Langevin steps on it.

pi(x) ~ exp f(x) (Han et al., arXiv 1812.10907, section 3): a texture with more energy f is more like the data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from texsyn.core.errors import Exit, TexsynError
from texsyn.models.triangle import Triangle
from texsyn.synthesis import resampling


@torch.no_grad()
def energy(triangle: Triangle, x: Tensor, *, exemplar: int = 0) -> float:
    """f(x) in nats for each value of `x`, `channels *axes` in [-1, 1]; larger for textures that are more like the data.

    exemplar: number of the one that `x` should resemble, for a model of several. Raises TexsynError (exit 3) for
    channels or a size that the networks cannot take.
    """
    check_input(triangle, x)
    x = triangle.fitted(x)
    return float(triangle.total_energy(x[None].to(triangle.device), triangle.labels([exemplar]))) / x.numel()


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
    """`x`, `channels *axes` in [-1, 1], after Langevin steps on the energy, which make it more like the data.

    Each step adds size^2 / 2 grad f(x) + size sqrt(temperature) noise (equation 4 of the paper's section on the
    energy-based model); temperature 1 samples pi(x), 0 is gradient ascent. wrapped: axes on which `x` is a torus, by
    default all stationary ones; it stays one. Raises TexsynError: exit 2 for steps or a size out of range, exit 3 for
    channels or a size that the networks cannot take.
    """
    if not (0 <= steps <= 10_000 and 0 < size <= 1 and 0 <= temperature <= 1):
        raise TexsynError("steps must lie in 0 to 10000, their size in 0 to 1, the temperature in 0 to 1", Exit.USAGE)
    check_input(triangle, x)
    around = triangle.modality.stationary if wrapped is None else wrapped
    labels, seen = triangle.labels([exemplar]), triangle.fitted_size(x.shape[1:])

    def height(leaf: Tensor) -> Tensor:
        for axis, size in enumerate(seen, start=1):
            if triangle.modality.period and leaf.shape[axis] != size:
                leaf = resampling.resample(leaf, axis, size)
            leaf = leaf.narrow(axis, 0, size)
        return triangle.total_energy(leaf[None], labels, around).sum()

    return ascend(height, x.to(triangle.device), steps, size, temperature, seed).cpu()


def ascend(
    height: Callable[[Tensor], Tensor], x: Tensor, steps: int, size: float, temperature: float = 0.0, seed: int = 0
) -> Tensor:
    """`x` after Langevin steps on a function of it; see `langevin`."""
    random, current = torch.Generator().manual_seed(seed), x
    for _ in range(steps):
        leaf = current.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(height(leaf), leaf)
        noise = torch.randn(x.shape, generator=random).to(current)
        current = (current + size**2 / 2 * gradient + size * temperature**0.5 * noise).clamp(-1, 1)
    return current


def check_input(triangle: Triangle, x: Tensor) -> None:
    """Raise TexsynError (exit 3) unless the energy can take `x`, `channels *axes`."""
    triangle.check(x)
    design, size = triangle.design, triangle.modality.network_size(x.shape[1:])
    if not all(design.positions(size, triangle.modality.halvings(design.energy_scales - 1))):
        raise TexsynError(f"{' x '.join(map(str, x.shape[:0:-1]))} is too small for the filters of the energy")
