"""Samples as files: to show on a page, or to download in any format."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from files import DEFAULT_FPS, Files, kept

import texsyn
from texsyn import End, Run, TexsynError, Triangle

_SHARE = 0.3  # of the way from a sample to another that a variation lies, 0 to 1
OTHER_SEEDS = 10_000  # added to the seeds of these others, so that they are not on the page already
OWN, ANOTHER = "The exemplar's", "Another"  # sizes of samples, as the page has them
SIZES = (OWN, "512", "1024", "2048", "4096", ANOTHER)
TILES = ("xy", "x", "y", "none")


@dataclass(frozen=True)
class Shape:
    """What a sample measures, and where it tiles; None: the exemplar's size, every axis that can tile."""

    size: tuple[int, int] | None = None  # width and height in pixels
    frames: int | None = None
    tile: str | None = None  # of TILES

    @classmethod
    def asked(cls, run: Run, size: str, width: float, height: float, frames: float, tile: str) -> Shape:
        """The shape that the page's fields ask for; what the kind of the run cannot do is left out."""
        modality = run.modality
        *_, own_height, own_width = modality.size
        wanted = None
        if size == ANOTHER:
            wanted = (int(width or own_width), int(height or own_height))
        elif size != OWN:
            wanted = (int(size), int(size))
        return cls(
            size=wanted if modality.stationary[-1] else None,
            frames=int(frames) if frames and modality.moving else None,
            tile=tile if all(modality.stationary) else None,
        )


@dataclass(frozen=True)
class Choice:
    """Which sample: that of a seed, or one of the variations of another sample."""

    seed: int
    like: int | None = None  # the seed of the sample that it varies

    @property
    def original(self) -> int:
        """The seed of the sample that it varies, or its own."""
        return self.seed if self.like is None else self.like

    @property
    def caption(self) -> str:
        return f"seed {self.seed}" if self.like is None else f"like {self.like}, {self.seed}"


class Samples:
    """Samples of runs. The newest models and samples stay in memory and on disk until newer ones replace them."""

    def __init__(self, files: Files, device: str) -> None:
        self._files = files
        self._device = "cpu" if device == "auto" else device
        self._models = lru_cache(maxsize=2)(self._load_model)
        self._written = kept(self._write_sample)

    def model(self, run: Run) -> Triangle:
        """The newest model of a run. Raises TexsynError before the first checkpoint."""
        time = _time_stored(run)
        if not time:
            raise TexsynError("this run has no checkpoint yet: it can be sampled once it has trained for a while")
        return self._models(run, time)

    def write(self, run: Run, choice: Choice, shape: Shape) -> Path:
        """A sample as PNG or MP4."""
        return self._written(run, _time_stored(run), choice, shape)

    def write_lit(self, run: Run, choice: Choice, shape: Shape) -> Path:
        """A sample of a material on a plane, a sphere and a cube."""
        return self.write_download(run, choice, shape, "glb")

    def write_download(self, run: Run, choice: Choice, shape: Shape, format: str) -> Path:
        """A sample in a format, with its settings as metadata; several files are packed into one ZIP."""
        triangle = self.model(run)
        target = texsyn.target(triangle.modality, shape.size, shape.frames)
        name = "-".join([run.path.name, *(str(seed) for seed in (choice.like, choice.seed) if seed is not None)])
        ending = {"frames": "", "sheet": ".png"}.get(format, f".{format}")
        path = self._files.new(ending).with_name(f"{name}{ending}")
        tiling = {"tile": shape.tile} if shape.tile not in (None, TILES[0]) else {}
        texsyn.write_bands(
            _bands(triangle, choice, shape),
            (triangle.modality.channels, *target),
            path,
            planes=triangle.modality.planes,
            format=format,
            fps=run.fps or DEFAULT_FPS,
            metadata={**run.made_by(), **_settings(choice), **tiling, "size": list(target)},
        )
        written = list(path.parent.iterdir())
        if len(written) == 1 and written[0].is_file():
            return written[0]
        archive = self._files.new(".zip").with_name(name)
        return Path(shutil.make_archive(str(archive), "zip", path.parent))

    def _load_model(self, run: Run, time: int) -> Triangle:
        return texsyn.load(run.path, self._device)

    def _write_sample(self, run: Run, time: int, choice: Choice, shape: Shape) -> Path:
        triangle = self.model(run)
        if choice.like is None:
            texture = texsyn.sample(triangle, seed=choice.seed, **asdict(shape))[0]
        else:
            texture = _variation(triangle, choice.like, choice.seed, shape)
        return self._files.write_texture(texture, run.fps)


def _bands(triangle: Triangle, choice: Choice, shape: Shape) -> Iterable[torch.Tensor]:
    """A sample in bands, so that it can be larger than memory; a variation is one band."""
    if choice.like is None:
        return texsyn.bands(triangle, seed=choice.seed, **asdict(shape))
    return [_variation(triangle, choice.like, choice.seed, shape)]


def _variation(triangle: Triangle, like: int, seed: int, shape: Shape) -> torch.Tensor:
    return texsyn.between(triangle, End(like), End(OTHER_SEEDS + seed), _SHARE, **asdict(shape))


def _settings(choice: Choice) -> dict[str, Any]:
    """Metadata with which `texsyn.sample` or `texsyn.between` makes the same sample."""
    if choice.like is None:
        return {"seed": choice.seed}
    return {"between": [choice.like, OTHER_SEEDS + choice.seed], "share": _SHARE}


def _time_stored(run: Run) -> int:
    """When the newest model or checkpoint of a run was stored, in nanoseconds; 0 where there is none."""
    stored = (path for path in (run.model_folder, *run.checkpoints()) if path.exists())
    return max((path.stat().st_mtime_ns for path in stored), default=0)
