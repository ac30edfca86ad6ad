"""What a file is, by its first bytes, and how large it may be. Every file is hostile until these checks pass."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from PIL import UnidentifiedImageError

from texsyn.core.errors import TexsynError
from texsyn.core.files import existing
from texsyn.core.text import reason, short

MAX_BYTES = 200_000_000  # of a file
MAX_PIXELS = 64_000_000  # of a frame
MAX_VALUES = 6 * MAX_PIXELS * 3  # of all frames of a clip
MAX_FRAMES = 2000
MAX_SECONDS = 120.0

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\x00": "tiff",
    b"MM\x00*": "tiff",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"v/1\x01": "exr",
    b"\x1aE\xdf\xa3": "video",  # Matroska, WebM
}
_RIFF = {b"WEBP": "webp", b"AVI ": "video"}
_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free")  # how MP4 and QuickTime files begin, after four bytes
# Errors whose words help nobody: those of parsers that a broken file leads astray.
_PARSER_ERRORS = (
    UnidentifiedImageError,
    AttributeError,
    LookupError,
    SyntaxError,
    TypeError,
    UnicodeError,
    struct.error,
)


@dataclass(frozen=True)
class Member:
    """An image in an archive, in the place of a file."""

    name: str
    data: bytes = field(repr=False)

    def open(self, mode: str = "rb") -> BinaryIO:
        """Its bytes, to be read."""
        return io.BytesIO(self.data)


File = Path | Member


def format_of(path: File) -> str:
    """png, jpeg, tiff, webp, exr, gif or video, by the first bytes. Raises TexsynError (exit 3) for anything else."""
    head = _first_bytes(path)
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if head[4:8] in _ATOMS:
        return "video"
    raise TexsynError(
        f"{short(path.name)} is neither an image (PNG, JPEG, WebP, TIFF, EXR) nor a clip (MP4, MOV, WebM, AVI, GIF)"
    )


def _first_bytes(path: File) -> bytes:
    try:
        size = len(path.data) if isinstance(path, Member) else existing(path).stat().st_size
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise TexsynError(f"{short(path.name)}: {reason(error)}") from error
    if size == 0:
        raise TexsynError(f"{short(path.name)} is empty")
    if size > MAX_BYTES:
        raise TexsynError(f"{short(path.name)} is {size / 1e6:.0f} MB, more than the {MAX_BYTES / 1e6:.0f} MB allowed")
    return head


def check_size(path: File, frames: int, height: int, width: int) -> None:
    """Raise TexsynError (exit 3) for more pixels or frames than are decoded."""
    if width * height > MAX_PIXELS:
        raise TexsynError(
            f"{short(path.name)} is {width} x {height}, more than the {MAX_PIXELS / 1e6:.0f} million pixels allowed"
        )
    if frames > MAX_FRAMES:
        raise TexsynError(f"{short(path.name)} has {frames} frames, more than the {MAX_FRAMES} allowed: cut it first")
    if frames * height * width * 3 > MAX_VALUES:
        raise TexsynError(f"{short(path.name)} is too large for memory: cut or shrink it first")


def check_duration(path: Path, seconds: float) -> None:
    """Raise TexsynError (exit 3) for a clip that lasts longer than is decoded."""
    if seconds > MAX_SECONDS:
        raise TexsynError(f"{short(path.name)} is longer than the {MAX_SECONDS:.0f} seconds allowed: cut it first")


@contextmanager
def decoder_errors(path: File, what: str) -> Iterator[None]:
    """Turn a decoder's exceptions into TexsynError (exit 3): `path` cannot be read as `what`."""
    try:
        yield
    except TexsynError:
        raise
    except Exception as error:  # decoders raise dozens of kinds for a broken file
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error  # imageio wraps Pillow's
        why = "it is damaged" if isinstance(cause, _PARSER_ERRORS) else reason(cause)
        raise TexsynError(f"{short(path.name)} cannot be read as {what}: {why}") from error
