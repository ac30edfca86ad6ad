"""States of a fit on disk: stored as it goes, and read back from the newest that is whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from texsyn.core.errors import TexsynError
from texsyn.runs import serialization, storage
from texsyn.training import loop

_KEEP = 2
_RANGES: dict[str, tuple[type, float, float]] = {
    "step": (int, 1, 2**53),
    "seconds": (float, 0, 1e12),
    "penalty_scale": (float, 0, 1e6),
    "lr_scale": (float, 0, 1),
    "rollbacks": (int, 0, 1e6),
    "nonfinite_steps": (int, 0, 1e6),
}


def stored(places: Path) -> list[Path]:
    """The checkpoints in a folder, the newest first."""
    found = (p for p in places.glob("[0-9]*") if p.is_dir() and p.name.isdigit())
    return sorted(found, key=lambda p: int(p.name), reverse=True)


def name_of(state: loop.TrainState) -> str:
    """What the checkpoint of a state is called."""
    return f"{state.step:08d}"


def store(places: Path, state: loop.TrainState, warn: Callable[[str], None]) -> None:
    """Keep a state, and the one before. A full disk costs this checkpoint, not the fit."""
    try:
        storage.store(places / name_of(state), state.tensors(), state.numbers())
    except TexsynError as error:
        warn(f"{error}; the fit goes on with the checkpoint before")
        return
    for old in stored(places)[_KEEP:]:
        shutil.rmtree(old, ignore_errors=True)


def restore(places: Path, state: loop.TrainState, warn: Callable[[str], None]) -> bool:
    """Put `state` where the newest checkpoint left it that can be read; False when there is none."""
    for folder in stored(places):
        try:
            tensors = serialization.tensors(folder, state.tensors())
            content = storage.read_content(folder)
            numbers = {name: serialization.number_in(content, name, *each, folder) for name, each in _RANGES.items()}
        except TexsynError as error:
            warn(f"{error}; trying the one before")
            continue
        state.restore(tensors, numbers)
        return True
    return False
