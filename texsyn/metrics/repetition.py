"""Repetition: the share of 32 x 32 windows of a large texture that occur a second time elsewhere in it.

Two windows are the same where the normalised correlation of their colours, each with its mean removed, is at least a
threshold at some whole shift, and they do not overlap. Windows do not cross the borders, so that a texture that wraps
does not meet itself there. A sparse search proposes places; the correlation of each is then computed exactly.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from texsyn.metrics.sliced_wasserstein import Array

SIDE = 32  # pixels of a window
_CELL = 4  # pixels that the search averages; every shift of a window by less is tried
_NUMBERS = 16  # principal components of a window's cells by which places are found
_PLACES = 4  # candidates for each shift of a window
_LEAST_CORRELATION = 0.9
_LEAST_CONTRAST = 2 / 255  # standard deviation below which a window is flat: it neither counts nor is counted


def threshold(exemplar: Array) -> float:
    """From which correlation on two windows are the same, for textures of this exemplar: at least 0.9.

    Half way from the 99th percentile of what windows of the exemplar reach anyway to 1: what recurs in the exemplar,
    as in smooth or regular textures, is no repetition. exemplar: `h w 3` in [0, 1], at least 64 x 64.
    """
    found = best_correlations(exemplar)
    usual = float(np.quantile(found, 0.99)) if len(found) else 0.0
    return max(_LEAST_CORRELATION, (1 + usual) / 2)


def repetition(texture: Array, least: float = _LEAST_CORRELATION, count: int = 128) -> float:
    """The share of `count` random windows of `texture`, `h w 3` in [0, 1], that recur; nan where all are flat.

    least: the correlation from which on windows are the same, from `threshold`.

    >>> tile = np.random.default_rng(0).random((48, 48, 3), np.float32)
    >>> repetition(np.tile(tile, (3, 3, 1))), repetition(np.random.default_rng(1).random((144, 144, 3), np.float32))
    (1.0, 0.0)
    """
    found = best_correlations(texture, count)
    return float((found >= least).mean()) if len(found) else math.nan


def best_correlations(texture: Array, count: int = 128) -> Array:
    """For each of `count` random windows that is not flat, its largest correlation with a window elsewhere."""
    pixels = torch.from_numpy(np.ascontiguousarray(texture, np.float32))
    table, project = _table(pixels.mean(2))
    random, found = np.random.default_rng(0), []
    for _ in range(count):
        y, x = (int(random.integers(0, size - SIDE - _CELL + 2)) for size in pixels.shape[:2])
        if float(pixels[y : y + SIDE, x : x + SIDE].std((0, 1)).max()) > _LEAST_CONTRAST:
            found.append(_best(pixels, y, x, table, project))
    return np.array(found)


def _cells(grey: Tensor) -> Tensor:
    """`h w` -> `rows columns 64`: windows at every cell as the means of their cells, normalised."""
    height, width = (size // _CELL * _CELL for size in grey.shape)
    means = grey[:height, :width].reshape(height // _CELL, _CELL, width // _CELL, _CELL).mean((1, 3))
    windows = means.unfold(0, SIDE // _CELL, 1).unfold(1, SIDE // _CELL, 1).flatten(2)
    windows = windows - windows.mean(2, keepdim=True)
    return windows / (windows.square().sum(2, keepdim=True).sqrt() + 1e-3)


def _table(grey: Tensor) -> tuple[Tensor, Tensor]:
    """`17 rows columns`: principal components of windows and half their squared norm; and the components, `64 16`."""
    windows = _cells(grey)
    flat = windows.flatten(0, 1)
    _, directions = torch.linalg.eigh(flat.T @ flat)
    project = directions[:, -_NUMBERS:]
    found = windows @ project
    return torch.cat([found, found.square().sum(2, keepdim=True) / 2], 2).permute(2, 0, 1).contiguous(), project


def _best(pixels: Tensor, top: int, left: int, table: Tensor, project: Tensor) -> float:
    """The largest correlation of a window, at its place or less than a cell from it, with a window elsewhere."""
    shifts = [(top + i, left + j) for i in range(_CELL) for j in range(_CELL)]
    own = torch.stack([pixels[y : y + SIDE, x : x + SIDE] for y, x in shifts])
    queries = torch.cat([_cells(each) for each in own.mean(3)]).flatten(0, 1) @ project
    distance = torch.addmm(table[-1].flatten(), queries, table[:-1].flatten(1), alpha=-1).view(-1, *table.shape[1:])
    reach = SIDE // _CELL + 1  # overlapping windows are no repetition
    rows, columns = (slice(max(0, at // _CELL - reach + 1), at // _CELL + reach + 1) for at in (top, left))
    distance[:, rows, columns] = math.inf
    correlations = [_at_places(pixels, window, least) for window, least in zip(own, distance, strict=True)]
    return max(correlations)


def _at_places(pixels: Tensor, window: Tensor, distance: Tensor) -> float:
    """The largest correlation of a window at the least of its distances, `rows columns`, in each of the best rows."""
    rows = distance.amin(1).topk(_PLACES, largest=False).indices
    columns = distance[rows].argmin(1)
    places = [(y * _CELL, x * _CELL) for y, x in zip(rows.tolist(), columns.tolist(), strict=True)]
    others = torch.stack([pixels[y : y + SIDE, x : x + SIDE] for y, x in places])
    return float(_correlation(window, others).max())


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Normalised correlation over the last three axes, the mean of each colour removed."""
    a, b = (each - each.mean((-3, -2), keepdim=True) for each in (a, b))
    norms = a.square().sum((-3, -2, -1)) * b.square().sum((-3, -2, -1))
    return (a * b).sum((-3, -2, -1)) / (norms.sqrt() + 1e-6)
