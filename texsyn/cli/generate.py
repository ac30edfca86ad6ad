"""Commands that make textures from a run, or its generator: sample, morph, export.

Only the standard library is imported at first: commands import what they need, so that `texsyn --help` is quick.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texsyn.cli import arguments, textures
from texsyn.cli.console import advancing
from texsyn.core.errors import Exit, TexsynError

if TYPE_CHECKING:
    from torch import Tensor

    from texsyn.models.triangle import Triangle


def add(commands: Any) -> None:
    """Add the commands to the parser's."""
    _add_sample(commands)
    _add_morph(commands)
    _add_export(commands)


def _add_size(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--size", type=arguments.width_by_height, metavar="WxH", help="pixels (default: the exemplar's)"
    )
    command.add_argument(
        "--frames", type=int, metavar="N", help="length of a clip (default: the exemplar's, at most 64)"
    )
    command.add_argument("--loop", action=argparse.BooleanOptionalAction, default=True, help="clips loop (default yes)")


def _add_tile(command: argparse.ArgumentParser) -> None:
    command.add_argument("--tile", choices=("xy", "x", "y", "none"), help="axes that wrap (default: all that can)")


def _add_sample(commands: Any) -> None:
    description = "Make new textures from a run."
    sample = arguments.command(commands, "sample", "make new textures from a run", description, _sample)
    sample.add_argument(
        "--count", type=int, default=1, metavar="N", help="how many, from seeds S, S+1, ... (default 1)"
    )
    sample.add_argument("--seed", type=int, default=0, metavar="S", help="(default 0)")
    sample.add_argument(
        "--best", nargs=3, metavar=("K", "of", "N"), help="the K of N seeds S, S+1, ... that have the most energy"
    )
    sample.add_argument(
        "--langevin", type=int, default=0, metavar="N", help="steps up the energy after each sample (default 0)"
    )
    _add_size(sample)
    _add_tile(sample)
    sample.add_argument(
        "--exemplar", metavar="NAME", help="which to be like, of several that the run learnt (the first)"
    )
    textures.add_output(sample, "file, or folder for several (default: in the run)")


def _add_morph(commands: Any) -> None:
    description = "Turn one texture into another: as a clip, or from left to right in one texture (--across)."
    morph = arguments.command(commands, "morph", "turn one texture into another", description, _morph)
    for flag, which in (("--from", "first"), ("--to", "last")):
        morph.add_argument(
            flag,
            required=True,
            dest=which,
            metavar="SEED|NAME|NAME:SEED",
            help=f"the {which} texture: a seed, or one of the run's exemplars, or that with a seed",
        )
    morph.add_argument("--across", action="store_true", help="one texture with both, the first on the left")
    _add_size(morph)
    _add_tile(morph)
    textures.add_output(morph, "file (default: in the run)")


def _add_export(commands: Any) -> None:
    description = "Write the generator as an ONNX file, for programs without texsyn."
    export = arguments.command(commands, "export", "write the generator as an ONNX file", description, _export)
    export.add_argument("-o", "--out", type=Path, required=True, metavar="FILE.onnx")
    export.add_argument("--half", action="store_true", help="store the weights in 16 bits: half the size")
    export.add_argument("--force", action="store_true", help="overwrite what is there")


def _sample(options: argparse.Namespace) -> int:
    from texsyn.runs.run import Run
    from texsyn.synthesis import sampling
    from texsyn.synthesis.energy import energy, langevin

    kept, count = _best_of(options)
    if not 1 <= count <= 100_000 or not 0 <= options.seed < 2**31:
        flag = f"--best is of at most 100000, not {count}," if kept else "--count must be at least 1"
        raise TexsynError(f"{flag} and --seed at least 0", Exit.USAGE)
    run = Run.open(options.run)
    triangle = run.triangle(arguments.device(options.device))
    seeds: Sequence[int] = range(options.seed, options.seed + count)
    asked = {"size": options.size, "frames": options.frames, "tile": options.tile, "loop": options.loop}
    goal = sampling.target(triangle.modality, options.size, options.frames)
    number = run.number(options.exemplar)
    around = sampling.wraps(triangle.modality, options.tile, options.loop)

    def whole(seed: int) -> Tensor:
        """In one piece, as the energy sees it."""
        (made,) = sampling.sample(triangle, seed=seed, exemplar=number, **asked)
        how = {"steps": options.langevin, "wrapped": around, "exemplar": number}
        return langevin(triangle, made, **how) if options.langevin else made

    energies: dict[int, float] = {}
    names = [f"seed-{seed}" for seed in seeds][: kept or None]
    writer = textures.TextureWriter(options, run, triangle, goal, names, seeds[: kept or None])
    if kept:
        energies = {seed: energy(triangle, whole(seed), exemplar=number) for seed in seeds}
        seeds = sorted(seeds, key=lambda seed: -energies[seed])[:kept]
        writer = textures.TextureWriter(options, run, triangle, goal, [f"seed-{seed}" for seed in seeds], seeds)
    _say_resampled(triangle, goal)
    for index, seed in enumerate(seeds):
        made_by = {"seed": seed, **_plain(asked), **({"exemplar": number} if options.exemplar else {})}
        if options.langevin:
            bands, made_by = iter([whole(seed)]), {**made_by, "langevin": options.langevin}
        else:
            bands = sampling.bands(triangle, seed=seed, exemplar=number, **asked)
        said = {"seed": seed, **({"energy": energies[seed]} if seed in energies else {})}
        writer.write(index, advancing(bands, goal[0], f"seed {seed}"), made_by, said)
    return Exit.OK


def _best_of(options: argparse.Namespace) -> tuple[int, int]:
    """How many to keep, 0 for all, of how many."""
    if options.best is None:
        return 0, options.count
    kept, of, count = options.best
    if of != "of" or not (kept.isdecimal() and count.isdecimal()) or not 1 <= int(kept) <= int(count):
        raise TexsynError(f"--best is K of N, such as 3 of 20, not {' '.join(options.best)!r}", Exit.USAGE)
    if options.count != 1:
        raise TexsynError("--best says how many there are, so --count does not go with it", Exit.USAGE)
    return int(kept), int(count)


def _say_resampled(triangle: Triangle, goal: Sequence[int]) -> None:
    if triangle.modality.moving and goal[0] % triangle.stride[0]:
        print(f"texsyn: {goal[0]} frames is no multiple of {triangle.stride[0]}: resampled in time", file=sys.stderr)


def _plain(asked: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if name in ("tile", "loop") and value is not None}


def _morph(options: argparse.Namespace) -> int:
    from texsyn.runs.run import Run
    from texsyn.synthesis import sampling

    run = Run.open(options.run)
    triangle = run.triangle(arguments.device(options.device))
    start, end = run.end(options.first), run.end(options.last)
    if start == end:
        raise TexsynError(f"--from and --to are the same, {options.first}", Exit.USAGE)
    moving, asked = triangle.modality.moving, {"size": options.size, "loop": options.loop}
    made_by: dict[str, Any] = {"morph": [[each.exemplar, each.seed] for each in (start, end)], **_plain(asked)}
    if options.across:
        if options.tile not in (None, "y", "none"):
            raise TexsynError("a texture that changes from left to right cannot tile along x", Exit.USAGE)
        goal = sampling.target(triangle.modality, options.size, options.frames)
        bands = sampling.across(triangle, start, end, frames=options.frames, **asked)
        made_by["across"] = True
    else:
        frames = options.frames or (triangle.modality.size[0] if moving else 64)
        goal = sampling.target(triangle.modality, options.size, frames if moving else None)
        goal = goal if moving else (frames, *goal)
        bands = sampling.morph(triangle, start, end, frames=frames, tile=options.tile, **asked)
    writer = textures.TextureWriter(options, run, triangle, goal, ["across" if options.across else "morph"])
    writer.write(0, advancing(bands, goal[0], "morph"), made_by)
    return Exit.OK


def _export(options: argparse.Namespace) -> int:
    from texsyn.runs.run import Run
    from texsyn.synthesis import onnx_export

    run = Run.open(options.run)
    triangle = run.triangle(arguments.device(options.device))
    onnx_export.export(triangle, options.out, half=options.half, made_by=run.made_by(), force=options.force)
    print(options.out)
    return Exit.OK
