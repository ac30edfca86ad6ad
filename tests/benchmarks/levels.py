"""What levels of detail give: samples of runs at their exemplars' own size, beside those of the bases enlarged.

python tests/benchmarks/levels.py RUN ... [--pictures FOLDER] trains nothing: RUN is of `texsyn fit --levels N`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from report import machine

import texsyn
from texsyn.metrics.card import Card
from texsyn.metrics.scoring import score_native, to_numpy
from texsyn.metrics.sliced_wasserstein import Array
from texsyn.models.triangle import Triangle

NAMES = ("ps", "swd", "sharp", "vcf")
SEEDS = 3


def samples(triangle: Triangle) -> tuple[list[Array], float]:
    """Samples of the seeds 0 to 2, and seconds for each."""
    start = time.perf_counter()
    made = [to_numpy(texsyn.sample(triangle, seed=seed)[0]) for seed in range(SEEDS)]
    return made, (time.perf_counter() - start) / SEEDS


def row(name: str, card: Card, seconds: float) -> str:
    figures = " | ".join(f"{card.metrics[each]:.3f}" for each in NAMES)
    return f"| {name} | {figures} | {seconds:.2f} |"


def measure(folder: Path, pictures: Path | None) -> None:
    """The table of one run."""
    run = texsyn.Run.open(folder)
    triangle, exemplar = run.triangle(), to_numpy(run.exemplars()[0].pixels)
    height, width = exemplar.shape[:2]
    last = [event for event in run.events() if event.get("event") == "finished"][-1]
    lost = ", ".join(f"{float(level.deviation.mean()):.3f}" for level in triangle.detail)
    trained = f"{last['step']} steps in {last['seconds'] / 60:.1f} minutes"
    print(f"\n{run.title}, {width} x {height}, levels of {triangle.modality.factors}, {trained}")
    print(f"deviation of what the base has lost: {lost}\n")
    print("| | PS | SWD | sharp | VCF | seconds a sample |\n|---|---|---|---|---|---|")
    made, seconds = samples(triangle)
    card = score_native(made, exemplar)
    print(row("base and levels", card, seconds), flush=True)
    for level in triangle.detail:
        level.deviation.zero_()  # nothing is added then
    enlarged, seconds = samples(triangle)
    print(row("base enlarged", score_native(enlarged, exemplar), seconds))
    print(f"| half against half | {card.reference['ps']:.3f} | {card.reference['swd']:.3f} | | | |", flush=True)
    if pictures is not None:
        save(pictures / f"{folder.name}.png", [exemplar, made[0], enlarged[0]])


def save(path: Path, images: Sequence[Array]) -> None:
    """The upper left of each, one below the other."""
    height, width = min(384, *(each.shape[0] for each in images)), min(768, *(each.shape[1] for each in images))
    sheet = np.concatenate([each[:height, :width] for each in images])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.round(255 * sheet).astype(np.uint8)).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    texsyn.tune()
    print(machine())
    for folder in options.runs:
        measure(folder, options.pictures)


if __name__ == "__main__":
    main()
