"""Images of a run's progress: its exemplar beside the newest sample, and a cover for lists of runs."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from files import Files
from PIL import Image

from texsyn import Run


class Previews:
    """The previews that training stores in a run. Runs of format 1 have contact sheets only; these stand in."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._covers = lru_cache(maxsize=256)(self._write_cover)

    def newest_sheet(self, run: Run) -> Path | None:
        """The newest contact sheet; None before the first."""
        previews = run.previews()
        return previews[-1].sheet if previews else None

    def compare(self, run: Run) -> tuple[np.ndarray, np.ndarray] | None:
        """The exemplar and the newest sample, images of one size; None before the first preview."""
        previews = run.previews()
        if not previews:
            return None
        sample, exemplar = previews[-1].sample, run.exemplar_preview
        if sample is None or exemplar is None:
            sample = exemplar = previews[-1].sheet
        return _read(exemplar), _read(sample)

    def cover(self, run: Run) -> Path | None:
        """A square image of the newest sample, as a file that may be shown; None before the first preview."""
        previews = run.previews()
        if not previews:
            return None
        newest = previews[-1].sample or previews[-1].sheet
        path = self._covers(newest, square=previews[-1].sample is not None)
        if not path.exists():  # deleted for newer files
            self._covers.cache_clear()
            path = self._covers(newest, square=previews[-1].sample is not None)
        return path

    def _write_cover(self, image: Path, square: bool) -> Path:
        pixels = _read(image)
        return self._files.write_image(pixels[:, : len(pixels)] if square else pixels)  # of a clip, the first frame


def _read(path: Path) -> np.ndarray:
    """An image as `height width 3`, 0 to 255."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
