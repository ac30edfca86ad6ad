"""The page "Watch": the newest sample beside the exemplar, loss terms, metrics, buttons to stop and to continue."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr
from charts import loss_chart, metrics_table
from common import PRIVATE, QUIET, confirm, show_errors
from descriptions import describe_status
from studio import Studio

import texsyn
from texsyn import FitOptions, Status, TexsynError

_POLL = 1.5  # seconds
_EXTRA_MINUTES = 3.0  # for a run that has used its budget and whose recipe counts steps
_EXTRA_SHARE = 0.25  # of the time so far: how long "Finish soon" goes on
_FINISHABLE = 0.8  # of its progress: from here on, a run is about to finish anyway
_Seen = tuple[str, str, int]  # run, newest preview, and a number that changes with the curves


class WatchPage:
    """Follows one run. Training is a process of its own; the page reads the run folder while it is open."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.run = gr.Dropdown([], label="Run", interactive=True, elem_id="watch-run")
        self._status = gr.HTML("", elem_id="status")
        with gr.Row():
            self._pause = gr.Button("Pause", elem_id="pause")
            self._resume = gr.Button("Continue", elem_id="resume")
            self._finish = gr.Button("Finish soon", elem_id="finish")
            self._delete = gr.Button("Discard", variant="stop", elem_id="discard")
        with gr.Row():
            with gr.Column():
                self._images = gr.ImageSlider(
                    label="Exemplar and newest sample", interactive=False, buttons=[], max_height=420, elem_id="compare"
                )
            with gr.Column():
                self._chart = gr.HTML("", elem_id="curves")
                self._metrics = gr.HTML("", elem_id="card")
        self._timer = gr.Timer(_POLL, active=False)
        self._seen = gr.State(("", "", 0))
        self._connect()

    def _connect(self) -> None:
        self.inputs = [self.run, self._seen]
        buttons = [self._pause, self._resume, self._finish, self._delete]
        self.outputs = [self._status, self._images, self._chart, self._metrics, self._seen, self._timer, *buttons]
        anytime: dict[str, Any] = {"concurrency_limit": None, **QUIET}
        self._timer.tick(self.update, self.inputs, self.outputs, trigger_mode="once", **anytime)
        self.run.change(self.update, self.inputs, self.outputs, trigger_mode="always_last", **anytime)
        handlers = (self._pause_run, self._resume_run, self._finish_run)
        for button, handler in zip(buttons[:3], handlers, strict=True):
            clicked = button.click(handler, self.run, None, **PRIVATE)
            clicked.then(self.update, self.inputs, self.outputs, **QUIET)
        question = confirm("Delete this run and its model?")
        self._delete.click(self._delete_run, self.run, self.run, js=question, **PRIVATE)

    def update(self, name: str | None, seen: _Seen) -> list[Any]:
        """The values of `outputs`; what has not changed since `seen` is skipped."""
        unchanged = [gr.skip()] * 3
        if not name:
            return ["<p>No runs yet. Train one on the page Start.</p>", *unchanged, seen, *_controls(None)]
        try:
            run = self._studio.open_run(name)
            status = texsyn.status(run)
            sheet = self._studio.previews.newest_sheet(run)
            now = (name, sheet.name if sheet else "", status.step // 20 if status.working else -status.step)
            images = self._studio.previews.compare(run) if now[:2] != seen[:2] else None
        except TexsynError as error:
            return [f"<p>{html.escape(str(error))}</p>", *unchanged, seen, *_controls(None)]
        return [
            _status_bar(status),
            images or (None if name != seen[0] else gr.skip()),
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
    def _delete_run(self, name: str) -> Any:
        self._studio.delete_run(name)
        runs = self._studio.list_runs()
        return gr.update(choices=runs, value=runs[0][1] if runs else None)


def _controls(status: Status | None) -> list[Any]:
    """Updates of the timer and of the buttons: pause, continue, finish soon, discard."""
    exists = status is not None
    working = status is not None and status.working
    finishable = status is not None and status.step > 0 and status.progress < _FINISHABLE
    enabled = (working, exists and not working, finishable, exists)
    return [gr.update(active=working), *(gr.update(interactive=each) for each in enabled)]


def _status_bar(status: Status) -> str:
    percent = 100 * status.progress
    return (
        f"<p class='run-status {status.state}'>{html.escape(describe_status(status))}</p>"
        f"<div class='bar' role='progressbar' aria-label='progress' aria-valuenow='{percent:.0f}' aria-valuemin='0' "
        f"aria-valuemax='100'><div style='width:{percent:.1f}%'></div></div>"
    )
