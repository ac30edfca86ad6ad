"""The page "Library": all runs, to look at, rename and delete, and the settings that a texture file was made with."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any

import gradio as gr
from common import PRIVATE, QUIET, confirm, image_gallery, show_errors
from descriptions import describe_status
from studio import Studio

import texsyn
from texsyn import Run, TexsynError


class LibraryPage:
    """`changed` holds the events after which lists of runs, here and on other pages, are out of date."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.covers = image_gallery("Runs", height=240, object_fit="cover", elem_id="covers")
        self.run = gr.Dropdown([], label="Run", interactive=True, elem_id="library-run")
        self._facts = gr.HTML("", elem_id="run-facts")
        self._sheet = gr.HTML("", elem_id="run-sheet")
        self.details = [self._facts, self._sheet]
        with gr.Row():
            self._title = gr.Textbox(label="Title", max_length=80)
            self._rename = gr.Button("Rename", elem_id="rename")
            self._delete = gr.Button("Delete", variant="stop", elem_id="delete")
        gr.Markdown("### How was a texture made?")
        self._file = gr.File(label="Drop a texture made by texsyn", type="filepath", elem_id="texture-file")
        self._origin = gr.JSON(label="Its settings", elem_id="origin")
        self._connect()

    def _connect(self) -> None:
        self.run.change(self._describe_with_title, self.run, [*self.details, self._title], **QUIET)
        self.covers.select(self._choose, None, self.run, **QUIET)
        question = confirm("Delete this run and its model?")
        self.changed = [
            self._rename.click(self._rename_run, [self.run, self._title], None, **PRIVATE),
            self._delete.click(self._delete_run, self.run, None, js=question, **PRIVATE),
        ]
        self._file.change(self._read_origin, self._file, self._origin, **PRIVATE)

    def list_covers(self) -> list[tuple[str, str]]:
        """The cover and title of every run that has a preview."""
        return [(str(cover), title) for cover, title, _ in self._covered_runs()]

    def describe(self, name: str | None) -> list[str]:
        """The values of `details`. The title is not among them: a person may be typing one."""
        if not name:
            return ["<p class='quiet'>No runs yet.</p>", ""]
        try:
            run = self._studio.open_run(name)
            return [self._describe_run(run), _sheet_html(self._studio.previews.newest_sheet(run))]
        except TexsynError as error:
            return [f"<p>{html.escape(str(error))}</p>", ""]

    def _describe_with_title(self, name: str | None) -> list[str]:
        try:
            title = self._studio.open_run(name).title if name else ""
        except TexsynError:
            title = ""
        return [*self.describe(name), title]

    def _describe_run(self, run: Run) -> str:
        total = sum(self._studio.open_run(name).bytes for _, name in self._studio.list_runs())
        return (
            f"<p>{html.escape(describe_status(texsyn.status(run)))} {run.bytes / 1e6:.0f} MB on disk; "
            f"all runs {total / 1e6:.0f} MB. Recipe {html.escape(run.recipe_name)}, seed {run.seed}.</p>"
        )

    def _covered_runs(self) -> list[tuple[Path, str, str]]:
        """Cover, title and id of every run that has a preview."""
        covers = (
            (self._studio.previews.cover(self._studio.open_run(name)), title, name)
            for title, name in self._studio.list_runs()
        )
        return [(cover, title, name) for cover, title, name in covers if cover is not None]

    def _choose(self, event: gr.SelectData) -> Any:
        runs = self._covered_runs()
        return runs[event.index][2] if event.index < len(runs) else gr.skip()

    @show_errors
    def _rename_run(self, name: str, title: str) -> None:
        self._studio.open_run(name).rename(title)

    @show_errors
    def _delete_run(self, name: str) -> None:
        self._studio.delete_run(name)

    @show_errors
    def _read_origin(self, path: str | None) -> Any:
        return texsyn.origin(Path(path)) if path else None


def _sheet_html(path: Path | None) -> str:
    """A contact sheet as an image inside the page."""
    if path is None:
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    return f"<img alt='the exemplar and its newest samples' src='data:image/png;base64,{data}'>"
