"""Where a new run may be laid out."""

from __future__ import annotations

from pathlib import Path

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import PART
from texsyn.core.text import short
from texsyn.runs import serialization


def refuse_used(path: Path) -> None:
    """Raise TexsynError (exit 2) for a path that holds more than an empty folder, or a run half laid out."""
    if path.exists() and not (path.is_dir() and all(_is_leftover(each.name) for each in path.iterdir())):
        raise TexsynError(f"{short(str(path))} exists already: --out names another folder", Exit.USAGE)


def _is_leftover(name: str) -> bool:
    """Whether a process that was killed while it laid a run out may have left a file or folder of that name."""
    folders = {"checkpoints", "exemplar", *serialization.PREVIEWS.values()}
    return name in folders or name.endswith((".part", ".old")) or name.startswith(PART)


def default_path(name: str, parent: Path = Path("runs")) -> Path:
    """`runs/NAME-N` with the first free N; `name` is the exemplar's."""
    stem = "".join(c if c.isalnum() or c in "-_" else "-" for c in name)[:40] or "run"
    number = 1
    while (parent / f"{stem}-{number}").exists():
        number += 1
    return parent / f"{stem}-{number}"
