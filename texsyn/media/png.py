"""PNG files written as their rows come: Pillow wants the whole picture."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from texsyn.core.files import replacing

_ROWS = 16  # of a PNG that are filtered at once: filtering takes many times their bytes


@dataclass(frozen=True)
class Layout:
    """The whole of one file."""

    frames: int
    height: int
    width: int
    channels: int
    fps: float
    comment: str | None


Put = Callable[[np.ndarray], None]  # takes the next `t h w channels`, uint8: frames of a clip, or rows of a still


@contextmanager
def png_sink(path: Path, layout: Layout) -> Iterator[Put]:
    """Rows as they come: Pillow wants the whole picture."""
    with replacing(path) as temporary, temporary.open("wb") as file:

        def chunk(kind: bytes, data: bytes) -> None:
            file.write(len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4))

        file.write(b"\x89PNG\r\n\x1a\n")
        colour = {1: 0, 3: 2}[layout.channels]
        chunk(b"IHDR", struct.pack(">IIBBBBB", layout.width, layout.height, 8, colour, 0, 0, 0))
        if layout.comment:
            chunk(b"iTXt", b"Comment\0\0\0\0\0" + layout.comment.encode())
        packed, above = zlib.compressobj(6), np.zeros((1, layout.width, layout.channels), np.uint8)

        def put(block: np.ndarray) -> None:
            nonlocal above
            (whole,) = block
            for first in range(0, len(whole), _ROWS):
                rows = whole[first : first + _ROWS]
                data = packed.compress(_filtered(rows, above))
                above = rows[-1:]
                if data:
                    chunk(b"IDAT", data)

        yield put
        chunk(b"IDAT", packed.flush())
        chunk(b"IEND", b"")


def _filtered(rows: np.ndarray, above: np.ndarray) -> bytes:
    """PNG's filters Sub, Up and Paeth, row by row whichever leaves least."""
    up = np.concatenate([above, rows[:-1]]).astype(np.int16)
    left, corner = (np.pad(each, ((0, 0), (1, 0), (0, 0)))[:, :-1].astype(np.int16) for each in (rows, up))
    guess = left + up - corner
    to_left, to_up, to_corner = (np.abs(guess - each) for each in (left, up, corner))
    paeth = np.where((to_left <= to_up) & (to_left <= to_corner), left, np.where(to_up <= to_corner, up, corner))
    tried = np.stack([(rows - each).astype(np.uint8) for each in (left, up, paeth)])
    cost = np.abs(tried.view(np.int8).astype(np.int16)).sum((2, 3), dtype=np.int64)
    best = cost.argmin(0)
    chosen = tried[best, np.arange(len(rows))].reshape(len(rows), -1)
    return np.concatenate([np.array([1, 2, 4], np.uint8)[best][:, None], chosen], 1).tobytes()
