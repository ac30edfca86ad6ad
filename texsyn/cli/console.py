"""What is seen of work: a progress bar for a person, JSON Lines for a program."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from texsyn.core.recipes import Recipe
    from texsyn.runs.run import Run
    from texsyn.training import loop


class Screen:
    """What a person, or with --json a program, sees of a fit."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.json, self.quiet = options.json, options.quiet
        self.bar: Any = None
        self.task: Any = None
        self.estimated = False
        self.started = time.perf_counter()
        self.line = 0.0

    def __enter__(self) -> Screen:
        if not self.json and not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self.bar = Progress(
                TextColumn("{task.percentage:3.0f} %"),
                BarColumn(),
                TextColumn("{task.description}"),
                console=Console(stderr=True),
            )
            self.task = self.bar.add_task("starting", total=1.0)
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def say(self, text: str) -> None:
        if not self.quiet and not self.json:
            print(text, file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        if self.json:
            self._json(event="warning", message=text)
        elif self.bar:
            self.bar.console.print(f"warning: {text}", markup=False)
        else:
            print(f"texsyn: warning: {text}", file=sys.stderr, flush=True)

    def show(self, report: loop.Report, recipe: Recipe) -> None:
        waited = time.perf_counter() - self.started
        if not self.estimated and (waited > 4 or report.done):
            self.estimated = True
            self._estimate(report, recipe)
        if self.json:
            self._json(
                event="step",
                step=report.step,
                progress=round(report.progress, 4),
                terms=report.terms,
                seconds=round(report.seconds, 2),
                textures_per_second=round(report.rate, 2),
                remaining=round(report.remaining, 1),
            )
        elif self.bar:
            self.bar.update(self.task, completed=report.progress, description=_line(report))
        elif not self.quiet and (report.seconds - self.line >= 15 or report.done):
            self.line = report.seconds
            print(f"{100 * report.progress:3.0f} %  {_line(report)}", file=sys.stderr, flush=True)

    def _estimate(self, report: loop.Report, recipe: Recipe) -> None:
        total = f"{recipe.minutes:g} minutes" if recipe.minutes else f"{recipe.steps} steps"
        text = f"{total}: about {_duration(report.remaining)} to go on this machine"
        if self.bar:
            self.bar.console.print(text, markup=False)
        else:
            self.say(text)

    def card(self, plain: dict[str, Any], lines: list[str]) -> None:
        if self.json:
            self._json(event="card", **plain)
        for line in lines:
            self.say(f"  {line}")

    def finish(self, run: Run, report: loop.Report, stopped: bool) -> None:
        if self.json:
            self._json(event="stopped" if stopped else "finished", run=str(run.path), step=report.step)
            return
        word = "stopped, and kept what was learnt" if stopped else "finished"
        self.say(f"{word}: {report.step} steps in {_duration(report.seconds)}")
        self.say(f"sheets in {run.path / 'sheets'}; more textures: texsyn sample {run.path}")
        print(run.path)

    @staticmethod
    def _json(**content: Any) -> None:
        print(json.dumps(content), flush=True)


def advancing(bands: Iterable[Tensor], total: int, label: str) -> Iterator[Tensor]:
    """`bands` as they are, with a progress bar where a person looks on and one band is not all of `total`."""
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


def _line(report: loop.Report) -> str:
    terms = "  ".join(f"{name.replace('_', ' ')} {value:.0f}" for name, value in report.terms.items())
    return f"step {report.step}  {terms}  {report.rate:.1f} textures/s  {_duration(report.remaining)} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
