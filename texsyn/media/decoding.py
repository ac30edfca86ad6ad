"""Files and folders to frames: stills, clips, and folders of frames."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from texsyn.core.errors import TexsynError
from texsyn.core.formats import STILL_ENDINGS
from texsyn.core.text import short
from texsyn.media import exr, images, video
from texsyn.media.detection import MAX_FRAMES, File, Member, format_of
from texsyn.media.frames import Frames, concatenate, size_text

_FOLDER_RATE = 25.0  # frames per second of a folder of frames


def sniff(path: Path) -> str:
    """`still` or `clip`, by a file's content. Folders, videos, GIFs, animated PNGs and animated WebPs are clips."""
    if path.is_dir():
        return "clip"
    format = format_of(path)
    return "clip" if format in ("gif", "video") or images.is_animated(path, format) else "still"


def read_still(path: File) -> Frames:
    """One image in sRGB, upright: colours `1 h w 3`, float32 in [0, 1]; masked where it is not fully opaque.

    Raises TexsynError (exit 3) for a file that is damaged or too large, an animation, or a TIFF of several pages.
    """
    format = format_of(path)
    if format in ("gif", "video"):
        raise TexsynError(f"{short(path.name)} is a clip, not a still")
    if format == "exr":
        if isinstance(path, Member):
            raise TexsynError(f"{short(path.name)} is an EXR image, which is read as a file of its own only")
        return Frames(exr.to_srgb(exr.read(path))[None])
    return images.read_image(path, format)


def read_map(path: Path) -> Frames:
    """A map that holds no colours, upright: its values `1 h w 3`, float32, in [0, 1] but for EXR; alpha is left out.

    Raises TexsynError (exit 3) as `read_still` does.
    """
    format = format_of(path)
    if format == "exr":
        return Frames(exr.read(path)[None])
    if format in ("gif", "video"):
        raise TexsynError(f"{short(path.name)} is a clip, not a still")
    return replace(images.read_image(path, format, linear=True), mask=None)


def read_clip(path: Path) -> Frames:
    """A clip, upright: colours `t h w 3`, uint8 or float32 in [0, 1], at a constant rate.

    Transparent pixels are masked in folders of frames, animated PNGs and animated WebPs; videos and GIFs count as
    opaque. Raises TexsynError (exit 3) for a still, too.
    """
    if path.is_dir():
        return _read_folder(path)
    format = format_of(path)
    if format in ("gif", "video"):
        return video.read_video(path)
    if images.is_animated(path, format):
        return images.read_animation(path, format)
    raise TexsynError(f"{short(path.name)} is a single image, not a clip")


def read_frames(path: Path) -> Frames:
    """A still or a clip, whichever it is."""
    return read_clip(path) if sniff(path) == "clip" else read_still(path)


def _read_folder(path: Path) -> Frames:
    files = sorted((f for f in path.iterdir() if f.suffix.lower() in STILL_ENDINGS), key=_natural_order)
    if not files:
        raise TexsynError(f"{short(path.name)} holds no frames (PNG, JPEG, WebP or TIFF)")
    if len(files) > MAX_FRAMES:
        raise TexsynError(f"{short(path.name)} holds {len(files)} frames, more than the {MAX_FRAMES} allowed")
    stills = [read_still(file) for file in files]
    for file, still in zip(files, stills, strict=True):
        if still.size != stills[0].size:
            raise TexsynError(
                f"{short(file.name)} is {size_text(still.colours)}, but {short(files[0].name)} is "
                f"{size_text(stills[0].colours)}"
            )
    return concatenate(stills, _FOLDER_RATE)


def _natural_order(file: Path) -> list[int | str]:
    """Sorts `f2.png` before `f10.png`."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.name)]
