"""The command that starts the browser app, which is a package of its own."""

from __future__ import annotations

import argparse
import importlib.util
import runpy
import sys
from pathlib import Path
from typing import Any

from texsyn.cli import arguments
from texsyn.core.errors import Exit, TexsynError

_PACKAGE, _NEEDED = "texsyn_app", ("gradio", "pygltflib")


def add(commands: Any) -> None:
    """Add the command to the parser. What follows its name is for the app."""
    description = "Start the browser app."
    arguments.add_command(commands, "app", _app, "start the browser app", description)


def _app(options: argparse.Namespace) -> int:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or any(importlib.util.find_spec(name) is None for name in _NEEDED):
        raise TexsynError("the app is not installed: pip install 'texsyn[ui]'", Exit.USAGE)
    (folder, *_) = spec.submodule_search_locations or [""]
    sys.argv = ["texsyn app", *options.rest]
    runpy.run_path(str(Path(folder) / "app.py"), run_name="__main__")
    return Exit.OK
