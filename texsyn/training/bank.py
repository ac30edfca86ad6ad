"""The codes of the mixture prior: those that training draws from, renewed beside it, and those for sampling."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from texsyn.core import ops
from texsyn.core.recipes import Recipe
from texsyn.media.exemplar import Place, random_places
from texsyn.models import precision
from texsyn.models.mixture_prior import BANDWIDTH, MixturePrior
from texsyn.models.triangle import Triangle
from texsyn.training.data import Data, Stream
from texsyn.training.deformation import Source
from texsyn.training.state import TRAINED_CODES, TrainState

_RENEWED, _INTERVAL = 2, 20  # codes of training that are encoded anew, every so many steps
_CUT = 1  # positions at the ends of an encoded crop, which see the zeros beyond it


def renew_codes(state: TrainState, data: Data, recipe: Recipe) -> None:
    """Every few steps, encode crops in place of the oldest codes of training; before the first step, all."""
    if state.prior is None or state.step % _INTERVAL:
        return
    codes = len(state.prior.means)
    first, count = (state.step // _INTERVAL * _RENEWED, min(_RENEWED, codes)) if state.step else (0, codes)
    numbers = [n % codes for n in range(first, first + count)]
    _encode(state.triangle, state.prior, data.sources, numbers, recipe, state.step)
    state.prior.settle(recipe.bandwidth or BANDWIDTH)


def encode_codes(triangle: Triangle, data: Data, recipe: Recipe, whole: bool = True) -> None:
    """Encode what samples are drawn from, all of one moment: codes of earlier weights decode to blurs.

    whole: all codes are; else no more than training has, each several times, which takes a quarter of the time.
    """
    prior = triangle.mixture_prior
    if prior is not None:
        count = len(prior.means) if whole else min(TRAINED_CODES * triangle.design.exemplars, len(prior.means))
        _encode(triangle, prior, data.sources, range(count), recipe, step=0)
        prior.repeat_first(count)
        prior.settle(recipe.bandwidth or BANDWIDTH)


@torch.no_grad()
def _encode(
    triangle: Triangle,
    prior: MixturePrior,
    sources: Sequence[Source],
    numbers: Sequence[int],
    recipe: Recipe,
    step: int,
) -> None:
    """Put codes of random crops into the prior. Code n is of exemplar n modulo their number.

    All follows from (seed, step) and the triangle.
    """
    random = ops.seeded_generator(recipe.seed, Stream.CODES, step)
    window = [n * f for n, f in zip(prior.inner, triangle.stride, strict=True)]
    sizes = [each.pixels.shape[1:] for each in sources]
    places = _places(sizes, window, numbers[0], len(numbers), random, triangle.raster)
    margins = [(1 + _CUT) * r * f for r, f in zip(prior.ring, triangle.stride, strict=True)]
    for number, (exemplar, crop) in zip(numbers, places, strict=True):
        beside, origins = sources[exemplar].trace(crop, random, margins)
        with precision.autocast(recipe.precision, triangle.device):
            mean, log_variance = triangle.posterior(beside[None])
        mean, log_variance = (_inner(each, prior.means.shape[2:]) for each in (mean, log_variance))
        starts = [part.start for part in crop[1:]]
        prior.store([number], mean, log_variance, triangle.labels([exemplar]), starts)
        if prior.has_pictures:
            size = [n * f for n, f in zip(prior.means.shape[2:], prior.stride, strict=True)]
            prior.note_picture(number, _inner(beside[None], size)[0])
        positions = prior.outside.shape[1:]
        share = _per_position(_is_outside(origins, sizes[exemplar]), triangle, prior)
        prior.note_outside(number, _inner(share, positions)[0, 0])
        if prior.traced:
            prior.note_sources(number, exemplar, _inner(_per_position(origins, triangle, prior), positions))


def _places(
    sizes: Sequence[Sequence[int]],
    window: Sequence[int],
    first: int,
    count: int,
    random: torch.Generator,
    raster: Sequence[int],
) -> list[Place]:
    """Random places as in training, but more at an exemplar's ends, which few crops that start anywhere contain.

    Starts are drawn from a wider range, and those beyond an end are set to it.
    """
    beyond = [
        [min(2 * (n - w), w // 2) if step == 1 else 0 for n, w, step in zip(size, window, raster, strict=True)]
        for size in sizes
    ]
    wider = [[n + 2 * more for n, more in zip(*each, strict=True)] for each in zip(sizes, beyond, strict=True)]
    places = []
    for number, (channels, *parts) in random_places(wider, window, first, count, random, raster):
        starts = [
            min(max(part.start - more, 0), n - w)
            for part, more, n, w in zip(parts, beyond[number], sizes[number], window, strict=True)
        ]
        places.append((number, (channels, *(slice(s, s + w) for s, w in zip(starts, window, strict=True)))))
    return places


def _is_outside(origins: Tensor, size: Sequence[int]) -> Tensor:
    """`1 *pixels`: true where pixels from `origins`, `axes *pixels`, lie outside an exemplar of that size."""
    beyond = [(each < -0.5) | (each > n - 0.5) for each, n in zip(origins, size, strict=True)]
    return torch.stack(beyond).any(0, keepdim=True)


def _per_position(values: Tensor, triangle: Triangle, prior: MixturePrior) -> Tensor:
    """`c *pixels` -> `1 c *positions` of the prior's finest field, one along fixed axes: the means of their pixels."""
    block = [f * each // n for f, each, n in zip(triangle.stride, prior.folded, prior.seams.fine, strict=True)]
    return ops.block_mean(values[None].float(), block)


def _inner(z: Tensor, sizes: Sequence[int]) -> Tensor:
    """The middle of fields, `b channels *sizes`."""
    for axis, size in enumerate(sizes, start=2):
        z = z.narrow(axis, (z.shape[axis] - size) // 2, size)
    return z
