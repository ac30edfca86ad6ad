"""The energy of textures, and Langevin steps on it.

pi(x) ~ exp f(x) (Han et al., arXiv 1812.10907, section 3): a texture with more energy f is more like the data.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from texsyn.core.errors import Exit, TexsynError
from texsyn.models.triangle import Triangle


@torch.no_grad()
def energy(triangle: Triangle, x: Tensor, *, exemplar: int = 0) -> float:
    """f(x) in nats for each value of `x`, `channels *axes` in [-1, 1]; larger for textures that are more like the data.

    exemplar: number of the one that `x` should resemble, for a model of several. Raises TexsynError (exit 3) for
    channels or a size that the networks cannot take.
    """
    check_input(triangle, x)
    return float(triangle.energy(x[None].to(triangle.device), triangle.labels([exemplar]))) / x.numel()


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
    wrapped = triangle.modality.stationary if wrapped is None else wrapped
    random, labels = torch.Generator().manual_seed(seed), triangle.labels([exemplar])
    current = x.to(triangle.device)
    for _ in range(steps):
        leaf = current.clone().requires_grad_(True)
        total = triangle.energy(leaf[None], labels, wrapped).sum()
        (gradient,) = torch.autograd.grad(total, leaf)
        noise = torch.randn(x.shape, generator=random).to(current)
        current = (current + size**2 / 2 * gradient + size * temperature**0.5 * noise).clamp(-1, 1)
    return current.cpu()


def check_input(triangle: Triangle, x: Tensor) -> None:
    """Raise TexsynError (exit 3) unless the energy can take `x`, `channels *axes`."""
    triangle.check(x)
    design = triangle.design
    if not all(design.positions(x.shape[1:], triangle.modality.halvings(design.energy_scales - 1))):
        raise TexsynError(f"{' x '.join(map(str, x.shape[:0:-1]))} is too small for the filters of the energy")
