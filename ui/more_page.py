"""What the three networks can do besides: morph, fill holes, and show what does not belong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from studio import Studio
from wiring import PRIVATE, said

import texsyn
from texsyn import End, TexsynError


def more_page(studio: Studio) -> dict[str, Any]:
    run = gr.Dropdown([], label="Run", interactive=True)
    gr.Markdown("### From one texture to another")
    with gr.Row():
        first = gr.Textbox("0", label="From: a seed, or the name of an exemplar")
        last = gr.Textbox("1", label="To")
        length = gr.Number(32, label="Frames", precision=0, minimum=2, maximum=512)
    turn = gr.Button("Make a looping clip", elem_id="turn")
    film = gr.Video(label="Morph", interactive=False, loop=True, autoplay=True, height=300)
    gr.Markdown("### Fill a hole")
    editor = gr.ImageEditor(
        label="A picture of this texture; paint over what is to be filled",
        type="numpy",
        sources=["upload"],
        transforms=(),
        layers=False,
        brush=gr.Brush(colors=["#ffffff"], color_mode="fixed", default_size=24),
        buttons=[],
    )
    mend = gr.Button("Fill what is painted", elem_id="mend")
    mended = gr.Image(label="Filled", interactive=False, height=300, buttons=["download"])
    gr.Markdown("### Show where a picture does not belong")
    with gr.Row():
        suspect = gr.File(
            label="A picture of this texture, with a defect perhaps",
            file_types=[".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"],
            type="filepath",
            height=140,
            elem_id="suspect",
        )
        heat = gr.Image(label="Red is strange", interactive=False, height=300, buttons=["download"], elem_id="heat")
    search = gr.Button("Look for what is strange", elem_id="search")
    verdict = gr.HTML("", elem_id="verdict")

    @said
    def turned(name: str, start: str, end: str, frames: int) -> str:
        found = studio.run(name)
        triangle = studio.model(found)
        ends: tuple[End, End] = (found.end(start.strip()), found.end(end.strip()))
        path = studio.file(".mp4")
        made = texsyn.morph(triangle, *ends, frames=int(frames))
        whole = next(made)
        import torch

        texsyn.write(torch.cat([whole, *made], 1)[:3], path, fps=found.fps or 25.0)
        return str(path)

    @said
    def filled(name: str, painted: dict[str, Any] | None) -> str:
        import numpy as np
        from PIL import Image

        if not painted or painted.get("background") is None or not painted.get("layers"):
            raise TexsynError("choose a picture of this texture, and paint over what is to be filled")
        found = studio.run(name)
        picture, mask = studio.file(".png"), studio.file(".png")
        Image.fromarray(np.asarray(painted["background"])[..., :3]).save(picture)
        Image.fromarray(np.asarray(painted["layers"][0])[..., 3]).save(mask)
        given = texsyn.read_like(found.exemplars()[0], picture, mask=mask)
        assert given.mask is not None
        done = texsyn.complete(studio.model(found), given.pixels, given.mask, refine=40)
        return str(studio.shown(done, False, 0))

    @said
    def searched(name: str, path: str | None) -> tuple[str, str]:
        if not path:
            raise TexsynError("choose a picture of this texture first")
        shown = studio.file(".png")
        share = texsyn.examine(studio.run(name), Path(path), shown)
        return str(shown), f"{100 * share:.1f} % of it is stranger than 99 % of the exemplar."

    search.click(searched, [run, suspect], [heat, verdict], **PRIVATE)
    turn.click(turned, [run, first, last, length], film, **PRIVATE)
    mend.click(filled, [run, editor], mended, **PRIVATE)
    return {"run": run}
