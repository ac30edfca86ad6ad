"""Textures to latent fields and back: reconstructed, or completed where a mask says that pixels are missing.

Of the base in three steps: encode (the posterior's mean), draw the latents that nothing visible depends on from the
prior, refine by gradient descent on -log p(x|z) - log N(z; 0, I) over the visible pixels, towards a maximum of p(z|x).
Each level of detail above it then encodes what it adds to the texture, and adds it to what was decoded below.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from texsyn.core import ops
from texsyn.core.recipes import TRIANGLE
from texsyn.media import inpaint, lattice
from texsyn.models import layers
from texsyn.models.triangle import Triangle
from texsyn.models.trio import prior, reconstruction

_LEARNING_RATE = 0.1  # of Adam over z
_ROUNDS = 4  # of encoding and estimating masked pixels, before z is refined
_BATCH = 50
_LEVELS = 255  # steps of an 8-bit value


def reconstruct(
    triangle: Triangle, x: Tensor, *, refine: int = 0, exemplar: int = 0, sigma: float = TRIANGLE.sigma
) -> Tensor:
    """`x`, `channels *axes` in [-1, 1], encoded and decoded.

    refine: steps of gradient descent over z. exemplar: number of the one that `x` resembles, for a model of several.
    sigma: standard deviation of p(x|z). Raises TexsynError (exit 3) for a size or channels that the networks cannot
    take.
    """
    return _invert(triangle, x, torch.zeros_like(x[:1]), refine, exemplar, sigma, None)


@torch.no_grad()
def reconstruction_error(triangle: Triangle, textures: Tensor, conditions: Sequence[int] | None = None) -> float:
    """Mean squared error, for each value in [0, 1], of `n channels *axes` in [-1, 1] encoded and decoded.

    conditions: the number of each texture's exemplar or class; 0 by default.
    """
    return _reconstruct(triangle, textures, conditions or [0] * len(textures), None)[0] / 4


@dataclass(frozen=True)
class Evidence:
    """The two parts of the evidence lower bound, means over textures."""

    error: float  # mean squared, of values in [-1, 1], decoded from draws of the posterior
    divergence: float  # of the posterior from N(0, I), in nats of a texture
    values: int  # of a texture

    def bits(self, variance: float) -> float:
        """An upper bound on the bits of each 8-bit value: -log2 of the bound, for p(x|z) = N(g(z), variance)."""
        nats = 0.5 * (self.error / variance + math.log(2 * math.pi * variance)) + self.divergence / self.values
        return nats / math.log(2) + math.log2(_LEVELS / 2)


def evidence(triangle: Triangle, textures: Tensor, conditions: Sequence[int], seed: int = 0) -> Evidence:
    """The evidence lower bound of `n channels *axes` in [-1, 1], with one draw of the posterior for each."""
    random = torch.Generator().manual_seed(seed)
    return Evidence(*_reconstruct(triangle, textures, conditions, random), textures[0].numel())


@torch.no_grad()
def _reconstruct(
    triangle: Triangle, textures: Tensor, conditions: Sequence[int], random: torch.Generator | None
) -> tuple[float, float]:
    """Mean squared error of values, and divergence of the posterior; decoded from its means, or from random draws."""
    triangle.eval()
    error = divergence = 0.0
    for start in range(0, len(textures), _BATCH):
        part = textures[start : start + _BATCH].to(triangle.device)
        mean, log_variance = triangle.posterior(part)
        z = mean
        if random is not None:
            z = mean + torch.randn(mean.shape, generator=random).to(mean) * (0.5 * log_variance).exp()
        decoded = _decode_encoded(triangle, z, triangle.labels(conditions[start : start + _BATCH]))
        error += float((decoded - part).square().flatten(1).mean(1).sum())
        divergence += float(prior(mean, log_variance)) * len(part)
    return error / len(textures), divergence / len(textures)


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
    """`x`, `channels *axes` in [-1, 1], with generated pixels where `mask`, `1 *axes`, is 1; the rest is unchanged.

    Large holes are filled with new texture, drawn from the prior with `seed`: nothing visible determines it. With None
    they get the posterior's mean, which has the smallest error and is blurred. Masked pixels of `x` have no influence.
    At the border of a hole the generator's error is continued into it (a membrane, as in Poisson image editing, Perez
    et al. 2003), so that no step is visible. Raises TexsynError (exit 3) as `reconstruct` does.
    """
    decoded = _invert(triangle, x, mask, refine, exemplar, sigma, seed)
    inside = (decoded + inpaint.fill(x - decoded, mask)).clamp(-1, 1)
    return torch.where(mask > 0, inside, x)


def _invert(
    triangle: Triangle, x: Tensor, mask: Tensor, refine: int, exemplar: int, sigma: float, seed: int | None
) -> Tensor:
    triangle.check(x)
    triangle.eval()
    own, device, labels = x.shape[1:], triangle.device, triangle.labels([exemplar])
    if triangle.modality.period:
        x = triangle.fitted(inpaint.fill(x, mask))  # what is masked has no influence on its surroundings
    x, mask = x.to(device), ops.resize_mask(mask.to(device), x.shape[1:])
    size, ends = x.shape[1:], _margins(triangle, x)
    whole, whole_mask = (_padded(each, ends, value)[None] for each, value in ((x, 0.0), (mask, 1.0)))
    if triangle.levels:
        whole = inpaint.fill(whole[0], whole_mask[0])[None]
    x, mask = triangle.reduced(whole, 0), (triangle.reduced(whole_mask, 0) > 0).to(whole_mask)
    encoded = _encode(triangle, x, mask, labels)
    unknown = torch.zeros_like(encoded, dtype=torch.bool) if seed is None else _unknown_latents(triangle, mask)
    z, sources = _draw_unknown(triangle, encoded, unknown, labels, seed or 0)
    decode = partial(_decode_sampled if bool(unknown.any()) else _decode_encoded, triangle, labels=labels)
    if refine:
        centre = torch.where(unknown, z, torch.zeros_like(encoded))  # zero is the mean of N(0, I)
        z = _refine(decode, z, centre, x, mask, refine, sigma)
    with torch.no_grad():
        decoded = decode(z)
        for number in range(1, 1 + len(triangle.levels)):
            decoded = _add_level(triangle, number, decoded, whole, whole_mask, sources, seed)
    kept = decoded[0][(slice(None), *(slice(first, first + n) for n, (first, _) in zip(size, ends, strict=True)))]
    return ops.resize(kept, own).cpu()


def _add_level(
    triangle: Triangle,
    number: int,
    decoded: Tensor,
    x: Tensor,
    mask: Tensor,
    sources: Tensor | None,
    seed: int | None,
) -> Tensor:
    """What was decoded below a level, with its detail: that of `x`, and drawn where all is masked.

    sources: where what was drawn below is from; see `Triangle.complete_latents`.
    """
    level, no_wrap = triangle.detail[number - 1], _no_wrap(triangle)
    level.eval()
    own, hidden = triangle.reduced(x, number), triangle.reduced(mask, number)
    estimate = torch.where(hidden > 0, level.enlarge(decoded, no_wrap), own)
    added, below = level.split(estimate, no_wrap)
    z, _variance = level.posterior(added, below.enlarged)
    unknown = ops.block_mean(hidden, level.stride) >= 1
    if seed is not None:
        noise = torch.randn(z.shape, generator=ops.seeded_generator(seed, number)).to(z)
        z = torch.where(unknown, level.latents(sources, noise), z)
    return level.synthesize(z, decoded, no_wrap)


def _margins(triangle: Triangle, x: Tensor) -> list[tuple[int, int]]:
    """Pixels to put before and after each axis: to a multiple of the stride, and to the start of a regular period."""
    modality, first = triangle.modality, [0] * (x.dim() - 1)
    if modality.period:
        shifts = lattice.shift(triangle.reduced(x[None], 0)[0], triangle.motif)
        first = [n * modality.enlargement if each else 0 for n, each in zip(shifts, modality.period, strict=True)]
    return [(f, -(f + n) % stride) for f, n, stride in zip(first, x.shape[1:], triangle.texture_stride, strict=True)]


def _padded(x: Tensor, ends: Sequence[tuple[int, int]], value: float) -> Tensor:
    """`c *axes` with so many pixels of `value` before and after each axis."""
    return F.pad(x, [part for pair in reversed(ends) for part in pair], value=value)


@torch.no_grad()
def _encode(triangle: Triangle, x: Tensor, mask: Tensor, labels: Tensor | None) -> Tensor:
    """The posterior's mean, `1 latent_channels *latent_grid`; masked pixels are estimated by decoding it in turn."""
    z: Tensor
    z, _variance = triangle.posterior(inpaint.fill(x[0], mask[0])[None])
    for _ in range(_ROUNDS - 1 if bool(mask.any()) else 0):
        estimate = torch.where(mask > 0, _decode_encoded(triangle, z, labels), x)
        z, _variance = triangle.posterior(estimate)
    return z


def _unknown_latents(triangle: Triangle, mask: Tensor) -> Tensor:
    """`1 latent_channels *latent_grid`, True where all pixels that a latent position stands for are masked."""
    fields = []
    fixed = [axis for axis, same in enumerate(triangle.modality.stationary, start=2) if not same]
    for field in triangle.design.fields:
        block = tuple(f // g for f, g in zip(triangle.stride, field.grid, strict=True))
        share = ops.space_to_depth(mask, block).mean(1, keepdim=True)  # of each position of this field that is masked
        if field.shared:
            share = share.mean(fixed, keepdim=True).expand_as(share)
        fields.append(ops.space_to_depth(share.expand(-1, field.channels, *share.shape[2:]), field.grid))
    return torch.cat(fields, 1) >= 1


def _draw_unknown(
    triangle: Triangle, z: Tensor, unknown: Tensor, labels: Tensor | None, seed: int
) -> tuple[Tensor, Tensor | None]:
    """`z` with draws from the prior where latents are unknown, which fit those that are known.

    For levels also where in the exemplar it is from; what is known, where that is most like it.
    """
    if not (bool(unknown.any()) or triangle.levels):
        return z, None
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(seed)).to(z)
    labelled = triangle.labelled(z, labels)
    drawn, sources = triangle.complete_latents(triangle.labelled(noise, labels), labelled, ~unknown)
    return drawn[:, : z.shape[1]], sources


def _decode_encoded(triangle: Triangle, z: Tensor, labels: Tensor | None) -> Tensor:
    """g(z) as in training: in batch norm, encoded fields have other statistics than those drawn from the prior."""
    with layers.batch_statistics(triangle.generator_ema):
        decoded: Tensor = triangle.generator_ema(triangle.labelled(z, labels), _no_wrap(triangle))
    return decoded


def _decode_sampled(triangle: Triangle, z: Tensor, labels: Tensor | None) -> Tensor:
    """g(z) as in sampling, with corrections: what is drawn looks like a sample, and refinement fits the rest to it."""
    return triangle.synthesize(triangle.labelled(z, labels), _no_wrap(triangle))


def _no_wrap(triangle: Triangle) -> tuple[bool, ...]:
    return (False,) * len(triangle.modality.axes)


def _refine(
    decode: Callable[[Tensor], Tensor], z: Tensor, centre: Tensor, x: Tensor, mask: Tensor, steps: int, sigma: float
) -> Tensor:
    """z after Adam on -log p(x|z) - log N(z; centre, I) over the visible pixels, at a rate that falls to zero."""
    z = z.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([z], lr=_LEARNING_RATE, betas=(0.9, 0.99))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = _LEARNING_RATE * (1 - step / steps)
        loss = reconstruction(x, decode(z), sigma, mask) + 0.5 * (z - centre).square().sum()
        (z.grad,) = torch.autograd.grad(loss, z)
        optimiser.step()
    return z.detach()
