"""Textures to files: every format whole or not at all, with what made it inside.

A texture is a float tensor `channels *axes` in [-1, 1]; axes are (t,) y, x.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate, count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from texsyn.core.errors import Exit, TexsynError, reason, short
from texsyn.core.files import refuse_overwrite, replacing
from texsyn.core.modality import Plane
from texsyn.media import decoding
from texsyn.media.png import Layout, Put, png_sink

_STILL_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_CLIP_SUFFIXES = (".mp4", ".gif", ".webp")
ENDINGS = frozenset((*_STILL_SUFFIXES, *_CLIP_SUFFIXES))
_COMMENT = "texsyn"


def to_uint8(texture: Tensor) -> np.ndarray:
    """`channels *axes` in [-1, 1] -> `t h w channels`, uint8 (a still is one frame)."""
    flat = texture.detach().float().cpu()
    flat = flat[:, None] if flat.dim() == 3 else flat
    return rearrange(((flat.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8), "c t h w -> t h w c").numpy()


def formats(moving: bool) -> tuple[str, ...]:
    """Output formats by the names the command line uses."""
    return ("mp4", "gif", "webp", "frames", "sheet") if moving else ("png", "jpg", "webp")


def format_for(path: Path, moving: bool) -> str:
    """The output format that a file name's ending stands for."""
    suffix = path.suffix.lower()
    allowed = _CLIP_SUFFIXES if moving else _STILL_SUFFIXES
    if suffix not in allowed:
        raise TexsynError(
            f"{short(path.name)}: a {'clip' if moving else 'still'} is written to {', '.join(allowed)}",
            Exit.USAGE,
        )
    return {".jpeg": "jpg"}.get(suffix, suffix[1:])


def write(texture: Tensor, path: str | Path, **how: Any) -> list[Path]:
    """Write one texture, `channels *axes` in [-1, 1], and return the files written: `write_bands` with one band."""
    return write_bands([texture], tuple(texture.shape), path, **how)


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

    shape: `channels *axes` of the whole. PNG, MP4 and frames are written as the bands come; other formats gather them.
    The format follows from the ending. Several planes are written one file each, NAME-PLANE.png. `metadata` (JSON) goes
    into the file. Raises TexsynError: exit 2 for an ending that cannot hold it or a file that is there already (unless
    `force`), exit 5 when the disk refuses.
    """
    path = Path(path)
    channels, *sizes = shape
    moving = len(sizes) == 3
    format = format or format_for(path, moving)
    if format not in formats(moving):
        raise TexsynError(f"a {'clip' if moving else 'still'} cannot be written as {format}", Exit.USAGE)
    if max(sizes[-2:]) > _WIDEST.get(format, math.inf):
        raise TexsynError(f"{format} holds at most {_WIDEST[format]} pixels a side, not {max(sizes[-2:])}", Exit.USAGE)
    comment = json.dumps({_COMMENT: metadata}, sort_keys=True) if metadata is not None else None
    parts = _parts(path, channels, planes)
    targets = [target for target, _, _ in parts]
    for target in targets:
        for file in written_as(target, format):
            refuse_overwrite(file, force)
    with ExitStack() as stack:
        sinks = []
        for target, plane, picked in parts:
            frames, (height, width) = sizes[0] if moving else 1, sizes[-2:]
            layout = Layout(frames, height, width, picked.stop - picked.start, fps, comment)
            sinks.append((plane, picked, stack.enter_context(_SINKS[format](target, layout))))
        for band in bands:
            pictures = to_uint8(band)
            for plane, picked, put in sinks:
                part = pictures[..., picked]
                put(_unit_normals(part) if plane == "normal" else part)
    return [file for target in targets for file in written_as(target, format)]


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


def _parts(path: Path, channels: int, planes: Sequence[Plane] | None) -> list[tuple[Path, str, slice]]:
    """File, plane and channels of each file."""
    if planes is None or len(planes) < 2:
        return [(path, "", slice(0, channels))]
    ends = list(accumulate(plane.channels for plane in planes))
    return [
        (path.with_name(f"{path.stem}-{plane.name}{path.suffix}"), plane.name, slice(end - plane.channels, end))
        for plane, end in zip(planes, ends, strict=True)
    ]


def _unit_normals(pictures: np.ndarray) -> np.ndarray:
    """Normals as colours, each brought back to length one."""
    vectors = pictures.astype(np.float32) / 127.5 - 1
    length = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-3)
    return np.asarray(np.round((vectors / length + 1) * 127.5), np.uint8)


def _images(pictures: np.ndarray) -> list[Any]:
    from PIL import Image

    return [Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture) for picture in pictures]


@contextmanager
def _mp4(path: Path, layout: Layout) -> Iterator[Put]:
    import av

    # H.264 wants even sizes; wrapping keeps a tile's colours.
    odd = [(0, 0), (0, layout.height % 2), (0, layout.width % 2), (0, 0)]
    rate = Fraction(layout.fps).limit_denominator(1001)
    with (
        replacing(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as out,
    ):
        if layout.comment:
            out.metadata["comment"] = layout.comment
        stream = out.add_stream("libx264", rate=rate, options={"crf": "12", "preset": "medium"})
        stream.height, stream.width = layout.height + odd[1][1], layout.width + odd[2][1]
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.thread_count = 1  # the same bytes whatever the machine's cores
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1, 1  # BT.709

        def put(block: np.ndarray) -> None:
            if layout.channels == 1:
                block = np.repeat(block, 3, -1)
            for picture in np.pad(block, odd, mode="wrap"):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
                out.mux(stream.encode(frame))

        yield put
        out.mux(stream.encode())


@contextmanager
def _frames(path: Path, layout: Layout) -> Iterator[Put]:
    for old in path.glob("[0-9]*.png"):  # of a longer clip, when overwriting
        old.unlink()
    numbers = count()

    def put(block: np.ndarray) -> None:
        for picture in block:
            with png_sink(path / f"{next(numbers):05d}.png", replace(layout, frames=1)) as one:
                one(picture[None])

    yield put


def _gathered(write: Callable[[Path, np.ndarray, Layout], None]) -> Callable[[Path, Layout], Any]:
    """A sink for formats that are written in one piece."""

    @contextmanager
    def sink(path: Path, layout: Layout) -> Iterator[Put]:
        blocks: list[np.ndarray] = []
        yield blocks.append
        write(path, np.concatenate(blocks, 0 if layout.frames > 1 else 1), layout)

    return sink


def _write_jpg(path: Path, pictures: np.ndarray, layout: Layout) -> None:
    comment = {"comment": layout.comment} if layout.comment else {}
    with replacing(path) as temporary:
        _images(pictures)[0].save(temporary, format="JPEG", quality=95, subsampling=0, **comment)


def _write_webp(path: Path, pictures: np.ndarray, layout: Layout) -> None:
    from PIL import Image

    exif = Image.Exif()
    if layout.comment:
        exif[0x010E] = layout.comment  # ImageDescription
    first, *rest = _images(pictures)
    how: dict[str, Any] = {"lossless": True}
    if rest:
        duration = round(1000 / layout.fps)
        how = {"quality": 95, "save_all": True, "append_images": rest, "duration": duration, "loop": 0}
    with replacing(path) as temporary:
        first.save(temporary, format="WEBP", method=4, exif=exif, **how)


def _write_gif(path: Path, pictures: np.ndarray, layout: Layout) -> None:
    first, *rest = _images(pictures)
    delay = max(2, round(100 / layout.fps)) * 10  # whole 10 ms; shorter ones are slowed down by browsers
    comment = {"comment": layout.comment.encode()} if layout.comment else {}
    with replacing(path) as temporary:
        first.save(temporary, format="GIF", save_all=True, append_images=rest, duration=delay, loop=0, **comment)


def _write_sheet(path: Path, pictures: np.ndarray, layout: Layout) -> None:
    """A flipbook: frames row by row in one PNG, and a JSON beside it that says how they lie."""
    columns = math.ceil(math.sqrt(layout.frames))
    rows = -(-layout.frames // columns)
    blank = np.zeros((rows * columns - layout.frames, *pictures.shape[1:]), np.uint8)
    whole = rearrange(np.concatenate([pictures, blank]), "(r c) h w k -> 1 (r h) (c w) k", c=columns)
    with png_sink(path, replace(layout, frames=1, height=whole.shape[1], width=whole.shape[2])) as put:
        put(whole)
    described = {name: getattr(layout, name) for name in ("frames", "width", "height", "fps")}
    described |= {"columns": columns, "rows": rows}
    with replacing(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(described, indent=2) + "\n")


_SINKS: dict[str, Callable[[Path, Layout], Any]] = {
    "png": png_sink,
    "mp4": _mp4,
    "frames": _frames,
    "jpg": _gathered(_write_jpg),
    "webp": _gathered(_write_webp),
    "gif": _gathered(_write_gif),
    "sheet": _gathered(_write_sheet),
}
_SHRINKS = {"mp4": 20, "jpg": 4}  # at least by so much; the others are lossless and may not shrink at all
_WIDEST = {"jpg": 65_535, "webp": 16_383, "gif": 65_535}


def read_metadata(path: Path) -> dict[str, Any] | None:
    """What texsyn wrote into a file, or None when it wrote nothing."""
    comment = _video_comment(path) if decoding.format_of(path) == "video" else _picture_comment(path)
    try:
        content = json.loads(comment or "null")
    except (ValueError, RecursionError):
        return None
    found = content.get(_COMMENT) if isinstance(content, dict) else None
    return found if isinstance(found, dict) else None


def _video_comment(path: Path) -> str | None:
    import av

    try:
        with av.open(str(path.absolute()), container_options=decoding.CONTAINER, timeout=20.0) as container:
            return container.metadata.get("comment")
    except (av.FFmpegError, ValueError) as error:
        raise TexsynError(f"{short(path.name)} cannot be read as a clip: {reason(error)}") from error


def _picture_comment(path: Path) -> str | None:
    from PIL import Image

    try:
        with Image.open(path, formats=[decoding.format_of(path)]) as image:
            found = image.info.get("Comment") or image.info.get("comment") or image.getexif().get(0x010E)
    except Exception as error:  # decoders raise dozens of kinds for a broken file
        raise TexsynError(f"{short(path.name)} cannot be read as a picture: {reason(error)}") from error
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found if isinstance(found, str) else None
