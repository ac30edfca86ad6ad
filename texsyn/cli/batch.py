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
from texsyn.jobs.batch import batch
from texsyn.jobs.options import changes

# ---------------------------------------------------------------- the command


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser(
        "batch",
        help="learn every exemplar in a folder",
        description="Learn every picture, clip and folder of frames in a folder, each in a run of its name. What is "
        "finished is skipped, what was begun goes on; a broken file is skipped, and the exit code is 3 then.",
        epilog=arguments.EXIT_CODES,
    )
    command.add_argument("folder", type=Path, metavar="FOLDER")
    command.add_argument("--out", type=arguments.folder, default=Path("runs"), metavar="RUNS", help="(default runs)")
    command.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="fits at a time, or on a GPU of a cluster (default 1)"
    )
    command.add_argument("--only", nargs="+", default=[], metavar="FILE", help="take these files of the folder alone")
    command.add_argument("--executor", choices=("local", "ray"), default="local", help="here, or on a Ray cluster")
    command.add_argument(
        "--address",
        default="",
        help="of the Ray cluster: auto, or HOST:6379 (default: what Ray finds, or one of this machine alone)",
    )
    command.add_argument("--force", action="store_true", help="go on with what is finished, too: with a larger budget")
    command.add_argument("--json", action="store_true", help="print each row as a JSON line")
    command.add_argument("--recipe", choices=arguments.RECIPES, help="(default fast)")
    command.add_argument("--minutes", type=float, metavar="M", help="time budget of each, in minutes")
    command.add_argument("--steps", type=int, metavar="N", help="steps of each")
    command.add_argument("--seed", type=int, help="(default 0)")
    command.add_argument("--side", type=int, metavar="PIXELS", help="reduce the shorter sides to this")
    command.add_argument("--device", help="auto, cpu, cuda or cuda:N (default: auto, on all GPUs of this machine)")
    command.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field of the recipe"
    )
    command.add_argument("--untrusted", action="store_true", help="read files in processes with limits")
    command.add_argument("--no-card", action="store_true", help="do not score samples")
    # Its fits get the signal when it dies, and keep what they have learnt; asked to end, it would wait for them.
    command.set_defaults(command=_batch, dies_at_once=True)


def _batch(options: argparse.Namespace) -> int:
    if not 1 <= options.jobs <= 256:
        raise TexsynError(f"--jobs must lie in 1 to 256, but is {options.jobs}", Exit.USAGE)
    how: list[str] = []
    for name in ("recipe", "minutes", "steps", "seed", "side", "device"):
        if getattr(options, name) is not None:
            how += [f"--{name}", str(getattr(options, name))]
    how += [word for text in options.set for word in ("--set", text)]
    how += [f"--{name}" for name in ("untrusted", "no-card") if getattr(options, name.replace("-", "_"))]
    from texsyn.core.modality import STILL
    from texsyn.core.recipes import recipe_for

    recipe_for(options.recipe or "fast", STILL, **changes(options))  # said once, not by each
    worst = Exit.OK
    say = partial(print, file=sys.stderr, flush=True)
    where = {"executor": options.executor, "address": options.address, "only": options.only, "say": say}
    for row in batch(options.folder, options.out, how, jobs=options.jobs, force=options.force, **where):
        print(json.dumps(asdict(row)) if options.json else row.line, flush=True)
        if row.exit and (worst in (Exit.OK, Exit.BAD_INPUT)):
            worst = Exit(row.exit) if row.exit in set(Exit) else Exit.BUG
    if not options.only:
        print(options.out / "summary.html", file=sys.stderr)
    return int(worst)
