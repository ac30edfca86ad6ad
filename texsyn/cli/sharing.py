"""Commands that make a run one file, and a run again: pack, unpack."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from texsyn.cli import arguments
from texsyn.core.errors import Exit


def add(commands: Any) -> None:
    """Add the commands to the parser."""
    description = (
        "Write a run with its exemplars and its newest model as one small file (ZIP), to keep or to give away: weights "
        "in 6 bits, a seventh of the model's size. Samples differ a little from the run's."
    )
    parser = arguments.add_command(commands, "pack", _pack, "write a run as one small file", description)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="file to write (default: the run's name, .zip)")
    parser.add_argument("--samples-only", action="store_true", help="leave out what samples do not need")
    arguments.add_force(parser)
    description = (
        "Make a packed run a run folder again. It can be sampled, exported and scored, but not trained further."
    )
    parser = arguments.add_command(commands, "unpack", _unpack, "make a packed run a run again", description)
    parser.add_argument("file", type=Path, metavar="FILE", help="file that `texsyn pack` wrote")
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder of the run (default: runs/NAME-N)")


def _pack(options: argparse.Namespace) -> int:
    from texsyn.runs.packing import pack
    from texsyn.runs.run import Run

    run = Run.open(options.run)
    path = options.out or run.path.with_name(f"{run.path.resolve().name}.zip")
    pack(run, path, options.force, options.samples_only)
    print(path)
    return Exit.OK


def _unpack(options: argparse.Namespace) -> int:
    from texsyn.runs.packing import unpack
    from texsyn.runs.paths import default_path

    print(unpack(options.file, options.out or default_path(options.file.stem)).path)
    return Exit.OK
