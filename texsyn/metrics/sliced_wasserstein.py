"""What the sliced Wasserstein distances (SWD) of stills and of clips share.

After Rabin et al. (2011), on patches of a Laplacian pyramid as in Karras et al. (2018). `image` and `video` differ in
how they filter, pick patches and normalise them: each follows the definition behind published values for its kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16  # the pyramids' low-pass filter along one axis


def pyramid(x: Array, levels: int, split: Callable[[Array], tuple[Array, Array]]) -> list[Array]:
    """Laplacian pyramid: `levels` - 1 bands, the finest first, then the low-pass rest.

    split: from an array to its finest band and the rest at half the size.
    """
    bands = []
    for _ in range(levels - 1):
        band, x = split(x)
        bands.append(band)
    return [*bands, x]


def sliced_distance(a: Array, b: Array, slices: int, random: np.random.Generator) -> float:
    """Wasserstein-1 distance of two sets of points, `n d` each, averaged over random directions."""
    directions = random.standard_normal((a.shape[1], slices)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    distance: float = np.abs(np.sort(a @ directions, 0) - np.sort(b @ directions, 0)).mean()
    return distance
