"""Whether two sets of images have one distribution: distances between features of a network, n x d each.

Frechet distance (Heusel et al. 2017), kernel distance (Binkowski et al. 2018) and the classes' score (Salimans et al.
2016) are torchmetrics'. With features of the Inception network that papers use they are known as FID, KID and IS; with
any other network's they are not, and are not comparable to those.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from texsyn.core.errors import TexsynError

_SUBSETS, _SUBSET = 50, 1000  # of the kernel distance: how many, and features of each
_NEIGHBOUR = 3  # whose distance is the radius of the ball around a feature
_BLOCK = 2048  # features that are compared at a time


@dataclass(frozen=True)
class Distances:
    """Of one set of images from another."""

    frechet: float
    kernel: float
    kernel_deviation: float  # over subsets
    precision: float  # share of the first set that lies among the second
    recall: float  # share of the second set that lies among the first


class _Features(nn.Identity):
    """What torchmetrics asks for features: they are given already."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.num_features = count


def distances(made: Tensor, real: Tensor) -> Distances:
    """Distances of features `made` from those of `real` images, float32.

    Raises TexsynError (exit 3) without the extra texsyn[scores], and for fewer than 2 images of either.
    """
    if min(len(made), len(real)) < 2:
        raise TexsynError("distributions are compared from 2 images on")
    try:
        from torchmetrics.image.fid import FrechetInceptionDistance
        from torchmetrics.image.kid import KernelInceptionDistance
    except ImportError:
        raise TexsynError(_NEEDED) from None
    size = min(_SUBSET, len(made), len(real))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it keeps all features
        frechet = FrechetInceptionDistance(feature=_Features(made.shape[1]))
        kernel = KernelInceptionDistance(feature=_Features(made.shape[1]), subsets=_SUBSETS, subset_size=size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # of the subsets
        for metric in (frechet, kernel):
            metric.update(real, real=True)
            metric.update(made, real=False)
        mean, deviation = kernel.compute()
        return Distances(float(frechet.compute()), float(mean), float(deviation), among(made, real), among(real, made))


def classes_score(logits: Tensor) -> float:
    """How surely single images belong to a class, and how evenly all of them to all: 1 to the number of classes.

    Raises TexsynError (exit 3) without the extra texsyn[scores].
    """
    try:
        from torchmetrics.image.inception import InceptionScore
    except ImportError:
        raise TexsynError(_NEEDED) from None
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        metric = InceptionScore(feature=_Features(logits.shape[1]), splits=min(10, len(logits)))
        metric.update(logits)
        return float(metric.compute()[0])


def among(some: Tensor, others: Tensor) -> float:
    """The share of `some` features that lie in a ball around one of `others` (Kynkaanniemi et al. 2019).

    Each ball reaches to the third nearest of the others. So this is precision of made ones among real ones, and recall
    the other way round.

    >>> points = torch.arange(6.0)[:, None]
    >>> among(points[:3] + 0.5, points), among(points + 100, points)
    (1.0, 0.0)
    """
    nearest = min(_NEIGHBOUR, len(others) - 1) + 1  # itself is the first
    radii = torch.cat([torch.cdist(part, others).kthvalue(nearest).values for part in torch.split(others, _BLOCK)])
    inside = torch.cat([(torch.cdist(part, others) <= radii).any(1) for part in torch.split(some, _BLOCK)])
    return float(inside.float().mean())


_NEEDED = "scores of collections need the extra texsyn[scores]: pip install 'texsyn[scores]'"
