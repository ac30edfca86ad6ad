"""Weights to begin training with, learnt from rendered textures: see `videos/train_start.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from texsyn.core.modality import Modality
from texsyn.models.colour_frame import ColourFrame
from texsyn.models.quantization import dequantize, quantize
from texsyn.models.triangle import Triangle


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
    """Weights in 8 bits, as a file. See `decompress`."""
    return save(quantize(weights))


def decompress(blob: bytes) -> dict[str, Tensor]:
    """The weights that `compress` stored."""
    return dequantize(load(blob))
