"""Many images of one size, kept in a file of their bytes and read when training draws them: memory stays small."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.text import reason

_HALF = 127.5  # of the range of 8 bits
_BUFFER = 1 << 20  # bytes written at a time


def to_bytes(values: Tensor) -> Tensor:
    """Values in [-1, 1] in 8 bits."""
    return ((values + 1) * _HALF).round().clamp(0, 2 * _HALF).to(torch.uint8)


def from_bytes(stored: Tensor) -> Tensor:
    """The values that `to_bytes` was given, rounded."""
    return stored / _HALF - 1


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images of `side` x `side` pixels: those of a file, `n side side channels` uint8, whose places are `numbers`."""

    file: Path
    side: int
    channels: int
    numbers: np.ndarray = field(repr=False)  # int64
    classes: np.ndarray | None = field(default=None, repr=False)  # of each image of the file, int64
    owner: object = field(default=None, repr=False)  # whose file it is, as long as it is not stored

    def __len__(self) -> int:
        return len(self.numbers)

    def read(self, indices: Sequence[int] | np.ndarray) -> Tensor:
        """Images by their indices, `n channels side side` in [-1, 1]. Raises TexsynError (exit 3) if they are gone."""
        shape = (self.side, self.side, self.channels)
        try:
            # A new map each time: pages of an old one would count as this process's memory.
            stored = np.memmap(self.file, np.uint8, mode="r").reshape(-1, *shape)
            found = stored[self.numbers[np.asarray(indices, np.int64)]]
        except (OSError, ValueError, IndexError) as error:
            raise TexsynError(f"the images in {self.file.name} cannot be read: {reason(error)}") from error
        return from_bytes(torch.from_numpy(np.ascontiguousarray(found.transpose(0, 3, 1, 2))))

    def classes_of(self, indices: Sequence[int] | np.ndarray) -> list[int]:
        """The number of each image's class; 0 where there are none."""
        chosen = np.asarray(indices, np.int64)
        found: list[int] = ([0] * len(chosen)) if self.classes is None else self.classes[self.numbers[chosen]].tolist()
        return found

    def drawn(self, first: int, count: int, seed: int) -> np.ndarray:
        """Indices of the images that training draws from its number `first` on.

        Each is drawn once before any is drawn again, in an order that follows from the seed and the round.
        """
        drawn = np.arange(first, first + count)
        orders = [_order(len(self), seed, int(each)) for each in drawn // len(self)]
        return np.array([order[n] for order, n in zip(orders, drawn % len(self), strict=True)], np.int64)

    def of_class(self, number: int) -> Pictures:
        """The images of one class."""
        if self.classes is None:
            return self
        return replace(self, numbers=self.numbers[self.classes[self.numbers] == number])

    def split(self, held: int, seed: int) -> tuple[Pictures, Pictures]:
        """The images without `held` of them, chosen at random by the seed, and those."""
        order = self.numbers[_order(len(self), seed, -1)]
        return replace(self, numbers=order[held:]), replace(self, numbers=order[:held])

    def store(self, path: Path) -> None:
        """Copy the file. Raises TexsynError (exit 5) when the disk refuses."""
        try:
            path.unlink(missing_ok=True)
            try:
                os.link(self.file, path)
            except OSError:  # on another disk
                shutil.copyfile(self.file, path)
        except OSError as error:
            raise TexsynError(f"{path.name} cannot be stored: {reason(error)}", Exit.DISK) from error


def _delete(file: IO[bytes], path: Path) -> None:
    with suppress(OSError):
        file.close()
    path.unlink(missing_ok=True)


@lru_cache(maxsize=4)
def _order(count: int, seed: int, turn: int) -> np.ndarray:
    return np.random.default_rng((seed, turn + 1)).permutation(count)


class PictureFile:
    """A file that images are appended to. It is deleted with this object and all `Pictures` that it gave."""

    def __init__(self, folder: Path, side: int, channels: int) -> None:
        """Raises TexsynError (exit 5) when the disk refuses."""
        self.side, self.channels, self.count = side, channels, 0
        try:
            handle, name = tempfile.mkstemp(prefix=".texsyn-", suffix=".images", dir=folder)
        except OSError as error:
            raise TexsynError(f"images cannot be kept in {folder.name}: {reason(error)}", Exit.DISK) from error
        self.path = Path(name)
        self._file = os.fdopen(handle, "wb", _BUFFER)
        weakref.finalize(self, _delete, self._file, self.path)

    def append(self, image: np.ndarray) -> None:
        """Add one image, `side side channels` uint8. Raises TexsynError (exit 5) when the disk refuses."""
        try:
            self._file.write(np.ascontiguousarray(image).data)
        except OSError as error:
            raise TexsynError(f"no room for images in {self.path.parent.name}: {reason(error)}", Exit.DISK) from error
        self.count += 1

    def close(self) -> None:
        """End the file. Raises TexsynError (exit 5) when the disk refuses."""
        try:
            self._file.close()
        except OSError as error:
            raise TexsynError(f"no room for images in {self.path.parent.name}: {reason(error)}", Exit.DISK) from error

    def pictures(self, classes: Sequence[int] | None) -> Pictures:
        """All images, after `close`. classes: of each, if they have any."""
        known = None if classes is None else np.asarray(classes, np.int64)
        return Pictures(self.path, self.side, self.channels, np.arange(self.count), known, self)
