"""Textures to files: whole or not at all, with what made them inside.

A texture is a float tensor `channels *axes` in [-1, 1]; axes are (t,) y, x.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import refuse_overwrite
from texsyn.core.formats import format_for, formats
from texsyn.core.modality import Plane
from texsyn.media.encoders import ENCODERS
from texsyn.media.metadata import to_comment
from texsyn.media.png import Layout

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
    fps: float = 25.0,
    metadata: dict[str, Any] | None = None,
    force: bool = False,
) -> list[Path]:
    """Write one texture that comes in bands along its first axis, and return the files written.

    shape: `channels *axes` of the whole. PNG, MP4 and frames are written as the bands come; other formats need all of
    them in memory. format: one of `formats`; None takes it from the ending. Several planes are written one file each,
    NAME-PLANE.png. metadata: JSON that goes into the file.
    Raises TexsynError: exit 2 for a format that cannot hold the texture or a file that exists (unless `force`), exit 5
    when the disk refuses.
    """
    path = Path(path)
    channels, *sizes = shape
    format = _check_format(path, format, sizes)
    files = _files_of_planes(path, channels, planes)
    written = [each for file, _, _ in files for each in written_as(file, format)]
    for each in written:
        refuse_overwrite(each, force)
    with ExitStack() as stack:
        encoders = []
        for file, plane, chosen in files:
            frames, (height, width) = sizes[0] if len(sizes) == 3 else 1, sizes[-2:]
            layout = Layout(frames, height, width, chosen.stop - chosen.start, fps, to_comment(metadata))
            encoders.append((plane, chosen, stack.enter_context(ENCODERS[format](file, layout))))
        for band in bands:
            values = to_uint8(band)
            for plane, chosen, put in encoders:
                part = values[..., chosen]
                put(_unit_normals(part) if plane == "normal" else part)
    return written


def to_uint8(texture: Tensor) -> np.ndarray:
    """`channels *axes` in [-1, 1] -> `t h w channels`, uint8 (a still is one frame)."""
    flat = texture.detach().float().cpu()
    flat = flat[:, None] if flat.dim() == 3 else flat
    return rearrange(((flat.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8), "c t h w -> t h w c").numpy()


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


def _files_of_planes(path: Path, channels: int, planes: Sequence[Plane] | None) -> list[tuple[Path, str, slice]]:
    """File, plane and channels of each file."""
    if planes is None or len(planes) < 2:
        return [(path, "", slice(0, channels))]
    ends = list(accumulate(plane.channels for plane in planes))
    return [
        (path.with_name(f"{path.stem}-{plane.name}{path.suffix}"), plane.name, slice(end - plane.channels, end))
        for plane, end in zip(planes, ends, strict=True)
    ]


def _unit_normals(values: np.ndarray) -> np.ndarray:
    """Normals as colours, uint8, each brought back to length one."""
    vectors = values.astype(np.float32) / 127.5 - 1
    length = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-3)
    return np.asarray(np.round((vectors / length + 1) * 127.5), np.uint8)
