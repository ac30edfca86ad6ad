"""Defects: whether maps of the energy find what was put into an image. A section of `energy.py`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from energy_halves import model
from report import VIDEOS, table
from torch import Tensor

import texsyn
from texsyn.metrics import image
from texsyn.models.triangle import Triangle

DEFECTS = ("another texture", "blur", "colours", "flat", "noise", "scratch", "smear", "turned")


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
