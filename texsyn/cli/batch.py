"""The command `texsyn batch`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from texsyn.cli import arguments
from texsyn.core.errors import Exit, TexsynError
from texsyn.jobs.options import FitOptions, add_arguments, parse_folder

_FIT_OPTIONS = ("side", "recipe", "seed", "set", "steps", "minutes", "device", "untrusted", "no_card")


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = arguments.add_command(
        commands,
        "batch",
        _batch,
        "train on every exemplar in a folder",
        "Train on every image, clip and folder of frames in a folder, each in a run of its name. Running a batch again "
        "resumes unfinished runs with their own settings and skips finished ones. Broken files are skipped; the exit "
        "code is 3 then. Fits are distributed over all GPUs of the machine.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of exemplars")
    parser.add_argument(
        "--out", type=parse_folder, default=Path("runs"), metavar="RUNS", help="folder of the runs (default runs)"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="fits at a time; on a cluster, fits per GPU (default 1)"
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="FILE", help="take only these files of the folder")
    parser.add_argument("--force", action="store_true", help="train finished runs further, with a larger budget")
    arguments.add_json(parser, "print each result as a JSON line")
    parser.add_argument(
        "--executor", choices=("local", "ray"), default="local", help="this machine (default) or a Ray cluster"
    )
    parser.add_argument(
        "--address",
        default="",
        help="of the Ray cluster: auto or HOST:6379 (default: RAY_ADDRESS, or a cluster of this machine alone)",
    )
    add_arguments(parser, _FIT_OPTIONS)
    # At SIGTERM the command ends at once: its fits get the signal too, and store what they have trained.
    parser.set_defaults(dies_at_once=True)


def _batch(parsed: argparse.Namespace) -> int:
    from texsyn.jobs.batch import batch

    options = FitOptions.from_namespace(parsed, _FIT_OPTIONS)
    if options.set == ("?",):
        return arguments.list_recipe_fields()
    if not 1 <= parsed.jobs <= 256:
        raise TexsynError(f"--jobs must lie in 1 to 256, but is {parsed.jobs}", Exit.USAGE)
    rows = batch(
        parsed.folder,
        parsed.out,
        options,
        jobs=parsed.jobs,
        force=parsed.force,
        only=parsed.only,
        executor=parsed.executor,
        address=parsed.address,
        say=partial(print, file=sys.stderr, flush=True),
    )
    worst = Exit.OK
    for row in rows:
        print(json.dumps(asdict(row)) if parsed.json else row.line, flush=True)
        if row.exit and worst in (Exit.OK, Exit.BAD_INPUT):
            worst = Exit(row.exit) if row.exit in set(Exit) else Exit.BUG
    if not parsed.only:
        print(parsed.out / "summary.html", file=sys.stderr)
    return int(worst)
