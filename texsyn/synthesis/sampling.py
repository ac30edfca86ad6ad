"""New textures from a trained triangle: any size, tiling and looping exactly because the latent field is a torus.

From seed to pixels: `extent` checks size and wrapping, `latent_field` draws the field, `rendering` runs the generator
on pieces of it, `resampling` reaches sizes that are no multiple of the stride. Here these become bands along the first
axis, from top to bottom or first frame to last; what is returned whole consists of the same bands.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from texsyn.core import ops
from texsyn.core.errors import Exit, TexsynError
from texsyn.models.triangle import Triangle
from texsyn.synthesis import rendering, resampling
from texsyn.synthesis.extent import Extent
from texsyn.synthesis.latent_field import MARGIN, Blend, Drawn, End, SampledField, torus_grid

_MAX_VALUES = 300_000_000  # of a texture that is returned whole
_MAX_FRAMES = 1_000_000
_MORPH_STEPS = 8  # of a still's morph, at which fields are drawn


def sample(
    triangle: Triangle,
    *,
    count: int = 1,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    frames: int | None = None,
    tile: str | None = None,
    loop: bool = True,
    exemplar: int | Sequence[int] = 0,
) -> Tensor:
    """`count channels *axes` in [-1, 1]; texture i of seed s is texture 0 of seed s + i.

    size: width and height in pixels, by default the exemplar's. frames: of a clip. tile: "xy", "x", "y" or "none", by
    default every axis on which the kind is stationary. A size on a wrapped axis that is no multiple of the generator's
    stride is reached by resampling the nearest multiple on the torus, so it wraps as exactly.
    exemplar: number of the one to resemble, for a model of several, or of a class; one for all, or one for each.
    Raises TexsynError (exit 2) for a size or an axis that the kind cannot have, or for a texture too large to return
    in one piece: see `bands`.
    """
    extent = Extent.of(triangle.modality, size, frames, tile, loop)
    if triangle.modality.channels * math.prod(extent.size) > _MAX_VALUES:
        text = " x ".join(map(str, extent.size[::-1]))
        raise TexsynError(f"{text} is too large to return in one piece: use `bands`", Exit.USAGE)
    grid = torus_grid(triangle, extent)
    of = [exemplar] * count if isinstance(exemplar, int) else exemplar
    fields = (SampledField(triangle, End(seed + n, of[n]), grid) for n in range(count))
    return torch.stack([_join(_bands(field, extent)) for field in fields])


def bands(
    triangle: Triangle,
    *,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    frames: int | None = None,
    tile: str | None = None,
    loop: bool = True,
    exemplar: int = 0,
) -> Iterator[Tensor]:
    """The texture that `sample` returns, as `channels n *rest` from top to bottom or first frame to last, on the CPU.

    Raises TexsynError (exit 2) as `sample` does, before the first band.
    """
    extent = Extent.of(triangle.modality, size, frames, tile, loop)
    return _bands(SampledField(triangle, End(seed, exemplar), torus_grid(triangle, extent)), extent)


def morph(
    triangle: Triangle,
    start: End,
    end: End,
    *,
    frames: int = 64,
    size: tuple[int, int] | None = None,
    tile: str | None = None,
    loop: bool = True,
) -> Iterator[Tensor]:
    """A clip that turns the texture of `start` into that of `end`, and back if it loops: `channels n y x` each.

    A still's clip has one texture a frame; a clip changes while it plays.
    Raises TexsynError (exit 2) as `sample` does, before the first frame.
    """
    if not 2 <= frames <= _MAX_FRAMES:
        raise TexsynError(f"a morph has at least 2 frames, not {frames}", Exit.USAGE)
    modality = triangle.modality
    extent = Extent.of(modality, size, frames if modality.moving else None, tile, loop)
    if modality.moving:
        return _bands(_morphing_field(triangle, start, end, extent, loop), extent)
    shares = _there_and_back(frames) if loop else [n / (frames - 1) for n in range(frames)]
    grid = torus_grid(triangle, extent)
    drawn: Drawn = {}  # for all frames: most lie between the same two steps
    blends = (Blend(end, (share,), steps=_MORPH_STEPS) for share in shares)
    fields = (SampledField(triangle, start, grid, blend, drawn) for blend in blends)
    return (_join(_bands(each, extent))[:, None] for each in fields)


def _morphing_field(triangle: Triangle, start: End, end: End, extent: Extent, loop: bool) -> SampledField:
    grid = torus_grid(triangle, extent)
    shares = _there_and_back(grid[0]) if loop else _ramp(grid[0] - MARGIN, grid[0])
    return SampledField(triangle, start, grid, Blend(end, tuple(shares)))


def between(
    triangle: Triangle,
    start: End,
    end: End,
    share: float,
    *,
    size: tuple[int, int] | None = None,
    frames: int | None = None,
    tile: str | None = None,
    loop: bool = True,
) -> Tensor:
    """The texture that lies a `share` (0 to 1) of the way from `start` to `end`: `channels *axes`.

    A small share gives textures that are like `start`. Raises TexsynError (exit 2) as `sample` does.
    """
    extent = Extent.of(triangle.modality, size, frames, tile, loop)
    return _join(_bands(SampledField(triangle, start, torus_grid(triangle, extent), Blend(end, (share,))), extent))


def across(
    triangle: Triangle,
    start: End,
    end: End,
    *,
    size: tuple[int, int] | None = None,
    frames: int | None = None,
    loop: bool = True,
) -> Iterator[Tensor]:
    """One texture with `start` on its left and `end` on its right, as `bands` returns it; it tiles along y.

    Raises TexsynError: exit 3 for a kind with a fixed frame, exit 2 as `sample` does.
    """
    modality = triangle.modality
    if not modality.stationary[-1]:
        raise TexsynError(f"this {modality.name} has a fixed frame, so it cannot change from left to right")
    extent = Extent.of(modality, size, frames, "y", loop)
    grid = torus_grid(triangle, extent)
    shares = tuple(_ramp(grid[-1] - MARGIN, grid[-1]))
    return _bands(SampledField(triangle, start, grid, Blend(end, shares, len(grid) - 1)), extent)


def _there_and_back(count: int) -> list[float]:
    """From 0 to 1 and back round a torus of `count` positions."""
    return [(1 - math.cos(2 * math.pi * n / count)) / 2 for n in range(count)]


def _ramp(count: int, whole: int) -> list[float]:
    """From 0 over the middle half of `count` positions to 1; the other positions, up to `whole`, lead back to 0."""
    shares = [min(1.0, max(0.0, 2 * (n + 0.5) / count - 0.5)) for n in range(count)]
    rest = whole - count
    return [*shares, *(1 - n / max(1, rest - 1) for n in range(rest))]


def _join(parts: Iterator[Tensor]) -> Tensor:
    return torch.cat(list(parts), 1)


def _bands(field: SampledField, extent: Extent) -> Iterator[Tensor]:
    height, step = extent.size[0], rendering.PIECE[len(extent.size)][0]
    for start in range(0, height, step):
        yield _band(field, extent, start, min(height, start + step))


def _band(field: SampledField, extent: Extent, start: int, stop: int) -> Tensor:
    """Positions `start` to `stop` along the first axis: `channels stop-start *rest`."""
    texture = _rows(field, extent, start, stop)
    for axis, size in list(enumerate(extent.size))[1:]:
        ratio = _ratio(field, extent, axis)
        if ratio is not None:
            texture = resampling.interpolate(texture, axis + 1, *ops.resampling_taps(*ratio, 0, size))
        texture = texture.narrow(axis + 1, 0, size)
    texture = ops.unit_vectors(texture, field.triangle.modality.vectors)  # resampled ones are shorter
    return texture.clone()  # outside of inference mode: a tensor like any other


def _ratio(field: SampledField, extent: Extent, axis: int) -> tuple[float, int] | None:
    """Pixels of the field, for how many of the texture; None where they are the same."""
    size, whole, scale = extent.size[axis], field.size[axis], field.triangle.modality.scales[axis]
    if extent.wrapped[axis]:
        return None if whole == size else (whole, size)
    return None if scale == 1 else (scale, 1)


def _rows(field: SampledField, extent: Extent, start: int, stop: int) -> Tensor:
    """Likewise, with the torus's own size along the other axes."""
    ratio = _ratio(field, extent, 0)
    if ratio is None:
        return rendering.render(field, start, stop)
    index, weights = ops.resampling_taps(*ratio, start, stop)
    first, last = int(index.min()), int(index.max()) + 1
    return resampling.interpolate(rendering.render(field, first, last), 1, index - first, weights)
