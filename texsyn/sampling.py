"""New textures from a fitted triangle: any size, tiling and looping exactly because the latent field is a torus."""

from __future__ import annotations

import torch
from torch import Tensor

from texsyn.errors import Exit, TexsynError
from texsyn.modality import Modality
from texsyn.triangle import Triangle

_MARGIN = 3  # latent positions cut off on an axis that must not wrap: wider than what a rim can reach
_LARGEST = 300_000_000  # values of one texture made in one piece
_WIDEST = 65_536


def sample(
    triangle: Triangle,
    *,
    count: int = 1,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    frames: int | None = None,
    tile: str | None = None,
    loop: bool = True,
) -> Tensor:
    """`count channels *axes` in [-1, 1]; texture i of seed s is texture 0 of seed s + i.

    size: width and height in pixels, by default the exemplar's. frames: of a clip. tile: "xy", "x", "y" or "none", by
    default every axis on which the kind is stationary. A size on a wrapped axis that is no multiple of what one latent
    position makes is reached by resampling the nearest multiple on the torus, which keeps the wrap exact.
    Raises TexsynError (exit 2) for a size or an axis that the kind does not have.
    """
    goal = target(triangle.modality, size, frames)
    wrapped = _wrapped(triangle.modality, tile, loop)
    if triangle.modality.channels * torch.Size(goal).numel() > _LARGEST or max(goal) > _WIDEST:
        raise TexsynError(f"{' x '.join(map(str, goal[::-1]))} is more than can be made in one piece", Exit.USAGE)
    return torch.stack([_one(triangle, seed + index, goal, wrapped) for index in range(count)])


def target(modality: Modality, size: tuple[int, int] | None, frames: int | None) -> tuple[int, ...]:
    """(Frames and) pixels per axis for what was asked, checked against what the kind can do."""
    if frames is not None and not modality.moving:
        raise TexsynError(f"--frames is for clips, but this run makes a {modality.name}", Exit.USAGE)
    asked: dict[str, int | None] = {"t": frames, "x": size[0] if size else None, "y": size[1] if size else None}
    goal = []
    for axis, same, own in zip(modality.axes, modality.stationary, modality.size, strict=True):
        wanted = asked[axis] or own
        if wanted < 1:
            raise TexsynError(f"a size must be positive, but is {wanted}", Exit.USAGE)
        if not same and wanted != own:
            raise TexsynError(
                f"this {modality.name} knows where things are in the picture, so its {own} pixels along {axis} are "
                f"fixed (asked for {wanted})",
                Exit.USAGE,
            )
        goal.append(wanted)
    return tuple(goal)


def _wrapped(modality: Modality, tile: str | None, loop: bool) -> tuple[bool, ...]:
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


def latents(triangle: Triangle, seed: int, grid: tuple[int, ...]) -> Tensor:
    """`1 latent_channels *grid` from the prior; the same on every device."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn((1, triangle.design.latent_channels, *grid), generator=random).to(triangle.device)


def _one(triangle: Triangle, seed: int, goal: tuple[int, ...], wrapped: tuple[bool, ...]) -> Tensor:
    """`channels *goal`. An axis that must not wrap is cut out of a larger torus: its rims are like its inside."""
    stationary = triangle.modality.stationary
    grid = tuple(
        max(1, (2 * size + factor) // (2 * factor)) if around else -(-size // factor) + (_MARGIN if same else 0)
        for size, factor, same, around in zip(goal, triangle.factor, stationary, wrapped, strict=True)
    )
    triangle.average.eval()
    with torch.inference_mode():
        texture: Tensor = triangle.texture(latents(triangle, seed, grid))[0].cpu()
    for axis, (size, around) in enumerate(zip(goal, wrapped, strict=True), start=1):
        if around and texture.shape[axis] != size:
            texture = resample(texture, axis, size)
        elif texture.shape[axis] != size:
            texture = texture.narrow(axis, 0, size)
    return texture.clone()


def resample(texture: Tensor, axis: int, size: int) -> Tensor:
    """Cubic (Catmull-Rom) resampling of a torus along one axis to `size` positions; the result wraps as exactly."""
    have = texture.shape[axis]
    place = torch.arange(size, dtype=torch.float64) * have / size
    base = place.floor().long()
    t = (place - base).to(texture.dtype)
    weights = (
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    )
    shape = [1] * texture.dim()
    shape[axis] = size
    taps = (texture.index_select(axis, (base + k - 1) % have) * w.view(shape) for k, w in enumerate(weights))
    out = torch.zeros_like(texture.narrow(axis, 0, 1)).repeat([size if a == axis else 1 for a in range(texture.dim())])
    for tap in taps:
        out += tap
    return out.clamp(-1, 1)
