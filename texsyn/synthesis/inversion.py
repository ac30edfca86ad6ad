"""Textures through the inference model: encoded and decoded, and completed where something is missing.

What is not given is inferred as a maximum of the posterior p(z|x): the posterior's mean is where the search begins, and
gradient descent on -log p(x|z) - log p(z) over what is visible refines it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from texsyn.core import ops
from texsyn.core.recipes import TRIANGLE
from texsyn.media import inpaint
from texsyn.models import layers
from texsyn.models.triangle import Triangle, reconstruction

_RATE = 0.1  # of Adam over z
_ROUNDS = 4  # of estimating what is mask and encoding anew, before z is refined


def reconstruct(
    triangle: Triangle, x: Tensor, *, refine: int = 0, exemplar: int = 0, sigma: float = TRIANGLE.sigma
) -> Tensor:
    """What the generator makes of the latent field that the posterior infers from `x`: `channels *axes` in [-1, 1].

    refine: steps of gradient descent over z. exemplar: number of the one that `x` is like, where the model knows
    several. Raises TexsynError (exit 3) for a size or channels that the networks cannot take.
    """
    return _decoded(triangle, x, torch.zeros_like(x[:1]), refine, exemplar, sigma, None)


@torch.no_grad()
def reconstruction_error(triangle: Triangle, pictures: Tensor) -> float:
    """Mean squared error, for each value in [0, 1], of `n channels *axes` in [-1, 1] encoded and decoded in fifties."""
    triangle.eval()
    total = 0.0
    for part in torch.split(pictures.to(triangle.device), 50):
        mean, _variance = triangle.posterior(part)
        total += float((_make(triangle, mean, None) - part).square().mean(tuple(range(1, part.dim()))).sum()) / 4
    return total / len(pictures)


def complete(
    triangle: Triangle,
    x: Tensor,
    mask: Tensor,
    *,
    refine: int = 100,
    seed: int | None = 0,
    exemplar: int = 0,
    sigma: float = TRIANGLE.sigma,
) -> Tensor:
    """`x`, `channels *axes` in [-1, 1], with the positions where `mask`, `1 *axes`, is 1 made by the generator.

    Inside a hole that is larger than what a latent position makes, nothing says what was there: it is drawn from the
    prior with `seed`, as a new texture is. None takes what is likeliest, which errs least and is a blur.

    The rest is as it was, bit for bit. At the rim of a hole the generator's error is continued into it (a membrane, as
    in Poisson image editing, Perez et al. 2003), so that it leaves no step. What is mask is never looked at.
    Raises TexsynError (exit 3) as `reconstruct` does.
    """
    decoded = _decoded(triangle, x, mask, refine, exemplar, sigma, seed)
    inside = (decoded + inpaint.fill(x - decoded, mask)).clamp(-1, 1)
    return torch.where(mask > 0, inside, x)


def _decoded(
    triangle: Triangle,
    x: Tensor,
    mask: Tensor,
    refine: int,
    exemplar: int,
    sigma: float,
    seed: int | None,
) -> Tensor:
    triangle.check(x)
    # The networks see whole latent positions.
    sizes = [-(-size // factor) * factor for size, factor in zip(x.shape[1:], triangle.stride, strict=True)]
    padding = [part for size, full in zip(x.shape[:0:-1], sizes[::-1], strict=True) for part in (0, full - size)]
    mask = F.pad(mask.to(triangle.device), padding, value=1.0)[None]
    x = F.pad(x.to(triangle.device), padding)
    visible, labels = 1 - mask, triangle.labels([exemplar])
    guess = inpaint.fill(x, mask[0])[None]
    triangle.eval()
    with torch.no_grad():
        for _ in range(_ROUNDS if bool(mask.any()) else 1):
            z, _variance = triangle.posterior(guess)
            made = _make(triangle, z, labels)
            guess = torch.where(mask > 0, made, x)
        centre, make = torch.zeros_like(z), _make  # the prior's mean, which the refinement pulls towards
        unknown = _unknown(triangle, mask)
        if seed is not None and bool(unknown.any()):
            drawn = torch.randn(z.shape, generator=torch.Generator().manual_seed(seed)).to(z)
            z, centre, make = torch.where(unknown, drawn, z), torch.where(unknown, drawn, centre), _make_anew
        made = make(triangle, z, labels)
    if refine:
        z = _refined(lambda z: make(triangle, z, labels), z, centre, x[None], visible, refine, sigma)
        with torch.no_grad():
            made = make(triangle, z, labels)
    kept = made[0]
    for axis, size in enumerate(_sizes(padding, sizes), start=1):
        kept = kept.narrow(axis, 0, size)
    return kept.cpu()


def _sizes(padding: Sequence[int], sizes: Sequence[int]) -> list[int]:
    return [full - more for full, more in zip(sizes, padding[1::2][::-1], strict=True)]


def _make(triangle: Triangle, z: Tensor, labels: Tensor | None) -> Tensor:
    """g(z) as in learning: batch norm has other statistics for encoded fields than for those of the prior."""
    with layers.batch_statistics(triangle.generator_ema):
        made: Tensor = triangle.generator_ema(triangle.labelled(z, labels), (False,) * len(triangle.modality.axes))
    return made


def _unknown(triangle: Triangle, mask: Tensor) -> Tensor:
    """`1 latent_channels *latent_grid`: where nothing of what a latent position makes is visible."""
    fields = []
    fixed = [axis for axis, same in enumerate(triangle.modality.stationary, start=2) if not same]
    for each in triangle.design.fields:
        block = tuple(f // g for f, g in zip(triangle.stride, each.grid, strict=True))
        share = ops.space_to_depth(mask, block).mean(1, keepdim=True)  # of each position of this field that is mask
        if each.shared:
            share = share.mean(fixed, keepdim=True).expand_as(share)
        fields.append(ops.space_to_depth(share.expand(-1, each.channels, *share.shape[2:]), each.grid))
    return torch.cat(fields, 1) >= 1


def _make_anew(triangle: Triangle, z: Tensor, labels: Tensor | None) -> Tensor:
    """As samples are made: what is drawn from the prior looks like them, and what is encoded is refined."""
    return triangle.synthesize(triangle.labelled(z, labels), (False,) * len(triangle.modality.axes))


def _refined(
    make: Callable[[Tensor], Tensor],
    z: Tensor,
    centre: Tensor,
    x: Tensor,
    visible: Tensor,
    steps: int,
    sigma: float,
) -> Tensor:
    z = z.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([z], lr=_RATE, betas=(0.9, 0.99))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = _RATE * (1 - step / steps)
        made = make(z)
        loss = reconstruction(x, made, sigma, visible) + 0.5 * (z - centre).square().sum()
        (z.grad,) = torch.autograd.grad(loss, z)
        optimiser.step()
    return z.detach()
