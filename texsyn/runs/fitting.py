"""Training one run from its newest checkpoint on; checkpoints, events, previews and the model are stored meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import locked
from texsyn.core.group import Group
from texsyn.core.recipes import Recipe
from texsyn.core.text import in_steps
from texsyn.media.exemplar import Exemplar, OneOrMore, as_tuple
from texsyn.metrics.scoring import quick_metrics, to_numpy
from texsyn.models.triangle import Triangle
from texsyn.runs import checkpoints, events, previews, serialization, storage
from texsyn.runs.copying import limit_copying
from texsyn.runs.run import Run
from texsyn.synthesis import sampling
from texsyn.training import loop
from texsyn.training.state import TrainState, init_state

_EVENT_SHARE, _EVENT_LEAST, _EVENT_MOST = 1 / 500, 0.5, 10.0  # of the time so far; seconds between two events of steps


def fit_run(
    run: Run,
    triangle: Triangle,
    exemplar: OneOrMore,
    recipe: Recipe,
    warn: Callable[[str], None],
    group: Group | None = None,
) -> Iterator[loop.Report]:
    """Train from where the run stands; yields a report after each step.

    Whenever iteration ends, the model is stored; it resumes bit for bit. `warn` receives what goes wrong without ending
    the training, such as a damaged checkpoint. group: of processes that train the run together, of which this one is
    number 0; the others call `help_fit`. Raises TexsynError, besides those of `loop.fit`: exit 2 when another process
    trains the run, or the budget is spent; exit 3 for a run of an older format.
    """
    run.check_trainable()
    with locked(run.lock):
        for folder in (run.path, run.checkpoint_folder, run.preview_folder):
            storage.tidy(folder)
        exemplars = as_tuple(exemplar)
        state = init_state(triangle, recipe, exemplars)
        checkpoints.restore(run.checkpoint_folder, state, warn)
        _store_recipe(run, state, recipe)
        yield from _Session(run, state, exemplars, recipe, warn, group or Group()).train()


def help_fit(run: Run, triangle: Triangle, exemplar: OneOrMore, recipe: Recipe, group: Group) -> None:
    """Take part in `fit_run` of another process, from the checkpoint where the run stands. Nothing is stored."""
    exemplars = as_tuple(exemplar)
    state = init_state(triangle, recipe, exemplars)
    checkpoints.restore(run.checkpoint_folder, state, lambda warning: None)
    for _report in loop.fit(triangle, exemplars, recipe, state, group):
        pass


def _store_recipe(run: Run, state: TrainState, recipe: Recipe) -> None:
    """Note a changed recipe in run.json. Raises TexsynError (exit 2) where the new budget is spent already."""
    before = run.recipe_fields
    if asdict(recipe) == before:
        return
    other_budget = any(before.get(name) != getattr(recipe, name) for name in ("steps", "minutes"))
    if other_budget and state.step and loop.progress(state, recipe) >= 1:
        budget = f"--minutes {recipe.minutes:g}" if recipe.minutes else f"--steps {recipe.steps}"
        spent = f"{state.seconds / 60:.1f} minutes" if recipe.minutes else in_steps(state.step)
        raise TexsynError(f"{run.path.name} was trained for {spent} already: {budget} must be more", Exit.USAGE)
    storage.write_json(run.path / "run.json", {**run.content, "recipe": asdict(recipe)})


@dataclass
class _Session:
    """One process's training of a run."""

    run: Run
    state: TrainState
    exemplars: tuple[Exemplar, ...]
    recipe: Recipe
    warn: Callable[[str], None]
    group: Group
    last_event: float = -math.inf  # seconds of training

    def train(self) -> Iterator[loop.Report]:
        state = self.state
        self._log("start", step=state.step, device=str(state.triangle.device))
        times, first = previews.Times(state.seconds), state.step + 1
        ending = "stopped"
        try:
            for report in loop.fit(state.triangle, self.exemplars, self.recipe, state, self.group):
                if report.step == first:
                    self._delete_cards()
                self._record(report)
                yield report
                if times.due(report.seconds):
                    self._calibrate()
                    self._store_preview()
                    self._log("quick_metrics", step=report.step, **self._quick_metrics())
            ending = "finished"
        except TexsynError as error:
            ending = "diverged" if error.exit is Exit.DIVERGED else "failed"
            raise
        finally:
            if state.step:
                self._store_model()
            self._log(ending, step=state.step, seconds=round(state.seconds, 2))

    def _calibrate(self) -> None:
        loop.prepare(self.state, self.exemplars, self.recipe)

    def _delete_cards(self) -> None:
        """The stored cards are of the model before."""
        for number in range(len(self.exemplars)):
            (self.run.path / self.run.card_name(number)).unlink(missing_ok=True)

    def _record(self, report: loop.Report) -> None:
        """A skipped step, a checkpoint, and now and then an event with the terms."""
        if report.skipped:
            self._log("skipped", step=report.step, reason=report.skipped)
            self.warn(f"step {report.step}: {report.skipped}")
        if report.checkpoint:
            checkpoints.store(self.run.checkpoint_folder, self.state, self.warn)
        interval = min(_EVENT_MOST, max(_EVENT_LEAST, report.seconds * _EVENT_SHARE))
        if report.seconds - self.last_event >= interval or report.done:
            self.last_event = report.seconds
            self._log(
                "step",
                step=report.step,
                **({"stage": report.stage} if report.stage else {}),
                progress=round(report.progress, 4),
                seconds=round(report.seconds, 2),
                remaining=round(report.remaining, 1),
                terms=report.terms,
            )

    def _store_model(self) -> None:
        """A checkpoint where there is none of this step, a preview and the model."""
        run, state = self.run, self.state
        if not (run.checkpoint_folder / checkpoints.name_of(state)).exists():
            checkpoints.store(run.checkpoint_folder, state, self.warn)
        if not run.recipe.bandwidth:
            limit_copying(state.triangle, state.textures(self.exemplars))
        self._store_preview()
        made_by = {**run.made_by(), "step": state.step}
        serialization.save(state.triangle, run.model_folder, made_by, force=True)

    def _store_preview(self) -> None:
        pixels = self.state.textures(self.exemplars)
        masked = any(each.mask is not None for each in self.exemplars)
        fps = self.exemplars[0].fps
        try:
            previews.make(self.run.preview_folder, self.state.step, self.state.triangle, pixels, masked, fps)
        except TexsynError as error:
            self.warn(str(error))

    def _quick_metrics(self) -> dict[str, float]:
        """A few metrics of one sample, rounded; none of a collection."""
        triangle = self.state.triangle
        if triangle.modality.collection:
            return {}
        frames = triangle.modality.window[0] if triangle.modality.moving else None
        sample = to_numpy(sampling.sample(triangle, frames=frames)[0])
        found = quick_metrics(sample, to_numpy(self.state.textures(self.exemplars)[0]))
        return {name: round(value, 4) for name, value in found.items()}

    def _log(self, event: str, **content: Any) -> None:
        events.append(self.run.event_file, self.warn, event=event, **content)
