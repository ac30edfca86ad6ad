"""The learnt prior, trained beside the triangle: on codes that the posterior gives for crops of the exemplars."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from texsyn.core import ops
from texsyn.core.recipes import Recipe
from texsyn.media.exemplar import random_places
from texsyn.models import precision
from texsyn.models.triangle import Triangle
from texsyn.training.data import Data, Stream, latent_noise
from texsyn.training.state import TrainState

_BATCH = 8  # codes for each step of the flow
_RENEWED, _INTERVAL = 8, 20  # codes that are encoded anew, every so many steps
_MEASURED = 40  # steps from one measurement of draws to the next
_WARM_UP = 100  # steps in which the learning rate rises
_LEARNING_RATE = 2e-3


def train_flow(state: TrainState, data: Data, recipe: Recipe, decay: float) -> None:
    """One step of the flow; codes are renewed now and then. decay: factor on the learning rate. Without a flow nothing.

    All follows from (seed, step) and the state.
    """
    triangle, step = state.triangle, state.step
    if triangle.flow is None or triangle.flow_ema is None:
        return
    if step % _INTERVAL == 0:
        _renew(state, data, recipe, len(state.codes) if step == 0 else _RENEWED)
    random = ops.seeded_generator(recipe.seed, Stream.FLOW, step)
    chosen = torch.randint(len(state.codes), (_BATCH,), generator=random)
    z = state.codes[chosen]
    noise = torch.randn(z.shape, generator=random).to(z)
    time = torch.rand(_BATCH, generator=random).to(z)
    labels = triangle.labels([int(n) % len(data.pixels) for n in chosen])
    with precision.autocast(recipe.precision, triangle.device):
        loss = triangle.flow.loss(triangle.labelled(noise, labels), triangle.labelled(z, labels), time)
    torch.autograd.backward(loss)
    state.descend("flow", _LEARNING_RATE * min(1.0, (step + 1) / _WARM_UP) * decay)
    if step % _MEASURED == 0:
        measure_draws(triangle, recipe, len(data.pixels))
        triangle.flow.copy_draw_moments(triangle.flow_ema)  # see `resume_draws`


def measure_draws(triangle: Triangle, recipe: Recipe, exemplars: int) -> None:
    """Measure the moments of draws, of all exemplars in turn, always from the same noise."""
    if triangle.flow_ema is None:
        return
    noise = latent_noise(triangle, _BATCH, recipe.seed, Stream.FLOW, -1)
    labels = triangle.labels([n % exemplars for n in range(_BATCH)])
    with precision.autocast(recipe.precision, triangle.device):
        triangle.flow_ema.measure_draws(triangle.labelled(noise, labels))


def resume_draws(triangle: Triangle) -> None:
    """Draw as training did before it ended: the average's moments were measured anew for sampling."""
    if triangle.flow is not None and triangle.flow_ema is not None:
        triangle.flow_ema.copy_draw_moments(triangle.flow)


@torch.no_grad()
def _renew(state: TrainState, data: Data, recipe: Recipe, count: int) -> None:
    """Encode `count` crops in place of the oldest codes; code n is of exemplar n modulo their number."""
    triangle, step = state.triangle, state.step
    first = step // _INTERVAL * _RENEWED % len(state.codes)
    random = ops.seeded_generator(recipe.seed, Stream.CODES, step)
    sizes = [each.shape[1:] for each in data.pixels]
    places = random_places(sizes, flow_window(triangle, sizes), first, count, random, triangle.modality.raster)
    for number in range(0, count, recipe.batch_size):
        crops = data.crops(places[number : number + recipe.batch_size])
        with precision.autocast(recipe.precision, triangle.device):
            mean, log_variance = triangle.posterior(crops)
        noise = torch.randn(mean.shape, generator=random).to(mean)
        codes = _inner(mean + noise * (0.5 * log_variance).exp(), state.codes)
        state.codes[first + number : first + number + len(codes)] = codes
    for flow in (triangle.flow, triangle.flow_ema):
        assert flow is not None
        flow.standardise(state.codes)


def flow_window(triangle: Triangle, sizes: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The crops that are encoded for the flow: a window with one latent position more on all sides, where that fits."""
    modality = triangle.modality
    wanted = [
        n + 2 * f * same for n, f, same in zip(modality.window, triangle.stride, modality.stationary, strict=True)
    ]
    fits = [min(size[axis] for size in sizes) for axis in range(len(wanted))]
    return tuple(n if n <= fit else w for n, fit, w in zip(wanted, fits, modality.window, strict=True))


def _inner(z: Tensor, like: Tensor) -> Tensor:
    """The middle of fields, of the size of `like`: at the ends of a crop codes depend on what lies beyond."""
    for axis in range(2, z.dim()):
        z = z.narrow(axis, (z.shape[axis] - like.shape[axis]) // 2, like.shape[axis])
    return z
