"""The page of new textures: from seeds, like one of them, tiled, as files."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import gradio as gr
from studio import FORMATS, Studio, moving
from wiring import PRIVATE, QUIET, said

import texsyn
from texsyn import TexsynError


def sample_page(studio: Studio) -> dict[str, Any]:
    run = gr.Dropdown([], label="Run", interactive=True, elem_id="sampled")
    page, near, selected = gr.State(0), gr.State(-1), gr.State(0)
    with gr.Row():
        width = gr.Number(0, label="Width (0: the exemplar's)", precision=0, minimum=0, maximum=4096)
        height = gr.Number(0, label="Height", precision=0, minimum=0, maximum=4096)
        frames = gr.Number(0, label="Frames of a clip", precision=0, minimum=0, maximum=2000)
        tile = gr.Dropdown(["xy", "x", "y", "none"], value="xy", label="Tiles along")
    with gr.Row():
        make = gr.Button("New textures", variant="primary", elem_id="make")
        alike = gr.Button("More like the chosen one", elem_id="alike")
    grid = gr.Gallery(
        label="New textures",
        columns=4,
        interactive=False,
        allow_preview=False,
        buttons=[],
        object_fit="contain",
        fit_columns=False,
        elem_id="grid",
    )
    with gr.Row():
        with gr.Column():
            times = gr.Radio(["1 x 1", "2 x 2", "3 x 3"], value="2 x 2", label="Tiled preview: drag it")
            speed = gr.Slider(0.25, 2.0, value=1.0, step=0.25, label="Speed of clips", elem_id="speed")
            tiled = gr.HTML("<p class='quiet'>Choose one of the textures.</p>", elem_id="tiled")
        with gr.Column():
            format = gr.Dropdown(list(FORMATS[False]), value="png", label="Format")
            save = gr.Button("Make a file to download", elem_id="save")
            file = gr.File(label="Download", interactive=False, elem_id="file")

    sizes = [width, height, frames, tile]

    def asked(found: texsyn.Run, values: tuple[Any, ...]) -> dict[str, Any]:
        w, h, n, along = values
        axes = all(found.content["modality"]["stationary"])
        own = found.content["modality"]["size"]
        size = (int(w or own[-1]), int(h or own[-2])) if (w or h) else None
        return {"size": size, "frames": int(n) if n and moving(found) else None, "tile": along if axes else None}

    def several(name: str, first: int, like: int, values: tuple[Any, ...]) -> list[tuple[str, str]]:
        found = studio.run(name)
        how = asked(found, values)
        count = 3 if moving(found) else 8
        seeds = range(first, first + count)
        return [
            (str(studio.sample(found, seed, like, **how)), f"like {like}, {seed}" if like >= 0 else f"seed {seed}")
            for seed in seeds
        ]

    @said
    def made(name: str, first: int, *values: Any) -> list[Any]:
        if not name:
            raise TexsynError("learn a texture first")
        shown = several(name, first, -1, values)
        formats = FORMATS[moving(studio.run(name))]
        return [shown, first + len(shown), -1, gr.update(choices=list(formats), value=formats[0])]

    @said
    def like(name: str, first: int, of: int, *values: Any) -> list[Any]:
        return [several(name, first, of, values), first + 8, of]

    @said
    def chosen(event: gr.SelectData, name: str, many: str, of: int, *values: Any) -> list[Any]:
        label = str(event.value["caption"])
        seed = int(label.split()[-1])
        return [seed, _tiled(studio.sample(studio.run(name), seed, of, **asked(studio.run(name), values)), many)]

    @said
    def retiled(name: str, many: str, seed: int, of: int, *values: Any) -> str:
        return _tiled(studio.sample(studio.run(name), seed, of, **asked(studio.run(name), values)), many)

    @said
    def saved(name: str, seed: int, how: str, *values: Any) -> str:
        found = studio.run(name)
        return str(studio.download(found, seed, how, **asked(found, values)))

    make.click(made, [run, page, *sizes], [grid, page, near, format], **PRIVATE)
    run.change(lambda: [None, 0, -1, 0], None, [grid, page, near, selected], **QUIET)
    alike.click(like, [run, page, selected, *sizes], [grid, page, near], **PRIVATE)
    grid.select(chosen, [run, times, near, *sizes], [selected, tiled], **QUIET)
    times.change(retiled, [run, times, selected, near, *sizes], tiled, **QUIET)
    speed.change(None, speed, None, js="speed => { window.texsynSpeed = speed; window.texsynPlay(); }", **QUIET)
    save.click(saved, [run, selected, format, *sizes], file, **PRIVATE)
    return {"run": run}


def _tiled(path: Path, many: str) -> str:
    """A texture again and again, to be dragged so that its seam passes under the eye."""
    times = int(many[0])
    data = base64.b64encode(path.read_bytes()).decode()
    if path.suffix == ".mp4":
        videos = f"<video autoplay loop muted playsinline src='data:video/mp4;base64,{data}'></video>" * times**2
        return f"<div class='videos' style='--times:{times}'>{videos}</div>"
    return (
        f"<div class='tile' tabindex='0' role='img' aria-label='the chosen texture, {times} times each way; drag it, "
        f"or use the arrow keys' style='--times:{times};background-image:url(data:image/png;base64,{data})'></div>"
    )
