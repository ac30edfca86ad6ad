"""How commands show progress: a bar for a person, JSON Lines for a program."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from texsyn.core.text import duration, in_steps

if TYPE_CHECKING:
    from torch import Tensor

    from texsyn.core.recipes import Recipe
    from texsyn.runs.run import Run
    from texsyn.training.loop import Report

_ESTIMATE_AFTER = 4.0  # seconds until the time that is left can be estimated
_LINE_INTERVAL = 15.0  # seconds of training between two lines where there is no progress bar


class FitDisplay:
    """Shows a fit: progress on stderr and the run's folder on stdout, or with `json` events on stdout."""

    def __init__(self, json: bool, quiet: bool) -> None:
        self.json, self.quiet = json, quiet
        self._bar: Any = None
        self._task: Any = None
        self._estimated = False
        self._started = time.perf_counter()
        self._last_line = 0.0  # seconds of training

    def __enter__(self) -> FitDisplay:
        if not self.json and not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            percent, text = TextColumn("{task.percentage:3.0f} %"), TextColumn("{task.description}")
            self._bar = Progress(percent, BarColumn(), text, console=Console(stderr=True))
            self._task = self._bar.add_task("starting", total=1.0)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def say(self, text: str) -> None:
        if not self.quiet and not self.json:
            print(text, file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        if self.json:
            _print_event(event="warning", message=text)
        elif self._bar:
            self._bar.console.print(f"warning: {text}", markup=False)
        else:
            print(f"texsyn: warning: {text}", file=sys.stderr, flush=True)

    def show_step(self, report: Report, recipe: Recipe) -> None:
        waited = time.perf_counter() - self._started
        if not self._estimated and (waited > _ESTIMATE_AFTER or report.done):
            self._estimated = True
            self._show_estimate(report, recipe)
        if self.json:
            _print_event(
                event="step",
                step=report.step,
                **({"stage": report.stage} if report.stage else {}),
                progress=round(report.progress, 4),
                terms=report.terms,
                seconds=round(report.seconds, 2),
                textures_per_second=round(report.rate, 2),
                remaining=round(report.remaining, 1),
            )
        elif self._bar:
            self._bar.update(self._task, completed=report.progress, description=_line(report))
        elif not self.quiet and (report.seconds - self._last_line >= _LINE_INTERVAL or report.done):
            self._last_line = report.seconds
            print(f"{100 * report.progress:3.0f} %  {_line(report)}", file=sys.stderr, flush=True)
        if report.done:
            self._tell("storing the model; of a still, finding how close to it draws may be takes some seconds")

    def _show_estimate(self, report: Report, recipe: Recipe) -> None:
        budget = in_steps(recipe.steps)
        if recipe.minutes:
            budget = f"{recipe.minutes:g} minute{'s' if recipe.minutes != 1 else ''}"
        self._tell(f"{budget}: about {duration(report.remaining)} left on this machine")

    def _tell(self, text: str) -> None:
        """Say something while the bar is shown, where there is one."""
        if self._bar:
            self._bar.console.print(text, markup=False)
        else:
            self.say(text)

    def show_card(self, content: dict[str, Any], lines: Iterable[str]) -> None:
        if self.json:
            _print_event(event="card", **content)
        for line in lines:
            self.say(f"  {line}")

    def show_end(self, run: Run, report: Report, stopped: bool) -> None:
        if self.json:
            _print_event(event="stopped" if stopped else "finished", run=str(run.path), step=report.step)
            return
        end = "stopped, the model is stored" if stopped else "finished"
        self.say(f"{end}: {in_steps(report.step)} in {duration(report.seconds)}")
        for preview in run.previews()[-1:]:
            self.say(f"newest preview: {preview.sheet}")
        self.say(f"to make textures: texsyn sample {run.path}")
        print(run.path)


def with_progress(bands: Iterable[Tensor], total: int, label: str) -> Iterator[Tensor]:
    """Bands of a texture as they come; on a terminal with a progress bar, if one band is not all of `total` rows."""
    if not sys.stderr.isatty():
        yield from bands
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = None
        for band in bands:
            yield band
            if task is None and band.shape[1] < total:
                task = bar.add_task(label, total=total)
            if task is not None:
                bar.advance(task, band.shape[1])


def _line(report: Report) -> str:
    terms = "  ".join(f"{name.replace('_', ' ')} {value:.0f}" for name, value in report.terms.items())
    stage = f"{report.stage}  " if report.stage else ""
    return f"{stage}step {report.step}  {terms}  {report.rate:.1f} textures/s  {duration(report.remaining)} left"


def _print_event(**content: Any) -> None:
    print(json.dumps(content), flush=True)
