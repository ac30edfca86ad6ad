"""Files to exemplars. Every file is hostile until its first bytes say what it is.

Inside, a texture is a float tensor `channels *axes` in [-1, 1]; axes are (t,) y, x.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from texsyn.errors import TexsynError
from texsyn.modality import MODALITIES, Modality, Plane

MAX_BYTES = 200_000_000
MAX_PIXELS = 64_000_000
MAX_FRAMES = 2000
MAX_SECONDS = 120.0
SMALLEST = 64  # pixels a still must have on both sides
COLOUR = (Plane("colour"),)

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
_FRAME_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class Exemplar:
    """What is learnt from: `pixels` is `channels *axes` in [-1, 1], on the scale at which it is learnt."""

    pixels: Tensor = field(repr=False)
    modality: Modality
    fps: float = 0.0  # 0 for stills
    facts: dict[str, Any] = field(default_factory=dict)  # JSON: sha256, size and frames as read
    held: Tensor | None = field(default=None, repr=False)  # frames of a clip left out, to judge against

    @property
    def size(self) -> tuple[int, ...]:
        """(Frames and) pixels per axis."""
        return tuple(self.pixels.shape[1:])


def read(
    *paths: str | Path, kind: str | None = None, frames: str | slice | None = None, side: int | None = None
) -> Exemplar:
    """Read an exemplar: one still, one clip (a file or a folder of frames), or a material's maps in the table's order.

    kind: a row of `MODALITIES`; found from the file when None. frames: which frames of a clip to learn from, "A:B" as
    in Python. side: pixels of the shorter side after reduction; None takes the kind's own, 0 keeps the file's.
    Raises TexsynError (exit 3) for anything that cannot be read rightly.
    """
    if not paths:
        raise TexsynError("no exemplar named")
    files = [_existing(Path(path)) for path in paths]
    modality = _kind(files, kind)
    if modality.moving:
        pixels, fps = _read_clip(files[0])
        whole, read_size = len(pixels), pixels.shape[1:3]
        used = frame_slice(frames, whole)
        left_out = np.delete(np.arange(whole), used)[-modality.window[0] :]
        held, pixels = (_centre_square(pixels[choice]) for choice in (left_out, used))
    else:
        if frames is not None:
            raise TexsynError(f"--frames is for clips, but {files[0].name} is read as a {modality.name}")
        maps = [read_still(file) for file in files]
        fps, whole, held = 0.0, 1, None
        for file, each in zip(files[1:], maps[1:], strict=True):
            if each.shape[:2] != maps[0].shape[:2]:
                raise TexsynError(
                    f"{file.name} is {_size(each)}, but {files[0].name} is {_size(maps[0])}: maps must agree"
                )
        pixels = np.concatenate(maps, -1)[None]
        read_size = pixels.shape[1:3]
    if min(read_size) < SMALLEST:
        raise TexsynError(
            f"{files[0].name} is {read_size[1]} x {read_size[0]}, but a {modality.name} needs at least "
            f"{SMALLEST} x {SMALLEST}"
        )
    if modality.planes == COLOUR and bool((pixels[..., :1] == pixels).all()):
        pixels, modality = pixels[..., :1], replace(modality, planes=(Plane("colour", 1),))
    tensor = _reduce(pixels, modality, side)
    enough = held is not None and len(held) == modality.window[0]
    apart = None if held is None or not enough else _reduce(held[..., : pixels.shape[-1]], modality, side) * 2 - 1
    facts = {
        "sha256": _digest(files),
        "width": int(read_size[1]),
        "height": int(read_size[0]),
        **({"frames": whole, "used_frames": int(tensor.shape[1])} if modality.moving else {}),
    }
    exemplar = Exemplar((tensor if modality.moving else tensor[:, 0]) * 2 - 1, modality, fps, facts, apart)
    return _with_window(exemplar, files[0].name)


def _existing(path: Path) -> Path:
    if not path.exists():
        raise TexsynError(f"{short(path.name)}: no such file or folder")
    return path


def short(name: str) -> str:
    """A name as a message may show it: printable, at most 80 characters."""
    printable = "".join(c if c.isprintable() else "?" for c in name)
    return printable if len(printable) <= 80 else printable[:77] + "..."


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]}"


def _kind(files: list[Path], kind: str | None) -> Modality:
    if kind is not None and kind not in MODALITIES:
        raise TexsynError(f"{kind!r} is not a kind of texture: {', '.join(MODALITIES)}")
    if kind is None:
        kind = "material" if len(files) > 1 else sniff(files[0])
    modality = MODALITIES[kind]
    if len(files) != len(modality.planes):
        names = " and ".join(plane.name for plane in modality.planes)
        raise TexsynError(f"a {kind} is {len(modality.planes)} file(s) ({names}), but {len(files)} were named")
    return modality


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


def read_still(path: Path) -> np.ndarray:
    """`h w 3`, float32 in [0, 1], upright, in sRGB."""
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
                    return _grey(np.asarray(image), orientation, path)
                if not deep:
                    image.load()
                    _refuse_transparent(image, path)
                    upright = ImageOps.exif_transpose(image)
                    if profile and upright.mode in ("RGB", "CMYK"):
                        upright = _to_srgb(upright, profile, ImageCms)
                    return np.asarray(upright.convert("RGB"), np.float32) / 255
        return _orient(_decode_deep(path), orientation)
    except TexsynError:
        raise
    except Exception as error:  # decoders raise dozens of kinds for a broken file
        raise TexsynError(f"{short(path.name)} cannot be read as a {kind.upper()} picture: {reason(error)}") from error


def reason(error: Exception) -> str:
    """The first line of what a decoder said."""
    return short(str(error).splitlines()[0] if str(error) else type(error).__name__)


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


def _refuse_transparent(image: Any, path: Path) -> None:
    if "A" in image.getbands() or "transparency" in image.info:
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
        if alpha.min() < 255:
            share = 100 * float((alpha < 255).mean())
            raise TexsynError(
                f"{short(path.name)} has transparent pixels ({share:.1f} %): flatten it onto a background first"
            )


def _to_srgb(image: Any, profile: bytes, cms: Any) -> Any:
    import io

    try:
        source = cms.ImageCmsProfile(io.BytesIO(profile))
        return cms.profileToProfile(image, source, cms.createProfile("sRGB"), outputMode="RGB")
    except cms.PyCMSError:  # a broken profile: the pixels are still there
        return image


def _decode_deep(path: Path) -> np.ndarray:
    """16-bit colour, which Pillow cuts to 8 bits."""
    import av

    with av.open(str(path.absolute()), container_options=CONTAINER, timeout=20.0) as container:
        container.streams.video[0].codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        frame = next(container.decode(video=0))
        if "a" in frame.format.name and frame.to_ndarray(format="rgba64le")[..., 3].min() < 65535:
            raise TexsynError(f"{short(path.name)} has transparent pixels: flatten it onto a background first")
        return np.asarray(frame.to_ndarray(format="rgb48le"), np.float32) / 65535


def _read_clip(path: Path) -> tuple[np.ndarray, float]:
    """`t h w 3`, upright, uint8 or float32 in [0, 1], and frames per second."""
    if path.is_dir():
        return _read_folder(path), 25.0
    if format_of(path) not in ("gif", "video"):
        raise TexsynError(f"{short(path.name)} is a single picture, not a clip")
    try:
        return _decode_clip(path)
    except TexsynError:
        raise
    except Exception as error:  # libav raises dozens of kinds for a broken file
        raise TexsynError(f"{short(path.name)} cannot be read as a clip: {reason(error)}") from error


def _read_folder(path: Path) -> np.ndarray:
    def natural(file: Path) -> list[int | str]:
        return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.name)]

    files = sorted((f for f in path.iterdir() if f.suffix.lower() in _FRAME_SUFFIXES), key=natural)
    if not files:
        raise TexsynError(f"{short(path.name)} holds no frames (PNG, JPEG, WebP or TIFF)")
    if len(files) > MAX_FRAMES:
        raise TexsynError(f"{short(path.name)} holds {len(files)} frames, more than the {MAX_FRAMES} allowed")
    frames = [read_still(file) for file in files]
    for file, frame in zip(files, frames, strict=True):
        if frame.shape != frames[0].shape:
            raise TexsynError(f"{short(file.name)} is {_size(frame)}, but {files[0].name} is {_size(frames[0])}")
    return np.stack(frames)


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


def frame_slice(frames: str | slice | None, count: int) -> slice:
    """A:B as a slice of `count` frames. Raises TexsynError (exit 3) when it leaves nothing."""
    if frames is None or isinstance(frames, slice):
        return frames or slice(None)
    match = re.fullmatch(r"(-?\d*):(-?\d*)", frames.strip())
    if not match:
        raise TexsynError(f"--frames {frames!r} is not of the form A:B, such as 0:-32")
    first, last = (int(part) if part not in ("", "-") else None for part in match.groups())
    if not range(count)[first:last]:
        raise TexsynError(f"--frames {frames} leaves nothing of {count} frames")
    return slice(first, last)


def _centre_square(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[:, top : top + side, left : left + side]


def _reduce(frames: np.ndarray, modality: Modality, side: int | None) -> Tensor:
    """`t h w c` -> `c t h w` in [0, 1]: the shorter side reduced to `side`, and moving pictures by area."""
    from PIL import Image

    side = modality.side if side is None else side
    height, width = frames.shape[1:3]
    placed = not all(modality.stationary)  # its networks are as large as the picture
    if not side or (min(height, width) <= side and not placed):
        side = min(height, width)
    if placed and min(height, width) < side:
        raise TexsynError(f"the clip is {width} x {height}, but a clip needs at least {side} x {side}")
    scale = side / min(height, width)
    goal = (round(height * scale), round(width * scale))
    method = Image.Resampling.BOX if modality.moving else Image.Resampling.LANCZOS

    def small(plane: np.ndarray) -> np.ndarray:
        exact = np.ascontiguousarray(_unit(plane))
        return exact if goal == (height, width) else np.asarray(Image.fromarray(exact).resize(goal[::-1], method))

    # Plane by plane: as floats a long clip would not fit in memory before it is reduced.
    planes = np.stack([[small(frame[..., c]) for frame in frames] for c in range(frames.shape[-1])])
    return torch.from_numpy(planes).clamp(0, 1)


def _unit(values: np.ndarray) -> np.ndarray:
    """float32 in [0, 1], from that or from uint8."""
    return values.astype(np.float32) / 255 if values.dtype == np.uint8 else values


def _with_window(exemplar: Exemplar, name: str) -> Exemplar:
    """Fit the kind's training window to this exemplar: smaller for a small still, wider for a larger clip."""
    modality, size = exemplar.modality, exemplar.size
    strides = modality.designs["local"].factor
    if modality.moving and size[0] < modality.window[0]:
        raise TexsynError(f"{short(name)} has {size[0]} frame(s) to learn from, but a clip needs {modality.window[0]}")
    window = tuple(
        min(wanted, have) // stride * stride if same else have
        for wanted, have, stride, same in zip(modality.window, size, strides, modality.stationary, strict=True)
    )
    for have, stride, same in zip(size, strides, modality.stationary, strict=True):
        if not same and have % stride:
            raise TexsynError(f"--side must be a multiple of {stride} for a {modality.name}, but is {have}")
    own = tuple(
        min(have, wanted) // stride * stride if axis == "t" else have // stride * stride if same else have
        for axis, have, wanted, stride, same in zip(
            modality.axes, size, modality.size, strides, modality.stationary, strict=True
        )
    )
    return replace(exemplar, modality=replace(modality, window=window, size=own))


def still_for_scoring(path: Path, side: int = 224) -> np.ndarray:
    """`side side 3` in [0, 1], resized in 8 bits, as published figures of textures are."""
    from PIL import Image

    picture = _eight_bit(read_still(_existing(path)))
    if picture.size != (side, side):
        picture = picture.resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(picture, np.float32) / 255


def frames_for_scoring(path: Path, side: int = 64) -> np.ndarray:
    """`t side side 3` in [0, 1]: the centre square, resized by area in 8 bits."""
    from PIL import Image

    pictures = [_eight_bit(frame) for frame in _centre_square(_read_clip(_existing(path))[0])]
    if pictures[0].size != (side, side):
        pictures = [picture.resize((side, side), Image.Resampling.BOX) for picture in pictures]
    return np.stack([np.asarray(picture) for picture in pictures]).astype(np.float32) / 255


def _eight_bit(picture: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(np.round(_unit(picture) * 255).astype(np.uint8))


def _digest(files: list[Path]) -> str:
    sha = hashlib.sha256()
    for file in files:
        for part in sorted(file.iterdir()) if file.is_dir() else [file]:
            if part.is_file():
                sha.update(part.read_bytes())
    return sha.hexdigest()
