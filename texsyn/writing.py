"""Textures to files: every format whole or not at all, with what made it inside.

A texture is a float tensor `channels *axes` in [-1, 1]; axes are (t,) y, x.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from texsyn import media
from texsyn.errors import Exit, TexsynError
from texsyn.modality import Plane

_STILL_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_CLIP_SUFFIXES = (".mp4", ".gif", ".webp")
ENDINGS = frozenset((*_STILL_SUFFIXES, *_CLIP_SUFFIXES))
_COMMENT = "texsyn"


def to_uint8(texture: Tensor) -> np.ndarray:
    """`channels *axes` in [-1, 1] -> `t h w channels`, uint8 (a still is one frame)."""
    flat = texture.detach().float().cpu()
    flat = flat[:, None] if flat.dim() == 3 else flat
    return rearrange(((flat.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8), "c t h w -> t h w c").numpy()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name in the same folder to write to, which takes the place of `path` when all went well."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".texsyn-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise TexsynError(
            f"{media.short(path.name)} cannot be written: {error.strerror or error}", Exit.DISK
        ) from error


def formats(moving: bool) -> tuple[str, ...]:
    """Output formats by the names the command line uses."""
    return ("mp4", "gif", "webp", "frames", "sheet") if moving else ("png", "jpg", "webp")


def format_for(path: Path, moving: bool) -> str:
    """The output format that a file name's ending stands for."""
    suffix = path.suffix.lower()
    allowed = _CLIP_SUFFIXES if moving else _STILL_SUFFIXES
    if suffix not in allowed:
        raise TexsynError(
            f"{media.short(path.name)}: a {'clip' if moving else 'still'} is written to {', '.join(allowed)}",
            Exit.USAGE,
        )
    return {".jpeg": "jpg"}.get(suffix, suffix[1:])


def write(
    texture: Tensor,
    path: str | Path,
    *,
    planes: Sequence[Plane] | None = None,
    format: str | None = None,
    fps: float = 25.0,
    metadata: dict[str, Any] | None = None,
    force: bool = False,
) -> list[Path]:
    """Write one texture, `channels *axes` in [-1, 1], and return the files written.

    The format follows from the ending. Several planes are written one file each, NAME-PLANE.png. `metadata` (JSON) goes
    into the file. Raises TexsynError: exit 2 for an ending that cannot hold it or a file that is there already (unless
    `force`), exit 5 when the disk refuses.
    """
    path = Path(path)
    moving = texture.dim() == 4
    format = format or format_for(path, moving)
    if format not in formats(moving):
        raise TexsynError(f"a {'clip' if moving else 'still'} cannot be written as {format}", Exit.USAGE)
    pictures = to_uint8(texture)
    comment = json.dumps({_COMMENT: metadata}, sort_keys=True) if metadata is not None else None
    parts = _split(pictures, path, planes)
    for target, _ in parts:
        for file in written_as(target, format):
            refuse_overwrite(file, force)
    for target, part in parts:
        _WRITERS[format](target, part, fps, comment)
    return [file for target, _ in parts for file in written_as(target, format)]


def written_as(path: Path, format: str) -> tuple[Path, ...]:
    """The files or folders that writing `path` in a format makes."""
    return (path, path.with_suffix(".json")) if format == "sheet" else (path,)


def refuse_overwrite(path: Path, force: bool) -> None:
    """Raise TexsynError (exit 2) when `path` exists, unless `force`."""
    if path.exists() and not force and not (path.is_dir() and not any(path.iterdir())):
        raise TexsynError(f"{media.short(str(path))} exists already: --force overwrites it", Exit.USAGE)


def _split(pictures: np.ndarray, path: Path, planes: Sequence[Plane] | None) -> list[tuple[Path, np.ndarray]]:
    if planes is None or len(planes) < 2:
        return [(path, pictures)]
    cuts = np.cumsum([plane.channels for plane in planes])[:-1]
    parts = np.split(pictures, cuts, axis=-1)
    return [
        (
            path.with_name(f"{path.stem}-{plane.name}{path.suffix}"),
            _unit_normals(part) if plane.name == "normal" else part,
        )
        for plane, part in zip(planes, parts, strict=True)
    ]


def _unit_normals(pictures: np.ndarray) -> np.ndarray:
    """Normals as colours, each brought back to length one."""
    vectors = pictures.astype(np.float32) / 127.5 - 1
    length = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-3)
    return np.asarray(np.round((vectors / length + 1) * 127.5), np.uint8)


def _images(pictures: np.ndarray) -> list[Any]:
    from PIL import Image

    return [Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture) for picture in pictures]


def _write_png(path: Path, pictures: np.ndarray, fps: float, comment: str | None) -> None:
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    if comment:
        info.add_itxt("Comment", comment)
    with replacing(path) as temporary:
        _images(pictures)[0].save(temporary, format="PNG", pnginfo=info)


def _write_jpg(path: Path, pictures: np.ndarray, fps: float, comment: str | None) -> None:
    with replacing(path) as temporary:
        _images(pictures)[0].save(
            temporary, format="JPEG", quality=95, subsampling=0, **({"comment": comment} if comment else {})
        )


def _write_webp(path: Path, pictures: np.ndarray, fps: float, comment: str | None) -> None:
    from PIL import Image

    exif = Image.Exif()
    if comment:
        exif[0x010E] = comment  # ImageDescription
    first, *rest = _images(pictures)
    how: dict[str, Any] = {"lossless": True}
    if rest:
        how = {"quality": 95, "save_all": True, "append_images": rest, "duration": round(1000 / fps), "loop": 0}
    with replacing(path) as temporary:
        first.save(temporary, format="WEBP", method=4, exif=exif, **how)


def _write_gif(path: Path, pictures: np.ndarray, fps: float, comment: str | None) -> None:
    first, *rest = _images(pictures)
    delay = max(2, round(100 / fps)) * 10  # whole 10 ms; shorter ones are slowed down by browsers
    with replacing(path) as temporary:
        first.save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=rest,
            duration=delay,
            loop=0,
            **({"comment": comment.encode()} if comment else {}),
        )


def _write_mp4(path: Path, pictures: np.ndarray, fps: float, comment: str | None) -> None:
    import av

    if pictures.shape[-1] == 1:
        pictures = np.repeat(pictures, 3, -1)
    odd = [(0, 0), *((0, n % 2) for n in pictures.shape[1:3]), (0, 0)]
    pictures = np.pad(pictures, odd, mode="wrap")  # H.264 wants even sizes; wrapping keeps a tile's colours
    rate = Fraction(fps).limit_denominator(1001)
    with (
        replacing(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as out,
    ):
        if comment:
            out.metadata["comment"] = comment
        stream = out.add_stream("libx264", rate=rate, options={"crf": "12", "preset": "medium"})
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.thread_count = 1  # the same bytes whatever the machine's cores
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1, 1  # BT.709
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


def _write_frames(path: Path, pictures: np.ndarray, fps: float, comment: str | None) -> None:
    for old in path.glob("[0-9]*.png"):  # of a longer clip, when overwriting
        old.unlink()
    for index, picture in enumerate(pictures):
        _write_png(path / f"{index:05d}.png", picture[None], fps, comment)


def _write_sheet(path: Path, pictures: np.ndarray, fps: float, comment: str | None) -> None:
    """A flipbook: frames row by row in one PNG, and a JSON beside it that says how they lie."""
    count, height, width, _ = pictures.shape
    columns = math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    padded = np.concatenate([pictures, np.zeros((rows * columns - count, *pictures.shape[1:]), np.uint8)])
    _write_png(path, rearrange(padded, "(r c) h w k -> 1 (r h) (c w) k", c=columns), fps, comment)
    layout = {"frames": count, "columns": columns, "rows": rows, "width": width, "height": height, "fps": fps}
    with replacing(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(layout, indent=2) + "\n")


_WRITERS = {
    "png": _write_png,
    "jpg": _write_jpg,
    "webp": _write_webp,
    "gif": _write_gif,
    "mp4": _write_mp4,
    "frames": _write_frames,
    "sheet": _write_sheet,
}


def read_metadata(path: Path) -> dict[str, Any] | None:
    """What texsyn wrote into a file, or None when it wrote nothing."""
    comment = _video_comment(path) if media.format_of(path) == "video" else _picture_comment(path)
    try:
        content = json.loads(comment or "null")
    except ValueError:
        return None
    found = content.get(_COMMENT) if isinstance(content, dict) else None
    return found if isinstance(found, dict) else None


def _video_comment(path: Path) -> str | None:
    import av

    try:
        with av.open(str(path.absolute()), container_options=media.CONTAINER, timeout=20.0) as container:
            return container.metadata.get("comment")
    except (av.FFmpegError, ValueError) as error:
        raise TexsynError(f"{media.short(path.name)} cannot be read as a clip: {media.reason(error)}") from error


def _picture_comment(path: Path) -> str | None:
    from PIL import Image

    try:
        with Image.open(path, formats=[media.format_of(path)]) as image:
            found = image.info.get("Comment") or image.info.get("comment") or image.getexif().get(0x010E)
    except (OSError, ValueError, SyntaxError) as error:
        raise TexsynError(f"{media.short(path.name)} cannot be read as a picture: {media.reason(error)}") from error
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found
