"""What a trained model can do beside sampling: repair a picture, morph, find what is unusual. All end on the stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import torch
from common import PRIVATE, QUIET, mask_editor, painted_mask, show_errors
from PIL import Image
from samples import Choice, Shape
from stage import Stage
from studio import Studio
from viewer import view

import texsyn
from texsyn import Run, TexsynError

_REFINE = 40  # steps after filling
_IMAGES = [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"]


class MorphPanel:
    """A clip that turns one texture into another and back."""

    def __init__(self, studio: Studio, run: gr.Dropdown, stage: Stage) -> None:
        self._studio = studio
        gr.Markdown("A looping clip that turns one texture into another.")
        with gr.Row():
            start = gr.Textbox("0", label="From: a seed, or the name of an exemplar", min_width=120)
            end = gr.Textbox("1", label="To", min_width=80)
        frames = gr.Number(32, label="Frames", precision=0, minimum=2, maximum=512)
        button = gr.Button("Make a looping clip", variant="primary", elem_id="morph")
        clip = gr.File(label="Download", interactive=False, visible=False, elem_id="morph-file")
        button.click(self._morph, [run, start, end, frames], [stage.view, clip], show_progress_on=button, **PRIVATE)

    @show_errors
    def _morph(self, name: str, start: str, end: str, frames: int) -> list[Any]:
        run = self._studio.open_run(name)
        model = self._studio.samples.model(run)
        parts = texsyn.morph(model, run.end(start.strip()), run.end(end.strip()), frames=int(frames))
        path = self._studio.files.write_texture(torch.cat(list(parts), 1), run.fps)
        return [
            view(path, None, f"{run.title}, from {start.strip()} to {end.strip()}"),
            gr.update(value=str(path), visible=True),
        ]


class RepairPanel:
    """An image is painted on, and filled there."""

    def __init__(self, studio: Studio, run: gr.Dropdown, stage: Stage) -> None:
        self._studio = studio
        gr.Markdown("Paint over what is to be filled: in the exemplar, in the sample shown, or in an image of yours.")
        with gr.Row():
            exemplar = gr.Button("The exemplar", size="sm", elem_id="repair-exemplar", min_width=80)
            sample = gr.Button("The sample shown", size="sm", elem_id="repair-sample", min_width=80)
        editor = mask_editor("Paint", sources=["upload"], elem_id="fill-editor")
        button = gr.Button("Fill", variant="primary", elem_id="fill")
        filled = gr.File(label="Download", interactive=False, visible=False, elem_id="filled")
        exemplar.click(self._exemplar, run, editor, **QUIET)
        sample.click(self._sample, [run, stage.choice], editor, **QUIET)
        button.click(self._fill, [run, editor], [stage.view, filled], show_progress_on=button, **PRIVATE)

    @show_errors
    def _exemplar(self, name: str) -> Any:
        run = self._studio.open_run(name)
        return _editable(self._studio.files.write_texture(_still(run).exemplars()[0].pixels))

    @show_errors
    def _sample(self, name: str, choice: Choice | None) -> Any:
        run = _still(self._studio.open_run(name))
        return _editable(self._studio.samples.write(run, choice or Choice(0), Shape()))

    @show_errors
    def _fill(self, name: str, painted: dict[str, Any] | None) -> list[Any]:
        mask = painted_mask(painted)
        if not painted or painted.get("background") is None or mask is None:
            raise TexsynError("choose an image of this texture, and paint over what is to be filled")
        run, files = self._studio.open_run(name), self._studio.files
        image = files.write_image(np.asarray(painted["background"])[..., :3])
        exemplar = texsyn.read_like(run.exemplars()[0], image, mask=files.write_image(mask))
        assert exemplar.mask is not None
        filled = texsyn.complete(self._studio.samples.model(run), exemplar.pixels, exemplar.mask, refine=_REFINE)
        path = files.write_texture(filled)
        with Image.open(image) as whole:
            before = files.write_image(np.asarray(whole.resize((filled.shape[2], filled.shape[1]))))
        return [view(path, before, f"{run.title}: before and after"), gr.update(value=str(path), visible=True)]


class CheckPanel:
    """A heat map of what is unusual in an image, and the settings that a texture was made with."""

    def __init__(self, studio: Studio, run: gr.Dropdown, stage: Stage) -> None:
        self._studio = studio
        gr.Markdown("Where does an image of this texture differ from the exemplar?")
        image = gr.File(
            label="An image of this texture, perhaps with a defect",
            file_types=_IMAGES,
            type="filepath",
            height=120,
            elem_id="anomaly-image",
        )
        button = gr.Button("Find what is unusual", variant="primary", elem_id="find-anomalies")
        share = gr.HTML("", elem_id="anomaly-share")
        heatmap = gr.File(label="Download", interactive=False, visible=False, elem_id="heatmap")
        button.click(self._find, [run, image], [stage.view, share, heatmap], show_progress_on=button, **PRIVATE)
        gr.Markdown("How was a texture made?")
        file = gr.File(label="Drop a texture made by texsyn", type="filepath", height=120, elem_id="texture-file")
        origin = gr.JSON(label="Its settings", elem_id="origin")
        file.change(self._read_origin, file, origin, **PRIVATE)

    @show_errors
    def _find(self, name: str, path: str | None) -> list[Any]:
        if not path:
            raise TexsynError("choose an image of this texture first")
        run, files = self._studio.open_run(name), self._studio.files
        heatmap = files.new(".png")
        share = texsyn.examine(run, Path(path), heatmap)
        with Image.open(heatmap) as map_, Image.open(path) as image:
            before = files.write_image(np.asarray(image.convert("RGB").resize(map_.size)))
        words = f"<p>{100 * share:.1f} % of it is more unusual than 99 % of the exemplar: red in the map.</p>"
        return [
            view(heatmap, before, f"{run.title}: heat map over the image", mode="blend"),
            words,
            gr.update(value=str(heatmap), visible=True),
        ]

    @show_errors
    def _read_origin(self, path: str | None) -> Any:
        return texsyn.origin(Path(path)) if path else None


def _still(run: Run) -> Run:
    if run.modality.moving:
        raise TexsynError("only stills can be painted on")
    return run


def _editable(path: Path) -> dict[str, Any]:
    """An image as the value of a `mask_editor`."""
    with Image.open(path) as image:
        return {"background": np.asarray(image.convert("RGB")), "layers": [], "composite": None}
