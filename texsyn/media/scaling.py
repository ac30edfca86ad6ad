"""Frames to tensors at training scale, and the kind's training window fitted to them.

Inside texsyn a texture is a float tensor `channels *axes` in [-1, 1]; axes are (t,) y, x.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from PIL.Image import Resampling
from torch import Tensor

from texsyn.core import ops
from texsyn.core.errors import TexsynError
from texsyn.core.modality import Modality
from texsyn.core.text import short
from texsyn.media import inpaint
from texsyn.media.exemplar import Exemplar
from texsyn.media.frames import Frames, to_unit_range


def to_tensors(frames: Frames, modality: Modality, side: int | None) -> tuple[Tensor, Tensor | None]:
    """Pixels `channels *axes` in [-1, 1], their shorter side reduced to `side` pixels, and the mask `1 *axes` or None.

    side: None takes the kind's own, 0 keeps the size. Raises TexsynError (exit 3) for a clip that is too small.
    """
    pixels, mask = _reduced(frames.colours, modality, side, _method(modality)), None
    if frames.mask is not None:
        share = _reduced(frames.mask[..., None].astype(np.float32), modality, side, Resampling.BOX)
        mask = (share > 0.5).float()
        pixels = inpaint.fill(pixels, mask)
    if not modality.moving:
        pixels, mask = pixels[:, 0], None if mask is None else mask[:, 0]
    return ops.unit_vectors(pixels * 2 - 1, modality.vectors), mask


def reduced_size(frames: Frames, modality: Modality, side: int | None) -> tuple[int, int]:
    """Height and width to which `to_tensors` brings frames."""
    return _reduced_size(*frames.size[1:], modality, side)


def resized(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """A still, `1 h w c` in about [0, 1], as float32 of that size."""
    channels = [_resized(array[0, ..., c], height, width, Resampling.LANCZOS) for c in range(array.shape[-1])]
    return np.stack(channels, -1)[None]


def _method(modality: Modality) -> Resampling:
    return Resampling.BOX if modality.moving else Resampling.LANCZOS


def _reduced(array: np.ndarray, modality: Modality, side: int | None, method: Resampling) -> Tensor:
    """`t h w c` -> `c t h w` in [0, 1]."""
    height, width = _reduced_size(array.shape[1], array.shape[2], modality, side)
    # Plane by plane: a whole long clip in floats would not fit in memory.
    planes = [[_resized(frame[..., c], height, width, method) for frame in array] for c in range(array.shape[-1])]
    return torch.from_numpy(np.stack([np.stack(plane) for plane in planes])).clamp(0, 1)


def _reduced_size(height: int, width: int, modality: Modality, side: int | None) -> tuple[int, int]:
    shorter = min(height, width)
    side = modality.side if side is None else side
    enlarges = shorter <= side
    fixed = not all(modality.stationary)  # the networks are as large as the clip, so smaller ones are refused
    if not side or (enlarges and not fixed):
        return height, width
    if shorter < side:
        raise TexsynError(f"the clip is {width} x {height}, but a clip needs at least {side} x {side}")
    scale = side / shorter
    return round(height * scale), round(width * scale)


def _resized(plane: np.ndarray, height: int, width: int, method: Resampling) -> np.ndarray:
    """`h w`, float32 in about [0, 1], from that or from uint8."""
    exact = np.ascontiguousarray(to_unit_range(plane))
    if exact.shape == (height, width):
        return exact
    return np.asarray(Image.fromarray(exact).resize((width, height), method))


def fit_window(exemplar: Exemplar, name: str) -> Exemplar:
    """Fit the kind's training window and sample size to an exemplar: smaller for a small still, wider for a large clip.

    Raises TexsynError (exit 3) for too few frames, or a fixed size that the networks' stride does not divide.
    """
    exemplar = _in_whole_blocks(exemplar)
    modality, strides, enlargement = (
        exemplar.modality,
        exemplar.modality.designs["local"].stride,
        exemplar.modality.enlargement,
    )
    size = tuple(n // enlargement for n in exemplar.size)  # of the base
    if modality.moving and size[0] < modality.window[0]:
        raise TexsynError(f"{short(name)} has {size[0]} frame(s) to train from, but a clip needs {modality.window[0]}")
    for have, stride, same in zip(size, strides, modality.stationary, strict=True):
        if not same and have % stride:
            raise TexsynError(f"--side must be a multiple of {stride} for a {modality.name}, but is {have}")
    whole = [have // stride * stride for have, stride in zip(size, strides, strict=True)]
    window = [
        min(wanted, have) // stride * stride if same else have
        for wanted, have, stride, same in zip(modality.window, size, strides, modality.stationary, strict=True)
    ]
    if modality.moving:
        whole[0] = min(modality.size[0], size[0]) // strides[0] * strides[0]
    whole = [n * enlargement for n in whole]
    return replace(exemplar, modality=replace(modality, window=tuple(window), size=tuple(whole)))


def _in_whole_blocks(exemplar: Exemplar) -> Exemplar:
    """The exemplar without what is left over when levels reduce it."""
    block = exemplar.modality.enlargement
    if block == 1:
        return exemplar
    mask = None if exemplar.mask is None else ops.whole_blocks(exemplar.mask, block)
    return replace(exemplar, pixels=ops.whole_blocks(exemplar.pixels, block).contiguous(), mask=mask)
