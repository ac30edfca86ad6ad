"""Whether the energy deserves trust, in figures: python tests/benchmarks/energy.py [SECTION...] [--steps N]

Sections: defects, order, best, langevin, landscape, pair, objects. Uses shipped exemplars and what scikit-learn and
scikit-image bring along, and writes its tables into ENERGY.md beside this file (a section that is run again takes the
place of its old one). Models are kept in --keep.
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
from report import VIDEOS, learnt, store, table
from torch import Tensor

import texsyn
from texsyn.media import writing
from texsyn.media.exemplar import Exemplar
from texsyn.metrics import image
from texsyn.metrics.card import score_stills, to_numpy
from texsyn.models.triangle import Triangle
from texsyn.runs import previews
from texsyn.synthesis.landscape import Landscape, draw

HERE = Path(__file__).parent
REPORT = HERE / "ENERGY.md"
STEPS = ((0, 0.02, 0.0), (10, 0.02, 0.0), (30, 0.02, 0.0), (30, 0.05, 0.0), (30, 0.02, 1.0))  # number, size, heat
DEFECTS = ("another texture", "blur", "colours", "flat", "noise", "scratch", "smear", "turned")


def halves(name: str) -> tuple[Exemplar, Tensor]:
    """The left half of a picture to learn, and the right half that is never learnt."""
    whole = texsyn.read(VIDEOS / f"{name}.png", side=0)
    middle = whole.pixels.shape[-1] // 2
    return Exemplar(whole.pixels[..., :middle].contiguous(), whole.modality), whole.pixels[..., middle:].contiguous()


def model(name: str, options: argparse.Namespace) -> tuple[Triangle, Exemplar, Tensor]:
    """Learnt from the left half of an exemplar, or taken from where it is kept."""
    seen, unseen = halves(name)
    folder = options.keep / f"{name}-{options.steps}" if options.keep else None
    if folder and folder.exists():
        return texsyn.load(folder), seen, unseen
    triangle, _ = learnt(seen, options.steps)
    if folder:
        texsyn.save(triangle, folder)
    return triangle, seen, unseen


# ------------------------------------------------------------ defects


def defects(options: argparse.Namespace) -> str:
    """Area under the ROC curve, over pixels, of maps that should tell defects in unseen halves from what is sound."""
    rows: list[list[object]] = []
    for name in options.stills:
        triangle, seen, unseen = model(name, options)
        fresh = texsyn.create(seen, texsyn.recipe_for("fast", seen.modality, seed=1))
        other = next(each for each in ("leaves", "pebbles", "gravel") if each != name)
        strange = texsyn.read(VIDEOS / f"{other}.png", side=0).pixels
        strange = strange[:1] if len(unseen) == 1 else strange.expand(3, -1, -1)
        areas: dict[str, dict[str, list[float]]] = {}
        for kind, picture, mask in damaged(unseen, strange, options.each):
            for method, score in maps(triangle, fresh, seen.pixels, picture).items():
                areas.setdefault(method, {}).setdefault(kind, []).append(area_under_curve(score, mask))
        for method, found in areas.items():
            means = [float(np.mean(found[kind])) for kind in DEFECTS]
            rows.append([name, method, *(f"{value:.2f}" for value in means), f"{np.mean(means):.3f}"])
            print(rows[-1], flush=True)
    said = (
        f"Models of {options.steps} steps, learnt from the left halves (256 x 512); {options.each} defects of "
        "each kind, 16 to 32 pixels large, at random places of the right halves. `heatmap` is what `texsyn heatmap` "
        "shows. 0.5 is chance.\n\n"
    )
    return said + table(["exemplar", "map", *DEFECTS, "mean"], rows)


def maps(triangle: Triangle, fresh: Triangle, usual: Tensor, picture: Tensor) -> dict[str, np.ndarray]:
    """Larger where the picture is stranger."""
    with torch.no_grad():
        local = [each.float().mean(1, keepdim=True) for each in triangle.energy.local(picture[None])]
    sizes = tuple(picture.shape[1:])
    energy = sum(F.interpolate(each, sizes, mode="bilinear") for each in local)[0, 0]
    return {
        "heatmap": texsyn.heatmap(triangle, picture, usual)[0].numpy(),
        "the same, nothing learnt": texsyn.heatmap(fresh, picture, usual)[0].numpy(),
        "local energy": -energy.numpy(),
        "nearest patch": nearest_patch(picture, usual),
    }


def nearest_patch(picture: Tensor, usual: Tensor, size: int = 7) -> np.ndarray:
    """The plain baseline: how far each patch is from the nearest one of the exemplar."""
    here, there = (each.permute(1, 2, 0).numpy() for each in (picture, usual))
    queries, rows, columns = image.patches(here, size, 2)
    keys, _, _ = image.patches(there, size, 4)
    _, distances = image.nearest(queries, keys)
    grid = torch.from_numpy(distances.reshape(1, 1, rows, columns).astype(np.float32))
    return F.interpolate(grid, tuple(picture.shape[1:]), mode="bilinear")[0, 0].numpy()


def damaged(sound: Tensor, other: Tensor, each: int) -> Iterator[tuple[str, Tensor, np.ndarray]]:
    """The kind of a defect, the picture with it, and where it is."""
    random = np.random.default_rng(0)
    height, width = sound.shape[1:]
    for kind in DEFECTS:
        for _ in range(each):
            size = int(random.integers(16, 33))
            y, x = int(random.integers(0, height - size)), int(random.integers(0, width - size))
            mask = np.zeros((height, width), bool)
            mask[y : y + size, x : x + size] = True
            picture = sound.clone()
            part = picture[:, y : y + size, x : x + size]
            if kind == "scratch":
                mask[:] = False
                slope = random.uniform(-1, 1)
                for step in range(size):
                    row = y + int(np.clip(size / 2 + slope * (step - size / 2), 0, size - 2))
                    mask[row : row + 2, x + step] = True
                picture[:, mask] = 0.9 if float(sound.mean()) < 0 else -0.9
                yield kind, picture, mask
                continue
            there = [int(random.integers(0, n - size)) for n in other.shape[1:]]
            pasted = other[:, there[0] : there[0] + size, there[1] : there[1] + size]
            mean = part.mean((1, 2), keepdim=True)
            made = {
                "another texture": lambda pasted=pasted, part=part, mean=mean: (
                    (pasted - pasted.mean((1, 2), keepdim=True)) / pasted.std().clamp(min=0.01) * part.std() + mean
                ),
                "blur": lambda part=part: F.avg_pool2d(F.pad(part[None], (3,) * 4, mode="reflect"), 7, 1)[0],
                "colours": lambda part=part: part.flip(0) if len(part) == 3 else -part,
                "flat": lambda part=part, mean=mean: mean.expand_as(part),
                "noise": lambda part=part: (
                    part + torch.from_numpy(random.normal(0, 0.3, part.shape).astype(np.float32))
                ),
                "smear": lambda part=part: part.mean(2, keepdim=True).expand_as(part),
                "turned": lambda part=part: part.transpose(1, 2).flip(1),
            }[kind]()
            picture[:, y : y + size, x : x + size] = made.clamp(-1, 1).clone()
            yield kind, picture, mask


def area_under_curve(score: np.ndarray, mask: np.ndarray) -> float:
    """The share of pairs of a pixel inside and one outside that are ordered rightly."""
    order = np.argsort(score.ravel(), kind="stable")
    ranks = np.empty(order.size)
    ranks[order] = np.arange(1, order.size + 1)
    inside = mask.ravel()
    count = int(inside.sum())
    return float((ranks[inside].sum() - count * (count + 1) / 2) / (count * (order.size - count)))


# ------------------------------------------------------------ order


def order(options: argparse.Namespace) -> str:
    """The energy, in nats for each value, of what should be ranked high and of what should not."""
    rows: list[list[object]] = []
    for name in options.stills:
        triangle, seen, unseen = model(name, options)
        size = tuple(seen.pixels.shape[:0:-1])
        random = torch.Generator().manual_seed(0)
        noise = torch.randn(unseen.shape, generator=random) * unseen.std() + unseen.mean((1, 2), keepdim=True)
        other = next(each for each in ("leaves", "pebbles", "gravel") if each != name)
        strange = texsyn.read(VIDEOS / f"{other}.png", side=0).pixels[..., : unseen.shape[-1]]
        kinds = {
            "seen half": seen.pixels,
            "unseen half": unseen,
            "a sample": texsyn.sample(triangle, size=size)[0],
            "unseen, blurred": F.avg_pool2d(unseen[None], 5, 1, 2, count_include_pad=False)[0],
            "noise of its contrast": noise.clamp(-1, 1),
            "its mean colour": unseen.mean((1, 2), keepdim=True).expand_as(unseen).contiguous(),
            "another texture": strange[:1] if len(unseen) == 1 else strange.expand(3, -1, -1).contiguous(),
        }
        rows.append([name, *(f"{texsyn.energy(triangle, each):.3f}" for each in kinds.values())])
        print(rows[-1], flush=True)
    said = f"Models of {options.steps} steps, learnt from the left halves.\n\n"
    return said + table(["exemplar", *kinds], rows)


# ------------------------------------------------------------ best of many, and steps up the energy


def card(samples: list[Tensor], original: Tensor) -> list[str]:
    found = score_stills([to_numpy(each) for each in samples], to_numpy(original))
    return [f"{found.measures[name]:.3f}" for name in ("ps", "swd", "sharp", "vcf", "diversity")]


def best(options: argparse.Namespace) -> str:
    """Whether samples of more energy are better: cards of the most, the least and the middle third of 18."""
    rows: list[list[object]] = []
    for name in options.stills:
        triangle, seen, _ = model(name, options)
        size = tuple(seen.pixels.shape[:0:-1])
        made = [texsyn.sample(triangle, seed=seed, size=size)[0] for seed in range(18)]
        made.sort(key=lambda each: -texsyn.energy(triangle, each))
        for title, part in (("most energy", made[:6]), ("middle", made[6:12]), ("least energy", made[12:])):
            rows.append([name, title, *card(part, seen.pixels)])
            print(rows[-1], flush=True)
    return table(["exemplar", "six samples of 18", "PS", "SWD", "sharp", "VCF", "diversity"], rows)


def langevin(options: argparse.Namespace) -> str:
    """What Langevin steps after sampling do to the card: `texsyn sample --langevin N`."""
    rows: list[list[object]] = []
    for name in options.stills:
        triangle, seen, _ = model(name, options)
        size = tuple(seen.pixels.shape[:0:-1])
        made = [texsyn.sample(triangle, seed=seed, size=size)[0] for seed in (0, 1, 2)]
        for steps, each, temperature in STEPS:
            refined = [
                texsyn.langevin(triangle, x, steps=steps, size=each, temperature=temperature, seed=seed)
                for seed, x in enumerate(made)
            ]
            energy = float(np.mean([texsyn.energy(triangle, x) for x in refined]))
            rows.append([name, steps, each, temperature, f"{energy:.3f}", *card(refined, seen.pixels)])
            print(rows[-1], flush=True)
    head = ["exemplar", "steps", "size", "temperature", "energy", "PS", "SWD", "sharp", "VCF", "diversity"]
    return "The command's size is 0.02 and its temperature 0.\n\n" + table(head, rows)


# ------------------------------------------------------------ the landscape


def landscape(options: argparse.Namespace) -> str:
    """Where steepest descent ends from crops and samples: depth, whether it stays near, and what lies between."""
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
        "U = -f in nats for each value; 60 steps from 6 crops and 6 samples. Near: nearer to its start than half of "
        "what lies between starts.\n\n" + table(head, rows)
    )


def risen(found: Landscape) -> np.ndarray:
    """Barriers over the higher of the two ends that they divide."""
    after = np.array(found.after)
    return found.barriers.numpy() - np.maximum.outer(after, after)


def pair(options: argparse.Namespace) -> str:
    """Barriers within each of two textures that one model has learnt, and between them."""
    names = ("beans", "pebbles")
    both = texsyn.together(*(texsyn.read(VIDEOS / f"{name}.png") for name in names))
    triangle, _ = learnt(both, options.steps)
    rows: list[list[object]] = []
    for space, latent in (("pixels", False), ("latent", True)):
        found = texsyn.landscape(triangle, [each.pixels for each in both], starts=4, steps=60, latent=latent)
        rise = risen(found)
        of = [[n for n, kind in enumerate(found.kinds) if kind.endswith(str(each))] for each in (0, 1)]
        within = [rise[np.ix_(each, each)][np.triu_indices(len(each), 1)] for each in of]
        between = rise[np.ix_(*of)]
        rows.append([space, *(f"{np.median(each):.3f}, {each.min():.3f}" for each in (*within, between))])
        if options.pictures:
            draw(found, options.pictures / f"landscape-pair-{space}.png", force=True)
        print(rows[-1], flush=True)
    head = ["descent in", *(f"within {name}" for name in names), "between them"]
    return (
        f"One model of both, {options.steps} steps; 4 crops and 4 samples of each, 60 steps of descent. Barriers over "
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
            for _ in begun.learn(begun.fresh(), exemplar, recipe, print):
                pass
        opened = texsyn.Run.open(run)
        triangle = opened.triangle()
        learnt_error, held_error = opened.reconstructed(triangle)
        variance = float(exemplar.pixels.var()) / 4
        rows.append([name, len(pictures), *(f"{each:.4f}" for each in (learnt_error, held_error, variance))])
        print(rows[-1], flush=True)
        if options.pictures:
            writing.write(previews.drawn(triangle, exemplar.pixels), options.pictures / f"{name}.png", force=True)
            path = texsyn.morph(triangle, texsyn.End(0), texsyn.End(1), frames=10, loop=False)
            strip = torch.cat([frame[:, 0] for frame in path], -1)
            writing.write(strip, options.pictures / f"{name}-between.png", force=True)
        if classes is not None:
            text = purity(triangle, exemplar, pictures, classes, options)
    head = ["collection", "pictures", "squared error, learnt", "held out", "variance"]
    said = f"{options.object_steps} steps of recipe `fast`; errors for each value in [0, 1].\n\n"
    return said + table(head, rows) + "\n" + text


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
        barriers = risen(found)[:count, :count]
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
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--steps", type=int, default=2000, help="of each fit")
    parser.add_argument("--object-steps", type=int, default=1200, help="of each fit to a collection")
    parser.add_argument("--stills", nargs="*", default=["gravel", "brick", "wicker", "leaves"])
    parser.add_argument("--each", type=int, default=6, help="defects of each kind")
    parser.add_argument("--pictures", type=Path, help="folder for pictures")
    parser.add_argument("--keep", type=Path, help="folder for models; those that are there are taken")
    options = parser.parse_args()
    for name in options.sections or SECTIONS:
        text = SECTIONS[name](options)
        budget = f"--object-steps {options.object_steps}" if name == "objects" else f"--steps {options.steps}"
        command = f"python tests/benchmarks/energy.py {name} {budget} --each {options.each}"
        store(REPORT, "The energy, by `energy.py`", name, command, f"{SECTIONS[name].__doc__}\n\n{text}")


if __name__ == "__main__":
    main()
