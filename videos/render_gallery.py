"""Render the gallery, a static page of every shipped exemplar: python videos/render_gallery.py [FOLDER]

Exemplars that have no finished run in RUNS are trained first (hours, for all and 3,000 steps; it can be stopped and
goes on where it was). The page also makes textures itself, with an exported generator that onnxruntime-web runs; npm
fetches that. Any server can serve the folder.
"""

import argparse
import gzip
import html
import io
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from render_overview import to_frames

import texsyn
from texsyn.metrics.card import CLIP_METRICS, MATERIAL_METRICS, STILL_METRICS
from texsyn.metrics.repetition import repetition, threshold

VIDEOS = Path(__file__).parent
SOURCES = VIDEOS / "gallery"
RUNTIME = "ort-wasm-simd-threaded.asyncify"  # of onnxruntime-web, with WebGPU and without
TILE = 1024  # pixels of the texture that the page repeats to 2048
MOST = {"made": 80_000, "exemplar": 30_000, "sample": 30_000, "tile": 220_000, "map": 12_000}  # bytes of an image
OF_CLIPS = 0.42  # steps of a clip for each of a still: ten minutes of either
LOOP = 64  # frames of a clip's sample


@dataclass(frozen=True)
class Entry:
    """A texture of the page."""

    name: str
    file: str
    options: tuple[str, ...] = ()  # of `texsyn fit`


ENTRIES = (
    *(Entry(name, f"{name}.png") for name in ("beans", "pebbles", "leaves", "wicker", "gravel", "grass", "brick")),
    Entry("hubble", "hubble.jpg"),
    *(Entry(name, f"materials/{name}") for name in ("cobbles", "rust", "leather")),
    *(Entry(name, f"{name}.mp4") for name in ("water", "fire", "meadow", "flag")),
)
# A narrow generator, since the page has one thread of a browser.
IN_BROWSER = Entry("beans-narrow", "beans.png", ("--set", "width_multiplier=0.25"))


# ------------------------------------------------------------ runs


def fit(entry: Entry, options: argparse.Namespace, *more: str) -> texsyn.Run:
    """The entry's run, trained to its end. more: options of `texsyn fit` that change nothing of the model."""
    folder = options.runs / entry.name
    moving = entry.file.endswith(".mp4")
    steps = str(max(1, round(options.steps * (OF_CLIPS if moving else 1))))
    if not (folder / "run.json").exists():
        words = [str(VIDEOS / entry.file), "--out", str(folder), "--steps", steps, *entry.options]
        words += [word for each in options.set for word in ("--set", each)]
        subprocess.run([sys.executable, "-m", "texsyn", "fit", *words, *more], check=True)
    elif texsyn.status(texsyn.Run.open(folder)).state != "finished":
        words = ["--resume", str(folder), "--steps", steps]
        subprocess.run([sys.executable, "-m", "texsyn", "fit", *words, *more], check=True)
    return texsyn.Run.open(folder)


# ------------------------------------------------------------ files of the page


def to_image(texture: torch.Tensor) -> Image.Image:
    """`channels h w` in [-1, 1] as an image; of a material its colours."""
    return Image.fromarray(to_frames(texture)[0])


def write_image(image: Image.Image, path: Path, most: int) -> str:
    """Save as WebP, as well as `most` bytes allow; returns the file's name."""
    for quality in (90, 82, 74, 66, 58, 50, 42, 34, 26):
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=quality, method=6)
        if buffer.tell() <= most:
            break
    path.write_bytes(buffer.getvalue())
    return path.name


def img(image: Image.Image, path: Path, most: int, text: str) -> str:
    name = write_image(image, path, most)
    return f'<img src="{name}" width="{image.width}" height="{image.height}" alt="{html.escape(text)}" loading="lazy">'


def video(pixels: torch.Tensor, fps: float, path: Path, text: str) -> str:
    texsyn.write(pixels, path, fps=fps, force=True)
    text = html.escape(text)
    return (
        f'<video src="{path.name}" autoplay loop muted playsinline controls preload="auto" aria-label="{text}"></video>'
    )


def figure(content: str, caption: str) -> str:
    return f"<figure>{content}<figcaption>{html.escape(caption)}</figcaption></figure>"


def tiled(image: Image.Image, path: Path, text: str) -> str:
    """A field of 2048 x 2048 pixels to scroll in, filled with repeats of a texture."""
    name = write_image(image, path, MOST["tile"])
    text = html.escape(text)
    inner = f"<div style=\"background: url('{name}')\"></div>"
    return f'<div class="tiled" tabindex="0" role="img" aria-label="{text}">{inner}</div>'


def recurs(image: Image.Image, least: float) -> str:
    return f"{repetition(np.asarray(image, np.float32) / 255, least):.0%} of its windows recur"


def patch_match(exemplar: Image.Image) -> Image.Image | None:
    """By G'MIC's syntexturize_matchpatch; None where the Python package `gmic` is not installed."""
    try:
        import gmic
    except ImportError:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.png", Path(folder) / "out.png"
        exemplar.save(source)
        gmic.run(f"srand 0 input {source} syntexturize_matchpatch {TILE},{TILE} output {target}")
        with Image.open(target) as image:
            return image.convert("RGB")


# ------------------------------------------------------------ sections


def still(name: str, run: texsyn.Run, folder: Path) -> tuple[str, str]:
    """The pair of exemplar and sample, and the views beside them."""
    exemplar, triangle = run.exemplars()[0], run.triangle()
    sample = texsyn.sample(triangle, seed=0)[0]
    original, image = (to_image(each) for each in (exemplar.pixels, sample))
    pair = [
        figure(img(original, folder / f"{name}-exemplar.webp", MOST["exemplar"], f"{name}, exemplar"), "Exemplar"),
        figure(img(image, folder / f"{name}-sample.webp", MOST["sample"], f"{name}, sample"), "Sample, seed 0"),
    ]
    large = to_image(texsyn.sample(triangle, seed=0, size=(TILE, TILE))[0])
    least = threshold(np.asarray(original, np.float32) / 255)
    views = [
        figure(
            tiled(large, folder / f"{name}-tile.webp", f"{name}, a new texture that tiles"),
            f"A tile of {TILE} x {TILE}, repeated to 2048: it has no seams, {recurs(large, least)}",
        )
    ]
    planes = exemplar.modality.planes
    if len(planes) > 1:
        names = ", ".join(plane.name for plane in planes)
        views.append(figure(maps(name, exemplar, sample, folder), f"All maps, learnt together: {names}"))
    elif (other := patch_match(original)) is not None:
        views.append(
            figure(
                tiled(other, folder / f"{name}-patches.webp", f"{name}, patch matching"),
                f"For comparison: patch matching (G'MIC) copies the exemplar, {recurs(other, least)}",
            )
        )
    return "".join(pair), "".join(views)


def maps(name: str, exemplar: texsyn.Exemplar, sample: torch.Tensor, folder: Path) -> str:
    """The maps of a sample, side by side."""
    parts = sample.split([plane.channels for plane in exemplar.modality.planes])
    images = [
        img(to_image(part), folder / f"{name}-{plane.name}.webp", MOST["map"], f"{name}, {plane.name}")
        for plane, part in zip(exemplar.modality.planes, parts, strict=True)
    ]
    return f'<div class="maps">{"".join(images)}</div>'


def clip(name: str, run: texsyn.Run, folder: Path) -> tuple[str, str]:
    exemplar, triangle = run.exemplars()[0], run.triangle()
    original = video(exemplar.pixels[:, :LOOP], run.fps, folder / f"{name}-exemplar.mp4", f"{name}, exemplar")
    sample = texsyn.sample(triangle, seed=0, frames=LOOP)[0]
    made = video(sample, run.fps, folder / f"{name}-sample.mp4", f"{name}, a new clip that loops")
    return "", figure(original, "Exemplar") + figure(made, f"Sample, seed 0: {LOOP} frames that loop")


def section(entry: Entry, run: texsyn.Run, folder: Path) -> str:
    pair, views = (clip if run.modality.moving else still)(entry.name, run, folder)
    status, rows = texsyn.status(run), "".join(map(card_row, run.describe_cards()))
    wanted = ["-o", f"{entry.name}.mp4", "--frames", str(LOOP)] if run.modality.moving else ["-o", f"{entry.name}.png"]
    return (
        f'<article id="{entry.name}"><header><h2>{entry.name}<small>{html.escape(run.modality.name)}, {status.step:,} '
        f"steps in {texsyn.duration(status.seconds)}</small></h2></header>"
        f'{pair and f"""<div class="pair">{pair}</div>"""}<div class="views">{views}</div>'
        f'<footer><ul class="card">{rows}</ul>{commands(entry, status.step, wanted)}</footer>'
        "</article>"
    )


def card_row(line: str) -> str:
    word, _, rest = line.strip().partition(" ")
    return f"<li><b>{html.escape(word)}</b>{html.escape(rest.strip())}</li>"


def commands(entry: Entry, steps: int, wanted: list[str]) -> str:
    """What makes the entry's run, and a sample of it with the options `wanted`."""
    run = f"runs/{entry.name}"
    words = ["texsyn", "fit", f"videos/{entry.file}", *entry.options, "--steps", str(steps), "--out", run]
    return f'<pre tabindex="0">{shlex.join(words)}<br>{shlex.join(["texsyn", "sample", run, *wanted])}</pre>'


# ------------------------------------------------------------ the texture that the page makes


def fetch_runtime(folder: Path) -> None:
    """Put onnxruntime-web's parts beside the page."""
    if not shutil.which("npm"):
        sys.exit("the page makes textures with onnxruntime-web, which npm fetches; npm is not installed")
    with tempfile.TemporaryDirectory() as place:
        shutil.copy(VIDEOS / "package.json", place)
        quiet = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"]
        subprocess.run(["npm", "install", *quiet, "--prefix", place], check=True)
        built = Path(place) / "node_modules" / "onnxruntime-web" / "dist"
        for name in ("ort.webgpu.min.mjs", f"{RUNTIME}.mjs"):
            shutil.copy(built / name, folder)
        write_packed(built / f"{RUNTIME}.wasm", folder)


def write_packed(source: Path, folder: Path) -> None:
    (folder / f"{source.name}.gz").write_bytes(gzip.compress(source.read_bytes(), mtime=0))


def maker(run: texsyn.Run, folder: Path) -> str:
    """The section with the canvas, which shows what seed 0 gives before anything is loaded."""
    triangle, status, title = run.triangle(), texsyn.status(run), html.escape(run.title)
    first = to_image(texsyn.sample(triangle, seed=0, size=(512, 512))[0])
    shown = write_image(first, folder / "made.webp", MOST["made"])
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model.onnx"
        print("exporting the generator, a minute or more", flush=True)
        texsyn.export(triangle, path, half=True)
        write_packed(path, folder)
    channels, factor = triangle.design.latent_channels, triangle.texture_stride[0]
    told = commands(IN_BROWSER, status.step, ["--size", "512x512", "--seed", "0", "-o", "texture.png"])
    return f"""<article id="made" data-model="model.onnx.gz" data-channels="{channels}" data-factor="{factor}">
<header><h2>In your browser<small>{title}: a narrow generator after {status.step:,} steps</small></h2></header>
<form onsubmit="return false">
<label>Seed <input type="number" name="seed" min="0" max="2147483647" value="0"></label>
<label for="size">Size <output>512</output> pixels</label>
<input type="range" id="size" name="size" min="{2 * factor}" max="1024" step="{factor}" value="512">
<label><input type="checkbox" name="tiled"> Tiled 2 x 2</label>
<div><button name="make">Make a texture</button> <button name="next">Next seed</button>
<button name="save" disabled>Download</button></div>
<output role="status">Nothing leaves your computer. A seed gives what <code>texsyn sample</code> gives, below.</output>
</form>
<canvas width="512" height="512" role="img" aria-label="A texture" style="background-image: url('{shown}')"></canvas>
<footer>{told}</footer></article>
<script>if (location.protocol === "file:") document.querySelector("#made [role=status]").textContent =
"A page that is opened as a file may not do this. Serve its folder: python -m http.server"</script>"""


# ------------------------------------------------------------ the page


def legend() -> str:
    rows = {**STILL_METRICS, **CLIP_METRICS, **MATERIAL_METRICS}
    words = "".join(f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in rows.items())
    return (
        "<details><summary>What the numbers say</summary><p>In parentheses is what the exemplar's halves have of each "
        f"other, or other frames of a clip.</p><dl>{words}</dl></details>"
    )


def page(sections: list[str], names: list[str], made: str) -> str:
    links = "".join(f'<a href="#{name}">{name}</a>' for name in names)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>texsyn: gallery</title><link rel="icon" href="data:,"><link rel="stylesheet" href="page.css"></head>
<body><header><h1>texsyn: a gallery</h1><p>Each model learnt one texture from one image or clip, its exemplar, and makes
new ones of any size that tile and loop. Samples are of seed 0, not picked. How many steps a model
has learnt stands beside its name: some 3,000 are ten minutes of a good machine, below 1,000 textures are rough.</p>
</header><nav aria-label="Textures"><a href="#made">In your browser</a>{links}</nav>
<main>{made}{"".join(sections)}{legend()}</main><script type="module" src="page.js"></script></body></html>
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("build/gallery"), help="(default build/gallery)")
    parser.add_argument("--runs", type=Path, default=Path("runs/gallery"), help="(default runs/gallery)")
    parser.add_argument("--steps", type=int, default=3000, help="of a still; clips take 42 %% of them (default 3000)")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="as of `texsyn fit`")
    names = [entry.name for entry in ENTRIES]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help="these textures")
    options = parser.parse_args()
    if not all(map(find_spec, ("onnx", "onnxscript"))):
        sys.exit("the page needs the extra texsyn[gallery]: pip install 'texsyn[gallery]'")
    options.folder.mkdir(parents=True, exist_ok=True)
    for source in SOURCES.iterdir():
        shutil.copy(source, options.folder)
    fetch_runtime(options.folder)
    made = maker(fit(IN_BROWSER, options, "--no-card"), options.folder)
    entries = [entry for entry in ENTRIES if entry.name in options.only]
    sections = [section(entry, fit(entry, options), options.folder) for entry in entries]
    (options.folder / "index.html").write_text(page(sections, [entry.name for entry in entries], made))
    size = sum(file.stat().st_size for file in options.folder.iterdir())
    print(f"{options.folder}: {len(sections)} sections, {size / 1e6:.1f} MB. To look at it:")
    print(f"  python -m http.server --bind 127.0.0.1 --directory {options.folder}")


if __name__ == "__main__":
    main()
