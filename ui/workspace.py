"""The app: one workspace. Left the library, in the middle the picture, right what can be done with it."""

from __future__ import annotations

from typing import Any

import budgets
import gradio as gr
from common import PRIVATE, QUIET, SECRET, show_errors
from endpoints import add_endpoints
from library import Library
from made_panel import MadePanel
from new_panel import NewPanel
from sample_panel import SamplePanel
from stage import Stage
from studio import Studio
from tools import CheckPanel, MorphPanel, RepairPanel
from training_panel import TrainingPanel

from texsyn import TexsynError

_HEAD = (
    "<h1>texsyn</h1><p>New textures, still and moving, from one exemplar.</p>"
    "<button type='button' id='theme'>Light</button>"
)


def build(studio: Studio) -> gr.Blocks:
    """The app for a folder of runs."""
    app = gr.Blocks(title="texsyn", analytics_enabled=False, fill_width=True, delete_cache=(600, 86400))
    with app:
        gr.HTML(_HEAD, elem_classes="head")
        Workspace(studio).connect(app)
        add_endpoints(studio)
    return app


class Workspace:
    """A browser remembers the run that it looked at last, and opens with it."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._last_run = gr.BrowserState("", storage_key="texsyn-run", secret=SECRET)
        with gr.Row(elem_id="workspace"):
            with gr.Column(elem_id="library"):
                self._library = Library(studio)
                self._runs = [self._library.run, self._library.several]
            with gr.Column(elem_id="stage"):
                self._stage = Stage()
            with gr.Column(elem_id="tools"), gr.Tabs():
                run = self._library.run
                with gr.Tab("Train", id="train"):
                    with gr.Accordion("New texture", open=True, elem_id="new") as self._new_area:
                        self._new = NewPanel(studio, self._stage, self._last_run)
                    self._training = TrainingPanel(studio, run, self._stage)
                with gr.Tab("Sample", id="sample"):
                    self._sample = SamplePanel(studio, run, self._stage)
                    self._made = MadePanel(studio, run, self._stage, self._sample)
                with gr.Tab("Repair", id="repair"):
                    RepairPanel(studio, run, self._stage)
                with gr.Tab("Morph", id="morph"):
                    MorphPanel(studio, run, self._stage)
                with gr.Tab("Check", id="check"):
                    CheckPanel(studio, run, self._stage)

    def connect(self, app: gr.Blocks) -> None:
        """Add the events that concern several parts."""
        library, training, stage, new = self._library, self._training, self._stage, self._new
        started = new.start.click(
            self._start_training,
            [new.draft, new.budget],
            [self._last_run, *self._runs, new.draft, self._new_area],
            show_progress_on=new.start,  # or an error would put a badge on the library
            **PRIVATE,
        )
        unpacked = new.unpacked.success(self._open, self._last_run, [*self._runs, self._new_area], **QUIET)
        opened = app.load(self._open, self._last_run, [*self._runs, self._new_area], **QUIET)
        for event in (started, unpacked, opened):
            event.then(library.list_covers, library.search, library.covers, **QUIET)
        library.run.change(lambda name: name or "", library.run, self._last_run, **QUIET)
        sample, made = self._sample, self._made
        forgotten = library.run.change(sample.forget, None, sample.forgotten, **QUIET)
        offered = forgotten.then(sample.offer, library.run, sample.offered, **QUIET)
        offered.then(training.update, training.inputs, training.outputs, **QUIET).then(
            made.restore, [made.wanted, library.run], made.restored, **QUIET
        )
        offered.then(made.list_made, made.listing, made.listed, **QUIET)
        for changed in library.changed:
            listed = changed.then(self._update_runs, library.run, self._runs, **QUIET)
            listed.then(library.list_covers, library.search, library.covers, **QUIET)
        stage.timer.tick(library.list_covers, library.search, library.covers, **QUIET)

    def _open(self, name: str | None) -> list[Any]:
        """The run that was looked at last, else the newest; without any, a new texture is what comes next."""
        runs, several = self._update_runs(name)
        return [runs, several, gr.update(open=not runs["choices"])]

    def _update_runs(self, name: str | None) -> list[dict[str, Any]]:
        """The runs as choices, of one, which is this one if it exists, else the newest, and of several."""
        runs = self._studio.list_runs()
        ids = [each for _, each in runs]
        return [gr.update(choices=runs, value=name if name in ids else next(iter(ids), None)), gr.update(choices=runs)]

    @show_errors
    def _start_training(self, draft: str, budget: str) -> list[Any]:
        if not draft:
            raise TexsynError("choose an image or a clip first")
        run = self._studio.open_run(draft)
        run = self._studio.start_training(run, budgets.options(budget, run.modality.name))
        return [run.path.name, *self._update_runs(run.path.name), "", gr.update(open=False)]
