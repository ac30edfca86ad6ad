"""Masks of exemplars: True or 1 where pixels are missing. Masked colours are replaced by a guess before training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from texsyn.core.errors import TexsynError
from texsyn.core.files import existing
from texsyn.core.text import short
from texsyn.media import decoding, inpaint
from texsyn.media.frames import Frames, size_text


def read_mask(path: Path, size: tuple[int, int, int], name: str) -> np.ndarray:
    """`t h w`, True where a mask file is white; one image serves for every frame.

    size: frames, height and width of the exemplar called `name`. Raises TexsynError (exit 3) for a mask of another size
    or with transparent pixels.
    """
    frames, height, width = size
    colours = decoding.read_frames(path).opaque_colours(path.name)
    grey = colours.mean(-1) / (255 if colours.dtype == np.uint8 else 1)
    if grey.shape[1:] != (height, width):
        raise TexsynError(
            f"{short(path.name)} is {size_text(grey)}, but {short(name)} is {width} x {height}: they must agree"
        )
    if len(grey) not in (1, frames):
        raise TexsynError(f"{short(path.name)} has {len(grey)} frames, but {short(name)} has {frames}")
    return np.broadcast_to(grey > 0.5, size)


def check_mask(mask: np.ndarray, name: str) -> None:
    """Raise TexsynError (exit 3) for a mask of everything or of nothing."""
    if mask.all():
        raise TexsynError(f"{short(name)} masks everything: no pixels are left to train from")
    if not mask.any():
        raise TexsynError(f"{short(name)} masks nothing: white pixels are masked")


def add_mask(frames: Frames, mask: str | Path | None, name: str) -> Frames:
    """Frames of the exemplar called `name`, masked where a mask file is white, too."""
    if mask is None:
        return frames
    path = existing(Path(mask))
    white = read_mask(path, frames.size, name)
    check_mask(white, path.name)
    return replace(frames, mask=white if frames.mask is None else frames.mask | white)


def fill_masked(frames: Frames) -> Frames:
    """Masked colours replaced by a smooth continuation of the rest of their frame; a frame masked whole is black."""
    if frames.mask is None:
        return frames
    colours = np.array(frames.colours)
    for frame, mask in zip(colours, frames.mask, strict=True):
        if mask.all():
            frame[:] = 0
        elif mask.any():
            channels = torch.from_numpy(np.moveaxis(frame, -1, 0).astype(np.float32))
            guess = inpaint.fill(channels, torch.from_numpy(mask[None].astype(np.float32)))
            frame[mask] = np.moveaxis(guess.numpy(), 0, -1)[mask]
    return replace(frames, colours=colours)
