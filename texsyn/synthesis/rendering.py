"""Latent fields to pixels, piece by piece, so that memory does not grow with the size of a texture.

A piece is made from a window of the field with a margin as wide as the networks reach, and cut out of the result: the
pixels are those that the whole field would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from texsyn.models.triangle import Triangle
from texsyn.synthesis.latent_field import MARGIN, SampledField

PIECE = {2: (512, 2048), 3: (128, 192, 192)}  # by the number of axes: pixels (frames) of a piece, without margins


@torch.inference_mode()
def render(field: SampledField, first: int, last: int) -> Tensor:
    """`channels last-first *rest` in [-1, 1], on the CPU: positions `first` to `last` along the first axis.

    They are counted round the torus; the other axes are rendered whole.
    """
    window = _latent_window(first, last, field.triangle.stride[0], field.grid[0], _margin(field.triangle))
    return _render_windows(field, field.rows(window.positions), [window])


def _render_windows(field: SampledField, z: Tensor, windows: list[_LatentWindow]) -> Tensor:
    """The part of the torus that lies in windows of its first axes; pieces along the other axes are joined.

    z: the latent field within these windows.
    """
    axis, triangle = len(windows), field.triangle
    if axis == len(field.grid):
        return _render_piece(triangle, z, windows)
    size = field.size[axis]
    step = PIECE[len(field.grid)][axis] if triangle.modality.stationary[axis] else size
    parts = []
    for first in range(0, size, step):
        last = min(size, first + step)
        window = _latent_window(first, last, triangle.stride[axis], field.grid[axis], _margin(triangle))
        chosen = z.index_select(2 + axis, torch.tensor(window.positions, device=z.device))
        parts.append(_render_windows(field, chosen, [*windows, window]))
    return torch.cat(parts, axis + 1) if len(parts) > 1 else parts[0]


def _render_piece(triangle: Triangle, z: Tensor, windows: Sequence[_LatentWindow]) -> Tensor:
    wrapped = [same and window.whole for same, window in zip(triangle.modality.stationary, windows, strict=True)]
    triangle.generator_ema.eval()
    texture = triangle.synthesize(z, wrapped)[0].cpu()
    for axis, window in enumerate(windows, start=1):
        kept = window.pixels
        if len(kept) != texture.shape[axis] or int(kept[0]):
            texture = texture.index_select(axis, kept)
    return texture


@dataclass(frozen=True)
class _LatentWindow:
    """Latent positions along one axis, and which of the pixels that they give are kept."""

    positions: list[int]
    pixels: Tensor
    whole: bool  # all positions of the torus


def _latent_window(first: int, last: int, stride: int, count: int, margin: int) -> _LatentWindow:
    """Latent positions that pixels `first` to `last` depend on, of `count` round the torus."""
    low, high = first // stride - margin, -(-last // stride) + margin
    pixels = torch.arange(first, last)
    if high - low >= count:  # the whole torus is no more work
        return _LatentWindow(list(range(count)), pixels % (count * stride), True)
    return _LatentWindow([n % count for n in range(low, high)], pixels - low * stride, False)


def _margin(triangle: Triangle) -> int:
    """Latent positions beyond a piece; subband matching of clips reaches further in time than the rest."""
    return MARGIN + int(triangle.modality.moving and triangle.design.subband_matching > 0)
