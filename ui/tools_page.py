"""The page "More": tools that use a trained model. Morph, fill a mask, find anomalies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import torch
from common import PRIVATE, mask_editor, painted_mask, show_errors
from studio import Studio

import texsyn
from texsyn import TexsynError

_REFINE = 40  # Langevin steps after filling


class ToolsPage:
    """Three tools, one below the other, for one run."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.run = gr.Dropdown([], label="Run", interactive=True, elem_id="tools-run")
        self._add_morph()
        self._add_fill()
        self._add_anomalies()

    def _add_morph(self) -> None:
        gr.Markdown("### Morph from one texture to another")
        with gr.Row():
            start = gr.Textbox("0", label="From: a seed, or the name of an exemplar")
            end = gr.Textbox("1", label="To")
            frames = gr.Number(32, label="Frames", precision=0, minimum=2, maximum=512)
        button = gr.Button("Make a looping clip", elem_id="morph")
        clip = gr.Video(label="Morph", interactive=False, loop=True, autoplay=True, height=300, elem_id="morph-clip")
        button.click(self._morph, [self.run, start, end, frames], clip, **PRIVATE)

    def _add_fill(self) -> None:
        gr.Markdown("### Fill a mask")
        editor = mask_editor(
            "An image of this texture: paint over what is to be filled", sources=["upload"], elem_id="fill-editor"
        )
        button = gr.Button("Fill the mask", elem_id="fill")
        filled = gr.Image(label="Filled", interactive=False, height=300, buttons=["download"], elem_id="filled")
        button.click(self._fill, [self.run, editor], filled, **PRIVATE)

    def _add_anomalies(self) -> None:
        gr.Markdown("### Find anomalies")
        with gr.Row():
            image = gr.File(
                label="An image of this texture, perhaps with a defect",
                file_types=[".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"],
                type="filepath",
                height=140,
                elem_id="anomaly-image",
            )
            heatmap = gr.Image(
                label="Heat map: red is unusual", interactive=False, height=300, buttons=["download"], elem_id="heatmap"
            )
        button = gr.Button("Find anomalies", elem_id="find-anomalies")
        share = gr.HTML("", elem_id="anomaly-share")
        button.click(self._find_anomalies, [self.run, image], [heatmap, share], **PRIVATE)

    @show_errors
    def _morph(self, name: str, start: str, end: str, frames: int) -> str:
        run = self._studio.open_run(name)
        model = self._studio.samples.model(run)
        parts = texsyn.morph(model, run.end(start.strip()), run.end(end.strip()), frames=int(frames))
        return str(self._studio.files.write_texture(torch.cat(list(parts), 1), run.fps))

    @show_errors
    def _fill(self, name: str, painted: dict[str, Any] | None) -> str:
        mask = painted_mask(painted)
        if not painted or painted.get("background") is None or mask is None:
            raise TexsynError("choose an image of this texture, and paint over what is to be filled")
        run, files = self._studio.open_run(name), self._studio.files
        image = files.write_image(np.asarray(painted["background"])[..., :3])
        exemplar = texsyn.read_like(run.exemplars()[0], image, mask=files.write_image(mask))
        assert exemplar.mask is not None
        filled = texsyn.complete(self._studio.samples.model(run), exemplar.pixels, exemplar.mask, refine=_REFINE)
        return str(files.write_texture(filled))

    @show_errors
    def _find_anomalies(self, name: str, path: str | None) -> tuple[str, str]:
        if not path:
            raise TexsynError("choose an image of this texture first")
        heatmap = self._studio.files.new(".png")
        share = texsyn.examine(self._studio.open_run(name), Path(path), heatmap)
        return str(heatmap), f"{100 * share:.1f} % of it is more unusual than 99 % of the exemplar."
