"""The first page: choose an exemplar, see what was understood of it, say how long it may be learnt."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gradio as gr
from studio import SHIPPED, Studio
from wiring import PRIVATE, said

import texsyn
from texsyn import TexsynError

LENGTHS = {"1 minute": 1.0, "3 minutes": 3.0, "10 minutes": 10.0, "30 minutes": 30.0, "Until I stop it": 720.0}


def start_page(studio: Studio) -> dict[str, Any]:
    draft, given = gr.State(""), gr.State("")
    with gr.Row():
        with gr.Column():
            upload = gr.File(
                label="Drop, paste or pick a picture or a clip",
                file_types=list(texsyn.ENDINGS),
                type="filepath",
                elem_id="upload",
                height=170,
            )
            shipped = [path for path in sorted(SHIPPED.iterdir()) if _is_exemplar(path)]
            gr.Markdown("Or take one of these:")
            gallery = gr.Gallery(
                [(str(_thumbnail(studio, path)), path.stem) for path in shipped],
                label="Shipped exemplars",
                show_label=False,
                columns=4,
                height=240,
                interactive=False,
                allow_preview=False,
                buttons=[],
                fit_columns=False,
                elem_id="shipped",
            )
            length = gr.Radio(list(LENGTHS), value="3 minutes", label="How long may it learn?")
            with gr.Accordion("More", open=False):
                kind = gr.Dropdown(
                    ["auto", "still", "clip", "surface"],
                    value="auto",
                    label="Kind",
                    info="A surface is a clip that is the same everywhere, such as water: it tiles in space, too.",
                )
                recipe = gr.Dropdown(["fast", "best", "paper"], value="fast", label="Recipe")
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
                side = gr.Number(0, label="Shorter side in pixels (0: the kind's own)", precision=0, minimum=0)
                with gr.Row():
                    first = gr.Number(0, label="Clip: first frame", precision=0, minimum=0)
                    count = gr.Number(0, label="Clip: number of frames (0: all)", precision=0, minimum=0)
                with gr.Row():
                    left = gr.Number(0, label="Crop: left", precision=0, minimum=0)
                    top = gr.Number(0, label="Crop: top", precision=0, minimum=0)
                    wide = gr.Number(0, label="Crop: width (0: all)", precision=0, minimum=0)
                    high = gr.Number(0, label="Crop: height (0: all)", precision=0, minimum=0)
                again = gr.Button("Read it again with these", size="sm")
        with gr.Column():
            understood = gr.HTML("", elem_id="understood")
            picture = gr.Image(label="Exemplar", interactive=False, visible=False, buttons=[], height=320)
            clip = gr.Video(label="Exemplar", interactive=False, visible=False, loop=True, autoplay=True, height=320)
            with gr.Accordion("Paint over what must not be learnt", open=False, visible=False) as masking:
                mask = gr.ImageEditor(
                    label="White is missing",
                    elem_id="mask",
                    type="numpy",
                    sources=[],
                    transforms=(),
                    layers=False,
                    brush=gr.Brush(colors=["#ffffff"], color_mode="fixed", default_size=24),
                    buttons=[],
                )
                masked = gr.Button("Leave this out", size="sm")
            begin = gr.Button("Start learning", variant="primary", elem_id="begin")

    settings = [kind, recipe, seed, side, first, count, left, top, wide, high]

    def prepared(path: str, old: str, *values: Any, painted: Any = None) -> list[Any]:
        if not path:
            raise TexsynError("choose a picture or a clip first")
        names = ("kind", "recipe", "seed", "side")
        how = {name: value for name, value in zip(names, values[:4], strict=True) if value}
        begin_at, frames = int(values[4] or 0), values[5]
        if begin_at or frames:
            how["frames"] = f"{begin_at}:{begin_at + int(frames) if frames else ''}"
        if values[8] and values[9]:
            how["crop"] = "{2}x{3}+{0}+{1}".format(*(int(each or 0) for each in values[6:10]))
        if painted is not None:
            how["mask"] = str(painted)
        run = studio.prepare([Path(path)], **how)
        if old:
            shutil.rmtree(studio.drafts / Path(old).name, ignore_errors=True)
        shown, moving = studio.exemplar(run), "t" in run.content["modality"]["axes"]
        return [
            run.path.name,
            path,
            studio.understood(run),
            gr.update(value=None if moving else str(shown), visible=not moving),
            gr.update(value=str(shown) if moving else None, visible=moving),
            gr.update(visible=not moving, open=False),
            gr.update() if painted is not None else gr.update(value=None if moving else str(shown)),
        ]

    outputs = [draft, given, understood, picture, clip, masking, mask]

    @said
    def uploaded(path: str | None, old: str, *values: Any) -> list[Any]:
        return prepared(path, old, *values) if path else [gr.skip()] * len(outputs)

    @said
    def picked(event: gr.SelectData, old: str, *values: Any) -> list[Any]:
        return prepared(str(shipped[event.index]), old, *values)

    @said
    def reread(path: str, old: str, *values: Any) -> list[Any]:
        return prepared(path, old, *values)

    @said
    def left_out(path: str, old: str, painted: dict[str, Any] | None, *values: Any) -> list[Any]:
        if not old:
            raise TexsynError("choose a picture first")
        return prepared(path, old, *values, painted=_mask_file(studio, studio.run(old), painted))

    upload.change(uploaded, [upload, draft, *settings], outputs, **PRIVATE)
    gallery.select(picked, [draft, *settings], outputs, **PRIVATE)
    again.click(reread, [given, draft, *settings], outputs, **PRIVATE)
    masked.click(left_out, [given, draft, mask, *settings], outputs, **PRIVATE)
    return {"draft": draft, "length": length, "begin": begin}


def _is_exemplar(path: Path) -> bool:
    return (
        path.suffix in (".png", ".mp4", ".jpg")
        and not path.stem.endswith(("-mask", "-normal"))
        and path.stem != "samples"
    )


def _thumbnail(studio: Studio, path: Path) -> Path:
    """A small picture of a shipped exemplar; clips show a frame."""
    exemplar = texsyn.read(path, side=64)
    frame = exemplar.pixels[:, 0] if exemplar.modality.moving else exemplar.pixels
    return studio.shown(frame, False, 0, lasting=True)


def _mask_file(studio: Studio, draft: texsyn.Run, painted: dict[str, Any] | None) -> Path:
    """What was painted, as a mask of the size of the file that was given."""
    from PIL import Image

    layer = painted["layers"][0] if painted and painted.get("layers") else None
    if layer is None or not layer[..., 3].any():
        raise TexsynError("paint over what must not be learnt first")
    file, facts = studio.file(".png"), draft.facts[0]
    size = (facts["width"], facts["height"])
    Image.fromarray(layer[..., 3]).resize(size, Image.Resampling.NEAREST).save(file)
    return file
