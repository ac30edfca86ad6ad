"""The training of the chosen run: its state and newest sample on the stage, its quality, buttons to stop and go on."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr
from charts import loss_chart, metrics_table
from common import PRIVATE, QUIET, show_errors
from descriptions import describe_status
from samples import Choice
from stage import Stage
from studio import Studio
from viewer import view

import texsyn
from texsyn import FitOptions, Run, Status, TexsynError

_POLL = 1.5  # seconds
_EXTRA_MINUTES = 3.0  # for a run that has used its budget and whose recipe counts steps
_EXTRA_SHARE = 0.25  # of the time so far: how long "Finish soon" goes on
_FINISHABLE = 0.8  # of its progress: from here on, a run is about to finish anyway
_Seen = tuple[str, int, int]  # run, number of previews, and a number that changes with the curves


class TrainingPanel:
    """Follows one run. Training is a process of its own; the app reads the run folder while a page is open."""

    def __init__(self, studio: Studio, run: gr.Dropdown, stage: Stage) -> None:
        self._studio, self._run, self._stage = studio, run, stage
        with gr.Row():
            self._pause = gr.Button("Pause", elem_id="pause", size="sm", min_width=60)
            self._resume = gr.Button("Continue", elem_id="resume", size="sm", min_width=60)
            self._finish = gr.Button("Finish soon", elem_id="finish", size="sm", min_width=60)
            self._next = gr.Button("Train next", elem_id="train-next", size="sm", min_width=60, visible=False)
        self._moment = gr.Slider(
            1, 2, value=2, step=1, label="How it was learnt: previews, the newest last", visible=False, elem_id="moment"
        )
        self._metrics = gr.HTML("", elem_id="card")
        with gr.Accordion("Loss terms", open=False, elem_id="terms"):
            self._chart = gr.HTML("", elem_id="curves")
        self._timer = gr.Timer(_POLL, active=False)
        self._seen = gr.State(("", 0, 0))
        self._connect()

    def _connect(self) -> None:
        stage = self._stage
        self.inputs = [self._run, self._seen, stage.choice, self._moment]
        buttons = [self._pause, self._resume, self._finish, self._next]
        parts = [stage.status, stage.view, self._moment, self._chart, self._metrics, self._seen]
        self.outputs = [*parts, self._timer, *buttons]
        self._timer.tick(self.update, self.inputs, self.outputs, trigger_mode="once", concurrency_limit=None, **QUIET)
        handlers = (self._pause_run, self._resume_run, self._finish_run, self._train_next)
        for button, handler in zip(buttons, handlers, strict=True):
            clicked = button.click(handler, self._run, None, **PRIVATE)
            clicked.then(self.update, self.inputs, self.outputs, **QUIET)
        shown = [stage.view, stage.choice]
        self._moment.input(self._show_preview, [self._run, self._moment], shown, trigger_mode="always_last", **QUIET)

    def update(self, name: str | None, seen: _Seen, choice: Choice | None, moment: int) -> list[Any]:
        """The values of `outputs`; what has not changed since `seen` is skipped.

        The picture is the newest preview as long as neither a sample nor an earlier preview is chosen.
        """
        unchanged = [gr.skip()] * 2
        if not name:
            words = "<p class='run-status'>No textures yet.</p>"
            return [words, view(None), gr.update(visible=False), *unchanged, seen, *_controls(None)]
        try:
            run = self._studio.open_run(name)
            status = texsyn.status(run)
            count = len(run.previews())
            now = (name, count, status.step // 20 if status.working else -status.step)
            follows = name != seen[0] or moment >= seen[1]
            picture = self._preview(run, count) if choice is None and follows and now[:2] != seen[:2] else gr.skip()
        except (TexsynError, OSError) as error:
            return [f"<p>{html.escape(str(error))}</p>", gr.skip(), *unchanged, gr.skip(), seen, *_controls(None)]
        scrubber = gr.update(maximum=max(2, count), visible=count > 1, **({"value": max(2, count)} if follows else {}))
        return [
            _status_bar(run.title, status),
            picture,
            scrubber if now[:2] != seen[:2] else gr.skip(),
            loss_chart(status) if now != seen else gr.skip(),
            metrics_table(run, status) if now != seen or not status.working else gr.skip(),
            now,
            *_controls(status),
        ]

    @show_errors
    def _show_preview(self, name: str, number: int) -> list[Any]:
        """A preview, and that no sample is chosen any more."""
        return [self._preview(self._studio.open_run(name), number), None]

    def _preview(self, run: Run, number: int) -> str:
        """The preview of that number, from 1, beside the exemplar."""
        previews = run.previews()
        if not previews:
            working = texsyn.status(run).working
            words = "The first picture comes after some ten seconds of training." if working else "Not trained yet."
            return view(None, self._studio.previews.exemplar(run), words)
        chosen = previews[min(max(int(number), 1), len(previews)) - 1]
        caption = f"{run.title} after {texsyn.in_steps(chosen.step)}"
        return view(self._studio.previews.sample(chosen), self._studio.previews.exemplar(run), caption)

    @show_errors
    def _pause_run(self, name: str) -> None:
        texsyn.stop(self._studio.open_run(name))

    @show_errors
    def _resume_run(self, name: str) -> None:
        """Train on, until the budget is used up; a run that has used it up gets the same once more."""
        run = self._studio.open_run(name)
        status = texsyn.status(run)
        longer = status.seconds / 60 + (run.recipe.minutes or _EXTRA_MINUTES)
        self._studio.resume_training(run, FitOptions(minutes=longer) if status.progress >= 1 else None)

    @show_errors
    def _finish_run(self, name: str) -> None:
        """Set a budget that ends soon: samples are best after a last part at a falling learning rate."""
        run = self._studio.open_run(name)
        texsyn.stop(run)
        minutes = (1 + _EXTRA_SHARE) * texsyn.status(run).seconds / 60
        self._studio.resume_training(run, FitOptions(minutes=minutes))

    @show_errors
    def _train_next(self, name: str) -> None:
        texsyn.advance(self._studio.open_run(name))


def _controls(status: Status | None) -> list[Any]:
    """Updates of the timer and of the buttons: pause, continue, finish soon, train next."""
    exists = status is not None
    working = status is not None and status.working
    finishable = status is not None and status.step > 0 and status.progress < _FINISHABLE
    enabled = (working, exists and not working, finishable)
    queue = gr.update(visible=status is not None and status.state == "queued" and status.ahead > 1)
    return [gr.update(active=working), *(gr.update(interactive=each) for each in enabled), queue]


def _status_bar(title: str, status: Status) -> str:
    percent = 100 * status.progress
    bar = (
        f"<div class='bar' role='progressbar' aria-label='progress' aria-valuenow='{percent:.0f}' aria-valuemin='0' "
        f"aria-valuemax='100'><div style='width:{percent:.1f}%'></div></div>"
    )
    words = html.escape(describe_status(status))
    return (
        f"<p class='run-status {status.state}'><b>{html.escape(title)}</b> <span>{words}</span></p>"
        f"{bar if status.working else ''}"
    )
