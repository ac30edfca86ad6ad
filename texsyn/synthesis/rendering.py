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

_LEVEL_MARGIN = 8  # positions of what lies below a level that its networks see beside a piece
_CORRECTIONS = 32  # pixels that its corrections see beside what they correct
PIECE = {2: (512, 2048), 3: (128, 192, 192)}  # by the number of axes: pixels (frames) of a piece, without margins


@torch.inference_mode()
def render(field: SampledField, first: int, last: int) -> Tensor:
    """`channels last-first *rest` in [-1, 1], on the CPU: positions `first` to `last` along the first axis.

    They are counted round the torus; the other axes are rendered whole.
    """
    return _render_level(field, len(field.triangle.levels), first, last)


def _render_level(field: SampledField, level: int, first: int, last: int) -> Tensor:
    """Likewise, of the texture with so many levels; 0 for the base."""
    if not level:
        return _render_base(field, first, last)
    detail, below = field.triangle.detail[level - 1], field.size_at(level - 1)
    detail.generator_ema.eval()
    margins = [_LEVEL_MARGIN + _CORRECTIONS // f for f in detail.stride]
    window = _latent_window(first, last, detail.stride[0], below[0], margins[0])
    start = window.positions[0]
    coarse = _render_level(field, level - 1, start, start + len(window.positions))[None].to(detail.device)
    z = field.level_rows(level, range(start, start + len(window.positions)))
    width = below[1] * detail.stride[1]
    step = PIECE[len(field.grid)][1] // 2  # its layers are as large as what it makes
    made = torch.empty(field.triangle.modality.channels, last - first, width)
    for left in range(0, width, step):
        right = min(width, left + step)
        beside = _latent_window(left, right, detail.stride[1], below[1], margins[1])
        index = torch.tensor(beside.positions, device=z.device)
        piece = z.index_select(3, index), coarse.index_select(3, index)
        texture = detail.synthesize(*piece, (window.whole, beside.whole))[0].cpu()
        made[:, :, left:right] = texture.index_select(1, window.pixels).index_select(2, beside.pixels)
    return made


def _render_base(field: SampledField, first: int, last: int) -> Tensor:
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
