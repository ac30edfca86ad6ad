"""What texsyn writes into its files about how they were made: JSON in a comment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from texsyn.media import exr, images, video
from texsyn.media.detection import format_of

_KEY = "texsyn"


def to_comment(metadata: dict[str, Any] | None) -> str | None:
    """The comment that `read_metadata` understands; None for none."""
    return None if metadata is None else json.dumps({_KEY: metadata}, sort_keys=True)


def read_metadata(path: Path) -> dict[str, Any] | None:
    """What texsyn wrote into a file, or None if it wrote nothing. Raises TexsynError (exit 3)."""
    format = format_of(path)
    if format == "exr":
        comment = exr.read_comment(path)
    else:
        comment = video.read_comment(path) if format == "video" else images.read_comment(path, format)
    try:
        content = json.loads(comment or "null")
    except (ValueError, RecursionError):
        return None
    metadata = content.get(_KEY) if isinstance(content, dict) else None
    return metadata if isinstance(metadata, dict) else None
