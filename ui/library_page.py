"""The page of past runs: look at, rename, delete, and find out what made a texture."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any

import gradio as gr
from studio import Studio, told
from wiring import PRIVATE, QUIET, confirmed, said

import texsyn
from texsyn import TexsynError


def library_page(studio: Studio) -> dict[str, Any]:
    shelf = gr.Gallery(
        label="Runs",
        columns=4,
        height=240,
        interactive=False,
        allow_preview=False,
        buttons=[],
        object_fit="cover",
        fit_columns=False,
        elem_id="shelf",
    )
    run = gr.Dropdown([], label="Run", interactive=True, elem_id="kept")
    about = gr.HTML("", elem_id="about")
    sheet = gr.HTML("", elem_id="sheet")
    with gr.Row():
        title = gr.Textbox(label="Title", max_length=80)
        rename = gr.Button("Rename", elem_id="rename")
        delete = gr.Button("Delete", variant="stop", elem_id="delete")
    gr.Markdown("### What made a texture?")
    made = gr.File(label="Drop a texture made by texsyn", type="filepath", elem_id="made")
    origin = gr.JSON(label="Its settings", elem_id="origin")

    def shown(name: str | None) -> list[Any]:
        if not name:
            return ["<p class='quiet'>No runs yet.</p>", "", ""]
        try:
            found = studio.run(name)
            status, path = texsyn.status(found), studio.sheet(found)
            used = sum(studio.run(each).bytes for _, each in studio.runs())
            text = (
                f"<p>{html.escape(told(status))} {found.bytes / 1e6:.0f} MB on disk; all runs {used / 1e6:.0f} MB. "
                f"Recipe {html.escape(str(found.content.get('recipe_name')))}, seed {found.recipe.seed}.</p>"
            )
        except TexsynError as error:
            return [f"<p>{html.escape(str(error))}</p>", "", ""]
        data = base64.b64encode(path.read_bytes()).decode() if path else ""
        picture = f"<img alt='the exemplar, and its newest samples' src='data:image/png;base64,{data}'>" if data else ""
        return [text, picture, found.title]

    @said
    def renamed(name: str, text: str) -> None:
        studio.run(name).rename(text)

    @said
    def deleted(name: str) -> None:
        found = studio.run(name)
        texsyn.stop(found)
        found.discard()

    @said
    def read(path: str | None) -> Any:
        if not path:
            return None
        return texsyn.origin(Path(path))

    def shelved() -> list[tuple[str, str]]:
        return [(str(path), title) for title, name in studio.runs() if (path := studio.cover(name)) is not None]

    def taken(event: gr.SelectData) -> Any:
        known = [name for _, name in studio.runs() if studio.cover(name) is not None]
        return known[event.index] if event.index < len(known) else gr.skip()

    run.change(shown, run, [about, sheet, title], **QUIET)
    shelf.select(taken, None, run, **QUIET)
    changes = [
        rename.click(renamed, [run, title], None, **PRIVATE),
        delete.click(deleted, run, None, js=confirmed("Delete this run and all that it learnt?"), **PRIVATE),
    ]
    made.change(read, made, origin, **PRIVATE)

    def refreshed(name: str | None) -> list[Any]:
        """All but the title, which a person may be typing."""
        return shown(name)[:2]

    return {
        "run": run,
        "changes": changes,
        "shelf": shelf,
        "shelved": shelved,
        "refreshed": refreshed,
        "shows": [about, sheet],
    }
