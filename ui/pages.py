"""All pages together, what moves between them, and the endpoints for other programs."""

from __future__ import annotations

from typing import Any

import gradio as gr
from library_page import library_page
from more_page import more_page
from sample_page import sample_page
from start_page import LENGTHS, start_page
from studio import Studio
from watch_page import watch_page
from wiring import PRIVATE, QUIET, SECRET, said

import texsyn
from texsyn import TexsynError


def build(studio: Studio) -> gr.Blocks:
    """All pages."""
    with gr.Blocks(title="texsyn", analytics_enabled=False, delete_cache=(600, 86400)) as app:
        gr.HTML("<h1>texsyn</h1><p>New textures, still and moving, from one exemplar.</p>", elem_classes="head")
        watched = gr.BrowserState("", storage_key="texsyn-run", secret=SECRET)
        with gr.Tabs() as tabs:
            with gr.Tab("Start", id="start"):
                start = start_page(studio)
            with gr.Tab("Watch", id="watch"):
                watch = watch_page(studio)
            with gr.Tab("Sample", id="sample"):
                sample = sample_page(studio)
            with gr.Tab("More", id="more"):
                more = more_page(studio)
            with gr.Tab("Library", id="library") as library_tab:
                library = library_page(studio)

        chosen = (watch["run"], sample["run"], more["run"], library["run"])

        def choices(name: str | None) -> list[Any]:
            known = studio.runs()
            value = name if name in [each for _, each in known] else known[0][1] if known else None
            return [gr.update(choices=known, value=value) for _ in chosen]

        @said
        def begin(draft: str, length: str) -> list[Any]:
            if not draft:
                raise TexsynError("choose a picture or a clip first")
            run = studio.begin(studio.run(draft), LENGTHS[length])
            return [run.path.name, gr.update(selected="watch"), "", *choices(run.path.name)]

        begun = start["begin"].click(
            begin,
            [start["draft"], start["length"]],
            [watched, tabs, start["draft"], *chosen],
            show_progress_on=start["begin"],  # or a badge of each error would lie over the choice of runs on every page
            **PRIVATE,
        )
        begun.then(watch["look"], watch["asks"], watch["shows"], **QUIET)
        opened = app.load(lambda name: choices(name), [watched], [*chosen], **QUIET)
        opened.then(watch["look"], watch["asks"], watch["shows"], **QUIET)
        watch["run"].input(lambda name: name, watch["run"], watched, **QUIET)
        looked = library_tab.select(lambda name: choices(name)[3], library["run"], library["run"], **QUIET)
        looked.then(library["shelved"], None, library["shelf"], **QUIET)
        looked.then(library["refreshed"], library["run"], library["shows"], **QUIET)
        for done in library["changes"]:
            again = done.then(lambda name: choices(name), [watched], [*chosen], **QUIET)
            again.then(library["shelved"], None, library["shelf"], **QUIET)
        _endpoints(studio)
    return app


def _endpoints(studio: Studio) -> None:
    """The three named endpoints; README shows them."""

    @said
    def fit(exemplar: gr.FileData, minutes: float = 3.0, seed: int = 0) -> str:
        """Begin to learn an uploaded exemplar; returns the run's id."""
        path = exemplar["path"] if isinstance(exemplar, dict) else exemplar.path
        if not minutes > 0:
            raise TexsynError(f"minutes must be more than 0, but are {minutes:g}")
        run = studio.prepare([studio.uploaded(path)], seed=int(seed))
        return studio.begin(run, float(minutes)).path.name

    @said
    def status(run: str) -> dict[str, Any]:
        """Where a run stands: state, step, progress (0 to 1), seconds, remaining."""
        found = texsyn.status(studio.run(run))
        return {name: getattr(found, name) for name in ("state", "step", "progress", "seconds", "remaining", "message")}

    @said
    def sample(run: str, seed: int = 0, width: int = 0, height: int = 0) -> gr.FileData:
        """A new texture as a file: PNG, or MP4 for clips."""
        size = (int(width), int(height)) if width or height else None
        path = studio.sample(studio.run(run), int(seed), size=size)
        return gr.FileData(path=str(path))

    for call in (fit, status, sample):
        gr.api(call, api_name=call.__name__)
