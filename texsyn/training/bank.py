"""The codes of the mixture prior, encoded beside the training of the triangle."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from texsyn.core import ops
from texsyn.core.recipes import Recipe
from texsyn.media.exemplar import random_places
from texsyn.models import precision
from texsyn.models.triangle import Triangle
from texsyn.training.data import Data, Stream

_RENEWED, _INTERVAL = 2, 20  # codes that are encoded anew, every so many steps
_CUT = 1  # positions at the ends of an encoded crop, which see the zeros beyond it


@torch.no_grad()
def renew_codes(triangle: Triangle, data: Data, recipe: Recipe, step: int) -> None:
    """Every few steps, encode crops in place of the oldest codes; before the first step, all. With N(0, I) nothing.

    Code n is of exemplar n modulo their number. All follows from (seed, step) and the triangle.
    """
    prior, modality = triangle.mixture_prior, triangle.modality
    if prior is None or step % _INTERVAL:
        return
    codes = len(prior.means)
    first, count = (0, codes) if step == 0 else (step // _INTERVAL * _RENEWED % codes, min(_RENEWED, codes))
    random = ops.seeded_generator(recipe.seed, Stream.CODES, step)
    window = [n * f for n, f in zip(prior.inner, triangle.stride, strict=True)]
    sizes = [each.shape[1:] for each in data.pixels]
    places = random_places(sizes, window, first, count, random, modality.raster)
    margins = [(1 + _CUT) * r * f for r, f in zip(prior.ring, triangle.stride, strict=True)]
    for number, (exemplar, crop) in enumerate(places, start=first):
        pixels = _reflected(data.pixels[exemplar], crop, margins)[None]
        with precision.autocast(recipe.precision, triangle.device):
            mean, log_variance = triangle.posterior(pixels)
        mean, log_variance = (_inner(each, prior.means.shape[2:]) for each in (mean, log_variance))
        prior.store([number % codes], mean, log_variance, triangle.labels([exemplar]))


def _inner(z: Tensor, sizes: Sequence[int]) -> Tensor:
    """The middle of fields, `b channels *sizes`."""
    for axis, size in enumerate(sizes, start=2):
        z = z.narrow(axis, (z.shape[axis] - size) // 2, size)
    return z


def _reflected(pixels: Tensor, crop: tuple[slice, ...], margins: Sequence[int]) -> Tensor:
    """A crop of `channels *axes` with margins, reflected where these lie outside."""
    for axis, (part, margin) in enumerate(zip(crop[1:], margins, strict=True), start=1):
        last = pixels.shape[axis] - 1
        index = torch.arange(part.start - margin, part.stop + margin, device=pixels.device)
        if last:
            index = last - (last - index % (2 * last)).abs()
        pixels = pixels.index_select(axis, index.clamp(0, last))
    return pixels
