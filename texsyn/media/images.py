"""Image files through imageio: stills, and animated PNG and WebP."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from imageio.core.request import Request
from imageio.core.v3_plugin_api import PluginV3
from imageio.plugins.pillow import PillowPlugin
from PIL import Image, ImageCms

from texsyn.core.errors import TexsynError
from texsyn.core.text import short
from texsyn.media.detection import MAX_FRAMES, File, check_duration, check_size, decoder_errors
from texsyn.media.frames import Frames, concatenate, constant_rate, to_unit_range
from texsyn.media.video import read_deep_image

_ORIENTATION = 0x0112  # EXIF tag
_DESCRIPTION = 0x010E  # EXIF tag
_BITS_PER_SAMPLE = 258  # TIFF tag
_DEFAULT_RATE = 25.0  # frames per second of an animation that names no durations


class OneFormat(PillowPlugin):
    """imageio's Pillow plugin, restricted to one format: no other parser of Pillow sees the file."""

    def __init__(self, request: Request, format: str) -> None:
        PluginV3.__init__(self, request)
        self._image, self.images_to_write = None, []  # `close` looks at both
        self._image = Image.open(request.get_file(), formats=[format])

    @property
    def pillow(self) -> Image.Image:
        """The image as Pillow opened it: mode, EXIF, ICC profile."""
        assert self._image is not None
        return self._image

    @property
    def is_animated(self) -> bool:
        """Whether the file holds several frames or pages."""
        return bool(getattr(self.pillow, "is_animated", False))

    @property
    def frame_numbers(self) -> range:
        """Of an animation; a PNG's first image may be one for viewers that do not animate."""
        return range(int(getattr(self.pillow, "default_image", False)), int(getattr(self.pillow, "n_frames", 1)))


@contextmanager
def open_image(path: File, format: str) -> Iterator[OneFormat]:
    """Open a file that `format_of` calls `format`. imageio gets the open file, so it never interprets the name."""
    with warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore")  # Pillow warns about what is refused or unused here
        with closing(iio.imopen(file, "r", plugin=OneFormat, format=format)) as image:
            yield image


def is_animated(path: File, format: str) -> bool:
    """Whether a PNG or WebP is a clip; False for a file that cannot be opened, too."""
    if format not in ("png", "webp"):
        return False
    try:
        with open_image(path, format) as image:
            return image.is_animated
    except OSError:  # imageio raises nothing else; reading the still says what is wrong
        return False


def read_image(path: File, format: str, linear: bool = False) -> Frames:
    """One still in sRGB, upright: colours `1 h w 3`, float32; masked where a pixel is not fully opaque.

    linear: its values are no colours, so no profile of colours changes them. 16-bit files keep their precision.
    Raises TexsynError (exit 3), also for an animation or a TIFF of several pages.
    """
    with decoder_errors(path, f"a {format.upper()} image"), open_image(path, format) as image:
        check_size(path, 1, image.pillow.height, image.pillow.width)
        if image.is_animated and format == "tiff":
            raise TexsynError(f"{short(path.name)} has several pages: save the one to read as a file of its own")
        if image.is_animated:
            raise TexsynError(f"{short(path.name)} is a clip, not a still")
        deep = _is_deep_colour(path, format, image.pillow)
        frame = _upright(read_deep_image(path), image) if deep else _read_frame(image, 0, path, linear)
    return replace(frame, colours=to_unit_range(frame.colours))


def read_animation(path: Path, format: str) -> Frames:
    """The frames of an animated PNG or WebP in sRGB, at a constant rate; masked where a pixel is not fully opaque.

    Raises TexsynError (exit 3).
    """
    with decoder_errors(path, f"an animated {format.upper()}"), open_image(path, format) as image:
        numbers = image.frame_numbers
        check_size(path, len(numbers), image.pillow.height, image.pillow.width)
        frames, ends = [], [0.0]
        for index in numbers:
            frames.append(_read_frame(image, index, path))
            ends.append(ends[-1] + float(image.pillow.info.get("duration", 0)) / 1000)
            check_duration(path, ends[-1])
        shown, rate = constant_rate(ends[:-1], len(frames) / ends[-1] if ends[-1] else _DEFAULT_RATE, MAX_FRAMES)
    return concatenate([frames[index] for index in shown], rate)


def read_comment(path: Path, format: str) -> str | None:
    """The comment or description in an image file, or None. Raises TexsynError (exit 3)."""
    with decoder_errors(path, f"a {format.upper()} image"), open_image(path, format) as image:
        info = image.pillow.info
        found = info.get("Comment") or info.get("comment") or image.pillow.getexif().get(_DESCRIPTION)
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found if isinstance(found, str) else None


def _read_frame(image: OneFormat, index: int, path: File, linear: bool = False) -> Frames:
    """One frame as it looks: in sRGB, upright; uint8 or float32 in [0, 1]."""
    if image.pillow.mode.startswith(("I", "F")):
        return _upright(Frames(_grey(image.read(index=index), path)[None]), image)
    alpha = _alpha(image, index)
    mask = None if alpha is None or alpha.min() == 255 else alpha[None] < 255
    colours = image.read(index=index, mode="RGB", writeable_output=False) if linear else _srgb(image, index)
    return _upright(Frames(colours[None], mask), image)


def _alpha(image: OneFormat, index: int) -> np.ndarray | None:
    """`h w`, uint8, 255 where a pixel is opaque; None for a file without transparency."""
    if "A" not in image.pillow.getbands() and "transparency" not in image.pillow.info:
        return None
    return image.read(index=index, mode="RGBA", writeable_output=False)[..., 3]


def _srgb(image: OneFormat, index: int) -> np.ndarray:
    """`h w 3`, uint8."""
    pillow, profile = image.pillow, image.pillow.info.get("icc_profile")
    if profile and pillow.mode in ("RGB", "CMYK"):
        image.read(index=index, writeable_output=False)  # decodes `pillow`
        try:
            source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            return np.asarray(ImageCms.profileToProfile(pillow, source, target, outputMode="RGB"))
        except (ImageCms.PyCMSError, OSError):  # a broken profile: the colours are taken as sRGB
            pass
    return image.read(index=index, mode="RGB", writeable_output=False)


def _grey(values: np.ndarray, path: File) -> np.ndarray:
    """`h w` of 16 or 32 bits -> `h w 3`, float32 in [0, 1]."""
    if values.dtype == np.float32:
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise TexsynError(f"{short(path.name)} holds floating-point greys outside 0 to 1")
    else:
        values = np.clip(values.astype(np.float32), 0, 65535) / 65535
    return np.repeat(values[..., None], 3, -1)


def _is_deep_colour(path: File, format: str, pillow: Image.Image) -> bool:
    """Whether a file has 16 bits for each colour, which Pillow would cut to 8."""
    if format == "png":
        with path.open("rb") as file:
            header = file.read(26)
        return header[24] == 16 and header[25] in (2, 6)
    bits = getattr(pillow, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
    return len(bits) >= 3 and max(bits) > 8


def _upright(frame: Frames, image: OneFormat) -> Frames:
    """Turned as EXIF says. Pillow turns TIFFs itself as it decodes them, and then forgets their orientation."""
    orientation = image.pillow.getexif().get(_ORIENTATION, 1)
    return frame.apply(lambda array: orient(array, orientation))


def orient(array: np.ndarray, orientation: int) -> np.ndarray:
    """Turn `t h w ...` as EXIF orientation 1 to 8 says."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(1, 2)
    if orientation in (2, 3, 6, 7):
        array = array[:, :, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)
