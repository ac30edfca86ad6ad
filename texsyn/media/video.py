"""Video files, GIFs and 16-bit images through libav."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer

from texsyn.core.errors import TexsynError
from texsyn.core.text import reason, short
from texsyn.media.detection import MAX_FRAMES, MAX_PIXELS, File, Member, check_duration, check_size, decoder_errors
from texsyn.media.frames import Frames, constant_rate

# libav opens scripts and playlists that name other files; only these containers, and only from this file.
_CONTAINER = {
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,png_pipe,tiff_pipe",
    "protocol_whitelist": "file",
}
_SECONDS = 20.0  # that opening or reading a block may take
_DEFAULT_RATE = 25  # frames per second of a clip that does not say


def read_video(path: Path) -> Frames:
    """The frames of a video or GIF, uint8, upright, at a constant rate. Raises TexsynError (exit 3)."""
    with _open_clip(path) as container:
        if not container.streams.video:
            raise TexsynError(f"{short(path.name)} holds no video: it may be damaged or incomplete")
        rate = float(container.streams.video[0].average_rate or _DEFAULT_RATE)
        frames, times = _decode(container, path, rate)
        if not frames:
            raise TexsynError(f"{short(path.name)} has no frames in it")
        if any(frame.shape != frames[0].shape for frame in frames):
            raise TexsynError(f"{short(path.name)} changes its size from frame to frame")
        shown, rate = constant_rate(times, rate, MAX_FRAMES)
    return Frames(np.stack([frames[index] for index in shown]), None, rate)


def read_deep_image(path: File) -> Frames:
    """A PNG or TIFF with 16 bits for each colour: float32 in [0, 1], masked where it is not fully opaque."""
    with _open(path) as container:
        container.streams.video[0].codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        frame = next(container.decode(video=0))
        values = frame.to_ndarray(format="rgba64le" if "a" in frame.format.name else "rgb48le")
    mask = values[None, ..., 3:].min(-1, initial=65535) < 65535
    return Frames(np.asarray(values[None, ..., :3], np.float32) / 65535, mask if mask.any() else None)


def read_comment(path: Path) -> str | None:
    """The comment in a video file, or None. Raises TexsynError (exit 3)."""
    with _open_clip(path) as container:
        return container.metadata.get("comment")


def _open(path: File) -> InputContainer:
    source: Any = path.open() if isinstance(path, Member) else str(path.absolute())
    opened: InputContainer = av.open(source, mode="r", container_options=_CONTAINER, timeout=_SECONDS)
    return opened


@contextmanager
def _open_clip(path: Path) -> Iterator[InputContainer]:
    with decoder_errors(path, "a clip"):
        try:
            with _open(path) as container:
                yield container
        except (av.InvalidDataError, av.EOFError) as error:
            raise TexsynError(f"{short(path.name)} is damaged or incomplete: {reason(error)}") from error


def _decode(container: InputContainer, path: Path, rate: float) -> tuple[list[np.ndarray], list[float]]:
    """Frames `h w 3`, uint8, and when each appears, in seconds."""
    stream = container.streams.video[0]
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    frames: list[np.ndarray] = []
    times: list[float] = []
    for frame in container.decode(stream):
        times.append(float(frame.time) if frame.time is not None else len(times) / rate)
        check_duration(path, times[-1] - times[0])
        array = frame.to_ndarray(format="rgb24")
        frames.append(np.rot90(array, round(frame.rotation / 90)) if frame.rotation else array)
        check_size(path, len(frames), *frames[0].shape[:2])
    return frames, times
