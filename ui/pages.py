"""The app: all pages in tabs, and the events that concern several of them."""

from __future__ import annotations

from typing import Any

import budgets
import gradio as gr
from common import PRIVATE, QUIET, SECRET, show_errors
from endpoints import add_endpoints
from library_page import LibraryPage
from sample_page import SamplePage
from start_page import StartPage
from studio import Studio
from tools_page import ToolsPage
from watch_page import WatchPage

from texsyn import TexsynError


def build(studio: Studio) -> gr.Blocks:
    """The app for a folder of runs."""
    app = gr.Blocks(title="texsyn", analytics_enabled=False, delete_cache=(600, 86400))
    with app:
        gr.HTML("<h1>texsyn</h1><p>New textures, still and moving, from one exemplar.</p>", elem_classes="head")
        Pages(studio).connect(app)
        add_endpoints(studio)
    return app


class Pages:
    """All pages. A browser remembers the run that it watched last, and opens with it on every page."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._last_run = gr.BrowserState("", storage_key="texsyn-run", secret=SECRET)
        with gr.Tabs() as self._tabs:
            with gr.Tab("Start", id="start"):
                self._start = StartPage(studio)
            with gr.Tab("Watch", id="watch"):
                self._watch = WatchPage(studio)
            with gr.Tab("Sample", id="sample"):
                self._sample = SamplePage(studio)
            with gr.Tab("More", id="more"):
                self._tools = ToolsPage(studio)
            with gr.Tab("Library", id="library") as self._library_tab:
                self._library = LibraryPage(studio)
        self._dropdowns = [page.run for page in (self._watch, self._sample, self._tools, self._library)]

    def connect(self, app: gr.Blocks) -> None:
        """Add the events that concern several pages."""
        self._connect_watching(app)
        self._connect_library()

    def _connect_watching(self, app: gr.Blocks) -> None:
        start, watch = self._start, self._watch
        started = start.start.click(
            self._start_training,
            [start.draft, start.budget],
            [self._last_run, self._tabs, start.draft, *self._dropdowns],
            show_progress_on=start.start,  # or an error would put a badge on the dropdowns of every page
            **PRIVATE,
        )
        opened = app.load(self._update_dropdowns, self._last_run, self._dropdowns, **QUIET)
        for event in (started, opened):
            event.then(watch.update, watch.inputs, watch.outputs, **QUIET)
        watch.run.input(lambda name: name, watch.run, self._last_run, **QUIET)

    def _connect_library(self) -> None:
        library = self._library
        opened = self._library_tab.select(self._update_dropdown, library.run, library.run, **QUIET)
        opened.then(library.list_covers, None, library.covers, **QUIET)
        opened.then(library.describe, library.run, library.details, **QUIET)
        for changed in library.changed:
            listed = changed.then(self._update_dropdowns, self._last_run, self._dropdowns, **QUIET)
            listed.then(library.list_covers, None, library.covers, **QUIET)

    def _update_dropdown(self, name: str | None) -> dict[str, Any]:
        """The runs as choices, with this one chosen if it exists, else the newest."""
        runs = self._studio.list_runs()
        ids = [each for _, each in runs]
        return gr.update(choices=runs, value=name if name in ids else next(iter(ids), None))

    def _update_dropdowns(self, name: str | None) -> list[dict[str, Any]]:
        """The same for every page; a dictionary each, as gradio changes them."""
        update = self._update_dropdown(name)
        return [dict(update) for _ in self._dropdowns]

    @show_errors
    def _start_training(self, draft: str, budget: str) -> list[Any]:
        if not draft:
            raise TexsynError("choose an image or a clip first")
        run = self._studio.open_run(draft)
        run = self._studio.start_training(run, budgets.options(budget, run.modality.name))
        return [run.path.name, gr.update(selected="watch"), "", *self._update_dropdowns(run.path.name)]
