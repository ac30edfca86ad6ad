"""PNG files written row by row: Pillow wants the whole image at once."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from texsyn.core.files import replacing
from texsyn.core.maps import Plane

_ROWS = 16  # filtered at once; filtering takes many times their bytes
_COLOUR_TYPES = {1: 0, 3: 2}  # of PNG, by the number of channels
_FILTERS = np.array([1, 2, 4], np.uint8)  # Sub, Up and Paeth


@dataclass(frozen=True)
class Layout:
    """The whole of one file."""

    frames: int
    height: int
    width: int
    channels: int
    fps: float
    comment: str | None
    bits: int = 8  # for each value: uint8, uint16, or float32 in [0, 1]
    planes: tuple[Plane, ...] = ()  # in these channels, where it is known


Put = Callable[[np.ndarray], None]  # takes the next `t h w channels`: frames of a clip, or rows of a still


@contextmanager
def png_encoder(path: Path, layout: Layout) -> Iterator[Put]:
    """Write a still, `1 h w channels` of 8 or 16 bits, as its rows come."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        header = (layout.width, layout.height, layout.bits, _COLOUR_TYPES[layout.channels], 0, 0, 0)
        _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", *header))
        if layout.comment:
            _write_chunk(file, b"iTXt", b"Comment\0\0\0\0\0" + layout.comment.encode())
        compressor, above = (
            zlib.compressobj(6),
            np.zeros((1, layout.width, layout.channels * layout.bits // 8), np.uint8),
        )

        def put(block: np.ndarray) -> None:
            nonlocal above
            (image,) = _as_bytes(block)
            for first in range(0, len(image), _ROWS):
                rows = image[first : first + _ROWS]
                data = compressor.compress(_filtered(rows, above))
                above = rows[-1:]
                if data:
                    _write_chunk(file, b"IDAT", data)

        yield put
        _write_chunk(file, b"IDAT", compressor.flush())
        _write_chunk(file, b"IEND", b"")


def _as_bytes(block: np.ndarray) -> np.ndarray:
    """`1 h w values` -> `1 h w bytes`, the most significant byte first."""
    return block if block.dtype == np.uint8 else np.ascontiguousarray(block, ">u2").view(np.uint8)


def _write_chunk(file: IO[bytes], kind: bytes, data: bytes) -> None:
    file.write(len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4))


def _filtered(rows: np.ndarray, above: np.ndarray) -> bytes:
    """PNG's filters Sub, Up and Paeth (PNG 1.2, section 6), for each row the one that leaves the least."""
    up = np.concatenate([above, rows[:-1]]).astype(np.int16)
    left, corner = (np.pad(each, ((0, 0), (1, 0), (0, 0)))[:, :-1].astype(np.int16) for each in (rows, up))
    filtered = np.stack([(rows - each).astype(np.uint8) for each in (left, up, _paeth(left, up, corner))])
    cost = np.abs(filtered.view(np.int8).astype(np.int16)).sum((2, 3), dtype=np.int64)
    best = cost.argmin(0)
    chosen = filtered[best, np.arange(len(rows))].reshape(len(rows), -1)
    return np.concatenate([_FILTERS[best][:, None], chosen], 1).tobytes()


def _paeth(left: np.ndarray, up: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Of the three neighbours the one nearest to left + up - corner."""
    guess = left + up - corner
    to_left, to_up, to_corner = (np.abs(guess - each) for each in (left, up, corner))
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, np.where(to_up <= to_corner, up, corner))
