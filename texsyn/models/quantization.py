"""Weights in few bits, to be stored: whole numbers with a scale for each index of their first axis."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale"  # ends the names of the scales


def quantize(weights: Mapping[str, Tensor], bits: int = 8) -> dict[str, Tensor]:
    """Weights of two axes and more as int8 of so many bits, with their scales; vectors stay as they are."""
    largest = 2 ** (bits - 1) - 1
    tensors = {}
    for name, weight in weights.items():
        if weight.dim() > 1:
            scale = weight.flatten(1).abs().amax(1).clamp(min=1e-12) / largest
            tensors[name] = (weight / _spread(scale, weight)).round().to(torch.int8).contiguous()
            tensors[name + SCALE] = scale
        else:
            tensors[name] = weight.contiguous()
    return tensors


def dequantize(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that `quantize` was given, rounded."""
    weights = {}
    for name, weight in tensors.items():
        scale = tensors.get(name + SCALE)
        if scale is not None:
            weights[name] = weight.float() * _spread(scale, weight)
        elif not name.endswith(SCALE):
            weights[name] = weight
    return weights


def _spread(scale: Tensor, weight: Tensor) -> Tensor:
    return scale.view(-1, *(1,) * (weight.dim() - 1))
