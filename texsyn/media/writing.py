"""Textures to files: whole or not at all, with what made them inside.

A texture is a float tensor `channels *axes` in [-1, 1]; axes are (t,) y, x.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from texsyn.core import ops
from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import refuse_overwrite
from texsyn.core.formats import DEFAULT_FPS, format_for, formats
from texsyn.core.maps import CHANNELS, COLOUR, MISSING, Plane, channels_of, vector_channels
from texsyn.media.encoders import ENCODERS
from texsyn.media.metadata import to_comment
from texsyn.media.png import Layout, Put

_SHRINKS = {"mp4": 20, "jpg": 4}  # by at least this factor; the others are lossless and may not shrink at all
_WIDEST = {"jpg": 65_535, "webp": 16_383, "gif": 65_535}  # pixels


def write(texture: Tensor, path: str | Path, **options: Any) -> list[Path]:
    """Write one texture, `channels *axes` in [-1, 1], and return the files written. options: of `write_bands`."""
    return write_bands([texture], tuple(texture.shape), path, **options)


def write_bands(
    bands: Iterable[Tensor],
    shape: Sequence[int],
    path: str | Path,
    *,
    planes: Sequence[Plane] | None = None,
    format: str | None = None,
    fps: float = DEFAULT_FPS,
    metadata: dict[str, Any] | None = None,
    force: bool = False,
) -> list[Path]:
    """Write one texture that comes in bands along its first axis, and return the files written.

    shape: `channels *axes` of the whole. PNG, MP4 and frames are written as the bands come; other formats need all of
    them in memory. format: one of `formats`; None takes it from the ending. Several planes are written one file each,
    NAME-PLANE.png or with the plane's own ending; heights and normals in 16 bits (PNG); packed ones together, as red,
    green and blue; in a glTF file (.glb) all together. metadata: JSON that goes into the file.
    Raises TexsynError: exit 2 for a format that cannot hold the texture or a file that exists (unless `force`), exit 5
    when the disk refuses.
    """
    path = Path(path)
    channels, *sizes = shape
    format = _check_format(path, format, sizes)
    files = _files(path, format, channels, planes, moving=len(sizes) == 3)
    written = [each for file in files for each in written_as(file.path, format)]
    for each in written:
        refuse_overwrite(each, force)
    with ThreadPoolExecutor(len(files)) as pool, ExitStack() as stack:
        puts = []
        for file in files:
            frames, (height, width) = sizes[0] if len(sizes) == 3 else 1, sizes[-2:]
            comment = to_comment(metadata)
            layout = Layout(frames, height, width, file.channels, fps, comment, file.bits, file.planes)
            puts.append(stack.enter_context(ENCODERS[format](file.path, layout)))
        for band in bands:  # maps are compressed side by side
            list(pool.map(_put, files, puts, [band] * len(files)))
    return written


def _put(file: _File, put: Put, band: Tensor) -> None:
    put(_quantised(file.values(band), file.bits))


def to_uint8(texture: Tensor) -> np.ndarray:
    """`channels *axes` in [-1, 1] -> `t h w channels`, uint8 (a still is one frame)."""
    return _quantised(texture, 8)


def _quantised(texture: Tensor, bits: int) -> np.ndarray:
    """`channels *axes` in [-1, 1] -> `t h w channels`: uint8 or uint16, or with 32 bits float32 in [0, 1]."""
    flat = texture.detach().float().cpu()
    flat = flat[:, None] if flat.dim() == 3 else flat
    shares = rearrange(flat.clamp(-1, 1) + 1, "c t h w -> t h w c")
    if bits == 32:
        return np.asarray((shares / 2).numpy())
    return np.asarray((shares * ((2**bits - 1) / 2)).round().numpy(), f"uint{bits}")


def written_as(path: Path, format: str) -> tuple[Path, ...]:
    """The files or folders that writing `path` in a format makes."""
    return (path, path.with_suffix(".json")) if format == "sheet" else (path,)


def refuse_full(path: Path, format: str, values: int) -> None:
    """Raise TexsynError (exit 5) when the disk cannot hold `values` numbers written in a format."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    needed = values // _SHRINKS.get(format, 1)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise TexsynError(
            f"about {needed / 1e9:.3g} GB would be written, and the disk has {free / 1e9:.3g} GB left", Exit.DISK
        )


def _check_format(path: Path, format: str | None, sizes: Sequence[int]) -> str:
    moving = len(sizes) == 3
    format = format or format_for(path, moving)
    if format not in formats(moving):
        raise TexsynError(f"a {'clip' if moving else 'still'} cannot be written as {format}", Exit.USAGE)
    if max(sizes[-2:]) > _WIDEST.get(format, math.inf):
        raise TexsynError(f"{format} holds at most {_WIDEST[format]} pixels a side, not {max(sizes[-2:])}", Exit.USAGE)
    return format


@dataclass(frozen=True)
class _File:
    """One file of a texture."""

    path: Path
    parts: tuple[slice | float, ...]  # channels of the texture, or a constant in [0, 1] for a channel
    bits: int = 8
    planes: tuple[Plane, ...] = ()
    vectors: tuple[slice, ...] = ()

    @property
    def channels(self) -> int:
        return sum(part.stop - part.start if isinstance(part, slice) else 1 for part in self.parts)

    def values(self, band: Tensor) -> Tensor:
        """Its channels, in [-1, 1], of `channels *axes` of the whole texture."""
        values = [
            band[part] if isinstance(part, slice) else torch.full_like(band[:1], 2 * part - 1) for part in self.parts
        ]
        return ops.unit_vectors(torch.cat(values), self.vectors)


def _files(path: Path, format: str, channels: int, planes: Sequence[Plane] | None, moving: bool) -> list[_File]:
    """The files of a texture: one, or one for each map or for several that are packed."""
    bits = 32 if format == "exr" else 8
    whole = (slice(0, channels),)
    planes = [Plane(COLOUR, channels)] if planes is None else planes
    vectors, parts = vector_channels(planes), dict(zip(planes, channels_of(planes), strict=True))
    if len(planes) == 1 or format == "glb":
        return [_File(path, whole, bits, tuple(planes), vectors)]
    files, deep = [], format == "png" and not moving
    for plane in planes:
        own = path.with_name(f"{path.stem}{_ending(plane)}{path.suffix}")
        if not plane.packed:
            depth = plane.map.bits if deep else bits
            files.append(_File(own, (parts[plane],), depth, (plane,), vector_channels([plane])))
        elif own not in [file.path for file in files]:
            together = {each.name: parts[each] for each in planes if each.packed and _ending(each) == _ending(plane)}
            files.append(_File(own, tuple(together.get(name, MISSING[name]) for name in CHANNELS), bits))
    return files


def _ending(plane: Plane) -> str:
    return plane.ending or f"-{plane.name}"
