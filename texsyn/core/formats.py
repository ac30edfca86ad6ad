"""File formats by name: which ones are read, which ones are written, and how their names end."""

from __future__ import annotations

from pathlib import Path

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.text import short

# Endings that people may choose as an exemplar. What a file is, only its bytes say.
STILL_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".exr")
CLIP_ENDINGS = (".mp4", ".mov", ".webm", ".avi", ".gif")  # animated PNG and WebP have a still's ending
ENDINGS = (*STILL_ENDINGS, *CLIP_ENDINGS)

# Formats that textures are written in, the default first, with the endings of their names.
STILL_FORMATS = {"png": (".png",), "jpg": (".jpg", ".jpeg"), "webp": (".webp",), "exr": (".exr",), "glb": (".glb",)}
CLIP_FORMATS = {"mp4": (".mp4",), "gif": (".gif",), "webp": (".webp",), "frames": ("",), "sheet": (".png",)}
DEFAULT_FPS = 25.0  # frames per second of clips whose exemplar has no rate
_ON_REQUEST = ("frames", "sheet")  # never chosen by a name's ending: a folder, and a PNG


def formats(moving: bool) -> tuple[str, ...]:
    """Names of the formats in which a clip (moving) or a still can be written, the default first.

    >>> formats(moving=False)
    ('png', 'jpg', 'webp', 'exr', 'glb')
    """
    return tuple(CLIP_FORMATS if moving else STILL_FORMATS)


ALL_FORMATS = tuple(dict.fromkeys((*STILL_FORMATS, *CLIP_FORMATS)))


def endings_of(format: str, moving: bool) -> tuple[str, ...]:
    """How names of files in a format end, the default first.

    >>> endings_of("jpg", moving=False), endings_of("frames", moving=True)
    (('.jpg', '.jpeg'), ('',))
    """
    return (CLIP_FORMATS if moving else STILL_FORMATS)[format]


def written_endings(moving: bool) -> tuple[str, ...]:
    """Endings that by themselves choose a format for a clip (moving) or a still."""
    table = CLIP_FORMATS if moving else STILL_FORMATS
    return tuple(ending for name, endings in table.items() if name not in _ON_REQUEST for ending in endings)


WRITTEN_ENDINGS = frozenset((*written_endings(False), *written_endings(True)))


def format_for(path: Path, moving: bool) -> str:
    """The format that a file name's ending chooses. Raises TexsynError (exit 2) when it chooses none."""
    table, suffix = CLIP_FORMATS if moving else STILL_FORMATS, path.suffix.lower()
    for name, endings in table.items():
        if suffix in endings and name not in _ON_REQUEST:
            return name
    raise TexsynError(
        f"{short(path.name)}: a {'clip' if moving else 'still'} is written to {', '.join(written_endings(moving))}",
        Exit.USAGE,
    )
