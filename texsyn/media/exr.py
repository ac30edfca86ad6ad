"""OpenEXR files: any numbers, linear. Needs the package OpenEXR, which `texsyn[materials]` installs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import replacing
from texsyn.core.text import short
from texsyn.media.detection import check_size, decoder_errors
from texsyn.media.png import Layout

if TYPE_CHECKING:
    import OpenEXR

_COLOURS = ("RGBA", "RGB")
_LARGEST = 65504.0  # of 16 bits
_BREAK, _SLOPE, _GAIN, _POWER, _OFFSET = 0.0031308, 12.92, 1.055, 2.4, 0.055  # of sRGB (IEC 61966-2-1)


def _library() -> Any:
    """The package. Raises TexsynError (exit 2) where it is not installed."""
    try:
        import OpenEXR
    except ImportError as error:
        raise TexsynError("EXR files need OpenEXR: pip install 'texsyn[materials]'", Exit.USAGE) from error
    return OpenEXR


def read(path: Path) -> np.ndarray:
    """`h w 3`, float32: the numbers in the file; a single channel is repeated, alpha is left out.

    Raises TexsynError: exit 2 without OpenEXR, exit 3 for a file that is damaged, too large, or has other channels.
    """
    library = _library()
    with decoder_errors(path, "an EXR image"):
        with library.File(str(path), header_only=True) as file:
            low, high = file.header()["dataWindow"]
        check_size(path, 1, int(high[1]) - int(low[1]) + 1, int(high[0]) - int(low[0]) + 1)
        with library.File(str(path)) as file:
            values = _pixels(file, path)
    if not np.isfinite(values).all():
        raise TexsynError(f"{short(path.name)} holds values that are no finite numbers")
    return values


def _pixels(file: OpenEXR.File, path: Path) -> np.ndarray:
    channels = file.channels()
    for name in _COLOURS:
        if name in channels:
            return np.asarray(channels[name].pixels[..., :3], np.float32)
    if len(channels) == 1:
        (channel,) = channels.values()
        return np.repeat(np.asarray(channel.pixels, np.float32)[..., None], 3, -1)
    raise TexsynError(f"{short(path.name)} has the channels {short(', '.join(channels))}, not RGB or a single one")


def read_comment(path: Path) -> str | None:
    """The comment in a file. Raises TexsynError as `read` does."""
    library = _library()
    with decoder_errors(path, "an EXR image"), library.File(str(path), header_only=True) as file:
        found = file.header().get("comments")
    return found if isinstance(found, str) else None


def write(path: Path, frames: np.ndarray, layout: Layout) -> None:
    """Write `1 h w channels`, float32. Colours become linear; a plane with a range of its own gets it back."""
    library = _library()
    (values,) = frames
    plane = layout.planes[0] if len(layout.planes) == 1 else None
    if plane is not None and not plane.map.linear:
        values = to_linear(values)
    elif plane is not None:
        values = values * (plane.high - plane.low) + plane.low
    half = float(np.abs(values).max()) <= _LARGEST and (plane is None or plane.map.bits == 8)
    values = np.ascontiguousarray(values, np.float16 if half else np.float32)
    header = {"compression": library.ZIP_COMPRESSION, "type": library.scanlineimage}
    if layout.comment:
        header["comments"] = layout.comment
    pixels = {"RGB": values} if values.shape[-1] == 3 else {"Y": np.ascontiguousarray(values[..., 0])}
    with replacing(path) as temporary, library.File(header, pixels) as file:
        file.write(str(temporary))


def to_linear(values: np.ndarray) -> np.ndarray:
    """Colours in sRGB, [0, 1], as linear light.

    >>> [round(float(v), 4) for v in to_linear(np.array([0.0, 0.04, 0.5, 1.0]))]
    [0.0, 0.0031, 0.214, 1.0]
    """
    bright = ((np.maximum(values, 0.0) + _OFFSET) / _GAIN) ** _POWER
    return np.asarray(np.where(values <= _BREAK * _SLOPE, values / _SLOPE, bright), np.float32)


def to_srgb(values: np.ndarray) -> np.ndarray:
    """Linear light as colours in sRGB, cut to [0, 1]: the inverse of `to_linear`."""
    cut = np.clip(values, 0.0, 1.0)
    found = np.where(cut <= _BREAK, cut * _SLOPE, _GAIN * cut ** (1 / _POWER) - _OFFSET)
    return np.asarray(found, np.float32)
