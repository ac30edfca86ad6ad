"""Samples as files: to show on a page, or to download in any format."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from files import DEFAULT_FPS, Files

import texsyn
from texsyn import End, Run, TexsynError, Triangle

_SIMILARITY = 0.7  # of a sample to the one that it resembles, 0 to 1
_OTHER_SEEDS = 10_000  # added to the seeds of what is blended in, so that it is not on the page already


@dataclass(frozen=True)
class Shape:
    """What a sample measures, and where it tiles; None: the exemplar's size, every axis that can tile."""

    size: tuple[int, int] | None = None  # width and height in pixels
    frames: int | None = None
    tile: str | None = None  # "xy", "x", "y" or "none"


class Samples:
    """Samples of runs. The newest models and samples stay in memory and on disk until newer ones replace them."""

    def __init__(self, files: Files, device: str) -> None:
        self._files = files
        self._device = "cpu" if device == "auto" else device
        self._models = lru_cache(maxsize=2)(self._load_model)
        self._written = lru_cache(maxsize=256)(self._write_sample)

    def model(self, run: Run) -> Triangle:
        """The newest model of a run. Raises TexsynError before the first checkpoint."""
        time = _time_stored(run)
        if not time:
            raise TexsynError("this run has no checkpoint yet: it can be sampled once it has trained for a while")
        return self._models(run, time)

    def write(self, run: Run, seed: int, shape: Shape, like: int | None = None) -> Path:
        """The sample of a seed as PNG or MP4. like: the seed of another sample that it shall resemble."""
        key = (run, _time_stored(run), seed, shape, like)
        path = self._written(*key)
        if not path.exists():  # deleted for newer files
            self._written.cache_clear()
            path = self._written(*key)
        return path

    def write_download(self, run: Run, seed: int, shape: Shape, format: str) -> Path:
        """The sample of a seed in a format, with its settings as metadata; several files are packed into one ZIP."""
        triangle = self.model(run)
        target = texsyn.target(triangle.modality, shape.size, shape.frames)
        name = f"{run.path.name}-{seed}"
        ending = {"frames": "", "sheet": ".png"}.get(format, f".{format}")
        path = self._files.new(ending).with_name(f"{name}{ending}")
        texsyn.write_bands(
            texsyn.bands(triangle, seed=seed, **asdict(shape)),
            (triangle.modality.channels, *target),
            path,
            planes=triangle.modality.planes,
            format=format,
            fps=run.fps or DEFAULT_FPS,
            metadata={**run.made_by(), "seed": seed, "size": list(target)},
        )
        written = list(path.parent.iterdir())
        if len(written) == 1 and written[0].is_file():
            return written[0]
        archive = self._files.new(".zip").with_name(name)
        return Path(shutil.make_archive(str(archive), "zip", path.parent))

    def _load_model(self, run: Run, time: int) -> Triangle:
        return texsyn.load(run.path, self._device)

    def _write_sample(self, run: Run, time: int, seed: int, shape: Shape, like: int | None) -> Path:
        triangle = self.model(run)
        if like is None:
            texture = texsyn.sample(triangle, seed=seed, **asdict(shape))[0]
        else:
            other = End(_OTHER_SEEDS + seed)
            texture = texsyn.between(triangle, End(like), other, 1 - _SIMILARITY, **asdict(shape))
        return self._files.write_texture(texture, run.fps)


def _time_stored(run: Run) -> int:
    """When the newest model or checkpoint of a run was stored, in nanoseconds; 0 where there is none."""
    stored = (path for path in (run.path / "model", *run.checkpoints()) if path.exists())
    return max((path.stat().st_mtime_ns for path in stored), default=0)
