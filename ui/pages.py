"""The pages: what a person sees, and which function of the studio each thing calls."""

from __future__ import annotations

import base64
import html
import shutil
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr
from studio import FORMATS, SHIPPED, Studio, duration, told

import texsyn
from texsyn import End, TexsynError

HERE = Path(__file__).resolve().parent
STYLE = (HERE / "style.css").read_text()
HEAD = f"<script>{(HERE / 'page.js').read_text()}</script><meta name='viewport' content='width=device-width'>"
LENGTHS = {"1 minute": 1.0, "3 minutes": 3.0, "10 minutes": 10.0, "30 minutes": 30.0, "Until I stop it": 720.0}
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
SECRET = "texsyn"  # of what a browser remembers: one run's id, so that a restarted server can read it


def theme() -> gr.Theme:
    """Calm, in the system's own fonts, with enough contrast for every eye."""
    made = gr.themes.Soft(
        primary_hue="teal",
        neutral_hue="stone",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    strong, light = "*primary_800", "*primary_200"
    return made.set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_label_text_color=strong,
        block_label_text_color_dark=light,
        block_title_text_color=strong,
        block_title_text_color_dark=light,
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        checkbox_label_background_fill_selected="*primary_700",
        checkbox_label_background_fill_selected_dark="*primary_700",
        link_text_color=strong,
    )


def _said(call: Callable[..., Any]) -> Callable[..., Any]:
    """What the package says to people, said to this person."""

    @wraps(call)
    def safe(*arguments: Any) -> Any:
        try:
            return call(*arguments)
        except TexsynError as error:
            raise gr.Error(str(error), duration=8) from error

    return safe


def build(studio: Studio) -> gr.Blocks:
    """All pages."""
    with gr.Blocks(title="texsyn", analytics_enabled=False, delete_cache=(600, 86400)) as app:
        gr.HTML("<h1>texsyn</h1><p>New textures, still and moving, from one exemplar.</p>", elem_classes="head")
        watched = gr.BrowserState("", storage_key="texsyn-run", secret=SECRET)
        with gr.Tabs() as tabs:
            with gr.Tab("Start", id="start"):
                start = _start_page(studio)
            with gr.Tab("Watch", id="watch"):
                watch = _watch_page(studio)
            with gr.Tab("Sample", id="sample"):
                sample = _sample_page(studio)
            with gr.Tab("More", id="more"):
                more = _more_page(studio)
            with gr.Tab("Library", id="library") as library_tab:
                library = _library_page(studio)

        chosen = (watch["run"], sample["run"], more["run"], library["run"])

        def choices(name: str | None) -> list[Any]:
            known = studio.runs()
            value = name if name in [each for _, each in known] else known[0][1] if known else None
            return [gr.update(choices=known, value=value) for _ in chosen]

        @_said
        def begin(draft: str, length: str) -> list[Any]:
            if not draft:
                raise TexsynError("choose a picture or a clip first")
            run = studio.begin(studio.run(draft), LENGTHS[length])
            return [run.path.name, gr.update(selected="watch"), "", *choices(run.path.name)]

        begun = start["begin"].click(
            begin,
            [start["draft"], start["length"]],
            [watched, tabs, start["draft"], *chosen],
            **PRIVATE,
        )
        begun.then(watch["look"], watch["asks"], watch["shows"], **QUIET)
        opened = app.load(lambda name: choices(name), [watched], [*chosen], **QUIET)
        opened.then(watch["look"], watch["asks"], watch["shows"], **QUIET)
        watch["run"].input(lambda name: name, watch["run"], watched, **QUIET)
        looked = library_tab.select(lambda name: choices(name)[3], library["run"], library["run"], **QUIET)
        looked.then(library["shelved"], None, library["shelf"], **QUIET)
        for done in library["changes"]:
            again = done.then(lambda name: choices(name), [watched], [*chosen], **QUIET)
            again.then(library["shelved"], None, library["shelf"], **QUIET)
        _endpoints(studio)
    return app


# ------------------------------------------------------------ start


def _start_page(studio: Studio) -> dict[str, Any]:
    draft, given = gr.State(""), gr.State("")
    with gr.Row():
        with gr.Column():
            upload = gr.File(
                label="Drop, paste or pick a picture or a clip",
                file_types=[".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".mp4", ".mov", ".webm", ".avi", ".gif"],
                type="filepath",
                elem_id="upload",
                height=140,
            )
            shipped = [path for path in sorted(SHIPPED.iterdir()) if _is_exemplar(path)]
            gallery = gr.Gallery(
                [(str(_thumbnail(studio, path)), path.stem) for path in shipped],
                label="Or take one of these",
                columns=4,
                height=240,
                interactive=False,
                allow_preview=False,
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

    @_said
    def uploaded(path: str | None, old: str, *values: Any) -> list[Any]:
        return prepared(path, old, *values) if path else [gr.skip()] * len(outputs)

    @_said
    def picked(event: gr.SelectData, old: str, *values: Any) -> list[Any]:
        return prepared(str(shipped[event.index]), old, *values)

    @_said
    def reread(path: str, old: str, *values: Any) -> list[Any]:
        return prepared(path, old, *values)

    @_said
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
    return studio.shown(frame, False, 0)


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


# ------------------------------------------------------------ watch


def _watch_page(studio: Studio) -> dict[str, Any]:
    run = gr.Dropdown([], label="Run", interactive=True, elem_id="watched")
    state = gr.HTML("", elem_id="state")
    with gr.Row():
        pause = gr.Button("Pause", elem_id="pause")
        resume = gr.Button("Continue", elem_id="resume")
        discard = gr.Button("Discard", variant="stop", elem_id="discard")
    with gr.Row():
        with gr.Column():
            slider = gr.ImageSlider(
                label="Exemplar, and a new sample", interactive=False, buttons=[], max_height=420, elem_id="compare"
            )
        with gr.Column():
            plot = gr.HTML("", elem_id="curves")
            card = gr.HTML("", elem_id="card")
    timer = gr.Timer(1.5, active=False)
    seen = gr.State(("", "", 0))

    def look(name: str | None, before: tuple[str, str, int]) -> list[Any]:
        """What changed since the last look, and nothing else."""
        rest = [gr.skip()] * 3
        if not name:
            return ["<p>Nothing is being learnt yet: begin on the first page.</p>", *rest, before, *_able(None)]
        try:
            found = studio.run(name)
            status = texsyn.status(found)
            sheet = studio.sheet(found)
            mark = (name, sheet.name if sheet else "", status.step // 20 if status.working else -status.step)
            pictures = studio.compared(found) if mark[:2] != before[:2] else None
        except TexsynError as error:
            return [f"<p>{html.escape(str(error))}</p>", *rest, before, *_able(None)]
        return [
            _state(status),
            pictures if pictures else (None if name != before[0] else gr.skip()),
            _curves(status) if mark != before else gr.skip(),
            _card(found, status) if mark != before or not status.working else gr.skip(),
            mark,
            *_able(status),
        ]

    outputs = [state, slider, plot, card, seen, timer, pause, resume, discard]
    timer.tick(look, [run, seen], outputs, trigger_mode="once", concurrency_limit=None, **QUIET)
    run.change(look, [run, seen], outputs, trigger_mode="always_last", concurrency_limit=None, **QUIET)

    @_said
    def paused(name: str) -> None:
        texsyn.stop(studio.run(name))

    @_said
    def resumed(name: str) -> None:
        found = studio.run(name)
        status = texsyn.status(found)
        more = found.recipe.minutes
        longer = status.seconds / 60 + (more or 3.0) if status.progress >= 1 else None
        texsyn.start(found, longer, studio.device)

    @_said
    def discarded(name: str) -> Any:
        found = studio.run(name)
        texsyn.stop(found)
        found.discard()
        known = studio.runs()
        return gr.update(choices=known, value=known[0][1] if known else None)

    for button, call in ((pause, paused), (resume, resumed)):
        button.click(call, run, None, **PRIVATE).then(look, [run, seen], outputs, **QUIET)
    discard.click(discarded, run, run, js=_confirmed("Delete this run and all that it learnt?"), **PRIVATE)
    return {"run": run, "look": look, "asks": [run, seen], "shows": outputs}


def _able(status: texsyn.Status | None) -> list[Any]:
    """Whether to look again soon, and which buttons make sense: pause, continue, discard."""
    there, working = status is not None, status is not None and status.working
    return [gr.update(active=working), *(gr.update(interactive=on) for on in (working, there and not working, there))]


def _confirmed(question: str) -> str:
    """JavaScript that asks before it lets the values through."""
    return f"(...values) => {{ if (!confirm({question!r})) throw new Error('cancelled'); return values; }}"


def _state(status: texsyn.Status) -> str:
    share = 100 * status.progress
    return (
        f"<p class='state {status.state}'>{html.escape(told(status))}</p>"
        f"<div class='bar' role='progressbar' aria-label='progress' aria-valuenow='{share:.0f}' aria-valuemin='0' "
        f"aria-valuemax='100'><div style='width:{share:.1f}%'></div></div>"
    )


_COLOURS = ("#0d9488", "#b45309", "#4338ca", "#be185d", "#64748b")  # of the five terms, apart for most eyes


def _curves(status: texsyn.Status) -> str:
    """The five terms over the steps, as a drawing: gradio's own plot draws itself without end in a hidden tab."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for event in status.curves:
        for name, value in event.get("terms", {}).items():
            curves.setdefault(name, []).append((float(event["step"]), value / 1000))
    points = [point for line in curves.values() for point in line]
    if len(status.curves) < 2:
        return ""
    right, low, high = max(x for x, _ in points), min(y for _, y in points), max(y for _, y in points)
    drawn, legend = [], []
    for colour, (name, line) in zip(_COLOURS, curves.items(), strict=False):
        path = " ".join(f"{600 * x / right:.1f},{200 - 200 * (y - low) / (high - low or 1):.1f}" for x, y in line)
        drawn.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>")
        legend.append(f"<li><i style='background:{colour}'></i>{name.replace('_', ' ')} {line[-1][1]:.1f}</li>")
    return (
        f"<figure class='curves'><figcaption>The five terms, thousands of nats, over {right:.0f} steps</figcaption>"
        f"<svg viewBox='-4 -6 608 212' preserveAspectRatio='none' role='img' aria-label='the five terms'>"
        f"{''.join(drawn)}</svg><ul>{''.join(legend)}</ul></figure>"
    )


_MEASURES = {"swd": "distance", "sharp": "sharpness", "lsd": "distance (dB)"}


def _card(run: texsyn.Run, status: texsyn.Status) -> str:
    lines = [] if status.working else run.card_words()
    if not lines:
        rows = "".join(
            f"<tr><th scope='row'>step {event['step']}</th>"
            + "".join(f"<td>{_MEASURES[name]} {event[name]:.3f}</td>" for name in _MEASURES if name in event)
            + "</tr>"
            for event in status.glances[-6:]
        )
        told = "The quality card appears when learning ends. So far (distance falls, sharpness nears 1):"
        return f"<p class='quiet'>{told}</p><table class='card'>{rows}</table>"
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(word)}</th><td>{html.escape(rest.strip())}</td></tr>"
        for word, _, rest in (line.partition(" ") for line in lines)
    )
    return f"<table class='card'><caption>Quality card</caption>{rows}</table>"


# ------------------------------------------------------------ sample


def _sample_page(studio: Studio) -> dict[str, Any]:
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
        label="New textures", columns=4, interactive=False, allow_preview=False, object_fit="contain", elem_id="grid"
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
        moving = "t" in found.content["modality"]["axes"]
        axes = all(found.content["modality"]["stationary"])
        own = found.content["modality"]["size"]
        size = (int(w or own[-1]), int(h or own[-2])) if (w or h) else None
        return {"size": size, "frames": int(n) if n and moving else None, "tile": along if axes else None}

    def several(name: str, first: int, like: int, values: tuple[Any, ...]) -> list[tuple[str, str]]:
        found = studio.run(name)
        how = asked(found, values)
        count = 3 if "t" in found.content["modality"]["axes"] else 8
        seeds = range(first, first + count)
        return [
            (str(studio.sample(found, seed, like, **how)), f"like {like}, {seed}" if like >= 0 else f"seed {seed}")
            for seed in seeds
        ]

    @_said
    def made(name: str, first: int, *values: Any) -> list[Any]:
        if not name:
            raise TexsynError("learn a texture first")
        shown = several(name, first, -1, values)
        moving = "t" in studio.run(name).content["modality"]["axes"]
        return [shown, first + len(shown), -1, gr.update(choices=list(FORMATS[moving]), value=FORMATS[moving][0])]

    @_said
    def like(name: str, first: int, of: int, *values: Any) -> list[Any]:
        return [several(name, first, of, values), first + 8, of]

    @_said
    def chosen(event: gr.SelectData, name: str, many: str, of: int, *values: Any) -> list[Any]:
        label = str(event.value["caption"])
        seed = int(label.split()[-1])
        return [seed, _tiled(studio.sample(studio.run(name), seed, of, **asked(studio.run(name), values)), many)]

    @_said
    def retiled(name: str, many: str, seed: int, of: int, *values: Any) -> str:
        return _tiled(studio.sample(studio.run(name), seed, of, **asked(studio.run(name), values)), many)

    @_said
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


# ------------------------------------------------------------ more


def _more_page(studio: Studio) -> dict[str, Any]:
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
    mended = gr.Image(label="Filled", interactive=False, height=300)

    @_said
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

    @_said
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
        assert given.hidden is not None
        done = texsyn.complete(studio.model(found), given.pixels, given.hidden, refine=40)
        return str(studio.shown(done, False, 0))

    turn.click(turned, [run, first, last, length], film, **PRIVATE)
    mend.click(filled, [run, editor], mended, **PRIVATE)
    return {"run": run}


# ------------------------------------------------------------ library


def _library_page(studio: Studio) -> dict[str, Any]:
    shelf = gr.Gallery(
        label="Runs", columns=4, height=240, interactive=False, allow_preview=False, object_fit="cover", elem_id="shelf"
    )
    run = gr.Dropdown([], label="Run", interactive=True, elem_id="kept")
    about = gr.HTML("", elem_id="about")
    sheet = gr.HTML("", elem_id="sheet")
    with gr.Row():
        title = gr.Textbox(label="Title", max_length=80)
        rename = gr.Button("Rename", elem_id="rename")
        delete = gr.Button("Delete", variant="stop", elem_id="delete")
    gr.Markdown("### What made a texture?")
    made = gr.File(label="Drop a texture made by texsyn", type="filepath", elem_id="made")
    origin = gr.JSON(label="Its settings", elem_id="origin")

    def shown(name: str | None) -> list[Any]:
        if not name:
            return ["<p class='quiet'>No runs yet.</p>", "", ""]
        try:
            found = studio.run(name)
            status, path = texsyn.status(found), studio.sheet(found)
            used = sum(studio.run(each).bytes for _, each in studio.runs())
            text = (
                f"<p>{html.escape(told(status))} {found.bytes / 1e6:.0f} MB on disk; all runs {used / 1e6:.0f} MB. "
                f"Recipe {html.escape(str(found.content.get('recipe_name')))}, seed {found.recipe.seed}.</p>"
            )
        except TexsynError as error:
            return [f"<p>{html.escape(str(error))}</p>", "", ""]
        data = base64.b64encode(path.read_bytes()).decode() if path else ""
        picture = f"<img alt='the exemplar, and its newest samples' src='data:image/png;base64,{data}'>" if data else ""
        return [text, picture, found.title]

    @_said
    def renamed(name: str, text: str) -> None:
        studio.run(name).rename(text)

    @_said
    def deleted(name: str) -> None:
        found = studio.run(name)
        texsyn.stop(found)
        found.discard()

    @_said
    def read(path: str | None) -> Any:
        if not path:
            return None
        found = texsyn.read_metadata(Path(path))
        if found is None:
            raise TexsynError("this file says nothing of texsyn: not made by it, or made without metadata")
        return found

    def shelved() -> list[tuple[str, str]]:
        return [(str(path), title) for title, name in studio.runs() if (path := studio.cover(name)) is not None]

    def taken(event: gr.SelectData) -> Any:
        known = [name for _, name in studio.runs() if studio.cover(name) is not None]
        return known[event.index] if event.index < len(known) else gr.skip()

    run.change(shown, run, [about, sheet, title], **QUIET)
    shelf.select(taken, None, run, **QUIET)
    changes = [
        rename.click(renamed, [run, title], None, **PRIVATE),
        delete.click(deleted, run, None, js=_confirmed("Delete this run and all that it learnt?"), **PRIVATE),
    ]
    made.change(read, made, origin, **PRIVATE)
    return {"run": run, "changes": changes, "shelf": shelf, "shelved": shelved}


# ------------------------------------------------------------ for other programs


def _endpoints(studio: Studio) -> None:
    """The three named endpoints; README shows them."""

    @_said
    def fit(exemplar: gr.FileData, minutes: float = 3.0, seed: int = 0) -> str:
        """Begin to learn an uploaded exemplar; returns the run's id."""
        path = exemplar["path"] if isinstance(exemplar, dict) else exemplar.path
        run = studio.prepare([Path(path)], seed=int(seed))
        return studio.begin(run, float(minutes)).path.name

    @_said
    def status(run: str) -> dict[str, Any]:
        """Where a run stands: state, step, progress (0 to 1), seconds, remaining."""
        found = texsyn.status(studio.run(run))
        return {name: getattr(found, name) for name in ("state", "step", "progress", "seconds", "remaining", "message")}

    @_said
    def sample(run: str, seed: int = 0, width: int = 0, height: int = 0) -> gr.FileData:
        """A new texture as a file: PNG, or MP4 for clips."""
        size = (int(width), int(height)) if width and height else None
        path = studio.sample(studio.run(run), int(seed), size=size)
        return gr.FileData(path=str(path))

    for call in (fit, status, sample):
        gr.api(call, api_name=call.__name__)


__all__ = ["HEAD", "STYLE", "build", "duration", "theme"]
