"""Files to arrays of pixels. Every file is hostile until its first bytes say what it is."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from texsyn.core.errors import TexsynError, reason, short

MAX_BYTES = 200_000_000
MAX_PIXELS = 64_000_000
MAX_FRAMES = 2000
MAX_SECONDS = 120.0

_STILL_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\x00": "tiff",
    b"MM\x00*": "tiff",
}
# libav opens scripts and playlists that name other files; only these containers, and only from this file.
CONTAINER = {
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,png_pipe,tiff_pipe",
    "protocol_whitelist": "file",
}
STILL_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
ENDINGS = (*STILL_ENDINGS, ".mp4", ".mov", ".webm", ".avi", ".gif")  # of exemplars; only a file's bytes say what it is


def size_of(picture: np.ndarray) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]}"


def sniff(path: Path) -> str:
    """`still` or `clip`, from a file's first bytes (a folder is a clip)."""
    return "clip" if path.is_dir() or format_of(path) in ("gif", "video") else "still"


def format_of(path: Path) -> str:
    """png, jpeg, tiff, webp, gif or video, by the first bytes. Raises TexsynError (exit 3) for anything else."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise TexsynError(f"{short(path.name)}: {error.strerror}") from error
    if size == 0:
        raise TexsynError(f"{short(path.name)} is empty")
    if size > MAX_BYTES:
        raise TexsynError(f"{short(path.name)} is {size / 1e6:.0f} MB, more than the {MAX_BYTES / 1e6:.0f} MB allowed")
    for magic, name in _STILL_MAGIC.items():
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    riff = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    if riff or head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free") or head[:4] == b"\x1aE\xdf\xa3":
        return "video"
    raise TexsynError(
        f"{short(path.name)} is neither a picture (PNG, JPEG, WebP, TIFF) nor a clip (MP4, MOV, WebM, AVI, GIF)"
    )


Picture = tuple[np.ndarray, np.ndarray | None]  # colours, and where they are missing


def read_still(path: Path) -> Picture:
    """`h w 3`, float32 in [0, 1], upright, in sRGB; and `h w`, true where it is not fully opaque, or None."""
    from PIL import Image, ImageCms, ImageOps

    kind = format_of(path)
    if kind in ("gif", "video"):
        raise TexsynError(f"{short(path.name)} is a clip, not a still")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what we refuse or do not use
            with Image.open(path, formats=[kind]) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise TexsynError(
                        f"{short(path.name)} is {image.width} x {image.height}, more than the "
                        f"{MAX_PIXELS / 1e6:.0f} million pixels allowed"
                    )
                orientation = image.getexif().get(0x0112, 1)
                deep = _sixteen_bit_colour(path, kind, image)
                profile = image.info.get("icc_profile")
                if image.mode.startswith(("I", "F")):
                    return _grey(np.asarray(image), orientation, path), None
                if not deep:
                    image.load()
                    upright = ImageOps.exif_transpose(image)
                    missing = _transparent(upright)
                    if profile and upright.mode in ("RGB", "CMYK"):
                        upright = _to_srgb(upright, profile, ImageCms)
                    return np.asarray(upright.convert("RGB"), np.float32) / 255, missing
        colours, missing = _decode_deep(path)
        return _orient(colours, orientation), None if missing is None else _orient(missing, orientation)
    except TexsynError:
        raise
    except Exception as error:  # decoders raise dozens of kinds for a broken file
        raise TexsynError(f"{short(path.name)} cannot be read as a {kind.upper()} picture: {reason(error)}") from error


def _sixteen_bit_colour(path: Path, kind: str, image: Any) -> bool:
    if kind == "png":
        with path.open("rb") as file:
            header = file.read(26)
        return header[24] == 16 and header[25] in (2, 6)
    if kind == "tiff":
        bits = image.tag_v2.get(258, (8,))
        return len(bits) >= 3 and max(bits) > 8
    return False


def _grey(values: np.ndarray, orientation: int, path: Path) -> np.ndarray:
    if values.dtype == np.float32:
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise TexsynError(f"{short(path.name)} holds floating-point greys outside 0 to 1")
        scaled = values
    else:
        scaled = np.clip(values.astype(np.float32), 0, 65535) / 65535
    return _orient(np.repeat(scaled[..., None], 3, -1), orientation)


def _orient(picture: np.ndarray, orientation: int) -> np.ndarray:
    """Turn as EXIF orientation 1 to 8 says."""
    if orientation in (5, 6, 7, 8):
        picture = picture.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    return np.ascontiguousarray(picture)


def opaque(picture: Picture, path: Path) -> np.ndarray:
    """The colours alone. Raises TexsynError (exit 3) where some are missing."""
    colours, missing = picture
    if missing is not None:
        raise TexsynError(f"{short(path.name)} has transparent pixels ({100 * missing.mean():.1f} %): flatten it first")
    return colours


def _transparent(image: Any) -> np.ndarray | None:
    if "A" not in image.getbands() and "transparency" not in image.info:
        return None
    missing = np.asarray(image.convert("RGBA"))[..., 3] < 255
    return missing if missing.any() else None


def _to_srgb(image: Any, profile: bytes, cms: Any) -> Any:
    import io

    try:
        source = cms.ImageCmsProfile(io.BytesIO(profile))
        return cms.profileToProfile(image, source, cms.createProfile("sRGB"), outputMode="RGB")
    except cms.PyCMSError:  # a broken profile: the pixels are still there
        return image


def _decode_deep(path: Path) -> Picture:
    """16-bit colour, which Pillow cuts to 8 bits."""
    import av

    with av.open(str(path.absolute()), container_options=CONTAINER, timeout=20.0) as container:
        container.streams.video[0].codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        frame = next(container.decode(video=0))
        deep = frame.to_ndarray(format="rgba64le" if "a" in frame.format.name else "rgb48le")
        missing = deep[..., 3:].min(-1, initial=65535) < 65535
        return np.asarray(deep[..., :3], np.float32) / 65535, missing if missing.any() else None


def read_clip(path: Path) -> tuple[Picture, float]:
    """`t h w 3`, upright, uint8 or float32 in [0, 1], with what is missing in it; and frames per second.

    Only folders of pictures say what is missing.
    """
    if path.is_dir():
        return _read_folder(path), 25.0
    if format_of(path) not in ("gif", "video"):
        raise TexsynError(f"{short(path.name)} is a single picture, not a clip")
    try:
        pictures, fps = _decode_clip(path)
        return (pictures, None), fps
    except TexsynError:
        raise
    except Exception as error:  # libav raises dozens of kinds for a broken file
        raise TexsynError(f"{short(path.name)} cannot be read as a clip: {reason(error)}") from error


def _read_folder(path: Path) -> Picture:
    def natural(file: Path) -> list[int | str]:
        return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.name)]

    files = sorted((f for f in path.iterdir() if f.suffix.lower() in STILL_ENDINGS), key=natural)
    if not files:
        raise TexsynError(f"{short(path.name)} holds no frames (PNG, JPEG, WebP or TIFF)")
    if len(files) > MAX_FRAMES:
        raise TexsynError(f"{short(path.name)} holds {len(files)} frames, more than the {MAX_FRAMES} allowed")
    pictures = [read_still(file) for file in files]
    frames = [colours for colours, _ in pictures]
    for file, frame in zip(files, frames, strict=True):
        if frame.shape != frames[0].shape:
            raise TexsynError(f"{short(file.name)} is {size_of(frame)}, but {files[0].name} is {size_of(frames[0])}")
    holes = [np.zeros(frame.shape[:2], bool) if hole is None else hole for frame, hole in pictures]
    return np.stack(frames), np.stack(holes) if any(hole.any() for hole in holes) else None


def read_mask(path: Path, size: tuple[int, ...], name: str) -> np.ndarray:
    """`frames height width`, true where a mask is white; one picture serves every frame.

    Raises TexsynError (exit 3) when it is not of this size, which `name` has.
    """
    frames, height, width = size
    if sniff(path) == "clip":
        colours = read_clip(path)[0][0]
        grey = colours.mean(-1) / (255 if colours.dtype == np.uint8 else 1)
    else:
        grey = opaque(read_still(path), path).mean(-1)[None]
    if grey.shape[1:] != (height, width):
        raise TexsynError(
            f"{short(path.name)} is {size_of(grey[0])}, but {short(name)} is {width} x {height}: they must agree"
        )
    if len(grey) not in (1, frames):
        raise TexsynError(f"{short(path.name)} has {len(grey)} frames, but {short(name)} has {frames}")
    return np.broadcast_to(grey > 0.5, (frames, height, width))


def check_missing(missing: np.ndarray, name: str) -> None:
    """Raise TexsynError (exit 3) when a mask hides all or nothing."""
    if missing.all():
        raise TexsynError(f"{short(name)} hides everything: white is what is missing")
    if not missing.any():
        raise TexsynError(f"{short(name)} hides nothing: white is what is missing")


def _decode_clip(path: Path) -> tuple[np.ndarray, float]:
    import av

    pictures: list[np.ndarray] = []
    times: list[float] = []
    with av.open(str(path.absolute()), container_options=CONTAINER, timeout=20.0) as container:
        if not container.streams.video:
            raise TexsynError(f"{short(path.name)} has no pictures in it")
        stream = container.streams.video[0]
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        rate = float(stream.average_rate or 25)
        for frame in container.decode(stream):
            time = float(frame.time) if frame.time is not None else len(times) / rate
            if len(pictures) >= MAX_FRAMES or time - (times[0] if times else time) > MAX_SECONDS:
                raise TexsynError(
                    f"{short(path.name)} is longer than the {MAX_FRAMES} frames or {MAX_SECONDS:.0f} seconds allowed: "
                    "cut it first"
                )
            picture = frame.to_ndarray(format="rgb24")
            pictures.append(np.rot90(picture, round(frame.rotation / 90)) if frame.rotation else picture)
            if sum(each.nbytes for each in pictures[:1]) * len(pictures) > 6 * MAX_PIXELS * 3:
                raise TexsynError(f"{short(path.name)} is too large for memory: cut or shrink it first")
            times.append(time)
    if not pictures:
        raise TexsynError(f"{short(path.name)} has no frames in it")
    if any(picture.shape != pictures[0].shape for picture in pictures):
        raise TexsynError(f"{short(path.name)} changes its size along the way")
    return _steady(pictures, times, rate)


def _steady(pictures: list[np.ndarray], times: list[float], rate: float) -> tuple[np.ndarray, float]:
    """Frames at a constant rate: a variable-rate clip shows, at each tick, the frame that was on screen."""
    steps = np.diff(times)
    if len(steps) and steps.min() > 0 and steps.max() > 1.5 * float(np.median(steps)):
        step = float(np.median(steps))
        rate = 1 / step
        ticks = times[0] + step * np.arange(round((times[-1] - times[0]) / step) + 1)
        if len(ticks) > MAX_FRAMES:
            raise TexsynError(f"its variable frame rate unrolls to {len(ticks)} frames, more than {MAX_FRAMES}")
        shown = np.searchsorted(times, ticks + 1e-6 * step, side="right") - 1
        pictures = [pictures[index] for index in shown]
    elif len(steps) and steps.min() > 0:
        rate = len(steps) / (times[-1] - times[0])
    return np.stack(pictures), round(rate, 3)
