"""The picture in the middle of the app: a sample, its exemplar or both, as `viewer.js` shows it."""

from __future__ import annotations

import base64
import binascii
import html
import io
import json
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from texsyn import TexsynError

_MODES = {"sample": "Sample", "exemplar": "Exemplar", "split": "Slider", "side": "Side by side", "blend": "Blend"}
_MOST_TIMES = 4  # each way that a picture is repeated
_PNG = "data:image/png;base64,"
_MOST_PAINTED = 8_000_000  # characters of a painted mask
# JavaScript for an event whose last input receives what was painted.
PAINTED = "(...values) => [...values.slice(0, -1), window.texsynViewer.mask()]"


def view(
    sample: Path | None,
    exemplar: Path | None = None,
    caption: str = "",
    mode: str | None = None,
    paint: bool = False,
) -> str:
    """What the viewer shows from now on, as the value of its component `#view`: PNG or MP4 files of the app.

    caption: words below it; without files, instead of it. mode: of `_MODES`, until the reader chooses another. paint:
    the picture can be painted on, see `painted_mask`.
    """
    content = {"sample": _address(sample), "exemplar": _address(exemplar), "caption": caption, "paint": paint}
    content |= {"mode": mode} if mode else {}
    return f"<i data-view='{html.escape(json.dumps(content))}'></i>"


def painted_mask(painted: str) -> np.ndarray | None:
    """What was painted on a picture, `height width` from 0 to 255; None where nothing was.

    painted: what `PAINTED` gave, from a browser that cannot be trusted. Raises TexsynError for anything but a PNG.
    """
    if not painted:
        return None
    try:
        if not painted.startswith(_PNG) or len(painted) > _MOST_PAINTED:
            raise ValueError
        with Image.open(io.BytesIO(base64.b64decode(painted[len(_PNG) :], validate=True)), formats=["PNG"]) as image:
            mask = np.asarray(image.convert("RGBA"))[..., 3]
    except (OSError, ValueError, SyntaxError, binascii.Error, Image.DecompressionBombError) as error:
        raise TexsynError("what was painted cannot be read") from error
    return mask if mask.any() else None


def _address(path: Path | None) -> str:
    return f"gradio_api/file={quote(str(path))}" if path else ""


def viewer() -> str:
    """The canvas and its buttons."""
    modes = "".join(_button(f"data-mode='{name}'", text) for name, text in _MODES.items())
    times = "".join(_button(f"data-times='{n}' title='{n} times each way (T)'", f"{n}x") for n in _each_way())
    zooms = "".join(
        _button(f"data-act='{name}' title='{title}'", text)
        for name, text, title in (
            ("fit", "Fit", "The whole picture (0)"),
            ("pixels", "100 %", "Pixel by pixel (1)"),
            ("out", "-", "Smaller (-)"),
            ("in", "+", "Larger (+)"),
        )
    )
    zooms += "<span class='zoom'></span>"
    toggles = _button("data-toggle='seams' title='Where tiles meet (S)'", "Seams")
    toggles += _button("data-toggle='light'", "Light ground")
    paint = _range("brush", 2, 80, 2, "brush, in pixels") + "".join(
        _button(attributes, text)
        for attributes, text in (("data-toggle='erase'", "Erase"), ("data-act='clear'", "Clear"))
    )
    blend = _range("blend", 0, 1, 0.05, "how much of the sample covers the exemplar")
    clips = _button("data-toggle='play' title='Play or pause (space)'", "Play") + _range(
        "speed", 0.25, 2, 0.25, "speed of clips"
    )
    groups = "".join(f"<span class='group'>{each}</span>" for each in (modes, times, zooms, toggles))
    for name, content in (("paint", paint), ("blend", blend), ("clips", clips)):
        groups += f"<span class='group {name}' hidden>{content}</span>"
    return (
        "<div id='viewer' class='empty'><canvas tabindex='0' role='img' aria-label='no picture yet'></canvas>"
        "<p class='hint'></p>"
        "<div class='viewer-bar' role='toolbar' aria-label='How the picture is shown'>"
        f"{groups}<span class='caption'></span></div></div>"
    )


def _each_way() -> range:
    return range(1, _MOST_TIMES + 1)


def _range(name: str, least: float, most: float, step: float, label: str) -> str:
    return f"<input type='range' data-range='{name}' min='{least}' max='{most}' step='{step}' aria-label='{label}'>"


def _button(attributes: str, text: str) -> str:
    return f"<button type='button' aria-pressed='false' {attributes}>{text}</button>"
