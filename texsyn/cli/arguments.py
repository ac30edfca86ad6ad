"""What commands have in common: options, and what they say in Python. Imports only the standard library at first."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texsyn.core.errors import Exit, TexsynError

if TYPE_CHECKING:
    import torch


EXIT_CODES = "exit codes: 0 ok, 1 bug, 2 usage, 3 bad input, 4 out of memory, 5 disk, 6 diverged, 130/143 interrupted"
RECIPES = ("fast", "best", "paper")


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
