"""The three endpoints for other programs; README shows how to call them."""

from __future__ import annotations

from typing import Any

import gradio as gr
from common import show_errors
from samples import Choice, Shape
from studio import Studio

import texsyn
from texsyn import FitOptions, TexsynError


def add_endpoints(studio: Studio) -> None:
    """Add `/fit`, `/status` and `/sample` to the app. Their signatures and docstrings are its API documentation."""

    @show_errors
    def fit(exemplar: gr.FileData, minutes: float = 3.0, seed: int = 0) -> str:
        """Start training on an uploaded exemplar; returns the run's id."""
        path = exemplar["path"] if isinstance(exemplar, dict) else exemplar.path
        if not minutes > 0:
            raise TexsynError(f"minutes must be more than 0, but is {minutes:g}")
        draft = studio.create_draft([studio.files.uploaded(path)], FitOptions(seed=int(seed)))
        return studio.start_training(draft, FitOptions(minutes=float(minutes))).path.name

    @show_errors
    def status(run: str) -> dict[str, Any]:
        """A run's state, step, progress (0 to 1), seconds of training, remaining seconds, and error message."""
        found = texsyn.status(studio.open_run(run))
        return {name: getattr(found, name) for name in ("state", "step", "progress", "seconds", "remaining", "message")}

    @show_errors
    def sample(run: str, seed: int = 0, width: int = 0, height: int = 0, format: str = "") -> gr.FileData:
        """A sample as a file: PNG, or MP4 for clips. 0: the exemplar's width and height.

        format: of `texsyn sample --format`; several files, such as the maps of a material, come as a ZIP.
        """
        found, choice = studio.open_run(run), Choice(int(seed))
        shape = Shape((int(width), int(height)) if width or height else None)
        if format and format not in texsyn.formats(found.modality.moving):
            raise TexsynError(f"{format!r} is none of {', '.join(texsyn.formats(found.modality.moving))}")
        samples = studio.samples
        path = samples.write_download(found, choice, shape, format) if format else samples.write(found, choice, shape)
        return gr.FileData(path=str(path))

    for endpoint in (fit, status, sample):
        gr.api(endpoint, api_name=endpoint.__name__)
