"""The exemplars of a run on disk: their tensors in RUN/exemplar, and the facts about them in run.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from texsyn.core.files import existing
from texsyn.core.modality import Modality
from texsyn.media.collection import MAX_CLASSES
from texsyn.media.exemplar import Exemplar
from texsyn.media.pictures import Pictures, from_bytes, to_bytes
from texsyn.runs import serialization, storage
from texsyn.runs.fields import damaged, number_in

_PARTS = ("pixels", "held", "mask")  # tensors of an exemplar
_LEARNT, _HELD, _CLASSES = "pictures", "held_pictures", "classes"  # tensors of a collection
_IMAGES = "images.u8"  # file of a collection's images
_COUNTS = ("width", "height", "frames", "used_frames", "pictures")  # among the facts


def store(folder: Path, exemplars: Sequence[Exemplar], packed: bool = False) -> None:
    """Write the exemplars' tensors, and the images of a collection. Raises TexsynError (exit 5) when the disk refuses.

    packed: in 8 bits, and of a collection only the images that are shown.
    """
    named = {f"{part}.{number}": getattr(each, part) for number, each in enumerate(exemplars) for part in _PARTS}
    tensors = {name: tensor for name, tensor in named.items() if tensor is not None}
    pictures, held = exemplars[0].pictures, exemplars[0].held_pictures
    if pictures is None or held is None or packed:
        storage.store(folder, {name: to_bytes(each) for name, each in tensors.items()} if packed else tensors, {})
        return
    numbers = {_LEARNT: torch.from_numpy(pictures.numbers), _HELD: torch.from_numpy(held.numbers)}
    if pictures.classes is not None:
        numbers[_CLASSES] = torch.from_numpy(pictures.classes)
    storage.store(folder, tensors | numbers, {})
    pictures.store(folder / _IMAGES)


def facts_in(content: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    """The facts about each exemplar in run.json. Raises TexsynError (exit 3) for values that cannot be right."""
    found = content.get("exemplars")
    if not isinstance(found, list) or not found or not all(isinstance(each, dict) for each in found):
        raise damaged(folder, "list of exemplars")
    for each in found:
        classes_in(each, folder)
        for name in _COUNTS:
            if name in each:
                number_in(each, name, int, 1, 10**9, folder)
        if not isinstance(each.get("name", ""), str):
            raise damaged(folder, "list of exemplars")
    return found


def classes_in(facts: Mapping[str, Any], folder: Path) -> list[str]:
    """The names of a collection's classes. Raises TexsynError (exit 3) for values that cannot be right."""
    found = facts.get("classes", [])
    if not isinstance(found, list) or len(found) > MAX_CLASSES or not all(isinstance(each, str) for each in found):
        raise damaged(folder, "list of classes")
    return found


def load(
    folder: Path, modality: Modality, facts: Sequence[dict[str, Any]], fps: float, format: int
) -> tuple[Exemplar, ...]:
    """The exemplars of a run of that format. Raises TexsynError (exit 3) where tensors do not fit the modality."""
    stored = serialization.read_tensors(folder, format=format)
    numbers = {name: stored.pop(name) for name in (_LEARNT, _HELD, _CLASSES) if name in stored}
    tensors = {name: _unpack(each) for name, each in stored.items()}
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
    if numbers:
        learnt, held_out = _pictures(folder, modality, numbers, len(classes_in(facts[0], folder)))
        found[0] = replace(found[0], pictures=learnt, held_pictures=held_out)
    return tuple(found)


def _pictures(folder: Path, modality: Modality, numbers: Mapping[str, Tensor], classes: int) -> list[Pictures]:
    """The images of a collection that are learnt, and those held out. Raises TexsynError (exit 3) for wrong ones."""
    file, side = folder / _IMAGES, modality.side
    count, rest = divmod(existing(file).stat().st_size, side * side * modality.channels)
    limits = {_LEARNT: count, _HELD: count, _CLASSES: classes}  # what each tensor's numbers are below
    wanted = {name for name, limit in limits.items() if limit}
    within = all(
        (each.dim(), each.dtype) == (1, torch.int64)
        and len(each) > 0
        and 0 <= int(each.min()) <= int(each.max()) < limits[name]
        for name, each in numbers.items()
    )
    known = numbers.get(_CLASSES)
    if rest or not modality.collection or numbers.keys() != wanted or not within:
        raise damaged(folder, "images")
    if known is not None and len(known) != count:
        raise damaged(folder, "classes")
    of = None if known is None else known.numpy()
    return [Pictures(file, side, modality.channels, numbers[name].numpy(), of) for name in (_LEARNT, _HELD)]


def _unpack(stored: Tensor) -> Tensor:
    return from_bytes(stored) if stored.dtype == torch.uint8 else stored


def _fits(tensor: Tensor, channels: int, modality: Modality) -> bool:
    return tensor.dim() == 1 + len(modality.axes) and tensor.shape[0] == channels
