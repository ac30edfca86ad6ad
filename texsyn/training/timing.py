"""How long a step of training takes on this machine."""

from __future__ import annotations

import statistics
import time

import torch

from texsyn.core import ops
from texsyn.core.modality import MODALITIES
from texsyn.core.recipes import recipe_for
from texsyn.media.exemplar import Exemplar
from texsyn.training import loop

_UNTIMED, _TIMED = 1, 3  # steps


def step_seconds(kind: str, recipe: str = "fast", device: str | torch.device = "cpu") -> float:
    """Seconds of a step of this recipe for a texture of this kind (of `MODALITIES`): the median of a few, timed now.

    Raises TexsynError (exit 2) for a recipe that the kind does not have.
    """
    modality = MODALITIES[kind]
    random = ops.seeded_generator(0)
    pixels = torch.rand(modality.channels, *modality.size, generator=random) * 2 - 1
    steps = recipe_for(recipe, modality, steps=_UNTIMED + _TIMED, whole_periods=False)
    exemplar = Exemplar(pixels, modality, fps=25.0 if modality.moving else 0.0)
    reports = loop.fit(loop.create(exemplar, steps, device), exemplar, steps)
    ends = []
    for _report, _ in zip(reports, range(_UNTIMED + _TIMED), strict=False):
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()
        ends.append(time.monotonic())
    return statistics.median(b - a for a, b in zip(ends[_UNTIMED - 1 :], ends[_UNTIMED:], strict=False))
