"""Samples of the chosen run: of seeds, or like a chosen one, of any size; the one on the stage can be downloaded."""

from __future__ import annotations

from typing import Any

import gradio as gr
from common import PRIVATE, QUIET, show_errors
from samples import ANOTHER, OWN, SIZES, TILES, Choice, Shape
from stage import Stage
from studio import Studio
from viewer import view

import texsyn
from texsyn import Run, TexsynError

_STILLS, _CLIPS = 8, 3  # samples at a time
_AT_ONCE = 2_000_000  # pixels of all of these, so that they come within seconds
_FORMATS = {
    "png": "PNG, an image",
    "jpg": "JPEG, a smaller image with losses",
    "webp": "WebP, smaller than PNG and GIF",
    "gif": "GIF, a loop for anywhere",
    "mp4": "MP4, a clip",
    "frames": "Frames, a PNG each",
    "sheet": "Sheet, all frames in one PNG",
    "exr": "EXR, linear floats for a renderer",
    "glb": "glTF, lit bodies for a 3D program",
}


class SamplePanel:
    """Seeds count up: each click shows the next few. `changed` holds the events after which another sample is shown."""

    def __init__(self, studio: Studio, run: gr.Dropdown, stage: Stage) -> None:
        self._studio, self._run, self._stage = studio, run, stage
        self._next_seed = gr.State(0)
        self._like = gr.State(None)  # the seed of which variations are shown, if they are
        self._sample = gr.Button("New samples", variant="primary", elem_id="new-samples")
        with gr.Row():
            self._before = gr.Button("<", elem_id="seed-before", min_width=40, size="sm")
            self._seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31 - 1, elem_id="seed")
            self._after = gr.Button(">", elem_id="seed-after", min_width=40, size="sm")
        self._sample_like = gr.Button("More like this one", elem_id="similar-samples")
        self._add_shape()
        self._add_lit()
        self._add_download()
        self.forgotten = [stage.samples, self._next_seed, self._like, stage.choice, self._lit, self._lit_area]
        self.offered = [self._format, self._size, self._frames, self._tile]
        self._connect()

    def _add_shape(self) -> None:
        self._size = gr.Radio(list(SIZES), value=OWN, label="Size in pixels", elem_id="size")
        with gr.Row(visible=False) as self._other_size:
            self._width = gr.Number(512, label="Width", precision=0, minimum=1, maximum=4096)
            self._height = gr.Number(512, label="Height", precision=0, minimum=1, maximum=4096)
        self._frames = gr.Number(0, label="Frames (0: the exemplar's)", precision=0, minimum=0, maximum=2000)
        self._tile = gr.Radio(list(TILES), value=TILES[0], label="Tiles along")
        self.shape = [self._size, self._width, self._height, self._frames, self._tile]

    def _add_lit(self) -> None:
        # Gradio 6.31 shows no model where one event brings both the component and its file: first this, then the file.
        with gr.Column(visible=False) as self._lit_area:
            self._lit = gr.Model3D(label="Lit: drag to turn it", interactive=False, height=300, elem_id="lit")

    def _add_download(self) -> None:
        formats = texsyn.formats(False)
        self._format = gr.Dropdown(_named(formats), value=formats[0], label="Format")
        self._save = gr.Button("Make a file to download", elem_id="save")
        self._file = gr.File(label="Download", interactive=False, visible=False, elem_id="file")

    def _connect(self) -> None:
        stage, run, shape = self._stage, self._run, self.shape
        self._size.change(lambda size: gr.update(visible=size == ANOTHER), self._size, self._other_size, **QUIET)
        self.picture = picture = [stage.choice, stage.view, self._seed, self._lit]
        shown = [stage.samples, self._next_seed, self._like, *picture, self._lit_area]
        new = [run, self._next_seed, *shape]
        like = [run, self._next_seed, stage.choice, *shape]
        self.changed = [
            self._sample.click(self._show_new, new, shown, show_progress_on=self._sample, **PRIVATE),
            self._sample_like.click(self._show_similar, like, shown, show_progress_on=self._sample_like, **PRIVATE),
            stage.samples.select(self._choose, [self._like, run, *shape], picture, **QUIET),
        ]
        for moved, step in ((self._before.click, -1), (self._after.click, 1), (self._seed.submit, 0)):
            self.changed.append(moved(_moved(self._show_seed, step), [self._seed, run, *shape], picture, **QUIET))
        self._save.click(self._download, [run, stage.choice, self._format, *shape], self._file, **PRIVATE)

    def forget(self) -> list[Any]:
        """Values of `forgotten` for a run that was just chosen."""
        return [gr.update(value=None, visible=False), 0, None, None, None, gr.update(visible=False)]

    @show_errors
    def offer(self, name: str | None) -> list[Any]:
        """Values of `offered`: what a run's kind can have."""
        modality = self._studio.open_run(name).modality if name else texsyn.MODALITIES["still"]
        formats = texsyn.formats(modality.moving)
        return [
            gr.update(choices=_named(formats), value=formats[0]),
            gr.update(visible=modality.stationary[-1], value=OWN),
            gr.update(visible=modality.moving),
            gr.update(visible=all(modality.stationary)),
        ]

    @show_errors
    def _show_new(self, name: str, first: int, *shape: Any) -> list[Any]:
        if not name:
            raise TexsynError("train a model first")
        return self._show_several(self._studio.open_run(name), first, None, shape)

    @show_errors
    def _show_similar(self, name: str, first: int, chosen: Choice | None, *shape: Any) -> list[Any]:
        if chosen is None:
            raise TexsynError("choose a sample first")
        return self._show_several(self._studio.open_run(name), first, chosen.original, shape)

    def _show_several(self, run: Run, first: int, like: int | None, shape: tuple[Any, ...]) -> list[Any]:
        """The next samples, the seed after them, the seed that they vary, and the first on the stage."""
        asked = Shape.asked(run, *shape)
        height, width = texsyn.target(run.modality, asked.size, asked.frames)[-2:]
        count = _CLIPS if run.modality.moving else max(1, min(_STILLS, _AT_ONCE // (height * width)))
        choices = [Choice(seed, like) for seed in range(first, first + count)]
        paths = [self._studio.samples.write(run, choice, asked) for choice in choices]
        shown = [(str(path), choice.caption) for path, choice in zip(paths, choices, strict=True)]
        lit = gr.update(visible=_is_material(run))
        return [
            gr.update(value=shown, visible=True),
            first + count,
            like,
            *self.show(run, choices[0], asked, False),
            lit,
        ]

    @show_errors
    def _choose(self, event: gr.SelectData, like: int | None, name: str, *shape: Any) -> list[Any]:
        run = self._studio.open_run(name)
        return self.show(run, Choice(int(event.value["caption"].split()[-1]), like), Shape.asked(run, *shape))

    @show_errors
    def _show_seed(self, seed: int, name: str, *shape: Any) -> list[Any]:
        run = self._studio.open_run(name)
        return self.show(run, Choice(min(max(int(seed or 0), 0), 2**31 - 1)), Shape.asked(run, *shape))

    def show(self, run: Run, choice: Choice, shape: Shape, lit: bool = True) -> list[Any]:
        """Values of `picture`: the choice, its picture beside the exemplar, its seed, and of a material lit bodies."""
        path = self._studio.samples.write(run, choice, shape)
        model = str(self._studio.samples.write_lit(run, choice, shape)) if lit and _is_material(run) else None
        caption = f"{run.title}, {choice.caption}"
        return [choice, view(path, self._studio.previews.exemplar(run), caption), choice.seed, model]

    @show_errors
    def _download(self, name: str, choice: Choice | None, format: str, *shape: Any) -> Any:
        run = self._studio.open_run(name)
        path = self._studio.samples.write_download(run, choice or Choice(0), Shape.asked(run, *shape), format)
        return gr.update(value=str(path), visible=True)


def _named(formats: tuple[str, ...] | list[str]) -> list[tuple[str, str]]:
    return [(_FORMATS.get(each, each), each) for each in formats]


def _moved(handler: Any, step: int) -> Any:
    """The handler of a seed that many further."""
    return lambda seed, *rest: handler(int(seed or 0) + step, *rest)


def _is_material(run: Run) -> bool:
    return len(run.modality.planes) > 1
