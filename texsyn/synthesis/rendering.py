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
    return _render_windows(field, [(first, last)])


def _render_windows(field: SampledField, windows: list[tuple[int, int]]) -> Tensor:
    """The part of the torus that lies in windows of its first axes; pieces along the other axes are joined."""
    axis = len(windows)
    if axis == len(field.grid):
        return _render_piece(field, windows)
    size = field.size[axis]
    step = PIECE[len(field.grid)][axis] if field.triangle.modality.stationary[axis] else size
    parts = [_render_windows(field, [*windows, (n, min(size, n + step))]) for n in range(0, size, step)]
    return torch.cat(parts, axis + 1) if len(parts) > 1 else parts[0]


def _render_piece(field: SampledField, windows: Sequence[tuple[int, int]]) -> Tensor:
    triangle, margin = field.triangle, _margin(field.triangle)
    wrapped = list(triangle.modality.stationary)
    positions, pixels = [], []
    for axis, (window, stride, count) in enumerate(zip(windows, triangle.stride, field.grid, strict=True)):
        part = _latent_window(*window, stride, count, margin)
        wrapped[axis] = wrapped[axis] and part.whole
        positions.append(part.positions)
        pixels.append(part.pixels)
    z = field.rows(positions[0])
    for axis, chosen in enumerate(positions[1:], start=3):
        z = z.index_select(axis, torch.tensor(chosen, device=z.device))
    triangle.generator_ema.eval()
    texture = triangle.synthesize(z, wrapped)[0].cpu()
    for axis, kept in enumerate(pixels, start=1):
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
