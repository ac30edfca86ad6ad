"""Entropic optimal transport: what makes draws take each of several choices as often as is wanted."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_TURNS = 30
_SOFT, _HARD = 0.1, 0.01  # temperature in deviations of a row's logits, at first and at last


def balanced(logits: Tensor, wanted: Tensor) -> Tensor:
    """What to add to the `logits` of choices, `rows choices`, so that rows take each as often as `wanted`.

    wanted: a share for each choice, in all 1; one with none gets -inf. By the iterations of Sinkhorn (Cuturi 2013), in
    logarithms.
    """
    free = wanted > 0
    rows, target = logits[:, free], wanted[free].log() + math.log(len(logits))
    spread, added = rows.std(1, correction=0).mean(), rows.new_zeros(rows.shape[1])
    if spread > 0:
        for softness in torch.logspace(math.log10(_SOFT), math.log10(_HARD), _TURNS).to(rows) * spread:
            taken = ((rows + added) / softness).log_softmax(1).logsumexp(0)
            added = added - softness * (taken - target)
    found = torch.full_like(wanted, -math.inf)
    found[free] = added - added.mean()
    return found
