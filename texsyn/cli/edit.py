"""Commands that change a given texture with a run: reconstruct, complete.

Only the standard library is imported at first, as in the other modules of commands.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from texsyn.cli import arguments, textures
from texsyn.core.errors import Exit, TexsynError


def add(commands: Any) -> None:
    """Add the commands to the parser's."""
    _add_reconstruct(commands)
    _add_complete(commands)


def _add_reconstruct(commands: Any) -> None:
    description = "Encode a texture and decode it again, and print the mean squared error for each value in [0, 1]."
    reconstruct = arguments.command(
        commands, "reconstruct", "encode a texture and decode it", description, _reconstruct
    )
    textures.add_image(reconstruct, "picture or clip of the run's texture (default: the run's exemplar)", refine=0)
    textures.add_output(reconstruct, "file (default: in the run)")


def _add_complete(commands: Any) -> None:
    description = "Fill what is missing in a texture with what the run learnt; all else stays as it is."
    complete = arguments.command(commands, "complete", "fill holes in a texture", description, _complete)
    textures.add_image(complete, "picture or clip of the run's texture (default: the run's exemplar)", refine=100)
    complete.add_argument("--seed", type=int, default=0, metavar="S", help="of what fills large holes (default 0)")
    complete.add_argument(
        "--mask", type=Path, metavar="FILE", help="white where it is missing (transparent pixels are, too)"
    )
    textures.add_output(complete, "file (default: in the run)")


def _reconstruct(options: argparse.Namespace) -> int:
    from texsyn.synthesis import inversion

    run, triangle, number, given = textures.open_run_and_image(options)
    writer = textures.TextureWriter(options, run, triangle, given.size, ["reconstruction"])
    made = inversion.reconstruct(triangle, given.pixels, refine=options.refine, exemplar=number)
    error = float((made - given.pixels).square().mean()) / 4
    writer.write(0, [made], {"reconstructed": True}, {"squared_error": error})
    if not options.json:
        print(f"squared error {error:.5f} for each value in [0, 1]", file=sys.stderr)
    return Exit.OK


def _complete(options: argparse.Namespace) -> int:
    from texsyn.synthesis import inversion

    run, triangle, number, given = textures.open_run_and_image(options)
    if given.mask is None or not bool(given.mask.any()):
        where = "what is missing in it is white in --mask's" if options.image else "name an IMAGE, and a --mask of it"
        raise TexsynError(
            f"nothing is missing in {'this picture' if options.image else 'what the run learnt'}: {where}"
        )
    writer = textures.TextureWriter(options, run, triangle, given.size, ["complete"])
    if not 0 <= options.seed < 2**31:
        raise TexsynError(f"--seed must be at least 0, but is {options.seed}", Exit.USAGE)
    how = {"refine": options.refine, "seed": options.seed, "exemplar": number}
    made = inversion.complete(triangle, given.pixels, given.mask, **how)
    share = float(given.mask.mean())
    writer.write(0, [made], {"completed": round(share, 4)}, {"missing": share})
    return Exit.OK
