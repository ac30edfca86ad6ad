"""What the energy can be trusted with: python tests/benchmarks/energy.py [SECTION...] [--steps N]

Sections: defects, order, best, langevin, landscape, pair, objects. Uses shipped exemplars and images of scikit-learn
and scikit-image, and writes its tables into ENERGY.md beside this file; a section that is run again replaces its old
table. Models are kept in --keep.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from report import VIDEOS, table, train, write_sections
from torch import Tensor

import texsyn
from texsyn.media import writing
from texsyn.media.exemplar import Exemplar
from texsyn.metrics import image
from texsyn.metrics.scoring import score_stills, to_numpy
from texsyn.models.triangle import Triangle
from texsyn.runs import previews
from texsyn.runs.cards import score_collection
from texsyn.runs.fitting import fit_run
from texsyn.synthesis.landscape import Landscape
from texsyn.synthesis.landscape_plot import draw

HERE = Path(__file__).parent
STEPS = (
    (0, 0.02, 0.0),
    (10, 0.02, 0.0),
    (30, 0.02, 0.0),
    (30, 0.05, 0.0),
    (30, 0.02, 1.0),
)  # number, size, temperature
DEFECTS = ("another texture", "blur", "colours", "flat", "noise", "scratch", "smear", "turned")


def halves(name: str) -> tuple[Exemplar, Tensor]:
    """The left half of an image to train on, and the right half, which no model sees."""
    whole = texsyn.read(VIDEOS / f"{name}.png", side=0)
    middle = whole.pixels.shape[-1] // 2
    return Exemplar(whole.pixels[..., :middle].contiguous(), whole.modality), whole.pixels[..., middle:].contiguous()


def model(name: str, options: argparse.Namespace) -> tuple[Triangle, Exemplar, Tensor]:
    """A model trained on the left half of an exemplar, or a kept one, and both halves."""
    seen, unseen = halves(name)
    folder = options.keep / f"{name}-{options.steps}" if options.keep else None
    if folder and folder.exists():
        return texsyn.load(folder), seen, unseen
    triangle, _ = train(seen, options.steps)
    if folder:
        texsyn.save(triangle, folder)
    return triangle, seen, unseen


# ------------------------------------------------------------ defects


def defects(options: argparse.Namespace) -> str:
    """Area under the ROC curve, over pixels, of maps that should find defects in unseen halves."""
    rows: list[list[object]] = []
    for name in options.stills:
        triangle, seen, unseen = model(name, options)
        fresh = texsyn.create(seen, texsyn.recipe_for("fast", seen.modality, seed=1))
        other = next(each for each in ("leaves", "pebbles", "gravel") if each != name)
        foreign = texsyn.read(VIDEOS / f"{other}.png", side=0).pixels
        foreign = foreign[:1] if len(unseen) == 1 else foreign.expand(3, -1, -1)
        areas: dict[str, dict[str, list[float]]] = {}
        for kind, picture, mask in damaged(unseen, foreign, options.each):
            for method, score in maps(triangle, fresh, seen.pixels, picture).items():
                areas.setdefault(method, {}).setdefault(kind, []).append(area_under_curve(score, mask))
        for method, found in areas.items():
            means = [float(np.mean(found[kind])) for kind in DEFECTS]
            rows.append([name, method, *(f"{value:.2f}" for value in means), f"{np.mean(means):.3f}"])
            print(rows[-1], flush=True)
    note = (
        f"Models of {options.steps} steps, trained on the left halves (256 x 512); {options.each} defects of "
        "each kind, 16 to 32 pixels large, at random places of the right halves. `heatmap` is what `texsyn heatmap` "
        "shows. 0.5 is chance.\n\n"
    )
    return note + table(["exemplar", "map", *DEFECTS, "mean"], rows)


def maps(triangle: Triangle, fresh: Triangle, typical: Tensor, picture: Tensor) -> dict[str, np.ndarray]:
    """By method: a map that is larger where the image is less like the exemplar."""
    with torch.no_grad():
        local = [each.float().mean(1, keepdim=True) for each in triangle.energy.local(picture[None])]
    sizes = tuple(picture.shape[1:])
    energy = sum(F.interpolate(each, sizes, mode="bilinear") for each in local)[0, 0]
    return {
        "heatmap": texsyn.heatmap(triangle, picture, typical)[0].numpy(),
        "the same, untrained": texsyn.heatmap(fresh, picture, typical)[0].numpy(),
        "local energy": -energy.numpy(),
        "nearest patch": nearest_patch(picture, typical),
    }


def nearest_patch(picture: Tensor, typical: Tensor, size: int = 7) -> np.ndarray:
    """The simple baseline: the distance of each patch to the nearest one of the exemplar."""
    own, other = (each.permute(1, 2, 0).numpy() for each in (picture, typical))
    queries, rows, columns = image.patches(own, size, 2)
    keys, _, _ = image.patches(other, size, 4)
    _, distances = image.nearest(queries, keys)
    grid = torch.from_numpy(distances.reshape(1, 1, rows, columns).astype(np.float32))
    return F.interpolate(grid, tuple(picture.shape[1:]), mode="bilinear")[0, 0].numpy()


def damaged(sound: Tensor, other: Tensor, each: int) -> Iterator[tuple[str, Tensor, np.ndarray]]:
    """The kind of a defect, the image with it, and a mask of it."""
    random = np.random.default_rng(0)
    height, width = sound.shape[1:]
    for kind in DEFECTS:
        for _ in range(each):
            size = int(random.integers(16, 33))
            y, x = int(random.integers(0, height - size)), int(random.integers(0, width - size))
            picture, mask = sound.clone(), np.zeros((height, width), bool)
            if kind == "scratch":
                slope = random.uniform(-1, 1)
                for step in range(size):
                    row = y + int(np.clip(size / 2 + slope * (step - size / 2), 0, size - 2))
                    mask[row : row + 2, x + step] = True
                picture[:, mask] = 0.9 if float(sound.mean()) < 0 else -0.9
            else:
                mask[y : y + size, x : x + size] = True
                part = picture[:, y : y + size, x : x + size]
                part.copy_(defect(kind, part, other, random).clamp(-1, 1).clone())
            yield kind, picture, mask


def defect(kind: str, part: Tensor, other: Tensor, random: np.random.Generator) -> Tensor:
    """A square of a texture with a defect all over it. other: another texture."""
    size, mean = part.shape[-1], part.mean((1, 2), keepdim=True)
    top, left = (int(random.integers(0, n - size)) for n in other.shape[1:])
    if kind == "another texture":
        pasted = other[:, top : top + size, left : left + size]
        return (pasted - pasted.mean((1, 2), keepdim=True)) / pasted.std().clamp(min=0.01) * part.std() + mean
    if kind == "blur":
        return F.avg_pool2d(F.pad(part[None], (3,) * 4, mode="reflect"), 7, 1)[0]
    if kind == "colours":
        return part.flip(0) if len(part) == 3 else -part
    if kind == "flat":
        return mean.expand_as(part)
    if kind == "noise":
        return part + torch.from_numpy(random.normal(0, 0.3, part.shape).astype(np.float32))
    if kind == "smear":
        return part.mean(2, keepdim=True).expand_as(part)
    return part.transpose(1, 2).flip(1)  # turned


def area_under_curve(score: np.ndarray, mask: np.ndarray) -> float:
    """The share of pairs of a pixel inside and one outside in which the one inside scores higher."""
    order = np.argsort(score.ravel(), kind="stable")
    ranks = np.empty(order.size)
    ranks[order] = np.arange(1, order.size + 1)
    inside = mask.ravel()
    count = int(inside.sum())
    return float((ranks[inside].sum() - count * (count + 1) / 2) / (count * (order.size - count)))


# ------------------------------------------------------------ order


def order(options: argparse.Namespace) -> str:
    """The energy, in nats for each value, of textures that should be ranked high and of others that should not."""
    rows: list[list[object]] = []
    for name in options.stills:
        triangle, seen, unseen = model(name, options)
        size = tuple(seen.pixels.shape[:0:-1])
        random = torch.Generator().manual_seed(0)
        noise = torch.randn(unseen.shape, generator=random) * unseen.std() + unseen.mean((1, 2), keepdim=True)
        other = next(each for each in ("leaves", "pebbles", "gravel") if each != name)
        foreign = texsyn.read(VIDEOS / f"{other}.png", side=0).pixels[..., : unseen.shape[-1]]
        kinds = {
            "seen half": seen.pixels,
            "unseen half": unseen,
            "a sample": texsyn.sample(triangle, size=size)[0],
            "unseen, blurred": F.avg_pool2d(unseen[None], 5, 1, 2, count_include_pad=False)[0],
            "noise of its contrast": noise.clamp(-1, 1),
            "its mean colour": unseen.mean((1, 2), keepdim=True).expand_as(unseen).contiguous(),
            "another texture": foreign[:1] if len(unseen) == 1 else foreign.expand(3, -1, -1).contiguous(),
        }
        rows.append([name, *(f"{texsyn.energy(triangle, each):.3f}" for each in kinds.values())])
        print(rows[-1], flush=True)
    note = f"Models of {options.steps} steps, trained on the left halves.\n\n"
    return note + table(["exemplar", *kinds], rows)


# ------------------------------------------------------------ best of many, and Langevin steps


def card(samples: list[Tensor], original: Tensor) -> list[str]:
    found = score_stills([to_numpy(each) for each in samples], to_numpy(original))
    return [f"{found.metrics[name]:.3f}" for name in ("ps", "swd", "sharp", "vcf", "diversity")]


def best(options: argparse.Namespace) -> str:
    """Whether samples of more energy are better: metrics of the upper, the middle and the lower third of 18."""
    rows: list[list[object]] = []
    for name in options.stills:
        triangle, seen, _ = model(name, options)
        size = tuple(seen.pixels.shape[:0:-1])
        samples = [texsyn.sample(triangle, seed=seed, size=size)[0] for seed in range(18)]
        samples.sort(key=lambda each: -texsyn.energy(triangle, each))
        for title, part in (("most energy", samples[:6]), ("middle", samples[6:12]), ("least energy", samples[12:])):
            rows.append([name, title, *card(part, seen.pixels)])
            print(rows[-1], flush=True)
    return table(["exemplar", "six samples of 18", "PS", "SWD", "sharp", "VCF", "diversity"], rows)


def langevin(options: argparse.Namespace) -> str:
    """How Langevin steps after sampling change the metrics: `texsyn sample --langevin N`."""
    rows: list[list[object]] = []
    for name in options.stills:
        triangle, seen, _ = model(name, options)
        size = tuple(seen.pixels.shape[:0:-1])
        samples = [texsyn.sample(triangle, seed=seed, size=size)[0] for seed in (0, 1, 2)]
        for steps, each, temperature in STEPS:
            refined = [
                texsyn.langevin(triangle, x, steps=steps, size=each, temperature=temperature, seed=seed)
                for seed, x in enumerate(samples)
            ]
            energy = float(np.mean([texsyn.energy(triangle, x) for x in refined]))
            rows.append([name, steps, each, temperature, f"{energy:.3f}", *card(refined, seen.pixels)])
            print(rows[-1], flush=True)
    head = ["exemplar", "steps", "size", "temperature", "energy", "PS", "SWD", "sharp", "VCF", "diversity"]
    return "The command uses size 0.02 and temperature 0.\n\n" + table(head, rows)


# ------------------------------------------------------------ the landscape


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


# ------------------------------------------------------------ collections of objects


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
        train_error, held_error = score_collection(opened, triangle)
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


SECTIONS = {
    "defects": defects,
    "order": order,
    "best": best,
    "langevin": langevin,
    "landscape": landscape,
    "pair": pair,
    "objects": objects,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000, help="of each fit")
    parser.add_argument("--object-steps", type=int, default=1200, help="of each fit to a collection")
    parser.add_argument("--stills", nargs="*", default=["gravel", "brick", "wicker", "leaves"])
    parser.add_argument("--each", type=int, default=6, help="defects of each kind")
    parser.add_argument("--pictures", type=Path, help="folder for images to look at")
    parser.add_argument("--keep", type=Path, help="folder for models; existing ones are not trained again")
    write_sections(parser, SECTIONS, HERE / "ENERGY.md", "The energy, by `energy.py`")


if __name__ == "__main__":
    main()
