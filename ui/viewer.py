"""The picture in the middle of the app: a sample, its exemplar or both, as `viewer.js` shows it."""

from __future__ import annotations

import html
import json
from pathlib import Path
from urllib.parse import quote

_MODES = {"sample": "Sample", "exemplar": "Exemplar", "split": "Slider", "side": "Side by side", "blend": "Blend"}
_MOST_TIMES = 4  # each way that a picture is repeated


def view(sample: Path | None, exemplar: Path | None = None, caption: str = "", mode: str | None = None) -> str:
    """What the viewer shows from now on, as the value of its component `#view`: PNG or MP4 files of the app.

    caption: words below it; without files, instead of it. mode: of `_MODES`, until the reader chooses another.
    """
    content = {"sample": _address(sample), "exemplar": _address(exemplar), "caption": caption}
    content |= {"mode": mode} if mode else {}
    return f"<i data-view='{html.escape(json.dumps(content))}'></i>"


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
    blend = _range("blend", 0, 1, 0.05, "how much of the sample covers the exemplar")
    clips = _button("data-toggle='play' title='Play or pause (space)'", "Play") + _range(
        "speed", 0.25, 2, 0.25, "speed of clips"
    )
    groups = "".join(f"<span class='group'>{each}</span>" for each in (modes, times, zooms, toggles))
    return (
        "<div id='viewer' class='empty'><canvas tabindex='0' role='img' aria-label='no picture yet'></canvas>"
        "<p class='hint'></p>"
        f"<div class='viewer-bar' role='toolbar' aria-label='How the picture is shown'>{groups}"
        f"<span class='group blend' hidden>{blend}</span><span class='group clips' hidden>{clips}</span>"
        "<span class='caption'></span></div></div>"
    )


def _each_way() -> range:
    return range(1, _MOST_TIMES + 1)


def _range(name: str, least: float, most: float, step: float, label: str) -> str:
    return f"<input type='range' data-range='{name}' min='{least}' max='{most}' step='{step}' aria-label='{label}'>"


def _button(attributes: str, text: str) -> str:
    return f"<button type='button' aria-pressed='false' {attributes}>{text}</button>"
