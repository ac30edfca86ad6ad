"""Sizes that are asked for, checked against what a kind of texture can have."""

from __future__ import annotations

from dataclasses import dataclass

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.modality import Modality

_MAX_SIZE = 1_000_000  # pixels or frames along one axis
_TILE = ("xy", "x", "y", "none")


@dataclass(frozen=True)
class Extent:
    """Size of a texture, and the axes on which it wraps."""

    size: tuple[int, ...]  # (frames and) pixels per axis
    wrapped: tuple[bool, ...]

    @classmethod
    def of(
        cls, modality: Modality, size: tuple[int, int] | None, frames: int | None, tile: str | None, loop: bool
    ) -> Extent:
        """From the arguments of `sampling.sample`. Raises TexsynError (exit 2) as `target` and `wraps` do."""
        return cls(target(modality, size, frames), wraps(modality, tile, loop))


def target(modality: Modality, size: tuple[int, int] | None, frames: int | None) -> tuple[int, ...]:
    """(Frames and) pixels per axis of a sample. size: width and height; None takes the kind's own.

    Raises TexsynError (exit 2) for a size or an axis that the kind cannot have.
    """
    if frames is not None and not modality.moving:
        raise TexsynError(f"--frames is for clips, but this run is of a {modality.name}", Exit.USAGE)
    width, height = size or (None, None)
    wanted = {"t": frames, "y": height, "x": width}
    axes = zip(modality.axes, modality.stationary, modality.size, strict=True)
    return tuple(_checked_size(modality, axis, wanted[axis], same, default) for axis, same, default in axes)


def _checked_size(modality: Modality, axis: str, wanted: int | None, stationary: bool, default: int) -> int:
    size = default if wanted is None else wanted
    if not 1 <= size <= _MAX_SIZE:
        option = "--frames" if axis == "t" else "--size"
        raise TexsynError(f"{option} must lie in 1 to {_MAX_SIZE}, but is {size}", Exit.USAGE)
    if not stationary and size != default:
        raise TexsynError(
            f"this {modality.name} has a fixed size of {default} pixels along {axis}, so it cannot have {size}",
            Exit.USAGE,
        )
    return size


def wraps(modality: Modality, tile: str | None, loop: bool) -> tuple[bool, ...]:
    """Per axis whether a texture wraps. tile: "xy", "x", "y", "none", or None for all stationary axes of space.

    Raises TexsynError (exit 2) for an axis that the kind cannot wrap.
    """
    if tile is not None and tile not in _TILE:
        raise TexsynError(f"--tile is xy, x, y or none, not {tile!r}", Exit.USAGE)
    tiled = {"t", "y", "x"} if tile is None else set() if tile == "none" else set(tile)
    stationary = dict(zip(modality.axes, modality.stationary, strict=True))
    for axis in sorted(tiled) if tile else ():
        if not stationary[axis]:
            raise TexsynError(f"this {modality.name} cannot tile along {axis}: it has a fixed frame", Exit.USAGE)
    return tuple(same and (loop if axis == "t" else axis in tiled) for axis, same in stationary.items())
