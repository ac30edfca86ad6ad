"""Collections: python tests/benchmarks/objects.py [SECTION...]

Sections: million (reading and training on a million images: memory, images a second, time that a step waits for them)
and objectives (the divergence triangle beside a VAE, ACD and wake-sleep, on the same images for the same steps).
Renders what it needs with `videos/render_objects.py` into --folder, and writes OBJECTS.md beside this file.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from report import VIDEOS, table, time_command, write_sections

import texsyn
from texsyn.core.recipes import OBJECTIVES
from texsyn.runs.collection_scores import score_collection

HERE = Path(__file__).parent
READS = 200  # batches whose reading is timed
STEPS = 20  # that are timed
NAMES = {"triangle": "divergence triangle", "vae": "VAE", "acd": "ACD", "wake-sleep": "wake-sleep"}


def rendered(options: argparse.Namespace, count: int) -> Path:
    """Shards of so many images, which are rendered once."""
    folder = options.folder / f"objects-{count}"
    if not folder.exists():
        subprocess.run([sys.executable, VIDEOS / "render_objects.py", folder, "--count", str(count)], check=True)
    return folder


def digits(options: argparse.Namespace) -> Path:
    """The 1,797 digits of scikit-learn, enlarged to 28 pixels, in a folder for each class."""
    from sklearn.datasets import load_digits

    folder, bundled = options.folder / "digits", load_digits()
    for number, (values, kind) in enumerate(zip(bundled.images, bundled.target, strict=True)):
        path = folder / str(kind) / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((values / 16 * 255).astype(np.uint8)).resize((28, 28), Image.Resampling.BICUBIC).save(path)
    return folder


def million(options: argparse.Namespace) -> str:
    """A collection of growing size: what reading it takes, and what training waits for."""
    rows: list[list[object]] = []
    for count in options.counts:
        source = rendered(options, count)
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            run = Path(folder) / "run"
            seconds, read_peak = time_command("fit", str(source), "--kind", "objects", "--prepare", "--out", str(run))
            _, fit_peak = time_command("fit", "--resume", str(run), "--steps", str(STEPS), "--no-card", "--quiet")
            opened = texsyn.Run.open(run)
            exemplar, recipe = opened.exemplars()[0], opened.recipe
            pictures = exemplar.pictures
            assert pictures is not None
            start = time.perf_counter()
            for step in range(READS):
                pictures.read(pictures.drawn(step * recipe.batch_size, recipe.batch_size, recipe.seed))
            waiting = (time.perf_counter() - start) / READS
            first, *_, last = texsyn.fit(opened.fresh(), exemplar, recipe_of(recipe, STEPS))
            step_seconds = (last.seconds - first.seconds) / (last.step - first.step)
            rows.append(
                [
                    f"{count:,}",
                    f"{count / seconds:,.0f}",
                    f"{1000 * read_peak:.0f}",
                    f"{1000 * fit_peak:.0f}",
                    f"{1000 * waiting:.2f}",
                    f"{1000 * step_seconds:.0f}",
                    f"{100 * waiting / step_seconds:.1f} %",
                ]
            )
            print(rows[-1], flush=True)
    head = [
        "images",
        "read a second",
        "peak while reading, MB",
        "while training, MB",
        "a batch is read in, ms",
        "step, ms",
    ]
    return f"Images of 32 x 32 in tar shards, batches of {recipe.batch_size}.\n\n" + table([*head, "waiting"], rows)


def recipe_of(recipe: texsyn.Recipe, steps: int) -> texsyn.Recipe:
    return replace(recipe, steps=steps)


def objectives(options: argparse.Namespace) -> str:
    """Models of the same networks, images, steps and seed, trained by different objectives."""
    rows: list[list[object]] = []
    for name, source in (("digits", digits(options)), ("rendered", rendered(options, options.rendered))):
        for objective in OBJECTIVES:
            run = options.folder / f"{name}-{options.steps}-{objective}"
            if not (run / "model").exists():
                words = ["--steps", str(options.steps), "--objective", objective, "--no-card", "--quiet"]
                time_command("fit", str(source), "--kind", "objects", "--out", str(run), *words)
            opened = texsyn.Run.open(run)
            card = score_collection(opened, opened.triangle(), count=options.samples)
            found, held = card.scores, card.reference
            rows.append(
                [
                    name,
                    NAMES[objective],
                    f"{found['reconstruction']:.4f}",
                    f"{held['reconstruction']:.4f}",
                    f"{held['bits']:.2f}",
                    f"{found['frechet']:.1f}",
                    f"{held['frechet']:.1f}",
                    f"{found['precision']:.2f}",
                    f"{found['recall']:.2f}",
                    f"{100 * found['copied']:.1f} %",
                ]
            )
            print(rows[-1], flush=True)
    head = [
        "images",
        "objective",
        "squared error, trained on",
        "held out",
        "bits a value, held out",
        "Frechet distance",
    ]
    note = (
        f"{options.steps} steps of recipe `fast`, seed 0, classes known; {options.samples} samples against as many "
        "training images, in features of a classifier learnt on them; held-out images in the samples' place as "
        "reference. Errors for each value in [0, 1].\n\n"
    )
    return note + table([*head, "of held-out", "precision", "recall", "copied"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "texsyn-objects")
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="of `million`")
    parser.add_argument("--rendered", type=int, default=100_000, help="images of `objectives`")
    parser.add_argument("--steps", type=int, default=2000, help="of each fit of `objectives`")
    parser.add_argument("--samples", type=int, default=1000, help="that are scored")
    sections = {"million": million, "objectives": objectives}
    write_sections(parser, sections, HERE / "OBJECTS.md", "Collections, by `objects.py`")


if __name__ == "__main__":
    main()
