"""Weights to begin training with, learnt from rendered textures: see `videos/train_start.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from texsyn.core.modality import Modality
from texsyn.models.colour_frame import ColourFrame
from texsyn.models.triangle import Triangle

_SCALE = ".scale"  # ends the names of the scales of what is stored in 8 bits
_LARGEST = 127


def put_into(triangle: Triangle, pixels: Sequence[Tensor]) -> None:
    """Put the initial weights of the triangle's kind into it, in the colours of its exemplars, `channels *axes` each.

    Of layers that see or make further planes and labels, the part that is known is taken; the rest stays fresh, as
    does all of a triangle with other layers, or with labels between what is known, or of a kind without such weights.
    """
    blob = stored(triangle.modality)
    if blob is None or (triangle.design.labels and triangle.design.constant_channels):
        return
    colours = triangle.modality.planes[0].channels
    weights = ColourFrame.of([each[:colours] for each in pixels]).turn(decompress(blob))
    own = dict(triangle.named_parameters())
    if not all(name in own and _fits(weight, own[name]) for name, weight in weights.items()):
        return
    with torch.no_grad():
        for name, weight in weights.items():
            own[name][tuple(map(slice, weight.shape))] = weight.to(own[name])
    triangle.start_average()


def _fits(weight: Tensor, own: Tensor) -> bool:
    """Whether they differ at most along one axis, of which there is more in `own`."""
    if weight.dim() != own.dim():
        return False
    differences = [b - a for a, b in zip(weight.shape, own.shape, strict=True)]
    return min(differences) >= 0 and sum(map(bool, differences)) <= 1


def file(modality: Modality) -> Path:
    """Where the initial weights of a kind lie."""
    return Path(__file__).parent / "initial" / f"{'clip' if modality.moving else 'still'}.safetensors"


def stored(modality: Modality) -> bytes | None:
    """The initial weights of a kind, for `decompress`; None where there are none."""
    path = file(modality)
    return path.read_bytes() if path.is_file() and not modality.collection else None


def compress(weights: Mapping[str, Tensor]) -> bytes:
    """Weights in 8 bits, with a scale for each index of their first axis; vectors in 32 bits. See `decompress`."""
    tensors = {}
    for name, weight in weights.items():
        if weight.dim() > 1:
            scale = weight.flatten(1).abs().amax(1).clamp(min=1e-12) / _LARGEST
            tensors[name] = (weight / scale.view(-1, *(1,) * (weight.dim() - 1))).round().to(torch.int8).contiguous()
            tensors[name + _SCALE] = scale
        else:
            tensors[name] = weight.contiguous()
    return save(tensors)


def decompress(blob: bytes) -> dict[str, Tensor]:
    """The weights that `compress` stored."""
    tensors = load(blob)
    weights = {}
    for name, weight in tensors.items():
        scale = tensors.get(name + _SCALE)
        if scale is not None:
            weights[name] = weight.float() * scale.view(-1, *(1,) * (weight.dim() - 1))
        elif not name.endswith(_SCALE):
            weights[name] = weight
    return weights
