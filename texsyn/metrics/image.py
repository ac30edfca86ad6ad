"""Metrics of a still against its exemplar: `h w 3`, float32 in [0, 1], both of one size."""

from __future__ import annotations

import numpy as np
import torch

from texsyn.core.disjoint_sets import DisjointSets
from texsyn.media import lattice
from texsyn.metrics import sliced_wasserstein as swd
from texsyn.metrics.sliced_wasserstein import BINOMIAL, Array

_QUERIES, _KEYS = 1296, 2048  # that are compared at once: so many distances stay in a cache


def patches(image: Array, size: int, stride: int) -> tuple[Array, int, int]:
    """Patches of `size` x `size` pixels every `stride` pixels, `n values`, and how many rows and columns they form."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), (0, 1))[::stride, ::stride]
    rows, columns = windows.shape[:2]
    return windows.reshape(rows * columns, -1).astype(np.float32), rows, columns


def nearest(queries: Array, keys: Array) -> tuple[Array, Array]:
    """For each query the index of the nearest key, and its root mean square distance."""
    index, distance = np.empty(len(queries), np.int64), np.empty(len(queries), np.float32)
    table, norms = torch.from_numpy(keys), torch.from_numpy((keys * keys).sum(1))
    for start in range(0, len(queries), _QUERIES):
        part = torch.from_numpy(queries[start : start + _QUERIES])
        least = torch.full((len(part),), torch.inf)
        where = torch.zeros(len(part), dtype=torch.long)
        for first in range(0, len(keys), _KEYS):
            block = slice(first, first + _KEYS)
            found, place = torch.addmm(norms[block], part, table[block].T, alpha=-2).min(1)
            nearer = found < least
            least, where = torch.where(nearer, found, least), torch.where(nearer, place + first, where)
        index[start : start + len(part)] = where.numpy()
        distance[start : start + len(part)] = (least + part.square().sum(1)).numpy()
    return index, np.sqrt(np.maximum(distance, 0) / queries.shape[1])


def copying(
    sample: Array, exemplar: Array, size: int = 9, stride: int = 6, slack: int = 1
) -> tuple[float, float, float]:
    """VCF (share of patches copied verbatim), mean size of a copied island in pixels, and coherence.

    Two neighbouring patches are a copy where their nearest patches in the exemplar lie at the same offset, to `slack`
    pixels. Coherence: mean distance of the sample's patches to the nearest of the exemplar.
    """
    queries, rows, columns = patches(sample, size, stride)
    keys, _, width = patches(exemplar, size, 1)
    index, distance = nearest(queries, keys)
    down = (index // width).reshape(rows, columns) - np.arange(rows)[:, None] * stride
    right = (index % width).reshape(rows, columns) - np.arange(columns)[None] * stride
    beside = (abs(np.diff(down, axis=1)) <= slack) & (abs(np.diff(right, axis=1)) <= slack)
    below = (abs(np.diff(down, axis=0)) <= slack) & (abs(np.diff(right, axis=0)) <= slack)
    sizes = _island_sizes(beside, below, rows, columns)
    island = float(np.sqrt((sizes.astype(float) ** 2).sum() / sizes.sum()) * stride)
    return float((beside.sum() + below.sum()) / (beside.size + below.size)), island, float(distance.mean())


def _island_sizes(beside: Array, below: Array, rows: int, columns: int) -> Array:
    """Patches in each connected group of copied patches.

    beside: `rows columns-1`, whether a patch and its right neighbour are a copy. below: `rows-1 columns`, likewise.
    """
    islands = DisjointSets(rows * columns)
    for links, step in ((beside, 1), (below, columns)):
        for row, column in zip(*np.where(links), strict=True):
            patch = int(row * columns + column)
            islands.join(patch + step, patch)
    return np.array([len(group) for group in islands.groups()])


def completeness(sample: Array, exemplar: Array, size: int = 9, stride: int = 6) -> float:
    """Mean distance from the exemplar's patches to the nearest of the sample."""
    queries, _, _ = patches(exemplar, size, stride)
    keys, _, _ = patches(sample, size, 1)
    return float(nearest(queries, keys)[1].mean())


def low_pass(image: Array) -> Array:
    """The binomial filter along both axes, reflected at the borders."""
    wide = np.pad(image, ((2, 2), (2, 2), (0, 0)), "reflect")
    tall = sum(BINOMIAL[i] * wide[i : i + wide.shape[0] - 4] for i in range(5))
    return np.asarray(sum(BINOMIAL[i] * tall[:, i : i + tall.shape[1] - 4] for i in range(5)))


def _split(image: Array) -> tuple[Array, Array]:
    low = low_pass(image)
    return image - low, low[::2, ::2]


def pyramid(image: Array, levels: int = 4) -> list[Array]:
    """Laplacian pyramid, the finest band first. Its low-pass images are not interpolated back before subtraction."""
    return swd.pyramid(image, levels, _split)


def sliced_wasserstein(sample: Array, exemplar: Array, size: int = 7, count: int = 4096, slices: int = 128) -> float:
    """SWD: mean over four pyramid levels of the sliced Wasserstein distance of patches."""
    random, distances = np.random.default_rng(1), []
    for own, other in zip(pyramid(sample), pyramid(exemplar), strict=True):
        a, b = patches(own, size, 1)[0], patches(other, size, 1)[0]
        mean, deviation = b.mean(0), b.std() + 1e-8
        a = (a[random.choice(len(a), count, len(a) < count)] - mean) / deviation
        b = (b[random.choice(len(b), count, len(b) < count)] - mean) / deviation
        distances.append(swd.sliced_distance(a, b, slices, random))
    return float(np.mean(distances))


def sharpness(sample: Array, exemplar: Array) -> float:
    """Standard deviation of the finest band over the exemplar's."""
    return float(pyramid(sample, 2)[0].std() / pyramid(exemplar, 2)[0].std())


def seams(sample: Array) -> tuple[float, float]:
    """Jump across the wrap over the mean jump inside, along x and y; 1 is seamless."""
    inner_x, inner_y = abs(np.diff(sample, axis=1)).mean(), abs(np.diff(sample, axis=0)).mean()
    wrap_x, wrap_y = abs(sample[:, 0] - sample[:, -1]).mean(), abs(sample[0] - sample[-1]).mean()
    return float(wrap_x / inner_x), float(wrap_y / inner_y)


def regularity(samples: list[Array], exemplar: Array) -> float:
    """How well a regular pattern keeps its period, over the exemplar: the least of both axes; nan where there is none.

    A lattice that drifts or is torn does not repeat after many periods. 1 is right. The mean over samples of any size.
    """
    first, *others = (lattice.principal(torch.from_numpy(each).movedim(-1, 0)) for each in (exemplar, *samples))
    periods = {axis: period for axis in (0, 1) if (period := lattice.period_along(first, axis))}
    own = {axis: lattice.regularity(first, axis, period) for axis, period in periods.items()}
    if not own:
        return float("nan")
    least = [min(lattice.regularity(each, axis, periods[axis]) / own[axis] for axis in own) for each in others]
    return float(np.mean(least))


def diversity(samples: list[Array], exemplar: Array) -> float:
    """Mean standard deviation of a pixel over samples, over that of the exemplar (grey); nan for one sample."""
    if len(samples) < 2:
        return float("nan")
    return float(np.array([s.mean(2) for s in samples]).std(0, ddof=1).mean() / exemplar.mean(2).std())
