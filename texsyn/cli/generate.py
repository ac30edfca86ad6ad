"""Commands that make textures from a run's model, or export the model: sample, morph, export."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texsyn.cli import arguments, textures
from texsyn.cli.console import with_progress
from texsyn.core.errors import Exit, TexsynError

if TYPE_CHECKING:
    from torch import Tensor

    from texsyn.models.triangle import Triangle
    from texsyn.runs.run import Run
    from texsyn.synthesis.latent_field import End

_MAX_COUNT = 100_000
_MORPH_FRAMES = 64  # of a morph between stills
_TILINGS = ("xy", "x", "y", "none")


def add(commands: Any) -> None:
    """Add the commands to the parser."""
    _add_sample(commands)
    _add_morph(commands)
    _add_export(commands)


def _add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--size", type=arguments.width_by_height, metavar="WxH", help="size in pixels (default: the exemplar's)"
    )
    parser.add_argument("--frames", type=int, metavar="N", help="frames of a clip (default: the exemplar's, up to 64)")
    parser.add_argument("--loop", action=argparse.BooleanOptionalAction, default=True, help="clips loop (default)")
    parser.add_argument("--tile", choices=_TILINGS, help="directions in which textures tile (default: all that can)")


def _add_sample(commands: Any) -> None:
    parser = arguments.add_run_command(
        commands, "sample", _sample, "make new textures from a run", "Make new textures from a run."
    )
    parser.add_argument(
        "--count", type=int, default=1, metavar="N", help="number of textures, from seeds S, S+1, ... (default 1)"
    )
    arguments.add_seed(parser)
    parser.add_argument(
        "--best", nargs=3, metavar=("K", "of", "N"), help="make N textures, and keep the K with the most energy"
    )
    parser.add_argument(
        "--langevin", type=int, default=0, metavar="N", help="Langevin steps on the energy after sampling (default 0)"
    )
    _add_size(parser)
    parser.add_argument(
        "--packed", choices=("orm",), help="write occlusion, roughness and metal of a material into one file"
    )
    arguments.add_exemplar(parser)
    textures.add_output(parser, "output file, or folder for several")


def _sample(options: argparse.Namespace) -> int:
    from texsyn.synthesis import extent, sampling
    from texsyn.synthesis.energy import energy, langevin

    kept, count = _counts(options)
    arguments.check_seed(options.seed)
    run, triangle = arguments.open_run(options)
    own = run.number(options.exemplar) if options.exemplar else None
    size = extent.target(triangle.modality, options.size, options.frames)
    how = {"size": options.size, "frames": options.frames, "tile": options.tile, "loop": options.loop}
    wrapped = extent.wraps(triangle.modality, options.tile, options.loop)
    named = options.exemplar or run.classes()

    def number_of(seed: int) -> int:
        """Of the exemplar; of classes, one after the other, unless one was named."""
        return triangle.in_turn(1, seed)[0] if own is None else own

    def sample_whole(seed: int) -> Tensor:
        """A sample in one piece, as the energy needs it."""
        number = number_of(seed)
        (texture,) = sampling.sample(triangle, seed=seed, exemplar=number, **how)
        steps = options.langevin
        return langevin(triangle, texture, steps=steps, wrapped=wrapped, exemplar=number) if steps else texture

    def open_writer(seeds: Sequence[int]) -> textures.TextureWriter:
        return textures.TextureWriter(options, run, triangle, size, [f"seed-{seed}" for seed in seeds], seeds)

    seeds: Sequence[int] = range(options.seed, options.seed + count)
    writer = open_writer(seeds[: kept or None])
    energies: dict[int, float] = {}
    if kept:
        energies = {seed: energy(triangle, sample_whole(seed), exemplar=number_of(seed)) for seed in seeds}
        seeds = sorted(seeds, key=lambda seed: -energies[seed])[:kept]
        writer = open_writer(seeds)
    _warn_resampled(triangle, size)
    for index, seed in enumerate(seeds):
        metadata = {"seed": seed, **_wrapping(options), **({"exemplar": number_of(seed)} if named else {})}
        if options.langevin:
            bands, metadata = iter([sample_whole(seed)]), {**metadata, "langevin": options.langevin}
        else:
            bands = sampling.bands(triangle, seed=seed, exemplar=number_of(seed), **how)
        printed = {"seed": seed, **({"energy": energies[seed]} if seed in energies else {})}
        writer.write(index, with_progress(bands, size[0], f"seed {seed}"), metadata, printed)
    return Exit.OK


def _counts(options: argparse.Namespace) -> tuple[int, int]:
    """How many samples to keep (0: all), and how many to make. Raises TexsynError (exit 2)."""
    if options.best is None:
        if not 1 <= options.count <= _MAX_COUNT:
            raise TexsynError(f"--count must lie in 1 to {_MAX_COUNT}, but is {options.count}", Exit.USAGE)
        return 0, options.count
    kept, of, count = options.best
    if of != "of" or not (kept.isdecimal() and count.isdecimal()) or not 1 <= int(kept) <= int(count) <= _MAX_COUNT:
        given = " ".join(options.best)
        raise TexsynError(f"--best is K of N, such as 3 of 20, with N up to {_MAX_COUNT}, not {given!r}", Exit.USAGE)
    if options.count != 1:
        raise TexsynError("--count does not go with --best", Exit.USAGE)
    return int(kept), int(count)


def _warn_resampled(triangle: Triangle, size: Sequence[int]) -> None:
    if triangle.modality.moving and size[0] % triangle.stride[0]:
        print(f"texsyn: {size[0]} frames is not a multiple of {triangle.stride[0]}: resampled in time", file=sys.stderr)


def _wrapping(options: argparse.Namespace) -> dict[str, Any]:
    """How a texture wraps, for its metadata."""
    how = {"tile": options.tile, "loop": options.loop}
    return {name: value for name, value in how.items() if value is not None}


def _add_morph(commands: Any) -> None:
    description = "Turn one texture into another: over the frames of a clip, or from left to right (--across)."
    parser = arguments.add_run_command(commands, "morph", _morph, "turn one texture into another", description)
    for flag, which in (("--from", "first"), ("--to", "last")):
        parser.add_argument(
            flag,
            required=True,
            dest=which,
            metavar="SEED|NAME|NAME:SEED",
            help=f"the {which} texture: a seed, an exemplar of the run, or an exemplar and a seed",
        )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--across", action="store_true", help="one texture that changes from left to right")
    how.add_argument(
        "--grid",
        type=arguments.width_by_height,
        metavar="COLUMNSxROWS",
        help="an image of so many steps from left to right, in so many rows with other seeds each",
    )
    _add_size(parser)
    textures.add_output(parser, "output file")


def _morph(options: argparse.Namespace) -> int:
    from texsyn.synthesis import extent, sampling

    run, triangle = arguments.open_run(options)
    ends = run.end(options.first), run.end(options.last)
    if ends[0] == ends[1]:
        raise TexsynError(f"--from and --to are the same, {options.first}", Exit.USAGE)
    how = {"size": options.size, "loop": options.loop}
    metadata = {"morph": [[end.exemplar, end.seed] for end in ends], "loop": options.loop}
    if options.grid:
        return _morph_grid(run, triangle, ends, options, metadata)
    if options.across:
        if options.tile not in (None, "y", "none"):
            raise TexsynError("a texture that changes from left to right cannot tile along x", Exit.USAGE)
        size = extent.target(triangle.modality, options.size, options.frames)
        bands = sampling.across(triangle, *ends, frames=options.frames, **how)
        metadata["across"] = True
    else:
        moving = triangle.modality.moving
        frames = options.frames or (triangle.modality.size[0] if moving else _MORPH_FRAMES)
        size = extent.target(triangle.modality, options.size, frames if moving else None)
        size = size if moving else (frames, *size)
        bands = sampling.morph(triangle, *ends, frames=frames, tile=options.tile, **how)
    writer = textures.TextureWriter(options, run, triangle, size, ["across" if options.across else "morph"])
    writer.write(0, with_progress(bands, size[0], "morph"), metadata)
    return Exit.OK


def _morph_grid(
    run: Run, triangle: Triangle, ends: tuple[End, End], options: argparse.Namespace, metadata: dict[str, Any]
) -> int:
    """An image of textures between two ends; the ends' seeds grow by one from row to row."""
    import torch

    from texsyn.synthesis import extent, sampling

    columns, rows = options.grid
    if triangle.modality.moving or not (2 <= columns <= 64 and rows <= 64):
        raise TexsynError("--grid is for stills: 2 to 64 columns and 1 to 64 rows", Exit.USAGE)
    height, width = extent.target(triangle.modality, options.size, None)
    how = {"size": options.size, "tile": options.tile}

    def row(number: int) -> Tensor:
        start, end = (replace(each, seed=each.seed + number) for each in ends)
        shares = [n / (columns - 1) for n in range(columns)]
        return torch.cat([sampling.between(triangle, start, end, share, **how) for share in shares], -1)

    writer = textures.TextureWriter(options, run, triangle, (rows * height, columns * width), ["grid"])
    writer.write(0, with_progress(map(row, range(rows)), rows * height, "grid"), {**metadata, "grid": [columns, rows]})
    return Exit.OK


def _add_export(commands: Any) -> None:
    description = "Write the generator as an ONNX file, which programs can use without texsyn and torch."
    parser = arguments.add_run_command(commands, "export", _export, "write the generator as an ONNX file", description)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE.onnx", help="output file")
    parser.add_argument("--half", action="store_true", help="store the weights in 16 bits: half the size")
    arguments.add_force(parser)


def _export(options: argparse.Namespace) -> int:
    from texsyn.synthesis import onnx_export

    run, triangle = arguments.open_run(options)
    onnx_export.export(triangle, options.out, half=options.half, made_by=run.made_by(), force=options.force)
    print(options.out)
    return Exit.OK
