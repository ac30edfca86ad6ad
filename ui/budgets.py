"""How long to train: budgets by what they give, and the time that they take on this machine."""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import threading
from collections.abc import Mapping

import texsyn
from texsyn import FitOptions

DEFAULT = "good"
_OPEN = "open"
_DELAY = 5.0  # seconds
_MINUTES = 720.0  # of a fit that somebody stops
_DRAFT = 4  # times fewer steps than the recipe has
_NAMES = {
    "draft": "Draft: shapes and colours",
    DEFAULT: "Good: for use",
    "best": "Best: four times as long",
    _OPEN: "Until I stop it",
}
SHOWN = ("draft", DEFAULT)  # of which fitted/ has an image each


class Machine:
    """Seconds of a step of each kind, timed one after the other by a child process while the app is up already."""

    def __init__(self, device: str) -> None:
        self.step_seconds: dict[str, float] = {}
        self._device = device

    def measure(self) -> None:
        """Time it in a few seconds, when the first visitor has got a page."""
        timer = threading.Timer(_DELAY, self._measure)
        timer.daemon = True
        timer.start()

    def _measure(self) -> None:
        command = [sys.executable, "-m", "texsyn", "info", "--machine", "--json", "--device", self._device]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            atexit.register(process.terminate)
            assert process.stdout is not None
            for line in process.stdout:  # one for each kind, as it is timed
                found = json.loads(line)
                self.step_seconds[found["kind"]] = found["step_seconds"]


def steps(name: str, kind: str) -> int:
    """The steps of a budget for a kind of texture."""
    recipe = texsyn.recipe_for("best" if name == "best" else "fast", texsyn.MODALITIES[kind])
    return recipe.steps // _DRAFT if name == "draft" else recipe.steps


def options(name: str, kind: str) -> FitOptions:
    """The budget as options of `texsyn fit`."""
    return FitOptions(minutes=_MINUTES) if name == _OPEN else FitOptions(steps=steps(name, kind))


def choices(kind: str = "", step_seconds: Mapping[str, float] | None = None) -> list[tuple[str, str]]:
    """Each budget's text and name; with minutes, once the kind of texture is known and the machine is timed."""
    seconds = (step_seconds or {}).get(kind)
    found = []
    for name, text in _NAMES.items():
        if seconds and name != _OPEN:
            text = f"{text}, about {texsyn.duration(seconds * steps(name, kind))} here"
        found.append((text, name))
    return found
