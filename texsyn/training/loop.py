"""Training: `fit` yields a report for each step, and the caller decides when to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from texsyn.core.architecture import Design, LevelDesign
from texsyn.core.errors import Exit, TexsynError
from texsyn.core.group import Group
from texsyn.core.modality import Modality
from texsyn.core.recipes import LEVEL_SHARE, Recipe, design_for, level_designs
from texsyn.media import lattice
from texsyn.media.exemplar import Exemplar, OneOrMore, as_tuple, conditions
from texsyn.models import initial_weights, layers, precision
from texsyn.models.triangle import Triangle
from texsyn.models.trio import TERMS, Trio
from texsyn.training.bank import renew_codes
from texsyn.training.calibration import calibrate
from texsyn.training.data import Batch, Data, draw_batch
from texsyn.training.detail import Detail
from texsyn.training.state import NETWORKS, Snapshot, TrainState, init_state

_PENALTY_RATE, _MAX_EXCESS = 0.02, 3.0  # at which the penalty adapts, and the largest ratio that counts
_PENALTY_SCALES = (0.02, 4.0)  # range of the factor on the recipe's penalty
_LARGEST_OF_LEVEL = 50.0  # of a level, whose energy runs away more easily: what is added is mostly noise at first
_MAX_SKIPPED = 3  # steps in a row before a roll-back
_MAX_ROLLBACKS = 6  # before a fit counts as diverged
_SIGMA = 0.2  # of p(r|z, y), in deviations of what a level adds


def create(exemplar: OneOrMore, recipe: Recipe, device: str | torch.device = "cpu") -> Triangle:
    """The triangle before its first step. Raises TexsynError (exit 2 or 3) where exemplars and recipe do not match."""
    check(exemplar, recipe)
    exemplars = as_tuple(exemplar)
    modality = modality_for(exemplars, recipe)
    levels = level_designs(modality, recipe, [each.size for each in exemplars])
    return begin(modality, design_for(modality, recipe, conditions(exemplars)), levels, exemplars, recipe).to(device)


def modality_for(exemplars: Sequence[Exemplar], recipe: Recipe) -> Modality:
    """The kind of the exemplars; of one with a regular pattern, with its period, where the recipe looks for that."""
    first = exemplars[0]
    if len(exemplars) > 1 or not recipe.whole_periods:
        return first.modality
    return lattice.fitted(first.modality, first.pixels, design_for(first.modality, recipe).stride)


def begin(
    modality: Modality,
    design: Design,
    levels: Sequence[LevelDesign],
    exemplars: Sequence[Exemplar],
    recipe: Recipe,
) -> Triangle:
    """A triangle of this design with these levels, on the CPU, as the recipe has it before the first step."""
    triangle = Triangle(modality, design, recipe.seed, levels)
    if modality.period:
        triangle.motif.copy_(lattice.motif(triangle.scaled(exemplars[0].pixels), modality.period))
    pixels = [triangle.scaled(each.pixels) for each in exemplars] if levels else [each.pixels for each in exemplars]
    triangle.balance_colours(pixels, recipe.colour_balance)
    if recipe.start == "rendered":
        initial_weights.put_into(triangle, pixels)
    return triangle


def check(exemplar: OneOrMore, recipe: Recipe) -> None:
    """Raise TexsynError (exit 2 or 3) where exemplars and recipe do not match."""
    exemplars = as_tuple(exemplar)
    check_fit(exemplars[0].modality, recipe, conditions(exemplars))
    if exemplars[0].classes and recipe.latent_prior != "normal":
        raise TexsynError("images with classes are drawn from N(0, I): use --set latent_prior=normal", Exit.USAGE)
    masked = any(each.mask is not None for each in exemplars)
    if masked and exemplars[0].modality.factors:
        raise TexsynError("masked exemplars are learnt without levels of detail: use --levels 0", Exit.USAGE)
    if masked and not recipe.reconstruction:
        raise TexsynError("masked pixels are estimated by reconstruction, which this objective leaves out", Exit.USAGE)


def check_fit(modality: Modality, recipe: Recipe, exemplars: int = 1) -> None:
    """Raise TexsynError (exit 3) where the recipe's networks cannot take windows of the modality's size."""
    design, window = design_for(modality, recipe, exemplars), modality.window
    for size, stride in zip(window, design.stride, strict=True):
        if size % stride:
            raise TexsynError(f"the {recipe.architecture} networks have a stride of {stride}, but the window is {size}")
    if not all(design.positions(window, [0] * len(window))):
        size_text = " x ".join(map(str, window[::-1]))
        raise TexsynError(f"the {recipe.architecture} networks do not fit a window of {size_text}")


@dataclass(frozen=True)
class Report:
    """One training step."""

    step: int
    progress: float  # 0 to 1
    terms: dict[str, float]  # the terms of D that the objective uses, in nats per texture
    seconds: float  # of training so far, over all sessions of the fit
    rate: float  # textures per second, data and generated, over the last steps
    remaining: float  # seconds, from measured steps
    checkpoint: bool  # the state may be stored after this step
    skipped: str  # why this step was skipped, or empty
    state: TrainState = field(repr=False)

    @property
    def done(self) -> bool:
        return self.progress >= 1

    @property
    def stage(self) -> str:
        """What is in training of a model with levels of detail: "base" or "level 1 of 2"; empty without them."""
        levels = len(self.state.triangle.levels)
        if not levels:
            return ""
        return f"level {self.state.level} of {levels}" if self.state.level else "base"


def fit(
    triangle: Triangle,
    exemplar: OneOrMore,
    recipe: Recipe,
    state: TrainState | None = None,
    group: Group | None = None,
) -> Iterator[Report]:
    """Train step by step. The caller can stop at any time; the triangle keeps what it has learned.

    Random numbers depend on (seed, stream, step) alone, so a fit resumed from a stored `state` gives the same bits on
    the same device. group: of processes that train one model together, each with these arguments; by default those of
    torch.distributed, if it was started. A step with numbers that are not finite is skipped; after three in a row the
    fit goes back to its last checkpoint at half the learning rate. Raises TexsynError: exit 6 where that keeps
    happening, with the last good weights in `triangle`; exit 4 where not even one texture per step fits in memory;
    exit 2 for a batch that cannot be shared; exit 143 where another process has ended.
    """
    exemplars, group = as_tuple(exemplar), group or Group.joined()
    check_group(exemplars, recipe, group)
    state = state or init_state(triangle, recipe, exemplars)
    data = Data.of(exemplars, state.pixels(exemplars), triangle.modality, recipe)
    detail = _detail(state, exemplars)
    good = state.snapshot()
    throughput = _Throughput(state)
    parts = 1  # into which a batch is split
    try:
        while progress(state, recipe) < 1 and not (group.count > 1 and group.stop):
            if state.level < len(triangle.levels) and _progress_of_level(state, recipe) >= 1:
                calibrate(triangle, recipe, data, detail, finished=True)
                state.begin_level()
                detail = _detail(state, exemplars)
                assert detail is not None
                detail.begin(state, recipe)
                good = state.snapshot()
            try:
                terms, skipped = train_step(state, detail or data, recipe, parts, group)
            except torch.OutOfMemoryError as error:
                if group.count > 1:  # the others wait for this process's part
                    why = "its part of a batch does not fit in this device's memory: use more --devices"
                    raise TexsynError(why, Exit.OUT_OF_MEMORY) from error
                parts = _split_batch(parts, recipe, state, good, error)
                continue
            throughput.tick(state)
            state.seconds = group.agree(state.seconds, triangle.device)
            skipped = _count_skipped(state, good, skipped)
            done = progress(state, recipe)
            checkpoint = not skipped and (state.step % recipe.checkpoint_interval == 0 or done >= 1)
            if checkpoint:
                good = state.snapshot()
            yield Report(
                step=state.step,
                progress=done,
                terms=terms,
                seconds=state.seconds,
                rate=2 * recipe.batch_size / throughput.seconds_per_step,
                remaining=throughput.remaining(state, recipe),
                checkpoint=checkpoint,
                skipped=skipped,
                state=state,
            )
    finally:
        calibrate(triangle, recipe, data, detail, finished=progress(state, recipe) >= 1)


def check_group(exemplars: Sequence[Exemplar], recipe: Recipe, group: Group) -> None:
    """Raise TexsynError (exit 2) where a fit cannot be shared among the processes of a group."""
    if group.count > recipe.batch_size:
        raise TexsynError(
            f"a batch of {recipe.batch_size} cannot be shared among {group.count} devices: use --set batch_size=...",
            Exit.USAGE,
        )
    if group.count > 1 and any(each.mask is not None for each in exemplars):
        raise TexsynError("masked exemplars are learnt on one device", Exit.USAGE)


def prepare(state: TrainState, exemplars: Sequence[Exemplar], recipe: Recipe) -> None:
    """Prepare the triangle for sampling as it is now; training goes on as if nothing had been prepared."""
    data = Data.of(exemplars, state.pixels(exemplars), state.triangle.modality, recipe)
    calibrate(state.triangle, recipe, data, _detail(state, exemplars))


def _detail(state: TrainState, exemplars: Sequence[Exemplar]) -> Detail | None:
    """What the level in training learns from; None while it is the base."""
    if not state.level:
        return None
    return Detail(state.triangle, state.level, [each.pixels.to(state.triangle.device) for each in exemplars])


def progress(state: TrainState, recipe: Recipe) -> float:
    return recipe.progress(state.step, state.seconds)


def _starts(state: TrainState) -> list[float]:
    """Shares of the whole training after which the base and each level begin, and 1."""
    levels = len(state.triangle.levels)
    whole = 1 + levels * LEVEL_SHARE
    return [0.0, *((1 + n * LEVEL_SHARE) / whole for n in range(levels)), 1.0]


def _progress_of_level(state: TrainState, recipe: Recipe) -> float:
    """Share of the training of the base, or of the level in training, that is done."""
    start, end = _starts(state)[state.level : state.level + 2]
    return min(1.0, (progress(state, recipe) - start) / (end - start))


def train_step(
    state: TrainState, data: Data | Detail, recipe: Recipe, parts: int = 1, group: Group | None = None
) -> tuple[dict[str, float], str]:
    """One step of all three networks of the base, or of the level in training, its batch split into `parts`.

    group: of processes, each of which takes its part of the batch.

    Returns the terms, and why the step was skipped, or an empty string.
    """
    if isinstance(data, Detail):
        recipe = replace(recipe, sigma=_SIGMA)
        data.renew(state, recipe)
        batch = data.batch(state, recipe)
    else:
        renew_codes(state, data, recipe)
        batch = draw_batch(state, data, recipe)
    penalised = state.step % recipe.penalty_interval == 0
    penalty = recipe.gradient_penalty * state.penalty_scale if penalised else 0.0
    terms, gradient_norm, decoded = _backward(state.trio, batch, recipe, penalty, parts, group or Group())
    state.step += 1
    nonfinite = _find_nonfinite(state, terms)
    if not nonfinite:
        _update(state, recipe)
        if penalty > 0 and recipe.gradient_norm_target:
            _adapt_penalty(state, recipe, gradient_norm)
        if batch.mask is not None and isinstance(data, Data):
            data.estimate(batch.places, torch.cat(decoded))
    return terms, nonfinite


def _backward(
    trio: Trio, batch: Batch, recipe: Recipe, penalty: float, parts: int, group: Group
) -> tuple[dict[str, float], float, list[Tensor]]:
    """Give every weight its gradient, the sum of those of the batch's parts.

    Returns the terms and the gradient norm that is penalised, means over the batch, and the parts' reconstructions.
    """
    size = trio.modality.channels * math.prod(trio.modality.window)  # nats per value: gradients of order one
    trio.zero_grad(set_to_none=True)
    measured, decoded = [], []
    own = slice(group.rank * parts, (group.rank + 1) * parts)
    for share, inputs in list(batch.split(parts * group.count))[own]:
        with layers.shared_statistics(trio.generator, group):
            with precision.autocast(recipe.precision, trio.device):
                losses = trio.losses(**inputs, objective=recipe, penalised=penalty > 0)
            loss = losses.loss / size + penalty * recipe.penalty_interval * losses.gradient_norm
            torch.autograd.backward(loss * share)
        if losses.decoded is not None:
            decoded.append(losses.decoded)
        names = [name for name in TERMS if name in losses.terms]
        numbers = (losses.gradient_norm, *(losses.terms[name] for name in names))
        measured.append(share * torch.stack([each.detach() for each in numbers]))
    numbers_of_batch = torch.stack(measured).sum(0)
    gradients = [each.grad for each in trio.parameters() if each.grad is not None]
    group.add([numbers_of_batch, *gradients])
    # All numbers at once: each reading waits for the device.
    gradient_norm, *terms = numbers_of_batch.tolist()
    return dict(zip(names, terms, strict=True)), gradient_norm, decoded


def _find_nonfinite(state: TrainState, terms: dict[str, float]) -> str:
    """What is not finite, a term or a network's gradient; empty where all is."""
    for name, value in terms.items():
        if not math.isfinite(value):
            return f"{name} is not finite"
    norms = {}
    for name in NETWORKS:
        gradients = [p.grad for p in getattr(state.trio, name).parameters() if p.grad is not None]
        if gradients:
            norms[name] = torch.stack(torch._foreach_norm(gradients)).sum()
    for name, norm in zip(norms, torch.stack([*norms.values()]).tolist(), strict=True):
        if not math.isfinite(norm):
            return f"a gradient of the {name} is not finite"
    return ""


def _update(state: TrainState, recipe: Recipe) -> None:
    """Change the weights along their gradients, and move the averaged generator towards the generator."""
    for network in NETWORKS:
        state.descend(network, recipe.learning_rate * state.lr_scale * _decay(state, recipe))
    trio, steps = state.trio, state.step - state.level_step
    _average(trio.generator_ema, trio.generator, min(recipe.ema_decay, steps / (steps + 10)))


def _decay(state: TrainState, recipe: Recipe) -> float:
    """Factor on learning rates, which fall to zero in the last part of training."""
    remaining = 1 - _progress_of_level(state, recipe)
    return min(1.0, remaining / recipe.lr_decay_fraction) if recipe.lr_decay_fraction else 1.0


def _average(averaged: nn.Module, newest: nn.Module, keep: float) -> None:
    with torch.no_grad():
        of: list[Tensor] = list(averaged.parameters())
        towards: list[Tensor] = list(newest.parameters())
        torch._foreach_lerp_(of, towards, 1 - keep)


def _adapt_penalty(state: TrainState, recipe: Recipe, gradient_norm: float) -> None:
    """Change the penalty so that the energy's squared gradient norm approaches the recipe's target.

    The better textures are, the smaller is the gradient that a fixed penalty leaves between them and the data, while
    the reconstruction pulls as before. As the multiplier of a constraint on the gradient norm, the penalty keeps the
    energy's influence, and grows again where the energy runs away.
    """
    excess = min(_MAX_EXCESS, gradient_norm / recipe.gradient_norm_target) - 1
    low, high = _PENALTY_SCALES
    high = _LARGEST_OF_LEVEL if state.level else high
    state.penalty_scale = min(high, max(low, state.penalty_scale * math.exp(_PENALTY_RATE * excess)))


def _count_skipped(state: TrainState, good: Snapshot, skipped: str) -> str:
    """Count steps skipped in a row; after three go back to `good`. Returns why this one was, and what followed."""
    state.nonfinite_steps = state.nonfinite_steps + 1 if skipped else 0
    if state.nonfinite_steps >= _MAX_SKIPPED:
        skipped += _roll_back(state, good)
    return skipped


def _roll_back(state: TrainState, good: Snapshot) -> str:
    """Restore the weights of `good`, at half the learning rate. Raises TexsynError (exit 6) after six times."""
    now = state.numbers()
    state.restore(*good)
    if now["rollbacks"] >= _MAX_ROLLBACKS:
        raise TexsynError(
            f"training diverged at step {now['step']} after {_MAX_ROLLBACKS} roll-backs: the weights of step "
            f"{state.step} are kept; a lower --set learning_rate=... or a higher --set gradient_penalty=... may help",
            Exit.DIVERGED,
        )
    good_step = state.step
    # The step number goes on, so that other crops and noise follow than those that led here.
    state.step, state.seconds = int(now["step"]), now["seconds"]
    state.lr_scale, state.rollbacks, state.nonfinite_steps = now["lr_scale"] / 2, int(now["rollbacks"]) + 1, 0
    return f"; back to the weights of step {good_step}, at {state.lr_scale:g} times the learning rate"


def _split_batch(parts: int, recipe: Recipe, state: TrainState, good: Snapshot, error: Exception) -> int:
    """Twice as many parts. Raises TexsynError (exit 4) where a part is one texture already."""
    if parts >= recipe.batch_size:
        state.restore(*good)
        raise TexsynError(
            "not even one texture per step fits in memory: use a smaller --side or --set width_multiplier=...",
            Exit.OUT_OF_MEMORY,
        ) from error
    state.triangle.zero_grad(set_to_none=True)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return min(2 * parts, recipe.batch_size)


class _Throughput:
    """Times steps, including the caller's work between them."""

    def __init__(self, state: TrainState) -> None:
        self.seconds_per_step = math.inf  # over the last steps
        self._started = self._last = time.perf_counter()
        self._first_step = state.step

    def tick(self, state: TrainState) -> None:
        """Count a finished step."""
        now = time.perf_counter()
        seconds = now - self._last
        state.seconds += seconds
        first = math.isinf(self.seconds_per_step)
        self.seconds_per_step = seconds if first else 0.9 * self.seconds_per_step + 0.1 * seconds
        self._last = now

    def remaining(self, state: TrainState, recipe: Recipe) -> float:
        """Seconds to the end, from the time budget or from the mean time of a step."""
        if recipe.minutes:
            return max(0.0, 60 * recipe.minutes - state.seconds)
        mean = (time.perf_counter() - self._started) / max(1, state.step - self._first_step)
        return mean * max(0, recipe.steps - state.step)
