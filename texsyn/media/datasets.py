"""The standard files of MNIST and CIFAR-10."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from einops import rearrange

from texsyn.core.errors import TexsynError
from texsyn.core.text import reason, short

_MAX_BYTES = 2_000_000_000  # of a file, unpacked
_MAX_SIDE = 256  # pixels
_IDX_IMAGES, _IDX_CLASSES = b"\0\0\x08\x03", b"\0\0\x08\x01"
_IDX_HEADER = 16  # bytes
_CIFAR_RECORD = 3073  # bytes of a class and an image


def read_images(file: Path, most: int) -> Iterator[np.ndarray]:
    """`h w 3` each, uint8. Raises TexsynError (exit 3) for other files, and for more than `most` images."""
    blob = _unpacked(file)
    if blob[:4] == _IDX_IMAGES:
        yield from _idx_images(file, blob, most)
    elif blob[:4] == _IDX_CLASSES:
        raise TexsynError(f"{short(file.name)} holds classes, not images: name the file of images")
    elif file.suffix == ".bin":
        yield from _cifar_images(file, blob, most)
    else:
        raise TexsynError(
            f"{short(file.name)} is neither a folder, nor a file of MNIST's (IDX) or of CIFAR-10's (.bin)"
        )


def _idx_images(file: Path, blob: bytes, most: int) -> Iterator[np.ndarray]:
    count, height, width = (int.from_bytes(blob[n : n + 4], "big") for n in (4, 8, 12))
    _check_counts(file, count, height, width, most)
    expected = _IDX_HEADER + count * height * width
    if len(blob) != expected:
        raise TexsynError(
            f"{short(file.name)} is damaged: it has {len(blob)} bytes, but {count} images of {width} x {height} need "
            f"{expected}"
        )
    grey = np.frombuffer(blob, np.uint8, offset=_IDX_HEADER).reshape(count, height, width)
    return (np.repeat(each[..., None], 3, -1) for each in grey)


def _cifar_images(file: Path, blob: bytes, most: int) -> Iterator[np.ndarray]:
    if not blob or len(blob) % _CIFAR_RECORD:
        raise TexsynError(f"{short(file.name)} is damaged: its {len(blob)} bytes are no multiple of {_CIFAR_RECORD}")
    records = np.frombuffer(blob, np.uint8).reshape(-1, _CIFAR_RECORD)
    _check_counts(file, len(records), 32, 32, most)
    return iter(rearrange(records[:, 1:], "n (c h w) -> n h w c", c=3, h=32))


def _check_counts(file: Path, count: int, height: int, width: int, most: int) -> None:
    if not (0 < count <= most and 0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
        raise TexsynError(f"{short(file.name)} claims {count} images of {width} x {height}: too many, or none")


def _unpacked(file: Path) -> bytes:
    try:
        with file.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(file) if packed else file.open("rb") as data:
            blob = data.read(_MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise TexsynError(f"{short(file.name)} cannot be read: {reason(error)}") from error
    if len(blob) > _MAX_BYTES:
        raise TexsynError(f"{short(file.name)} is larger than the {_MAX_BYTES / 1e9:.0f} GB allowed")
    return blob
