"""How close to its codes a trained model draws: as close as can be while it copies little.

The mixture prior's Gaussians are best narrow: between codes lie broken elements. But the longer a fit, the more exactly
its codes say their crops, and the narrower its Gaussians, the more of a sample is copied. So their bandwidth is found
when training ends, on the model's own samples.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import torch
from torch import Tensor

from texsyn.core import ops
from texsyn.metrics.image import copying
from texsyn.metrics.scoring import to_numpy
from texsyn.metrics.sliced_wasserstein import Array
from texsyn.models.triangle import Triangle

_BANDWIDTHS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
_SAMPLES = 6  # in all, at least one for each exemplar
_SIDE = 224  # pixels of a sample
_COPIED = 0.095  # of neighbouring patches, in the mean of an exemplar's samples
_BEYOND = 0.05  # or so much more than one half of the exemplar repeats of the other, as regular patterns do
_LEAST_SIDE = 64  # pixels
_PATCH, _STRIDE = 9, 6  # pixels
_PAIRS = 60_000_000  # of patches that are compared, of a sample and of an exemplar
_LEAST_PATCHES = 8  # of a sample along each axis


def limit_copying(triangle: Triangle, pixels: Sequence[Tensor]) -> float | None:
    """Give the mixture prior of a calibrated model of stills the least bandwidth of which samples copy little.

    pixels: the exemplars, `channels *axes` each, at their own scale. Copies are counted (VCF) at the scale of the base.
    Returns the bandwidth, in parts of the variance of codes, .02 to .3; None, and changes nothing, for clips, for kinds
    with a fixed frame, for the prior N(0, I), and for crops of less than 64 pixels.
    """
    prior, modality = triangle.mixture_prior, triangle.modality
    if prior is None or not modality.is_stationary_still or min(modality.window) < _LEAST_SIDE:
        return None
    exemplars = [to_numpy(triangle.scaled(each.to(triangle.device))) for each in pixels]
    limits = [max(_COPIED, _repeated(each) + _BEYOND) for each in exemplars]
    count = -(-_SAMPLES // len(exemplars))

    def little(bandwidth: float) -> bool:
        prior.settle(bandwidth)
        return all(
            _is_little(_samples(triangle, number, count), each, limit)
            for number, (each, limit) in enumerate(zip(exemplars, limits, strict=True))
        )

    least = min(bisect_left(_BANDWIDTHS, True, key=little), len(_BANDWIDTHS) - 1)
    prior.settle(_BANDWIDTHS[least])
    return _BANDWIDTHS[least]


@torch.no_grad()
def _samples(triangle: Triangle, exemplar: int, count: int) -> list[Array]:
    """Samples like an exemplar, `h w 3`, as the base makes them."""
    shape = (count, *triangle.torus_shape([_SIDE] * len(triangle.stride)))
    noise = torch.randn(shape, generator=ops.seeded_generator(0, exemplar)).to(triangle.device)
    latents = triangle.draw_latents(triangle.labelled(noise, triangle.labels([exemplar] * count)))
    triangle.generator_ema.eval()
    return [to_numpy(each) for each in triangle.synthesize(latents)]


def _is_little(samples: Sequence[Array], exemplar: Array, limit: float) -> bool:
    """Whether at most `limit` of samples are copied, in their mean. Those that decide nothing more are not counted."""
    total = 0.0
    for number, sample in enumerate(samples):
        total += _copied(sample, exemplar, number)
        if total > limit * len(samples):
            return False
    return True


def _copied(sample: Array, exemplar: Array, number: int = 0) -> float:
    """The share of neighbouring patches of a sample that are copied from an exemplar, as quality cards count it.

    Of a strip of it, at another height for each `number`, and of fewer patches where the exemplar is large: each is
    compared with all of it.
    """
    keys = (exemplar.shape[0] - _PATCH) * (exemplar.shape[1] - _PATCH)
    patches = max(_LEAST_PATCHES**2, _PAIRS // keys)
    width = min(sample.shape[1], _extent(patches // _LEAST_PATCHES))
    height = min(sample.shape[0], _extent(patches // ((width - _PATCH) // _STRIDE + 1)))
    top = number * height % (sample.shape[0] - height + 1)
    return copying(sample[top : top + height, :width], exemplar, _PATCH, _STRIDE)[0]


def _extent(patches: int) -> int:
    """Pixels that so many patches beside each other cover."""
    return _PATCH + _STRIDE * (patches - 1)


def _repeated(exemplar: Array) -> float:
    half = exemplar.shape[1] // 2
    return _copied(exemplar[:, half:], exemplar[:, :half])
