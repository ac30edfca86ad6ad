"""Measures of a still sample against its exemplar: `h w 3`, float32 in [0, 1], both of one size. No pretrained weights.

PS is after Portilla and Simoncelli (2000), SWD after Rabin et al. (2011) on the pyramid of Karras et al. (2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from texsyn.core.errors import TexsynError

Array = NDArray[Any]
_KERNEL = np.array([1, 4, 6, 4, 1], np.float32) / 16


def patches(picture: Array, size: int, stride: int) -> tuple[Array, int, int]:
    """All patches, one a row, and how many rows and columns of them there are."""
    windows = np.lib.stride_tricks.sliding_window_view(picture, (size, size), (0, 1))[::stride, ::stride]
    rows, columns = windows.shape[:2]
    return windows.reshape(rows * columns, -1).astype(np.float32), rows, columns


def nearest(queries: Array, keys: Array, block: int = 512) -> tuple[Array, Array]:
    """For each query the index of the nearest key, and its root mean square distance."""
    index, distance = np.empty(len(queries), np.int64), np.empty(len(queries), np.float32)
    table, norms = torch.from_numpy(keys).T.contiguous(), torch.from_numpy((keys * keys).sum(1))
    for start in range(0, len(queries), block):
        part = torch.from_numpy(queries[start : start + block])
        least, where = (norms[None] - 2 * part @ table).min(1)
        index[start : start + block] = where.numpy()
        distance[start : start + block] = (least + part.square().sum(1)).numpy()
    return index, np.sqrt(np.maximum(distance, 0) / queries.shape[1])


def copying(
    sample: Array, exemplar: Array, size: int = 9, stride: int = 6, slack: int = 1
) -> tuple[float, float, float]:
    """Verbatim-copied fraction, mean copied island in pixels, coherence.

    Neighbouring patches whose nearest patches in the exemplar lie at the same offset are copies.
    """
    queries, rows, columns = patches(sample, size, stride)
    keys, _, width = patches(exemplar, size, 1)
    index, distance = nearest(queries, keys)
    down = (index // width).reshape(rows, columns) - np.arange(rows)[:, None] * stride
    right = (index % width).reshape(rows, columns) - np.arange(columns)[None] * stride
    beside = (abs(np.diff(down, axis=1)) <= slack) & (abs(np.diff(right, axis=1)) <= slack)
    below = (abs(np.diff(down, axis=0)) <= slack) & (abs(np.diff(right, axis=0)) <= slack)
    sizes = _islands(beside, below, rows, columns)
    island = float(np.sqrt((sizes.astype(float) ** 2).sum() / sizes.sum()) * stride)
    return float((beside.sum() + below.sum()) / (beside.size + below.size)), island, float(distance.mean())


def _islands(beside: Array, below: Array, rows: int, columns: int) -> Array:
    """Sizes of the connected groups of copied patches."""
    parent = np.arange(rows * columns)

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for links, step in ((beside, 1), (below, columns)):
        for row, column in zip(*np.where(links), strict=True):
            node = row * columns + column
            parent[root(node)] = root(node + step)
    sizes = np.bincount([root(node) for node in range(rows * columns)], minlength=rows * columns)
    return sizes[sizes > 0]


def completeness(sample: Array, exemplar: Array, size: int = 9, stride: int = 6) -> float:
    """Mean distance from the exemplar's patches to the nearest of the sample."""
    queries, _, _ = patches(exemplar, size, stride)
    keys, _, _ = patches(sample, size, 1)
    return float(nearest(queries, keys)[1].mean())


def _halve(picture: Array) -> Array:
    wide = np.pad(picture, ((2, 2), (2, 2), (0, 0)), "reflect")
    tall = sum(_KERNEL[i] * wide[i : i + wide.shape[0] - 4] for i in range(5))
    return np.asarray(sum(_KERNEL[i] * tall[:, i : i + tall.shape[1] - 4] for i in range(5)))


def pyramid(picture: Array, levels: int = 4) -> list[Array]:
    """Laplacian pyramid, the finest band first."""
    bands = []
    for _ in range(levels - 1):
        low = _halve(picture)
        bands.append(picture - low)
        picture = low[::2, ::2]
    return [*bands, picture]


def sliced_wasserstein(sample: Array, exemplar: Array, size: int = 7, count: int = 4096, slices: int = 128) -> float:
    """SWD: mean over four pyramid levels of the sliced Wasserstein distance of patches."""
    random, found = np.random.default_rng(1), []
    for own, other in zip(pyramid(sample), pyramid(exemplar), strict=True):
        a, b = patches(own, size, 1)[0], patches(other, size, 1)[0]
        mean, spread = b.mean(0), b.std() + 1e-8
        a = (a[random.choice(len(a), count, len(a) < count)] - mean) / spread
        b = (b[random.choice(len(b), count, len(b) < count)] - mean) / spread
        axes = random.standard_normal((a.shape[1], slices)).astype(np.float32)
        axes /= np.linalg.norm(axes, axis=0)
        found.append(abs(np.sort(a @ axes, 0) - np.sort(b @ axes, 0)).mean())
    return float(np.mean(found))


def sharpness(sample: Array, exemplar: Array) -> float:
    """Standard deviation of the finest band over the exemplar's."""
    return float(pyramid(sample, 2)[0].std() / pyramid(exemplar, 2)[0].std())


def seams(sample: Array) -> tuple[float, float]:
    """Jump across the wrap over the mean jump inside, along x and y."""
    inner_x, inner_y = abs(np.diff(sample, axis=1)).mean(), abs(np.diff(sample, axis=0)).mean()
    wrap_x, wrap_y = abs(sample[:, 0] - sample[:, -1]).mean(), abs(sample[0] - sample[-1]).mean()
    return float(wrap_x / inner_x), float(wrap_y / inner_y)


def diversity(samples: list[Array], exemplar: Array) -> float:
    """Mean standard deviation of a pixel over samples, over that of the exemplar (grey); nan for one sample."""
    if len(samples) < 2:
        return float("nan")
    return float(np.array([s.mean(2) for s in samples]).std(0, ddof=1).mean() / exemplar.mean(2).std())


def crop_within(picture: Array, crop: int = 112) -> int:
    """Side of the crops that PS compares, where some picture is smaller than usual: a multiple of 16 pixels."""
    return min(crop, *(int(n) // 16 * 16 for n in picture.shape[:2]))


class PortillaSimoncelli:
    """PS: root mean square z of texture statistics of crops, in principal colours weighted by their variance."""

    def __init__(self, exemplar: Array, crop: int = 112) -> None:
        try:
            import plenoptic
        except ImportError as error:
            raise TexsynError("PS needs the extra texsyn[quality]: pip install 'texsyn[quality]'") from error
        self.exemplar, self.crop = exemplar, crop
        pixels = exemplar.reshape(-1, 3)
        self.mean = pixels.mean(0)
        values, vectors = np.linalg.eigh(np.cov(pixels.T))
        self.share = np.maximum(values[::-1], 0) / max(values.sum(), 1e-12)
        self.colours = vectors[:, ::-1] / np.sqrt(np.maximum(values[::-1], 1e-8))
        self.model = plenoptic.models.PortillaSimoncelli(
            (crop, crop), n_scales=3, n_orientations=4, spatial_corr_width=7
        ).double()
        spread = np.array([self._statistics(c) for c in self._crops(exemplar, 24, 0)])
        count = spread.shape[2]
        order = torch.ones(1, 1, count, dtype=torch.float64) * torch.arange(count)
        named = self.model.convert_to_dict(order)
        self.keep = np.ones(count, bool)
        self.keep[named["pixel_statistics"].flatten()[-2:].long().numpy()] = (
            False  # the range: not a statistic of texture
        )
        self.spread = np.maximum(spread.std(0), 1e-3 * abs(spread).mean(0) + 1e-9)

    def _crops(self, picture: Array, count: int, seed: int) -> Iterator[Array]:
        random = np.random.default_rng(seed)
        height, width = picture.shape[:2]
        for _ in range(count):
            top, left = random.integers(0, height - self.crop + 1), random.integers(0, width - self.crop + 1)
            yield picture[top : top + self.crop, left : left + self.crop]

    def _statistics(self, picture: Array) -> Array:
        principal = torch.tensor(((picture - self.mean) @ self.colours).astype(np.float64))
        with torch.no_grad():
            return np.asarray(self.model(principal.permute(2, 0, 1)[:, None])[:, 0].numpy())

    def distance(self, sample: Array, reference: Array | None = None) -> float:
        """Between crops of `sample` and crops of `reference` (by default the exemplar)."""
        other = self.exemplar if reference is None else reference
        a = np.mean([self._statistics(c) for c in self._crops(sample, 12, 3)], 0)
        b = np.mean([self._statistics(c) for c in self._crops(other, 12, 4)], 0)
        z = np.clip(((a - b) / self.spread)[:, self.keep], -10, 10)
        return float(np.sqrt(self.share @ (z**2).mean(1)))
