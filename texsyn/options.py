"""What commands have in common: options, and what they say in Python. Imports only the standard library at first."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texsyn.errors import Exit, TexsynError

if TYPE_CHECKING:
    import torch

EXIT_CODES = "exit codes: 0 ok, 1 bug, 2 usage, 3 bad input, 4 out of memory, 5 disk, 6 diverged, 130/143 interrupted"
RECIPES = ("fast", "best", "paper")
FORMATS = ("png", "jpg", "webp", "mp4", "gif", "frames", "sheet")


def width_by_height(text: str) -> tuple[int, int]:
    """`WxH` as two numbers."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form WxH, such as 512x512")
    return int(width), int(height)


def window(text: str) -> tuple[int, int, int, int]:
    """`WxH+X+Y` as left, top, width, height."""
    found = re.fullmatch(r"(\d+)x(\d+)\+(\d+)\+(\d+)", text.lower())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form WxH+X+Y, such as 256x256+40+0")
    width, height, left, top = map(int, found.groups())
    return left, top, width, height


def folder(text: str) -> Path:
    """A folder, not the address of one."""
    if re.match(r"[A-Za-z][\w+.-]+:/", text):
        raise argparse.ArgumentTypeError(f"{text!r} is an address: mount what it names, and give the folder")
    return Path(text)


def command(commands: Any, name: str, help: str, description: str, call: Any) -> argparse.ArgumentParser:
    """Add a command that works with a run, on some device."""
    made: argparse.ArgumentParser = commands.add_parser(name, help=help, description=description, epilog=EXIT_CODES)
    made.add_argument("run", type=Path, metavar="RUN")
    made.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    made.set_defaults(command=call)
    return made


def add_output(command: argparse.ArgumentParser, out: str, formats: tuple[str, ...] = FORMATS) -> None:
    """Where textures go, and how."""
    command.add_argument("-o", "--out", type=Path, help=out)
    command.add_argument("--format", choices=formats, help="default: from the file's ending, else png or mp4")
    command.add_argument("--fps", type=float, metavar="F", help="frames a second (default: the exemplar's)")
    command.add_argument("--no-metadata", action="store_true", help="write nothing into the file but the texture")
    command.add_argument("--force", action="store_true", help="overwrite what is there")
    command.add_argument("--json", action="store_true", help="print each file as a JSON line")


def check_fps(fps: float | None, moving: bool) -> None:
    """Raise TexsynError (exit 2) for a rate out of range, or of what does not move."""
    if fps is not None and not moving:
        raise TexsynError("--fps is for clips, and this is a still", Exit.USAGE)
    if fps is not None and not 0.1 <= fps <= 240:
        raise TexsynError(f"--fps must lie in 0.1 to 240, but is {fps:g}", Exit.USAGE)


def device(name: str) -> torch.device:
    """The device of that name. Raises TexsynError (exit 2) for one that is not there."""
    import torch

    try:
        found = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError:
        raise TexsynError(f"--device is auto, cpu, cuda or cuda:N, not {name!r}", Exit.USAGE) from None
    if found.type not in ("cpu", "cuda"):
        raise TexsynError(f"--device is auto, cpu, cuda or cuda:N, not {name!r}", Exit.USAGE)
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise TexsynError(f"this machine has {torch.cuda.device_count()} CUDA device(s), so no {name}", Exit.USAGE)
    if found.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    return found


def changes(options: argparse.Namespace) -> dict[str, Any]:
    """What a command line asks of a recipe, by its fields. Raises TexsynError (exit 2) for what is no field of it."""
    from dataclasses import asdict, fields

    from texsyn.recipes import Recipe
    from texsyn.triangle import OBJECTIVES

    changes: dict[str, Any] = asdict(OBJECTIVES[options.objective]) if getattr(options, "objective", None) else {}
    defaults = {f.name: f.default for f in fields(Recipe)}
    for text in options.set:
        name, equals, value = text.partition("=")
        name = name.replace("-", "_")
        if not equals:
            raise TexsynError(f"--set {text!r} is not FIELD=VALUE; --set ? lists the fields", Exit.USAGE)
        if name not in defaults:
            raise TexsynError(f"--set {text!r}: a recipe has no field {name}; --set ? lists them", Exit.USAGE)
        changes[name] = field_value(name, value, defaults[name])
    check_minutes(options)
    for name in ("steps", "minutes", "seed"):
        if getattr(options, name) is not None:
            changes[name] = getattr(options, name)
    return changes


def check_minutes(options: argparse.Namespace) -> None:
    """Raise TexsynError (exit 2) for a budget of no time; in a recipe 0 is no budget."""
    if options.minutes is not None and not options.minutes > 0:
        raise TexsynError(f"--minutes must be more than 0, but is {options.minutes:g}", Exit.USAGE)


def field_value(name: str, value: str, default: Any) -> Any:
    """A field's value as `--set` writes it, of the type of `default`. Raises TexsynError (exit 2)."""
    if isinstance(default, bool):
        if value.lower() not in ("true", "false", "yes", "no", "1", "0"):
            raise TexsynError(f"--set {name} is yes or no, not {value!r}", Exit.USAGE)
        return value.lower() in ("true", "yes", "1")
    try:
        return type(default)(value)
    except ValueError:
        kind = {int: "a whole number", float: "a number"}.get(type(default), "a word")
        raise TexsynError(f"--set {name} must be {kind}, not {value!r}", Exit.USAGE) from None
