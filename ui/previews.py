"""Images and clips of a run's progress, as files that may be shown: its exemplar, its newest sample, a cover."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from files import Files, kept
from PIL import Image

from texsyn import Preview, Run


class Previews:
    """The previews that training stores in a run. Runs of format 1 have contact sheets only; these stand in."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._copies = kept(self._copy)

    def sample(self, preview: Preview) -> Path:
        """The sample of a preview, an image or a clip."""
        return self._shown(preview.clip or preview.sample or preview.sheet)

    def exemplar(self, run: Run) -> Path | None:
        """The exemplar beside it, in the size of the samples; None before the first preview."""
        image = run.exemplar_preview
        if image is None:
            return None
        clip = image.with_suffix(".mp4")
        return self._shown(clip if clip.exists() else image)

    def cover(self, run: Run) -> Path | None:
        """A square image of the newest sample; None before the first preview."""
        previews = run.previews()
        if not previews:
            return None
        newest = previews[-1].sample or previews[-1].sheet
        return self._shown(newest, square=previews[-1].sample is not None)

    def _shown(self, path: Path, square: bool = False) -> Path:
        return self._copies(path, path.stat().st_mtime_ns, square)

    def _copy(self, path: Path, time: int, square: bool) -> Path:
        if not square:
            return self._files.copy(path)
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        return self._files.write_image(pixels[:, : len(pixels)])  # of a clip, the first frame
