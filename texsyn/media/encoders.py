"""Encoders of every format: context managers that take a texture's `t h w channels`, band by band."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import av
import imageio.v3 as iio
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from einops import rearrange
from PIL import Image

from texsyn.core.files import replacing
from texsyn.media import exr, gltf
from texsyn.media.png import Layout, Put, png_encoder

_DESCRIPTION = 0x010E  # EXIF tag
_BT709 = 1


@contextmanager
def mp4_encoder(path: Path, layout: Layout) -> Iterator[Put]:
    """H.264 that browsers play."""
    with (
        replacing(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        if layout.comment:
            container.metadata["comment"] = layout.comment
        stream = _add_h264(container, layout)

        def put(block: np.ndarray) -> None:
            for image in _as_even_rgb(block):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
                container.mux(stream.encode(frame))

        yield put
        container.mux(stream.encode())


def _add_h264(container: OutputContainer, layout: Layout) -> VideoStream:
    rate = Fraction(layout.fps).limit_denominator(1001)
    # x264's routines for AVX-512 let bytes depend on what lay in memory before; these give the same on any processor.
    options = {"crf": "12", "preset": "medium", "x264-params": "cpu-independent=1"}
    stream = container.add_stream("libx264", rate=rate, options=options)
    stream.height, stream.width = layout.height + layout.height % 2, layout.width + layout.width % 2
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.thread_count = 1  # the same bytes on any number of cores
    context.color_range = context.colorspace = context.color_primaries = context.color_trc = _BT709
    return stream


def _as_even_rgb(block: np.ndarray) -> np.ndarray:
    """Three channels, and the even sizes that H.264 wants; wrapping keeps a tile's colours."""
    if block.shape[-1] == 1:
        block = np.repeat(block, 3, -1)
    return np.pad(block, [(0, 0), (0, block.shape[1] % 2), (0, block.shape[2] % 2), (0, 0)], mode="wrap")


@contextmanager
def frames_encoder(path: Path, layout: Layout) -> Iterator[Put]:
    """A folder of numbered PNGs."""
    for old in path.glob("[0-9]*.png"):  # of a longer clip that is overwritten
        old.unlink()
    numbers = count()

    def put(block: np.ndarray) -> None:
        for image in block:
            with png_encoder(path / f"{next(numbers):05d}.png", replace(layout, frames=1)) as put_frame:
                put_frame(image[None])

    yield put


def write_jpg(path: Path, frames: np.ndarray, layout: Layout) -> None:
    options = {"comment": layout.comment} if layout.comment else {}
    _write_image(path, ".jpg", frames, quality=95, subsampling=0, **options)


def write_webp(path: Path, frames: np.ndarray, layout: Layout) -> None:
    """A lossless still, or an animation of good quality."""
    exif = Image.Exif()
    if layout.comment:
        exif[_DESCRIPTION] = layout.comment
    options: dict[str, Any] = {"lossless": True}
    if len(frames) > 1:
        options = {"quality": 95, "duration": round(1000 / layout.fps), "loop": 0}
    _write_image(path, ".webp", frames, method=4, exif=exif, **options)


def write_gif(path: Path, frames: np.ndarray, layout: Layout) -> None:
    delay = max(2, round(100 / layout.fps)) * 10  # whole 10 ms; browsers slow down shorter ones
    options = {"comment": layout.comment.encode()} if layout.comment else {}
    _write_image(path, ".gif", frames, save_all=True, duration=delay, loop=0, **options)


def _write_image(path: Path, extension: str, frames: np.ndarray, **options: Any) -> None:
    """Write `t h w channels` by imageio. It encodes in memory, so a full disk leaves nothing for it to flush."""
    images = frames[..., 0] if frames.shape[-1] == 1 else frames
    encoded = iio.imwrite("<bytes>", images, plugin="pillow", extension=extension, is_batch=True, **options)
    with replacing(path) as temporary:
        temporary.write_bytes(encoded)


def write_sheet(path: Path, frames: np.ndarray, layout: Layout) -> None:
    """A flipbook: frames row by row in one PNG, and a JSON file beside it that describes the grid."""
    columns = math.ceil(math.sqrt(layout.frames))
    rows = -(-layout.frames // columns)
    blank = np.zeros((rows * columns - layout.frames, *frames.shape[1:]), np.uint8)
    sheet = rearrange(np.concatenate([frames, blank]), "(r c) h w k -> 1 (r h) (c w) k", c=columns)
    with png_encoder(path, replace(layout, frames=1, height=sheet.shape[1], width=sheet.shape[2])) as put:
        put(sheet)
    grid = {name: getattr(layout, name) for name in ("frames", "width", "height", "fps")}
    grid |= {"columns": columns, "rows": rows}
    with replacing(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(grid, indent=2) + "\n")


Encoder = Callable[[Path, Layout], AbstractContextManager[Put]]


def _gathered(write: Callable[[Path, np.ndarray, Layout], None]) -> Encoder:
    """An encoder for a format that is written in one piece."""

    @contextmanager
    def encoder(path: Path, layout: Layout) -> Iterator[Put]:
        blocks: list[np.ndarray] = []
        yield blocks.append
        write(path, np.concatenate(blocks, 0 if layout.frames > 1 else 1), layout)

    return encoder


ENCODERS: dict[str, Encoder] = {
    "png": png_encoder,
    "mp4": mp4_encoder,
    "frames": frames_encoder,
    "jpg": _gathered(write_jpg),
    "webp": _gathered(write_webp),
    "gif": _gathered(write_gif),
    "sheet": _gathered(write_sheet),
    "exr": _gathered(exr.write),
    "glb": _gathered(gltf.write),
}
