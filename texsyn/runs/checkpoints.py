"""Checkpoints of a training run: stored as it goes, and read back from the newest that is whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from texsyn.core.errors import TexsynError
from texsyn.media.exemplar import Exemplar
from texsyn.models.triangle import Triangle
from texsyn.runs import serialization, storage
from texsyn.runs.fields import number_in
from texsyn.training.state import TrainState

_KEEP = 2
_RANGES: dict[str, tuple[type, float, float]] = {
    "step": (int, 1, 2**53),
    "seconds": (float, 0, 1e12),
    "penalty_scale": (float, 0, 1e6),
    "lr_scale": (float, 0, 1),
    "rollbacks": (int, 0, 1e6),
    "nonfinite_steps": (int, 0, 1e6),
    "level": (int, 0, 4),
    "level_step": (int, 0, 2**53),
}


Warn = Callable[[str], None]


def stored(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the newest first."""
    found = (path for path in folder.glob("[0-9]*") if path.is_dir() and path.name.isdigit())
    return sorted(found, key=lambda path: int(path.name), reverse=True)


def name_of(state: TrainState) -> str:
    """The name of a state's checkpoint: its step in eight digits."""
    return f"{state.step:08d}"


def store(folder: Path, state: TrainState, warn: Warn) -> None:
    """Store a state, and keep the checkpoint before it. A full disk costs this checkpoint, not the run."""
    try:
        storage.store(folder / name_of(state), state.tensors(), state.numbers())
    except TexsynError as error:
        warn(f"{error}; training continues with the checkpoint before")
        return
    for old in stored(folder)[_KEEP:]:
        shutil.rmtree(old, ignore_errors=True)


def restore(folder: Path, state: TrainState, warn: Warn) -> bool:
    """Set `state` to the newest checkpoint that can be read; False when there is none."""
    found = _read_newest(folder, state.tensors(), warn)
    if found is not None:
        state.restore(*found)
    return found is not None


class Loaded(NamedTuple):
    """What a checkpoint tells beside a triangle's weights."""

    pixels: list[Tensor]  # of the exemplars, as the base's networks learn from them
    level: int  # that was in training
    step: int
    seconds: float


def load_triangle(folder: Path, triangle: Triangle, exemplars: Sequence[Exemplar], format: int) -> Loaded | None:
    """Give `triangle`, of the meta device, the weights of the newest checkpoint that can be read.

    Optimisers are not read. None when there is no checkpoint.
    """
    weights = {f"triangle.{name}": value for name, value in triangle.state_dict().items()}
    found = _read_newest(folder, weights | _estimates(exemplars), _ignore, format, partial=True)
    if found is None:
        return None
    tensors, numbers = found
    triangle.load_state_dict({name.removeprefix("triangle."): tensors[name] for name in weights}, assign=True)
    pixels = [
        tensors[_estimate(n)] if _estimate(n) in tensors else triangle.scaled(each.pixels)
        for n, each in enumerate(exemplars)
    ]
    return Loaded(pixels, min(numbers["level"], len(triangle.levels)), numbers["step"], numbers["seconds"])


def load_pixels(folder: Path, exemplars: Sequence[Exemplar], format: int) -> list[Tensor]:
    """The exemplars, `channels *axes` each; masked pixels as estimated by the newest checkpoint that can be read."""
    estimates = _estimates(exemplars)
    found = _read_newest(folder, estimates, _ignore, format, partial=True) if estimates else None
    tensors = {} if found is None else found[0]
    return [each.estimated(tensors.get(_estimate(n))) for n, each in enumerate(exemplars)]


def _estimates(exemplars: Sequence[Exemplar]) -> dict[str, Tensor]:
    """Tensors of the shape of masked exemplars' estimates, which are at the networks' scale, by their names."""
    masked = {n: each for n, each in enumerate(exemplars) if each.mask is not None}
    return {
        _estimate(n): torch.empty(each.modality.channels, *each.modality.network_size(each.size))
        for n, each in masked.items()
    }


def _estimate(number: int) -> str:
    """The name in a checkpoint of what masked pixels of an exemplar are estimated to be."""
    return f"estimate.{number}"


def _ignore(warning: str) -> None:
    pass


def _read_newest(
    folder: Path,
    expected: Mapping[str, Tensor],
    warn: Warn,
    format: int = serialization.FORMAT,
    partial: bool = False,
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and numbers of the newest checkpoint that can be read, in today's names; None when there is none.

    expected, partial: see `storage.read_tensors`. format: of the run.
    """
    for path in stored(folder):
        try:
            tensors = serialization.read_tensors(path, expected, format, partial)
            content = serialization.upgrade_numbers(storage.read_content(path), format)
            numbers = {name: number_in(content, name, *bounds, path) for name, bounds in _RANGES.items()}
        except TexsynError as error:
            warn(f"{error}; trying the checkpoint before")
            continue
        return tensors, numbers
    return None
