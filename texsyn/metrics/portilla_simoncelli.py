"""PS: a distance of texture statistics after Portilla and Simoncelli (2000). Human ratings of textures follow them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from texsyn.core.errors import TexsynError
from texsyn.metrics.sliced_wasserstein import Array

_CROPS = 12  # of each texture that are compared
_REFERENCE_CROPS = 24  # of the exemplar, whose deviation is the unit of every statistic
_MAX_Z = 10.0


def crop_within(image: Array, crop: int = 112) -> int:
    """Side of the crops that fit into `image`, `h w 3`: a multiple of 16 pixels, at most `crop`."""
    return min(crop, *(int(n) // 16 * 16 for n in image.shape[:2]))


class PortillaSimoncelli:
    """Root mean square z of crops' statistics, in principal colours weighted by their share of the variance.

    exemplar: `h w 3` in [0, 1]. crop: side of the crops in pixels. Raises TexsynError (exit 3) without the extra
    texsyn[quality].
    """

    def __init__(self, exemplar: Array, crop: int = 112) -> None:
        try:
            import plenoptic
        except ImportError as error:
            raise TexsynError("PS needs the extra texsyn[quality]: pip install 'texsyn[quality]'") from error
        self._exemplar, self._crop = exemplar, crop
        pixels = exemplar.reshape(-1, 3)
        self._mean = pixels.mean(0)
        variances, directions = np.linalg.eigh(np.cov(pixels.T))
        self._weights = np.maximum(variances[::-1], 0) / max(variances.sum(), 1e-12)
        self._to_principal = directions[:, ::-1] / np.sqrt(np.maximum(variances[::-1], 1e-8))
        self._model = plenoptic.models.PortillaSimoncelli(
            (crop, crop), n_scales=3, n_orientations=4, spatial_corr_width=7
        ).double()
        reference = np.array([self._statistics(each) for each in self._crops(exemplar, _REFERENCE_CROPS, 0)])
        self._kept = _all_but_range(self._model, reference.shape[2])
        self._deviation = np.maximum(reference.std(0), 1e-3 * abs(reference).mean(0) + 1e-9)

    def _crops(self, image: Array, count: int, seed: int) -> Iterator[Array]:
        random = np.random.default_rng(seed)
        height, width = image.shape[:2]
        for _ in range(count):
            top, left = random.integers(0, height - self._crop + 1), random.integers(0, width - self._crop + 1)
            yield image[top : top + self._crop, left : left + self._crop]

    def _statistics(self, crop: Array) -> Array:
        """`3 statistics`: of each principal colour."""
        principal = torch.tensor(((crop - self._mean) @ self._to_principal).astype(np.float64))
        with torch.no_grad():
            return np.asarray(self._model(principal.permute(2, 0, 1)[:, None])[:, 0].numpy())

    def distance(self, sample: Array, reference: Array | None = None) -> float:
        """Between crops of `sample` and crops of `reference`, `h w 3` each; by default the exemplar."""
        other = self._exemplar if reference is None else reference
        own_mean = np.mean([self._statistics(each) for each in self._crops(sample, _CROPS, 3)], 0)
        other_mean = np.mean([self._statistics(each) for each in self._crops(other, _CROPS, 4)], 0)
        z = np.clip(((own_mean - other_mean) / self._deviation)[:, self._kept], -_MAX_Z, _MAX_Z)
        return float(np.sqrt(self._weights @ (z**2).mean(1)))


def _all_but_range(model: Any, count: int) -> Array:
    """`count` flags: every statistic but the least and the greatest pixel, which say little about a texture."""
    numbers = model.convert_to_dict(torch.ones(1, 1, count, dtype=torch.float64) * torch.arange(count))
    kept = np.ones(count, bool)
    kept[numbers["pixel_statistics"].flatten()[-2:].long().numpy()] = False
    return kept
