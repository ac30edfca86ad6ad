"""Decoded images as arrays, and the cuts that are made before they become tensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from texsyn.core.errors import TexsynError
from texsyn.core.text import short

Box = tuple[int, int, int, int]  # left, top, width and height in pixels


@dataclass(frozen=True)
class Frames:
    """One decoded clip, or a still as its only frame.

    colours: `t h w c`, uint8 or float32 in [0, 1]. mask: `t h w`, True where pixels are missing, or None if none are.
    fps: frames per second, 0 for a still.
    """

    colours: np.ndarray
    mask: np.ndarray | None = None
    fps: float = 0.0

    @property
    def size(self) -> tuple[int, int, int]:
        """Frames, height and width."""
        frames, height, width = self.colours.shape[:3]
        return frames, height, width

    def apply(self, cut: Callable[[np.ndarray], np.ndarray]) -> Frames:
        """Cut colours and mask alike; `cut` takes and returns `t h w ...`."""
        mask = None if self.mask is None else cut(self.mask)
        return replace(self, colours=cut(self.colours), mask=mask)

    def opaque_colours(self, name: str) -> np.ndarray:
        """The colours. Raises TexsynError (exit 3) when pixels are transparent."""
        if self.mask is not None:
            raise TexsynError(
                f"{short(name)} has transparent pixels ({100 * self.mask.mean():.1f} %): flatten it first"
            )
        return self.colours


def concatenate(parts: Sequence[Frames], fps: float = 0.0) -> Frames:
    """Frames of one size, one after the other."""
    mask = None
    if any(part.mask is not None for part in parts):
        mask = np.concatenate([np.zeros(part.size, bool) if part.mask is None else part.mask for part in parts])
    return Frames(np.concatenate([part.colours for part in parts]), mask, fps)


def size_text(array: np.ndarray) -> str:
    """Width x height of `t h w ...`."""
    return f"{array.shape[2]} x {array.shape[1]}"


def to_unit_range(values: np.ndarray) -> np.ndarray:
    """float32 in [0, 1], from that or from uint8."""
    return values / np.float32(255) if values.dtype == np.uint8 else values


def crop_to(array: np.ndarray, box: Box) -> np.ndarray:
    """The part of `t h w ...` in a box. Raises TexsynError (exit 3) for a box that reaches outside."""
    left, top, width, height = box
    if not (0 <= left < left + width <= array.shape[2] and 0 <= top < top + height <= array.shape[1]):
        raise TexsynError(
            f"--crop {width}x{height}+{left}+{top} does not lie within {array.shape[2]} x {array.shape[1]} pixels"
        )
    return array[:, top : top + height, left : left + width]


def centre_square(array: np.ndarray) -> np.ndarray:
    """The largest square in the centre of `t h w ...`."""
    height, width = array.shape[1:3]
    side = min(height, width)
    return crop_to(array, ((width - side) // 2, (height - side) // 2, side, side))


def frame_slice(frames: str | slice | None, count: int) -> slice:
    """A:B as a slice of `count` frames. Raises TexsynError (exit 3) when it selects none."""
    if frames is None or isinstance(frames, slice):
        return frames or slice(None)
    match = re.fullmatch(r"(-?\d*):(-?\d*)", frames.strip())
    if not match:
        raise TexsynError(f"--frames {frames!r} is not of the form A:B, such as 0:-32")
    first, last = (int(part) if part not in ("", "-") else None for part in match.groups())
    if not range(count)[first:last]:
        raise TexsynError(f"--frames {frames} selects none of {count} frames")
    return slice(first, last)


def constant_rate(times: Sequence[float], rate: float, limit: int) -> tuple[list[int], float]:
    """Which frames to show at a constant rate, and that rate; at each tick the one that was on screen.

    times: when each frame appears, in seconds. rate: of a clip whose times do not increase.
    Raises TexsynError (exit 3) when there would be more than `limit` frames.
    """
    steps = np.diff(times)
    shown = list(range(len(times)))
    if len(steps) and steps.min() > 0 and steps.max() > 1.5 * float(np.median(steps)):
        step = float(np.median(steps))
        rate = 1 / step
        ticks = times[0] + step * np.arange(round((times[-1] - times[0]) / step) + 1)
        if len(ticks) > limit:
            raise TexsynError(f"its variable frame rate unrolls to {len(ticks)} frames, more than {limit}")
        shown = (np.searchsorted(times, ticks + 1e-6 * step, side="right") - 1).tolist()
    elif len(steps) and steps.min() > 0:
        rate = len(steps) / (times[-1] - times[0])
    return shown, round(rate, 3)
