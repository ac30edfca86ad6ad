"""The scale at which a large still is learnt, chosen by how large what it shows is.

The networks know elements that a few dozen pixels hold. So the base is learnt from an exemplar that is reduced until
its elements are of that size, and levels of detail above it lead back to the exemplar's own. Where the elements are as
small already, nothing is reduced.
"""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from texsyn.media import lattice

LEAST_LARGE = 448  # pixels of the shorter side of what is learnt at its own size: twice the side of the paper's stills
LEAST_BASE = 160  # pixels of the shorter side of what the base of levels is learnt from
_LONGEST = 12.0  # pixels over which a base is correlated, at most
_FALLEN = 0.2  # correlation at the distance that is called its length


def correlation_length(pixels: Tensor) -> float:
    """Pixels over which a still, `channels y x`, is correlated: about half of the size of its elements.

    The distance at which the autocorrelation falls to a fifth, in the mean of both axes. Slow changes of light do not
    count.
    """
    light = lattice.without_slow_light(lattice.principal(pixels))
    return float(np.mean([_fall(lattice.autocorrelation(light, axis)) for axis in (0, 1)]))


def _fall(line: np.ndarray) -> float:
    """The distance at which a line that begins at 1 falls to a fifth."""
    below = np.flatnonzero(line < _FALLEN)
    if not len(below):
        return float(len(line))
    after = max(1, int(below[0]))
    before, rest = line[after - 1], line[after]
    return float(after - (_FALLEN - rest) / max(before - rest, 1e-12)) if before >= _FALLEN else 1.0  # of a flat one


def by_length(shorter: int, length: float) -> tuple[int, ...]:
    """`factors` of as many levels as bring the length over which a still is correlated to 12 pixels or less.

    shorter, length: of the still, in its own pixels.

    >>> by_length(1024, 40), by_length(1024, 20), by_length(1024, 10), by_length(2048, 100)
    ((4,), (2,), (), (2, 4))
    """
    halvings = min(math.ceil(math.log2(max(length, _LONGEST) / _LONGEST)), int(math.log2(shorter / LEAST_BASE)))
    return ((), (2,), (4,), (2, 4), (4, 4))[min(halvings, 4)]


def factors(shorter: int, levels: int) -> tuple[int, ...]:
    """Of at most so many levels, the lowest first: how many pixels each has for one below it.

    shorter: pixels of the exemplar's shorter side. A base has at least 160.

    >>> factors(1024, 1), factors(512, 1), factors(2048, 2), factors(300, 1)
    ((4,), (2,), (2, 4), ())
    """
    found: list[int] = []
    while len(found) < levels and shorter >= 2 * LEAST_BASE:
        found.insert(0, 4 if shorter >= 4 * LEAST_BASE else 2)
        shorter //= found[0]
    return tuple(found)
