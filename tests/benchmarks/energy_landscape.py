"""Landscapes: basins of the energy of one texture, of two, and of collections. Sections of `energy.py`."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from energy_halves import model
from PIL import Image
from report import VIDEOS, table, train

import texsyn
from texsyn.media import writing
from texsyn.media.exemplar import Exemplar
from texsyn.models.triangle import Triangle
from texsyn.runs import previews
from texsyn.runs.collection_scores import reconstruction
from texsyn.runs.fitting import fit_run
from texsyn.synthesis.landscape import Landscape
from texsyn.synthesis.landscape_plot import draw


def landscape(options: argparse.Namespace) -> str:
    """Where descent from crops and samples ends: depth, distance from the start, and barriers between ends."""
    rows: list[list[object]] = []
    for name in options.stills:
        triangle, seen, _ = model(name, options)
        found = texsyn.landscape(triangle, [seen.pixels], starts=6, steps=60)
        if options.pictures:
            draw(found, options.pictures / f"landscape-{name}.png", force=True)
        for kind in ("crop 0", "sample 0"):
            chosen = [n for n, each in enumerate(found.kinds) if each == kind]
            before, after = (float(np.mean([side[n] for n in chosen])) for side in (found.before, found.after))
            near = sum(found.near[n] for n in chosen)
            alone = [min(float(found.barriers[n, m]) for m in chosen if m != n) - found.after[n] for n in chosen]
            row = [name, kind.split()[0], f"{before:.3f}", f"{after:.3f}", f"{near} of {len(chosen)}"]
            rows.append([*row, f"{np.mean(alone):.3f}", len(found.basins)])
            print(rows[-1], flush=True)
    head = ["exemplar", "starts", "U before", "U after", "stay near", "lowest barrier over an end", "basins of 12 ends"]
    return (
        "U = -f in nats for each value; 60 steps from 6 crops and 6 samples. Near: closer to its start than half the "
        "mean distance between starts.\n\n" + table(head, rows)
    )


def barrier_heights(found: Landscape) -> np.ndarray:
    """Barriers above the higher of the two ends that they separate."""
    after = np.array(found.after)
    return found.barriers.numpy() - np.maximum.outer(after, after)


def pair(options: argparse.Namespace) -> str:
    """Barriers within each of two textures of one model, and between them."""
    names = ("beans", "pebbles")
    both = texsyn.together(*(texsyn.read(VIDEOS / f"{name}.png") for name in names))
    triangle, _ = train(both, options.steps)
    rows: list[list[object]] = []
    for space, latent in (("pixels", False), ("latent", True)):
        found = texsyn.landscape(triangle, [each.pixels for each in both], starts=4, steps=60, latent=latent)
        heights = barrier_heights(found)
        of = [[n for n, kind in enumerate(found.kinds) if kind.endswith(str(each))] for each in (0, 1)]
        within = [heights[np.ix_(each, each)][np.triu_indices(len(each), 1)] for each in of]
        between = heights[np.ix_(*of)]
        rows.append([space, *(f"{np.median(each):.3f}, {each.min():.3f}" for each in (*within, between))])
        if options.pictures:
            draw(found, options.pictures / f"landscape-pair-{space}.png", force=True)
        print(rows[-1], flush=True)
    head = ["descent in", *(f"within {name}" for name in names), "between them"]
    return (
        f"One model of both, {options.steps} steps; 4 crops and 4 samples of each, 60 steps of descent. Barriers above "
        "the higher of two ends, in nats for each value: median, lowest.\n\n" + table(head, rows)
    )


def objects(options: argparse.Namespace) -> str:
    """Digits of scikit-learn (enlarged to 28 pixels) and face crops of scikit-image: reconstruction, and basins."""
    from skimage.data import lfw_subset
    from sklearn.datasets import load_digits

    bundled = load_digits()
    digits = [Image.fromarray((each / 16 * 255).astype(np.uint8)) for each in bundled.images]
    faces = [Image.fromarray((each * 255).astype(np.uint8)) for each in lfw_subset()]
    text, rows = "", []
    for name, pictures, classes in (("digits", digits, bundled.target), ("faces", faces, None)):
        with tempfile.TemporaryDirectory() as folder:
            for number, picture in enumerate(pictures):
                picture.resize((28, 28), Image.Resampling.BICUBIC).save(Path(folder) / f"{number:04}.png")
            exemplar = texsyn.read_collection(folder)
        run = (options.keep or Path(tempfile.mkdtemp())) / f"{name}-{options.object_steps}"
        if not (run / "model").exists():
            recipe = texsyn.recipe_for("fast", exemplar.modality, steps=options.object_steps)
            begun = texsyn.Run.create(run, exemplar, recipe, "fast")
            for _ in fit_run(begun, begun.fresh(), exemplar, recipe, print):
                pass
        opened = texsyn.Run.open(run)
        triangle = opened.triangle()
        train_error, held_error = reconstruction(opened, triangle)
        variance = float(exemplar.pixels.var()) / 4
        rows.append([name, len(pictures), *(f"{each:.4f}" for each in (train_error, held_error, variance))])
        print(rows[-1], flush=True)
        if options.pictures:
            sheet = previews.render(triangle, exemplar.pixels).sheet
            writing.write(sheet, options.pictures / f"{name}.png", force=True)
            path = texsyn.morph(triangle, texsyn.End(0), texsyn.End(1), frames=10, loop=False)
            strip = torch.cat([frame[:, 0] for frame in path], -1)
            writing.write(strip, options.pictures / f"{name}-between.png", force=True)
        if classes is not None:
            text = purity(triangle, exemplar, pictures, classes, options)
    head = ["collection", "images", "squared error, trained on", "held out", "variance"]
    note = f"{options.object_steps} steps of recipe `fast`; errors for each value in [0, 1].\n\n"
    return note + table(head, rows) + "\n" + text


def purity(triangle: Triangle, exemplar: Exemplar, pictures: list[Any], classes: np.ndarray, options: Any) -> str:
    """Whether low barriers join digits of one class, for descent in pixels and in the latent field."""
    count, rows = 64, []
    known = {
        np.asarray(each.resize((28, 28), Image.Resampling.BICUBIC)).tobytes(): int(label)
        for each, label in zip(pictures, classes, strict=True)
    }
    for name, latent in (("pixels", False), ("latent", True)):
        found = texsyn.landscape(triangle, [exemplar.pixels], starts=count, steps=60, latent=latent)
        starts = ((found.starts[:count, 0] + 1) * 127.5).round().to(torch.uint8).numpy()
        labels = np.array([known[each.tobytes()] for each in starts])
        if options.pictures:
            few = texsyn.landscape(triangle, [exemplar.pixels], starts=10, steps=60, latent=latent)
            draw(few, options.pictures / f"landscape-digits-{name}.png", force=True)
        barriers = barrier_heights(found)[:count, :count]
        flat = found.starts[:count].flatten(1)
        groups = [[labels[n] for n in basin if n < count] for basin in found.basins]
        shared = [group for group in groups if len(group) > 1]
        pure = sum(int(np.bincount(group).max()) for group in shared)
        within = f"{pure} of {sum(map(len, shared))}" if shared else "none shared"
        rows.append(
            [
                name,
                f"{sum(found.near[:count])} of {count}",
                len(found.basins),
                within,
                f"{100 * _alike(barriers, labels):.0f} %",
                f"{100 * _alike(torch.cdist(flat, flat).numpy(), labels):.0f} %",
            ]
        )
        print(rows[-1], flush=True)
    chance = sum(int(n) * (int(n) - 1) for n in np.bincount(labels)) / (count * (count - 1))
    head = ["descent in", "stay near", f"basins of {2 * count} ends", "of their basin's class"]
    return (
        f"Landscape of the digits: 60 steps from {count} digits and as many samples. Of their basin's class: digits of "
        "its most frequent one, of those that share a basin with another digit. Lowest barrier, nearest pixels: the "
        "digits whose neighbour over the lowest barrier (nearest in pixels) has their class; by chance "
        f"{100 * chance:.0f} %.\n\n" + table([*head, "lowest barrier", "nearest pixels"], rows)
    )


def _alike(apart: np.ndarray, labels: np.ndarray) -> float:
    """The share of points whose nearest other is of their class."""
    apart = np.where(np.eye(len(apart), dtype=bool), np.inf, apart)
    return float((labels[apart.argmin(1)] == labels).mean())
