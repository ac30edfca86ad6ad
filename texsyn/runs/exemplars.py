"""The exemplars of a run on disk: their tensors in RUN/exemplar, and the facts about them in run.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from texsyn.core.modality import Modality
from texsyn.media.exemplar import Exemplar
from texsyn.runs import serialization, storage
from texsyn.runs.fields import damaged, number_in

_PARTS = ("pixels", "held", "mask")  # tensors of an exemplar
_HALF = 127.5  # of the range of 8 bits
_COUNTS = ("width", "height", "frames", "used_frames", "pictures")  # among the facts


def store(folder: Path, exemplars: Sequence[Exemplar], packed: bool = False) -> None:
    """Write the exemplars' tensors; packed: in 8 bits. Raises TexsynError (exit 5) when the disk refuses."""
    named = {f"{part}.{number}": getattr(each, part) for number, each in enumerate(exemplars) for part in _PARTS}
    tensors = {name: tensor for name, tensor in named.items() if tensor is not None}
    storage.store(folder, {name: _pack(each) for name, each in tensors.items()} if packed else tensors, {})


def facts_in(content: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    """The facts about each exemplar in run.json. Raises TexsynError (exit 3) for values that cannot be right."""
    found = content.get("exemplars")
    if not isinstance(found, list) or not found or not all(isinstance(each, dict) for each in found):
        raise damaged(folder, "list of exemplars")
    for each in found:
        for name in _COUNTS:
            if name in each:
                number_in(each, name, int, 1, 10**9, folder)
        if not isinstance(each.get("name", ""), str):
            raise damaged(folder, "list of exemplars")
    return found


def load(
    folder: Path, modality: Modality, facts: Sequence[dict[str, Any]], fps: float, format: int
) -> tuple[Exemplar, ...]:
    """The exemplars of a run of that format. Raises TexsynError (exit 3) where tensors do not fit the modality."""
    tensors = {name: _unpack(each) for name, each in serialization.read_tensors(folder, format=format).items()}
    names = {f"{part}.{number}" for number in range(len(facts)) for part in _PARTS}
    if not tensors.keys() <= names:
        raise damaged(folder, "exemplar")
    found = []
    for number, each in enumerate(facts):
        pixels, held, mask = (tensors.get(f"{part}.{number}") for part in _PARTS)
        if (
            pixels is None
            or not _fits(pixels, modality.channels, modality)
            or not (held is None or _fits(held, modality.channels, modality))
            or not (mask is None or (_fits(mask, 1, modality) and mask.shape[1:] == pixels.shape[1:]))
        ):
            raise damaged(folder, "exemplar")
        found.append(Exemplar(pixels, modality, fps, each, held, mask))
    return tuple(found)


def _pack(values: Tensor) -> Tensor:
    """Values in [-1, 1] in 8 bits."""
    return ((values + 1) * _HALF).round().clamp(0, 2 * _HALF).to(torch.uint8)


def _unpack(stored: Tensor) -> Tensor:
    return stored / _HALF - 1 if stored.dtype == torch.uint8 else stored


def _fits(tensor: Tensor, channels: int, modality: Modality) -> bool:
    return tensor.dim() == 1 + len(modality.axes) and tensor.shape[0] == channels
