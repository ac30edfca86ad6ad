"""The left of the workspace: all runs, to choose, rename and delete."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import gradio as gr
from common import PRIVATE, QUIET, confirm, image_gallery, show_errors
from descriptions import describe_briefly
from studio import Studio

import texsyn
from texsyn import Run, TexsynError


class Library:
    """`changed` holds the events after which the list of runs is out of date."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.search = gr.Textbox(placeholder="Search", show_label=False, container=False, elem_id="search")
        self.covers = image_gallery("Textures", object_fit="cover", elem_id="covers")
        self.run = gr.Dropdown([], label="Chosen", interactive=True, elem_id="run")
        with gr.Accordion("Rename or delete", open=False, elem_id="manage"):
            self._facts = gr.HTML("", elem_id="run-facts")
            self._title = gr.Textbox(label="Title", max_length=80)
            with gr.Row():
                self._rename = gr.Button("Rename", elem_id="rename", size="sm")
                self._delete = gr.Button("Delete", variant="stop", elem_id="delete", size="sm")
            self.several = gr.Dropdown([], label="Or several", multiselect=True, elem_id="several")
            self._delete_several = gr.Button("Delete these", variant="stop", elem_id="delete-several", size="sm")
        self._settled: dict[Path, tuple[float, str]] = {}  # time and caption of runs that no process trains
        self._connect()

    def _connect(self) -> None:
        self.run.change(self._describe, self.run, [self._facts, self._title], **QUIET)
        self.covers.select(self._choose, self.search, self.run, **QUIET)
        self.search.change(self.list_covers, self.search, self.covers, trigger_mode="always_last", **QUIET)
        one, many = confirm("Delete this run and its model?"), confirm("Delete these runs and their models?")
        several = self._delete_several.click(self._delete_runs, self.several, self.several, js=many, **PRIVATE)
        self.changed = [
            self._rename.click(self._rename_run, [self.run, self._title], None, **PRIVATE),
            self._delete.click(self._delete_run, self.run, None, js=one, **PRIVATE),
            several,
        ]

    def list_covers(self, search: str = "") -> list[tuple[str, str]]:
        """The cover, title and state of every run that has a preview."""
        return [(str(cover), caption) for cover, caption, _ in self._covered_runs(search)]

    def _covered_runs(self, search: str) -> list[tuple[Path, str, str]]:
        """Cover, caption and id of the runs with these words in their titles."""
        found, working = [], set(texsyn.queued())
        for title, name in self._studio.list_runs():
            if search.casefold().strip() not in title.casefold():
                continue
            try:
                run = self._studio.open_run(name)
                cover, state = self._studio.previews.cover(run), self._state(run, run.path.resolve() in working)
            except (TexsynError, OSError):  # deleted meanwhile
                continue
            if cover is not None:
                found.append((cover, f"{title} · {state}" if state else title, name))
        return found

    def _state(self, run: Run, working: bool) -> str:
        """A run's state in a few words. Of one that no process trains it is remembered: many pages ask for it often."""
        time = run.event_file.stat().st_mtime if run.event_file.exists() else 0.0
        known = self._settled.get(run.path)
        if known and known[0] == time and not working:
            return known[1]
        status = texsyn.status(run)
        words = describe_briefly(status)
        if not status.working:
            self._settled[run.path] = (time, words)
        return words

    def _describe(self, name: str | None) -> list[str]:
        """Facts about a run, and its title."""
        if not name:
            return ["<p class='quiet'>No runs yet.</p>", ""]
        try:
            run = self._studio.open_run(name)
            total = sum(self._studio.open_run(each).bytes for _, each in self._studio.list_runs())
            return [
                f"<p>{run.bytes / 1e6:.0f} MB on disk; all runs {total / 1e6:.0f} MB. "
                f"Recipe {html.escape(run.recipe_name)}, seed {run.seed}.</p>",
                run.title,
            ]
        except TexsynError as error:
            return [f"<p>{html.escape(str(error))}</p>", ""]

    def _choose(self, event: gr.SelectData, search: str) -> Any:
        runs = self._covered_runs(search)
        return runs[event.index][2] if event.index < len(runs) else gr.skip()

    @show_errors
    def _rename_run(self, name: str, title: str) -> None:
        self._studio.open_run(name).rename(title)

    @show_errors
    def _delete_run(self, name: str) -> None:
        self._studio.delete_run(name)

    @show_errors
    def _delete_runs(self, names: list[str]) -> list[str]:
        """Delete them all; returns those that are still chosen: none."""
        if not names:
            raise TexsynError("choose the runs to delete first")
        for name in names:
            self._studio.delete_run(name)
        return []
