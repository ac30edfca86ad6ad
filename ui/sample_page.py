"""The page "Sample": samples of seeds, samples that resemble a chosen one, a tiled preview, files to download."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import gradio as gr
from common import PRIVATE, QUIET, image_gallery, show_errors
from samples import Choice, Shape
from studio import Studio

import texsyn
from texsyn import Run, TexsynError

_STILLS, _CLIPS = 8, 3  # samples at a time


class SamplePage:
    """Seeds count up: each click shows the next few."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.run = gr.Dropdown([], label="Run", interactive=True, elem_id="sample-run")
        self._next_seed = gr.State(0)
        self._like = gr.State(None)  # the seed of which variations are shown, if they are
        self._chosen = gr.State(Choice(0))
        with gr.Row():
            self._add_shape()
        with gr.Row():
            self._sample = gr.Button("New samples", variant="primary", elem_id="new-samples")
            self._sample_like = gr.Button("More like the chosen one", elem_id="similar-samples")
        self._samples = image_gallery("Samples", object_fit="contain", elem_id="samples")
        with gr.Row():
            with gr.Column():
                self._add_tiled_preview()
            with gr.Column():
                self._add_lit()
                self._add_download()
        self._connect()

    def _add_shape(self) -> None:
        width = gr.Number(0, label="Width (0: the exemplar's)", precision=0, minimum=0, maximum=4096)
        height = gr.Number(0, label="Height", precision=0, minimum=0, maximum=4096)
        frames = gr.Number(0, label="Frames of a clip", precision=0, minimum=0, maximum=2000)
        tile = gr.Dropdown(["xy", "x", "y", "none"], value="xy", label="Tiles along")
        self._shape = [width, height, frames, tile]

    def _add_tiled_preview(self) -> None:
        self._times = gr.Radio(["1 x 1", "2 x 2", "3 x 3"], value="2 x 2", label="Tiled preview: drag it")
        self._speed = gr.Slider(0.25, 2.0, value=1.0, step=0.25, label="Speed of clips", elem_id="speed")
        self._tiled = gr.HTML("<p class='quiet'>Choose one of the samples.</p>", elem_id="tiled")

    def _add_lit(self) -> None:
        # Gradio 6.31 shows no model where one event brings both the component and its file: first this, then the file.
        with gr.Column(visible=False) as self._lit_area:
            self._lit = gr.Model3D(label="Lit: drag to turn it", interactive=False, height=420, elem_id="lit")

    def _add_download(self) -> None:
        formats = texsyn.formats(False)
        self._format = gr.Dropdown(list(formats), value=formats[0], label="Format")
        self._save = gr.Button("Make a file to download", elem_id="save")
        self._file = gr.File(label="Download", interactive=False, elem_id="file")

    def _connect(self) -> None:
        shape, samples = self._shape, [self._samples, self._next_seed, self._like]
        shown = [*samples, self._format, self._lit_area]
        self._sample.click(self._show_new, [self.run, self._next_seed, *shape], shown, **PRIVATE)
        like = [self.run, self._next_seed, self._chosen, *shape]
        self._sample_like.click(self._show_similar, like, samples, **PRIVATE)
        forget = lambda: [None, 0, None, Choice(0), None, gr.update(visible=False)]  # noqa: E731
        self.run.change(forget, None, [*samples, self._chosen, self._lit, self._lit_area], **QUIET)
        given = [self.run, self._times, *shape]
        chosen = [self._chosen, self._tiled, self._lit]
        self._samples.select(self._choose, [self._like, *given], chosen, **QUIET)
        self._times.change(self._tile, [self._chosen, *given], self._tiled, **QUIET)
        set_speed = "speed => { window.texsynSpeed = speed; window.texsynPlay(); }"
        self._speed.change(None, self._speed, None, js=set_speed, **QUIET)
        self._save.click(self._download, [self.run, self._chosen, self._format, *shape], self._file, **PRIVATE)

    @show_errors
    def _show_new(self, name: str, first: int, *shape: Any) -> list[Any]:
        if not name:
            raise TexsynError("train a model first")
        run = self._studio.open_run(name)
        formats = texsyn.formats(run.modality.moving)
        choices, lit = gr.update(choices=list(formats), value=formats[0]), gr.update(visible=_is_material(run))
        return [*self._write_several(run, first, None, shape), choices, lit]

    @show_errors
    def _show_similar(self, name: str, first: int, chosen: Choice, *shape: Any) -> list[Any]:
        return self._write_several(self._studio.open_run(name), first, chosen.original, shape)

    @show_errors
    def _choose(self, event: gr.SelectData, like: int | None, name: str, times: str, *shape: Any) -> list[Any]:
        choice = Choice(int(event.value["caption"].split()[-1]), like)
        run = self._studio.open_run(name)
        lit = None
        if _is_material(run):
            lit = str(self._studio.samples.write_lit(run, choice, _shape(run, *shape)))
        return [choice, self._write_tiled(choice, name, times, shape), lit]

    @show_errors
    def _tile(self, choice: Choice, name: str, times: str, *shape: Any) -> str:
        return self._write_tiled(choice, name, times, shape)

    @show_errors
    def _download(self, name: str, choice: Choice, format: str, *shape: Any) -> str:
        run = self._studio.open_run(name)
        return str(self._studio.samples.write_download(run, choice, _shape(run, *shape), format))

    def _write_several(self, run: Run, first: int, like: int | None, shape: tuple[Any, ...]) -> list[Any]:
        """Files and captions of the next samples, the seed after them, and the seed that they vary."""
        count = _CLIPS if run.modality.moving else _STILLS
        choices = [Choice(seed, like) for seed in range(first, first + count)]
        paths = [self._studio.samples.write(run, choice, _shape(run, *shape)) for choice in choices]
        shown = [(str(path), choice.caption) for path, choice in zip(paths, choices, strict=True)]
        return [shown, first + count, like]

    def _write_tiled(self, choice: Choice, name: str, times: str, shape: tuple[Any, ...]) -> str:
        run = self._studio.open_run(name)
        return _tiled_html(self._studio.samples.write(run, choice, _shape(run, *shape)), int(times[0]))


def _is_material(run: Run) -> bool:
    return len(run.modality.planes) > 1


def _shape(run: Run, width: float, height: float, frames: float, tile: str) -> Shape:
    """The shape that the page's fields ask for; what the kind of the run cannot do is left out."""
    modality = run.modality
    *_, own_height, own_width = modality.size
    return Shape(
        size=(int(width or own_width), int(height or own_height)) if width or height else None,
        frames=int(frames) if frames and modality.moving else None,
        tile=tile if all(modality.stationary) else None,
    )


def _tiled_html(path: Path, times: int) -> str:
    """A sample repeated along both axes; it can be dragged, so that its seam is seen."""
    data = base64.b64encode(path.read_bytes()).decode()
    if path.suffix == ".mp4":
        videos = f"<video autoplay loop muted playsinline src='data:video/mp4;base64,{data}'></video>" * times**2
        return f"<div class='videos' style='--times:{times}'>{videos}</div>"
    return (
        f"<div class='tile' tabindex='0' role='img' aria-label='the chosen sample, {times} times each way; drag it, "
        f"or use the arrow keys' style='--times:{times};background-image:url(data:image/png;base64,{data})'></div>"
    )
