"""The training of the chosen run: its state and newest sample on the stage, its quality, buttons to stop and go on."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr
from charts import loss_chart, metrics_table
from common import PRIVATE, QUIET, confirm, show_errors
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
_Seen = tuple[str, str, int]  # run, newest preview, and a number that changes with the curves


class TrainingPanel:
    """Follows one run. Training is a process of its own; the app reads the run folder while a page is open."""

    def __init__(self, studio: Studio, run: gr.Dropdown, stage: Stage) -> None:
        self._studio, self._run, self._stage = studio, run, stage
        with gr.Row():
            self._pause = gr.Button("Pause", elem_id="pause", size="sm", min_width=60)
            self._resume = gr.Button("Continue", elem_id="resume", size="sm", min_width=60)
            self._finish = gr.Button("Finish soon", elem_id="finish", size="sm", min_width=60)
            self._discard = gr.Button("Discard", variant="stop", elem_id="discard", size="sm", min_width=60)
        self._metrics = gr.HTML("", elem_id="card")
        with gr.Accordion("Loss terms", open=False, elem_id="terms"):
            self._chart = gr.HTML("", elem_id="curves")
        self._timer = gr.Timer(_POLL, active=False)
        self._seen = gr.State(("", "", 0))
        self._connect()

    def _connect(self) -> None:
        stage = self._stage
        self.inputs = [self._run, self._seen, stage.choice]
        buttons = [self._pause, self._resume, self._finish, self._discard]
        self.outputs = [stage.status, stage.view, self._chart, self._metrics, self._seen, self._timer, *buttons]
        self._timer.tick(self.update, self.inputs, self.outputs, trigger_mode="once", concurrency_limit=None, **QUIET)
        handlers = (self._pause_run, self._resume_run, self._finish_run)
        for button, handler in zip(buttons[:3], handlers, strict=True):
            clicked = button.click(handler, self._run, None, **PRIVATE)
            clicked.then(self.update, self.inputs, self.outputs, **QUIET)
        question = confirm("Delete this run and its model?")
        self.deleted = self._discard.click(self._delete_run, self._run, None, js=question, **PRIVATE)

    def update(self, name: str | None, seen: _Seen, choice: Choice | None) -> list[Any]:
        """The values of `outputs`; what has not changed since `seen` is skipped.

        The picture is the newest preview as long as no sample is chosen.
        """
        unchanged = [gr.skip()] * 2
        if not name:
            return ["<p class='run-status'>No textures yet.</p>", view(None), *unchanged, seen, *_controls(None)]
        try:
            run = self._studio.open_run(name)
            status = texsyn.status(run)
            previews = self._studio.previews
            newest = run.previews()
            now = (name, newest[-1].sheet.name if newest else "", status.step // 20 if status.working else -status.step)
            picture = gr.skip()
            if choice is None and now[:2] != seen[:2]:
                picture = view(previews.newest(run), previews.exemplar(run), _caption(run, status, bool(newest)))
        except (TexsynError, OSError) as error:
            return [f"<p>{html.escape(str(error))}</p>", gr.skip(), *unchanged, seen, *_controls(None)]
        return [
            _status_bar(run.title, status),
            picture,
            loss_chart(status) if now != seen else gr.skip(),
            metrics_table(run, status) if now != seen or not status.working else gr.skip(),
            now,
            *_controls(status),
        ]

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
    def _delete_run(self, name: str) -> None:
        self._studio.delete_run(name)


def _caption(run: Run, status: Status, previewed: bool) -> str:
    if not previewed:
        return "The first picture comes after some ten seconds of training." if status.working else "Not trained yet."
    return f"{run.title} after {status.step:,} steps"


def _controls(status: Status | None) -> list[Any]:
    """Updates of the timer and of the buttons: pause, continue, finish soon, discard."""
    exists = status is not None
    working = status is not None and status.working
    finishable = status is not None and status.step > 0 and status.progress < _FINISHABLE
    enabled = (working, exists and not working, finishable, exists)
    return [gr.update(active=working), *(gr.update(interactive=each) for each in enabled)]


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
