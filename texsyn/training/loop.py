"""Learning: `fit` is a generator of reports, and whoever iterates decides when to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from texsyn.core import ops
from texsyn.core.errors import Exit, TexsynError
from texsyn.core.modality import Modality
from texsyn.core.recipes import Recipe, design_for
from texsyn.media.exemplar import Exemplar, OneOrMore, as_tuple, random_places
from texsyn.models import precision
from texsyn.models.triangle import TERMS, Triangle
from texsyn.training.calibration import calibrate
from texsyn.training.data import Data, latent_noise, seeded_generator

NETWORKS = ("generator", "posterior", "energy")
_STEER = (0.02, 3.0)  # rate at which the penalty follows the energy's slope, and the excess it heeds at most
_STRENGTHS = (0.02, 4.0)  # of the penalty, as shares of the recipe's
_GIVE_UP = 6  # roll-backs before a fit is declared diverged


def create(exemplar: OneOrMore, recipe: Recipe, device: str | torch.device = "cpu") -> Triangle:
    """A triangle with fresh weights. Raises TexsynError (exit 3) where exemplar and recipe do not suit each other."""
    check(exemplar, recipe)
    exemplars = as_tuple(exemplar)
    modality = exemplars[0].modality
    return Triangle(modality, design_for(modality, recipe, len(exemplars)), recipe.seed).to(device)


def check(exemplar: OneOrMore, recipe: Recipe) -> None:
    """Raise TexsynError (exit 2 or 3) where exemplars and recipe do not suit each other."""
    exemplars = as_tuple(exemplar)
    check_fit(exemplars[0].modality, recipe, len(exemplars))
    if any(each.mask is not None for each in exemplars) and not recipe.reconstruction:
        raise TexsynError("what is missing is estimated by reconstruction, which this objective leaves out", Exit.USAGE)


@dataclass
class TrainState:
    """All that a fit carries from one step to the next; with it, a resumed fit equals an unbroken one."""

    triangle: Triangle
    optimisers: dict[str, torch.optim.Adam]
    step: int = 0
    seconds: float = 0.0
    lr_scale: float = 1.0  # factor on the learning rate, halved at each roll-back
    penalty_scale: float = 1.0  # factor on the penalty
    rollbacks: int = 0
    nonfinite_steps: int = 0  # steps skipped in a row because something was not finite
    estimates: dict[int, Tensor] = field(default_factory=dict)  # exemplars with what is missing in them re-estimated

    def pixels(self, exemplars: Sequence[Exemplar]) -> list[Tensor]:
        """The exemplars, `channels *axes` each, with the newest estimates of what is missing, on the fit's device."""
        device = self.triangle.device
        return [self.estimates.get(n, each.pixels.to(device)) for n, each in enumerate(exemplars)]

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state under a name of its own."""
        named = {f"triangle.{name}": value for name, value in self.triangle.state_dict().items()}
        for network, optimiser in self.optimisers.items():
            for index, (view, parameter) in enumerate(self._views(network)):
                for key, value in optimiser.state[view].items():
                    order = ops.memory_order(parameter) if value.dim() else []
                    named[f"optimiser.{network}.{index}.{key}"] = value.permute(
                        [order.index(a) for a in range(len(order))]
                    )
        return named | {f"estimate.{n}": value for n, value in self.estimates.items()}

    def _views(self, network: str) -> list[tuple[Tensor, nn.Parameter]]:
        """What the network's optimiser changes, and the weights that share its memory."""
        views = self.optimisers[network].param_groups[0]["params"]
        return list(zip(views, getattr(self.triangle, network).parameters(), strict=True))

    def descend(self, network: str, rate: float) -> None:
        """Adam's step along the gradients that the network's weights have."""
        optimiser = self.optimisers[network]
        optimiser.param_groups[0]["lr"] = rate
        for view, parameter in self._views(network):
            gradient = parameter.grad
            view.grad = None if gradient is None else gradient.permute(ops.memory_order(parameter)).contiguous()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def numbers(self) -> dict[str, float | int]:
        """Every number of the state."""
        return {
            name: getattr(self, name)
            for name in ("step", "seconds", "lr_scale", "penalty_scale", "rollbacks", "nonfinite_steps")
        }

    def restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Take on the tensors and numbers of another state of the same fit."""
        with torch.no_grad():
            for name, value in self.tensors().items():
                value.copy_(tensors[name])
        for name in self.numbers():
            setattr(self, name, numbers[name])


@dataclass(frozen=True)
class Report:
    """One step of learning."""

    step: int
    progress: float  # 0 to 1
    terms: dict[str, float]  # the five terms of D in nats per texture; those left out are absent
    seconds: float  # since the start, over all sessions of the fit
    rate: float  # textures a second, data and made, over the last steps
    remaining: float  # seconds, from measured steps
    checkpoint: bool  # the state is on a boundary where it may be stored
    skipped: str  # why this step was skipped, or empty
    state: TrainState = field(repr=False)

    @property
    def done(self) -> bool:
        return self.progress >= 1


def init_state(triangle: Triangle, recipe: Recipe, exemplars: Sequence[Exemplar]) -> TrainState:
    """The state before the first step."""
    optimisers = {}
    for name in NETWORKS:
        optimisers[name] = torch.optim.Adam(
            # On CPU Adam's fused step copies what is not contiguous, there and back: three quarters of its time.
            [p.detach().permute(ops.memory_order(p)) for p in getattr(triangle, name).parameters()],
            lr=recipe.learning_rate,
            betas=(recipe.beta1, recipe.beta2),
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        for parameter in optimisers[name].param_groups[0]["params"]:
            # Laid out now rather than at the first step, so that a state has the same tensors at every step.
            optimisers[name].state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
    estimates = {
        n: each.pixels.clone().to(triangle.device) for n, each in enumerate(exemplars) if each.mask is not None
    }
    return TrainState(triangle, optimisers, estimates=estimates)


def fit(triangle: Triangle, exemplar: OneOrMore, recipe: Recipe, state: TrainState | None = None) -> Iterator[Report]:
    """Learn, step by step; what is learnt so far stays when the caller stops iterating.

    Randomness comes from (seed, stream, step) alone, so going on from a stored `state` gives the same bits on the same
    device. A step with numbers that are not finite is skipped; after three in a row the fit goes back to its last
    checkpoint at half the rate. Raises TexsynError: exit 6 when that keeps happening, with the last good weights in
    `triangle`; exit 4 when not even one texture a step fits in memory.
    """
    exemplars = as_tuple(exemplar)
    state = state or init_state(triangle, recipe, exemplars)
    data = Data.of(exemplars, state.pixels(exemplars))
    good = _snapshot(state)
    pace = _Throughput(state)
    parts = 1
    try:
        while progress(state, recipe) < 1:
            try:
                terms, skipped = _step(state, data, recipe, parts)
            except torch.OutOfMemoryError as error:
                parts = _split_batch(parts, recipe, state, good, error)
                continue
            pace.tick(state)
            if skipped:
                state.nonfinite_steps += 1
                if state.nonfinite_steps >= 3:
                    skipped += _roll_back(state, good)
            else:
                state.nonfinite_steps = 0
            done = progress(state, recipe)
            boundary = not skipped and (state.step % recipe.checkpoint_interval == 0 or done >= 1)
            if boundary:
                good = _snapshot(state)
            remaining = pace.remaining(state, recipe)
            yield Report(
                state.step,
                done,
                terms,
                state.seconds,
                2 * recipe.batch_size / pace.step,
                remaining,
                boundary,
                skipped,
                state,
            )
    finally:
        calibrate(triangle, recipe, data.pixels)


def progress(state: TrainState, recipe: Recipe) -> float:
    """Share of the run that lies behind, by time where there is a time budget and by steps otherwise."""
    done = state.seconds / (60 * recipe.minutes) if recipe.minutes else state.step / recipe.steps
    return min(1.0, done)


def _adapt_penalty(state: TrainState, recipe: Recipe, gradient_norm: float) -> None:
    """Bring the penalty nearer to the strength at which the energy has the slope that the recipe asks for.

    The better textures are, the weaker is the slope that a fixed penalty leaves between them and the data, while the
    reconstruction pulls as before. A penalty that is the multiplier of a constraint on the slope keeps the energy's
    say, and grows again where the energy runs away.
    """
    excess = min(_STEER[1], gradient_norm / recipe.gradient_norm_target) - 1
    low, high = _STRENGTHS
    state.penalty_scale = min(high, max(low, state.penalty_scale * math.exp(_STEER[0] * excess)))


def _step(state: TrainState, data: Data, recipe: Recipe, parts: int) -> tuple[dict[str, float], str]:
    """One step of all three networks; gradients of `parts` smaller batches add up to that of the whole."""
    triangle, window = state.triangle, state.triangle.modality.window
    layout = ops.memory_format(len(window))
    size = math.prod(window) * triangle.modality.channels  # brings gradients to order one: nats per value
    sizes = [each.shape[1:] for each in data.pixels]
    drawn = seeded_generator(recipe.seed, "crop", state.step)
    chosen = random_places(
        sizes, window, state.step * recipe.batch_size, recipe.batch_size, drawn, triangle.modality.raster
    )
    x = torch.stack([data.pixels[exemplar][place] for exemplar, place in chosen]).contiguous(memory_format=layout)
    visible, labels = data.visible(chosen), triangle.labels([exemplar for exemplar, _ in chosen])
    z = latent_noise(triangle, recipe.batch_size, recipe.seed, "prior", state.step)
    noise = latent_noise(triangle, recipe.batch_size, recipe.seed, "posterior", state.step)
    triangle.zero_grad(set_to_none=True)
    penalty = recipe.gradient_penalty * state.penalty_scale
    penalised = penalty > 0 and state.step % recipe.penalty_interval == 0
    measured, decoded = [], []
    for part in range(parts):
        chunk = slice(part * recipe.batch_size // parts, (part + 1) * recipe.batch_size // parts)
        share = (chunk.stop - chunk.start) / recipe.batch_size
        of_chunk = {
            name: None if each is None else each[chunk] for name, each in (("labels", labels), ("visible", visible))
        }
        with precision.autocast(recipe.precision, triangle.device):
            losses = triangle.losses(x[chunk], z[chunk], noise[chunk], recipe, penalised, **of_chunk)
        torch.autograd.backward((losses.loss / size + penalty * recipe.penalty_interval * losses.gradient_norm) * share)
        decoded.append(losses.decoded)
        names = [name for name in TERMS if name in losses.terms]
        found = (losses.gradient_norm, *(losses.terms[name] for name in names))
        measured.append(share * torch.stack([value.detach() for value in found]))
    # Read at once: each reading of a number waits for the device.
    gradient_norm, *values = torch.stack(measured).sum(0).tolist()
    terms = dict(zip(names, values, strict=True))
    state.step += 1
    trouble = _find_nonfinite(state, terms)
    if not trouble:
        _update(state, recipe)
        if penalised and recipe.gradient_norm_target:
            _adapt_penalty(state, recipe, gradient_norm)
        if visible is not None:
            data.estimate(chosen, torch.cat([each for each in decoded if each is not None]))
    return terms, trouble


def _find_nonfinite(state: TrainState, terms: dict[str, float]) -> str:
    for name, value in terms.items():
        if not math.isfinite(value):
            return f"{name} is not finite"
    norms = {}
    for name in NETWORKS:
        gradients = [p.grad for p in getattr(state.triangle, name).parameters() if p.grad is not None]
        if gradients:
            norms[name] = torch.stack(torch._foreach_norm(gradients)).sum()
    for name, norm in zip(norms, torch.stack([*norms.values()]).tolist(), strict=True):
        if not math.isfinite(norm):
            return f"a gradient of the {name} is not finite"
    return ""


def _update(state: TrainState, recipe: Recipe) -> None:
    left = 1 - progress(state, recipe)
    rate = (
        recipe.learning_rate
        * state.lr_scale
        * (min(1.0, left / recipe.lr_decay_fraction) if recipe.lr_decay_fraction else 1.0)
    )
    for network in state.optimisers:
        state.descend(network, rate)
    keep = min(recipe.ema_decay, state.step / (state.step + 10))
    with torch.no_grad():
        old: list[Tensor] = list(state.triangle.generator_ema.parameters())
        new: list[Tensor] = list(state.triangle.generator.parameters())
        torch._foreach_lerp_(old, new, 1 - keep)


def _snapshot(state: TrainState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    return {name: value.detach().clone() for name, value in state.tensors().items()}, state.numbers()


def _roll_back(state: TrainState, good: tuple[dict[str, Tensor], dict[str, Any]]) -> str:
    now, rollbacks = state.step, state.rollbacks + 1
    lr_scale, seconds = state.lr_scale / 2, state.seconds
    state.restore(*good)
    if rollbacks > _GIVE_UP:
        raise TexsynError(
            f"the fit diverged at step {now} after {_GIVE_UP} roll-backs: the weights of step {state.step} are kept; "
            "a lower --rate or a higher --penalty may help",
            Exit.DIVERGED,
        )
    # The step counter goes on, so that other crops and other noise are drawn than those that led astray.
    state.step, state.seconds, state.lr_scale, state.rollbacks, state.nonfinite_steps = (
        now,
        seconds,
        lr_scale,
        rollbacks,
        0,
    )
    return f"; back to the weights of step {good[1]['step']} at {lr_scale:g} times the rate"


def _split_batch(parts: int, recipe: Recipe, state: TrainState, good: Any, error: Exception) -> int:
    if parts >= recipe.batch_size:
        state.restore(*good)
        raise TexsynError(
            "not even one texture a step fits in memory: use a smaller --side or --width", Exit.OUT_OF_MEMORY
        ) from error
    state.triangle.zero_grad(set_to_none=True)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return min(2 * parts, recipe.batch_size)


class _Throughput:
    """Time: what has passed, the caller's between two steps included, how long a step takes, and what is left."""

    def __init__(self, state: TrainState) -> None:
        self.last = time.perf_counter()
        self.step = math.inf
        self.first = state.step
        self.begun = self.last

    def tick(self, state: TrainState) -> None:
        now = time.perf_counter()
        taken = now - self.last
        state.seconds += taken
        self.step = taken if math.isinf(self.step) else 0.9 * self.step + 0.1 * taken
        self.last = now

    def remaining(self, state: TrainState, recipe: Recipe) -> float:
        if recipe.minutes:
            return max(0.0, 60 * recipe.minutes - state.seconds)
        mean = (time.perf_counter() - self.begun) / max(1, state.step - self.first)
        return mean * max(0, recipe.steps - state.step)


def check_fit(modality: Modality, recipe: Recipe, exemplars: int = 1) -> None:
    """Raise TexsynError (exit 3) when the recipe's networks cannot look at windows of this size."""
    design, window = design_for(modality, recipe, exemplars), modality.window
    for size, factor in zip(window, design.stride, strict=True):
        if size % factor:
            raise TexsynError(f"the {recipe.architecture} networks work in steps of {factor}, but the window is {size}")
    with torch.device("meta"):
        triangle = Triangle(modality, design)
        x = torch.zeros(1, modality.channels, *window)
        try:
            labels = triangle.labels([0])
            triangle.energy(x, labels)
            triangle.generator(triangle.labelled(torch.zeros(1, *triangle.latent_shape(window)), labels))
        except RuntimeError as error:
            shown = " x ".join(map(str, window[::-1]))
            raise TexsynError(f"the {recipe.architecture} networks do not fit a window of {shown}") from error
