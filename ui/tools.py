"""What a trained model can do beside sampling: repair a picture, morph, find what is unusual. All end on the stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import torch
from common import PRIVATE, QUIET, show_errors
from PIL import Image
from samples import Choice, Shape
from stage import Stage
from studio import Studio
from viewer import PAINTED, painted_mask, view

import texsyn
from texsyn import Run, TexsynError

_REFINE = 40  # steps after filling
_Pictures = tuple[str, tuple[str, ...]]
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
    """A picture is painted on where it stands, and filled there; each filling can be undone."""

    def __init__(self, studio: Studio, run: gr.Dropdown, stage: Stage) -> None:
        self._studio = studio
        gr.Markdown("What shall be repaired? Then paint over it on the picture.")
        with gr.Row():
            exemplar = gr.Button("The exemplar", size="sm", elem_id="repair-exemplar", min_width=80)
            sample = gr.Button("The sample shown", size="sm", elem_id="repair-sample", min_width=80)
            own = gr.UploadButton("An image", file_types=_IMAGES, size="sm", elem_id="repair-image", min_width=80)
        button = gr.Button("Fill", variant="primary", elem_id="fill")
        undo = gr.Button("Undo", size="sm", elem_id="undo")
        filled = gr.File(label="Download", interactive=False, visible=False, elem_id="filled")
        self._pictures = gr.State(("", ()))  # the run, and the files of a picture: as it is, and as it was before
        painted = gr.Textbox(visible=False)
        shown = [stage.view, self._pictures]
        exemplar.click(self._exemplar, run, shown, **QUIET)
        sample.click(self._sample, [run, stage.choice], shown, **QUIET)
        own.upload(self._image, [run, own], shown, **QUIET)
        asked = [run, self._pictures, painted]
        button.click(self._fill, asked, [*shown, filled], js=PAINTED, show_progress_on=button, **PRIVATE)
        undo.click(self._undo, self._pictures, [*shown, filled], **QUIET)

    @show_errors
    def _exemplar(self, name: str) -> list[Any]:
        run = _still(self._studio.open_run(name))
        return self._show(run, (self._write(run, run.exemplars()[0].pixels),))

    @show_errors
    def _sample(self, name: str, choice: Choice | None) -> list[Any]:
        run = _still(self._studio.open_run(name))
        with Image.open(self._studio.samples.write(run, choice or Choice(0), Shape())) as image:
            pixels = torch.from_numpy(np.asarray(image.convert("RGB")) / 127.5 - 1).permute(2, 0, 1)
        return self._show(run, (self._write(run, pixels.float()),))

    @show_errors
    def _image(self, name: str, file: str) -> list[Any]:
        run = _still(self._studio.open_run(name))
        try:
            with Image.open(file) as image:
                pixels = np.asarray(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise TexsynError("this cannot be read as an image") from error
        exemplar = texsyn.read_like(run.exemplars()[0], self._studio.files.write_image(pixels))
        return self._show(run, (self._write(run, exemplar.pixels),))

    @show_errors
    def _fill(self, name: str, pictures: _Pictures, painted: str) -> list[Any]:
        of_run, paths = pictures
        mask = painted_mask(painted)
        if not paths or of_run != name or mask is None:
            raise TexsynError("choose what shall be repaired, and paint over what is to be filled")
        run, files = self._studio.open_run(name), self._studio.files
        exemplar = texsyn.read_like(run.exemplars()[0], Path(paths[0]), mask=files.write_image(mask))
        assert exemplar.mask is not None
        filled = texsyn.complete(self._studio.samples.model(run), exemplar.pixels, exemplar.mask, refine=_REFINE)
        path = self._write(run, filled)
        return [*self._show(run, (path, *paths)), gr.update(value=path, visible=True)]

    @show_errors
    def _undo(self, pictures: _Pictures) -> list[Any]:
        name, paths = pictures
        if len(paths) < 2:
            raise TexsynError("nothing was filled yet")
        return [*self._show(self._studio.open_run(name), paths[1:]), gr.update(value=None, visible=False)]

    def _write(self, run: Run, pixels: torch.Tensor) -> str:
        """A picture as a file that is read at its own scale again."""
        return str(self._studio.files.write_texture(pixels, metadata=run.made_by()))

    def _show(self, run: Run, paths: tuple[str, ...]) -> list[Any]:
        """A picture to paint on, beside what it was before; and what `_pictures` holds then."""
        before = Path(paths[1]) if len(paths) > 1 else None
        caption = f"{run.title}: repaired" if before else f"{run.title}: paint over what is to be filled"
        return [view(Path(paths[0]), before, caption, mode="sample", paint=True), (run.path.name, paths)]


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
