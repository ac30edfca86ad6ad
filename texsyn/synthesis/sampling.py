"""New textures from a fitted triangle: any size, tiling and looping exactly because the latent field is a torus.

A texture is made in bands along its first axis, each from a window of the field with the margin that the generator's
reach needs, so memory does not grow with the size. What is returned whole is made of the same bands.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.modality import Modality
from texsyn.models.triangle import Triangle
from texsyn.synthesis import latent_field
from texsyn.synthesis.latent_field import MARGIN, End, SampledField

_LARGEST = 300_000_000  # values of a texture that is returned whole
_WIDEST = 1_000_000


def sample(
    triangle: Triangle,
    *,
    count: int = 1,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    frames: int | None = None,
    tile: str | None = None,
    loop: bool = True,
    exemplar: int = 0,
) -> Tensor:
    """`count channels *axes` in [-1, 1]; texture i of seed s is texture 0 of seed s + i.

    size: width and height in pixels, by default the exemplar's. frames: of a clip. tile: "xy", "x", "y" or "none", by
    default every axis on which the kind is stationary. A size on a wrapped axis that is no multiple of what one latent
    position makes is reached by resampling the nearest multiple on the torus, which keeps the wrap exact.
    exemplar: number of the one to be like, where the model knows several.
    Raises TexsynError (exit 2) for a size or an axis that the kind does not have, or for what is too large to return
    in one piece: see `bands`.
    """
    goal = target(triangle.modality, size, frames)
    if triangle.modality.channels * torch.Size(goal).numel() > _LARGEST:
        text = " x ".join(map(str, goal[::-1]))
        raise TexsynError(f"{text} is more than is returned in one piece: `bands` makes it part by part", Exit.USAGE)
    wrapped = wraps(triangle.modality, tile, loop)
    fields = (SampledField.of(triangle, End(seed + n, exemplar), goal, wrapped) for n in range(count))
    return torch.stack([torch.cat(list(_bands(field, goal, wrapped)), 1) for field in fields])


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
    """The texture that `sample` makes, from top to bottom or first frame to last: `channels n *rest` each, on the CPU.

    Raises TexsynError (exit 2) as `sample` does, before the first band.
    """
    goal = target(triangle.modality, size, frames)
    wrapped = wraps(triangle.modality, tile, loop)
    return _bands(SampledField.of(triangle, End(seed, exemplar), goal, wrapped), goal, wrapped)


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
    """A clip that turns the texture of `start` into that of `end`, and back where it loops: `channels n y x` each.

    The latent fields are blended on the sphere, so that every moment's field is one of the prior's; labels of exemplars
    are blended linearly. A still's clip has one texture a frame; a clip changes as it plays.
    Raises TexsynError (exit 2) as `sample` does, before the first frame.
    """
    if not 2 <= frames <= _WIDEST:
        raise TexsynError(f"a morph has at least 2 frames, not {frames}", Exit.USAGE)
    moving = triangle.modality.moving
    goal = target(triangle.modality, size, frames if moving else None)
    wrapped = wraps(triangle.modality, tile, loop)
    if moving:
        length = SampledField.of(triangle, start, goal, wrapped).grid[0]
        shares = _there_and_back(length) if loop else _ramp(length - MARGIN, length)
        return _bands(SampledField.of(triangle, start, goal, wrapped, end, 0, tuple(shares)), goal, wrapped)
    path = _there_and_back(frames) if loop else [n / (frames - 1) for n in range(frames)]
    return (between(triangle, start, end, share, size=size, tile=tile)[:, None] for share in path)


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
    goal, wrapped = target(triangle.modality, size, frames), wraps(triangle.modality, tile, loop)
    field = SampledField.of(triangle, start, goal, wrapped, end, 0, (share,))
    return torch.cat(list(_bands(field, goal, wrapped)), 1)


def across(
    triangle: Triangle,
    start: End,
    end: End,
    *,
    size: tuple[int, int] | None = None,
    frames: int | None = None,
    loop: bool = True,
) -> Iterator[Tensor]:
    """One texture with `start` on its left and `end` on its right, in bands as `bands` gives them; it tiles along y.

    Raises TexsynError (exit 2) for a kind that knows where things are in the picture.
    """
    modality = triangle.modality
    if not modality.stationary[-1]:
        raise TexsynError(f"this {modality.name} knows where things are in the picture, so it has no left to blend")
    goal, wrapped = target(modality, size, frames), wraps(modality, "y", loop)
    width = SampledField.of(triangle, start, goal, wrapped).grid[-1]
    shares = tuple(_ramp(width - MARGIN, width))
    return _bands(SampledField.of(triangle, start, goal, wrapped, end, len(goal) - 1, shares), goal, wrapped)


def _there_and_back(count: int) -> list[float]:
    return [(1 - math.cos(2 * math.pi * n / count)) / 2 for n in range(count)]


def _ramp(count: int, whole: int) -> list[float]:
    """From 0 over the middle half of `count` positions to 1; what follows, up to `whole`, leads back to the start."""
    shares = [min(1.0, max(0.0, 2 * (n + 0.5) / count - 0.5)) for n in range(count)]
    rest = whole - count
    return [*shares, *(1 - n / max(1, rest - 1) for n in range(rest))]


def _bands(field: SampledField, goal: tuple[int, ...], wrapped: tuple[bool, ...]) -> Iterator[Tensor]:
    step = latent_field.PIECE[len(goal)][0]
    for start in range(0, goal[0], step):
        yield _band(field, goal, wrapped, start, min(goal[0], start + step))


def target(modality: Modality, size: tuple[int, int] | None, frames: int | None) -> tuple[int, ...]:
    """(Frames and) pixels per axis for what was asked, checked against what the kind can do."""
    if frames is not None and not modality.moving:
        raise TexsynError(f"--frames is for clips, but this run makes a {modality.name}", Exit.USAGE)
    asked: dict[str, int | None] = {"t": frames, "x": size[0] if size else None, "y": size[1] if size else None}
    goal = []
    for axis, same, own in zip(modality.axes, modality.stationary, modality.size, strict=True):
        wanted = asked[axis]
        wanted = own if wanted is None else wanted
        if not 1 <= wanted <= _WIDEST:
            option = "--frames" if axis == "t" else "--size"
            raise TexsynError(f"{option} must lie in 1 to {_WIDEST}, but is {wanted}", Exit.USAGE)
        if not same and wanted != own:
            raise TexsynError(
                f"this {modality.name} knows where things are in the picture, so its {own} pixels along {axis} are "
                f"fixed (asked for {wanted})",
                Exit.USAGE,
            )
        goal.append(wanted)
    return tuple(goal)


def wraps(modality: Modality, tile: str | None, loop: bool) -> tuple[bool, ...]:
    """Per axis whether a texture wraps, as `sample` takes `tile` and `loop`. Raises TexsynError (exit 2) likewise."""
    stationary = dict(zip(modality.axes, modality.stationary, strict=True))
    if tile is not None and tile not in ("xy", "x", "y", "none"):
        raise TexsynError(f"--tile is xy, x, y or none, not {tile!r}", Exit.USAGE)
    for axis in tile if tile and tile != "none" else "":
        if not stationary[axis]:
            raise TexsynError(f"this {modality.name} does not tile along {axis}: what it shows has a place", Exit.USAGE)
    return tuple(
        same and (loop if axis == "t" else tile is None or axis in tile.replace("none", ""))
        for axis, same in stationary.items()
    )


def _band(field: SampledField, goal: tuple[int, ...], wrapped: tuple[bool, ...], start: int, stop: int) -> Tensor:
    """Positions `start` to `stop` along the first axis: `channels stop-start *goal[1:]`."""
    if wrapped[0] and field.size[0] != goal[0]:
        base, shares = _taps(field.size[0], goal[0], start, stop)
        first = int(base[0]) - 1
        texture = _interpolate(field.texture(first, int(base[-1]) + 3), 1, base - first, shares)
    else:
        texture = field.texture(start, stop)
    for axis, (size, around) in list(enumerate(zip(goal, wrapped, strict=True), start=1))[1:]:
        if around and texture.shape[axis] != size:
            texture = resample(texture, axis, size)
        elif texture.shape[axis] != size:
            texture = texture.narrow(axis, 0, size)
    return texture.clone()


def resample(texture: Tensor, axis: int, size: int) -> Tensor:
    """Cubic (Catmull-Rom) resampling of a torus along one axis to `size` positions; the result wraps as exactly."""
    return _interpolate(texture, axis, *_taps(texture.shape[axis], size, 0, size))


def _taps(have: int, size: int, start: int, stop: int) -> tuple[Tensor, Tensor]:
    """For new positions `start` to `stop` of `size`: the old position before each, and how far it lies behind."""
    place = torch.arange(start, stop, dtype=torch.float64) * have / size
    base = place.floor()
    return base.long(), place - base


def _interpolate(texture: Tensor, axis: int, base: Tensor, shares: Tensor) -> Tensor:
    t, have = shares.to(texture.dtype), texture.shape[axis]
    weights = (
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    )
    shape = [1] * texture.dim()
    shape[axis] = len(base)
    taps = [texture.index_select(axis, (base + k - 1) % have) * w.view(shape) for k, w in enumerate(weights)]
    return (((taps[0] + taps[1]) + taps[2]) + taps[3]).clamp(-1, 1)
