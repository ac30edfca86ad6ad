"""Previews: an exemplar beside samples, stored every so often so that a person sees how training goes.

PREVIEWS/STEP.png          the exemplar and samples on one sheet; of several exemplars, a row (or block) for each
PREVIEWS/STEP-sample.png   the first sample alone, as the sheet shows it
PREVIEWS/exemplar.png      the exemplar alone, as the sheet shows it; of several, exemplar-0.png, exemplar-1.png, ...
PREVIEWS/STEP-sample.mp4, exemplar.mp4    the same of clips, which the images show as rows of frames
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from texsyn.core.formats import DEFAULT_FPS
from texsyn.media import writing
from texsyn.models.triangle import Triangle
from texsyn.synthesis import sampling

_FIRST = (10.0, 30.0)  # seconds
_EVERY = 60.0  # seconds
_FRAMES = 8  # of a clip that are shown
_GRID = 4  # rows, and columns, of a collection's images that are shown


class Times:
    """When the next preview is due: twice early on, then once a minute."""

    def __init__(self, seconds: float) -> None:
        self.times = [t for t in _FIRST if t > seconds]
        self.last = seconds

    def due(self, seconds: float) -> bool:
        if self.times and seconds >= self.times[0]:
            self.times.pop(0)
        elif self.times or seconds - self.last < _EVERY:
            return False
        self.last = seconds
        return True


@dataclass(frozen=True)
class Preview:
    """A stored preview."""

    step: int
    sheet: Path
    sample: Path | None  # None in runs of format 1
    clip: Path | None = None  # the sample as a clip


def stored(folder: Path) -> list[Preview]:
    """The previews in a folder, the oldest first."""
    found = []
    for sheet in sorted(folder.glob("[0-9]*.png")):
        if sheet.stem.isdigit():
            sample = sheet.with_name(f"{sheet.stem}-sample.png")
            files = (path if path.exists() else None for path in (sample, sample.with_suffix(".mp4")))
            found.append(Preview(int(sheet.stem), sheet, *files))
    return found


def exemplar_path(folder: Path, number: int, count: int) -> Path:
    """Where the preview of an exemplar is stored, of `count` that one model is trained on."""
    return folder / ("exemplar.png" if count == 1 else f"exemplar-{number}.png")


@dataclass(frozen=True)
class Panels:
    """What a preview shows of one exemplar: images, `channels y x` in [-1, 1], all of one size."""

    exemplar: Tensor
    samples: list[Tensor]
    axis: int  # along which the sheet joins them
    clips: tuple[Tensor, ...] = ()  # of a clip, the exemplar and the first sample, `channels t y x`

    @property
    def sheet(self) -> Tensor:
        return torch.cat([self.exemplar, *self.samples], self.axis)


def render(triangle: Triangle, pixels: Tensor, count: int = 3, number: int = 0) -> Panels:
    """An exemplar, `channels *axes`, and `count` samples like it.

    A clip is a row of 8 frames. Of a collection, one block of 16 samples stands beside 16 of its images.
    """
    if triangle.modality.collection:
        return _render_collection(triangle, pixels)
    frames = triangle.modality.window[0] if triangle.modality.moving else None
    samples = list(sampling.sample(triangle, count=count, frames=frames, exemplar=number))
    shown = [each[: triangle.modality.planes[0].channels] for each in (_crop_like(pixels, samples[0]), *samples)]
    if not triangle.modality.moving:
        return Panels(shown[0], shown[1:], axis=-1)
    rows = [_frame_row(clip) for clip in shown]
    return Panels(rows[0], rows[1:], axis=-2, clips=(shown[0], shown[1]))


def _render_collection(triangle: Triangle, pixels: Tensor) -> Panels:
    samples = sampling.sample(triangle, count=_GRID**2, exemplar=triangle.in_turn(_GRID**2))
    rows = [torch.cat(list(samples[n : n + _GRID]), -1) for n in range(0, _GRID**2, _GRID)]
    block = torch.cat(rows, -2)
    return Panels(_crop_like(pixels, block), [block], axis=-1)


def _frame_row(clip: Tensor) -> Tensor:
    """`c t y x` -> `c y 8x`: frames at equal distances, the first and the last among them."""
    moments = torch.linspace(0, clip.shape[1] - 1, _FRAMES).round().int().tolist()
    return torch.cat([clip[:, moment] for moment in moments], -1)


def _crop_like(pixels: Tensor, sample: Tensor) -> Tensor:
    """The beginning of `pixels` in the size of `sample`, black where it is smaller."""
    for axis in range(1, pixels.dim()):
        missing = sample.shape[axis] - pixels.shape[axis]
        if missing > 0:
            black = pixels.new_full((*pixels.shape[:axis], missing, *pixels.shape[axis + 1 :]), -1)
            pixels = torch.cat([pixels, black], axis)
        pixels = pixels.narrow(axis, 0, sample.shape[axis])
    return pixels


def make(
    folder: Path,
    step: int,
    triangle: Triangle,
    pixels: Sequence[Tensor],
    estimated: bool = False,
    fps: float = 0.0,
) -> None:
    """Render and store a preview. pixels: the exemplars, `channels *axes` each. fps: of clips; 0: the default's."""
    panels = [render(triangle, each, number=number) for number, each in enumerate(pixels)]
    store(folder, step, panels, estimated, fps or DEFAULT_FPS)


def store(folder: Path, step: int, panels: Sequence[Panels], estimated: bool = False, fps: float = DEFAULT_FPS) -> None:
    """Write a preview of the exemplars of one model; the sheet is written last.

    estimated: the exemplars have changed since the preview before. fps: of clips. Raises TexsynError (exit 5) when the
    disk refuses.
    """
    for number, each in enumerate(panels):
        path = exemplar_path(folder, number, len(panels))
        if estimated or not path.exists():
            _write(path, each.exemplar, each.clips[:1], fps)
    _write(folder / f"{step:08d}-sample.png", panels[0].samples[0], panels[0].clips[1:], fps)
    writing.write(torch.cat([each.sheet for each in panels], -2), folder / f"{step:08d}.png", force=True)


def _write(path: Path, image: Tensor, clips: Sequence[Tensor], fps: float) -> None:
    """An image, and a clip beside it where there is one."""
    for clip in clips:
        writing.write(clip, path.with_suffix(".mp4"), fps=fps, force=True)
    writing.write(image, path, force=True)
