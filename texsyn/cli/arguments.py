"""Arguments that several commands share, and their values in Python."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texsyn.core.errors import Exit, TexsynError

if TYPE_CHECKING:
    import torch

    from texsyn.models.triangle import Triangle
    from texsyn.runs.run import Run

EXIT_CODES = "exit codes: " + ", ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in Exit)


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], help: str, description: str
) -> argparse.ArgumentParser:
    """Add a command; `run` returns its exit code."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=description, epilog=EXIT_CODES)
    parser.set_defaults(command=run)
    return parser


def add_run_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], help: str, description: str
) -> argparse.ArgumentParser:
    """Add a command that takes a run and a device."""
    parser = add_command(commands, name, run, help, description)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")
    return parser


def add_exemplar(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--exemplar",
        metavar="NAME",
        help="exemplar of a run with several (default: the first), or class of a collection (samples: all in turn)",
    )


def add_seed(parser: argparse.ArgumentParser, help: str = "seed of the noise (default 0)") -> None:
    parser.add_argument("--seed", type=int, default=0, metavar="S", help=help)


def add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="overwrite existing files")


def add_json(parser: argparse.ArgumentParser, help: str) -> None:
    parser.add_argument("--json", action="store_true", help=help)


def check_seed(seed: int) -> None:
    """Raise TexsynError (exit 2) for a seed out of range."""
    if not 0 <= seed < 2**31:
        raise TexsynError(f"--seed must lie in 0 to {2**31 - 1}, but is {seed}", Exit.USAGE)


def width_by_height(text: str) -> tuple[int, int]:
    """Parse `WxH`."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form WxH, such as 512x512")
    return int(width), int(height)


def open_run(options: argparse.Namespace) -> tuple[Run, Triangle]:
    """The run that was named, and its model on the device that was named. Raises TexsynError."""
    from texsyn.runs.run import Run

    run = Run.open(options.run)
    return run, run.triangle(open_device(options.device))


def may_set_signals() -> bool:
    """Whether this is the main thread, which alone may; Ray Train, for one, calls from another."""
    return threading.current_thread() is threading.main_thread()


def open_device(name: str) -> torch.device:
    """The device of that name. Raises TexsynError (exit 2) if this machine does not have it."""
    import torch

    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise TexsynError(f"--device is auto, cpu, cuda or cuda:N, not {name!r}", Exit.USAGE)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise TexsynError(f"this machine has {torch.cuda.device_count()} CUDA device(s), so no {name}", Exit.USAGE)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    return device


def list_recipe_fields() -> int:
    """Print the fields of a recipe with their defaults: `--set ?`."""
    from dataclasses import fields

    from texsyn.core.recipes import Recipe

    rows = [(f"{each.name}={each.default}", each.metadata.get("help", "")) for each in fields(Recipe)]
    width = max(len(setting) for setting, _ in rows)
    for setting, help in rows:
        print(f"{setting:{width}}  {help}")
    return Exit.OK
