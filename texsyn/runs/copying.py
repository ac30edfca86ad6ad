"""How close to its codes a trained model draws: as close as can be while it copies little.

The mixture prior's Gaussians are best narrow: between codes lie broken elements. But the longer a fit, the more exactly
its codes say their crops, and the narrower its Gaussians, the more of a sample is copied. So their bandwidth is found
when training ends, on the model's own samples.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from texsyn.metrics.image import copying
from texsyn.metrics.scoring import to_numpy
from texsyn.models.triangle import Triangle
from texsyn.synthesis import sampling

_BANDWIDTHS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
_SAMPLES = 4  # in all, at least one for each exemplar
_COPIED = 0.09  # of neighbouring patches, in the mean of an exemplar's samples
_BEYOND = 0.05  # or so much more than one half of the exemplar repeats of the other, as regular patterns do
_LEAST_SIDE = 64  # pixels


def limit_copying(triangle: Triangle, pixels: Sequence[Tensor]) -> float | None:
    """Give the mixture prior of a calibrated model of stills the least bandwidth of which samples copy little.

    pixels: the exemplars, `channels *axes` each, at their own scale. Copies are counted (VCF) at the scale of the base.
    Returns the bandwidth, in parts of the variance of codes, .02 to .3; None, and changes nothing, for clips, for kinds
    with a fixed frame, for the prior N(0, I), and for crops of less than 64 pixels.
    """
    prior, modality = triangle.mixture_prior, triangle.modality
    if prior is None or modality.moving or not all(modality.stationary) or min(modality.window) < _LEAST_SIDE:
        return None
    exemplars = [to_numpy(triangle.reduced(each[None], 0)[0]) for each in pixels]
    limits = [max(_COPIED, _repeated(each) + _BEYOND) for each in exemplars]

    def little(bandwidth: float) -> bool:
        prior.bandwidth.fill_(bandwidth)
        return all(
            _copied(triangle, number, each, -(-_SAMPLES // len(exemplars))) <= limit
            for number, (each, limit) in enumerate(zip(exemplars, limits, strict=True))
        )

    least = min(bisect_left(_BANDWIDTHS, True, key=little), len(_BANDWIDTHS) - 1)
    prior.bandwidth.fill_(_BANDWIDTHS[least])
    return _BANDWIDTHS[least]


def _copied(triangle: Triangle, number: int, exemplar: np.ndarray, count: int) -> float:
    """The share of neighbouring patches of samples that are copied from an exemplar, as quality cards count it."""
    samples = [to_numpy(each) for each in triangle.reduced(sampling.sample(triangle, count=count, exemplar=number), 0)]
    height, width = samples[0].shape[:2]
    return float(np.mean([copying(each, exemplar[:height, :width])[0] for each in samples]))


def _repeated(exemplar: np.ndarray) -> float:
    half = exemplar.shape[1] // 2
    return copying(exemplar[:, half:], exemplar[:, :half])[0]
