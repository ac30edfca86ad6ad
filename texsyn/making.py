"""Commands that make something with a run: sample, morph, reconstruct, complete, heatmap, export.

Only the standard library is imported at first: commands import what they need, so that `texsyn --help` is quick.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texsyn import options as shared
from texsyn.errors import Exit, TexsynError
from texsyn.screen import advancing

if TYPE_CHECKING:
    from torch import Tensor

    from texsyn.media import Exemplar
    from texsyn.modality import Plane
    from texsyn.runs import Run
    from texsyn.triangle import Triangle


def add(commands: Any) -> None:
    """Add the commands to the parser's."""
    _add_sample(commands)
    _add_morph(commands)
    _add_reconstruct(commands)
    _add_complete(commands)
    _add_heatmap(commands)
    _add_export(commands)


def _add_size(command: argparse.ArgumentParser) -> None:
    command.add_argument("--size", type=shared.width_by_height, metavar="WxH", help="pixels (default: the exemplar's)")
    command.add_argument(
        "--frames", type=int, metavar="N", help="length of a clip (default: the exemplar's, at most 64)"
    )
    command.add_argument("--loop", action=argparse.BooleanOptionalAction, default=True, help="clips loop (default yes)")


def _add_tile(command: argparse.ArgumentParser) -> None:
    command.add_argument("--tile", choices=("xy", "x", "y", "none"), help="axes that wrap (default: all that can)")


def _add_sample(commands: Any) -> None:
    description = "Make new textures from a run."
    sample = shared.command(commands, "sample", "make new textures from a run", description, _sample)
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
    shared.add_output(sample, "file, or folder for several (default: in the run)")


def _add_morph(commands: Any) -> None:
    description = "Turn one texture into another: as a clip, or from left to right in one texture (--across)."
    morph = shared.command(commands, "morph", "turn one texture into another", description, _morph)
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
    shared.add_output(morph, "file (default: in the run)")


def _add_reconstruct(commands: Any) -> None:
    description = "Encode a texture and decode it again, and print the mean squared error for each value in [0, 1]."
    reconstruct = shared.command(commands, "reconstruct", "encode a texture and decode it", description, _reconstruct)
    _add_image(reconstruct, "picture or clip of the run's texture (default: the run's exemplar)", refine=0)
    shared.add_output(reconstruct, "file (default: in the run)")


def _add_complete(commands: Any) -> None:
    description = "Fill what is missing in a texture with what the run learnt; all else stays as it is."
    complete = shared.command(commands, "complete", "fill holes in a texture", description, _complete)
    _add_image(complete, "picture or clip of the run's texture (default: the run's exemplar)", refine=100)
    complete.add_argument("--seed", type=int, default=0, metavar="S", help="of what fills large holes (default 0)")
    complete.add_argument(
        "--mask", type=Path, metavar="FILE", help="white where it is missing (transparent pixels are, too)"
    )
    shared.add_output(complete, "file (default: in the run)")


def _add_image(command: argparse.ArgumentParser, help: str, refine: int) -> None:
    command.add_argument("image", nargs="*", type=Path, metavar="IMAGE", help=help)
    command.add_argument("--frames", metavar="A:B", help="frames of a clip to take")
    command.add_argument("--exemplar", metavar="NAME", help="which it is like, of several that the run learnt")
    command.add_argument(
        "--refine",
        type=int,
        default=refine,
        metavar="N",
        help=f"steps of descent on the latent field (default {refine})",
    )


def _add_heatmap(commands: Any) -> None:
    description = "Show where a picture or a clip does not belong to the run's texture, such as defects of a fabric."
    heatmap = shared.command(commands, "heatmap", "show where a picture does not belong", description, _heatmap)
    heatmap.add_argument("image", nargs="+", type=Path, metavar="IMAGE", help="picture or clip of the run's texture")
    heatmap.add_argument("--frames", metavar="A:B", help="frames of a clip to take")
    heatmap.add_argument("--exemplar", metavar="NAME", help="which it is like, of several that the run learnt")
    shared.add_output(heatmap, "file (default: in the run)")


def _add_export(commands: Any) -> None:
    description = "Write the generator as an ONNX file, for programs without texsyn."
    export = shared.command(commands, "export", "write the generator as an ONNX file", description, _export)
    export.add_argument("-o", "--out", type=Path, required=True, metavar="FILE.onnx")
    export.add_argument("--half", action="store_true", help="store the weights in 16 bits: half the size")
    export.add_argument("--force", action="store_true", help="overwrite what is there")


def _sample(options: argparse.Namespace) -> int:
    from texsyn import judging, runs, sampling

    kept, count = _best_of(options)
    if not 1 <= count <= 100_000 or not 0 <= options.seed < 2**31:
        flag = f"--best is of at most 100000, not {count}," if kept else "--count must be at least 1"
        raise TexsynError(f"{flag} and --seed at least 0", Exit.USAGE)
    run = runs.Run.open(options.run)
    triangle = run.triangle(shared.device(options.device))
    seeds: Sequence[int] = range(options.seed, options.seed + count)
    asked = {"size": options.size, "frames": options.frames, "tile": options.tile, "loop": options.loop}
    goal = sampling.target(triangle.modality, options.size, options.frames)
    number = run.number(options.exemplar)
    around = sampling.wraps(triangle.modality, options.tile, options.loop)

    def whole(seed: int) -> Tensor:
        """In one piece, as the energy sees it."""
        (made,) = sampling.sample(triangle, seed=seed, exemplar=number, **asked)
        how = {"steps": options.langevin, "wrapped": around, "exemplar": number}
        return judging.langevin(triangle, made, **how) if options.langevin else made

    energies: dict[int, float] = {}
    names = [f"seed-{seed}" for seed in seeds][: kept or None]
    writer = _Writer(options, run, triangle, goal, names, seeds[: kept or None])
    if kept:
        energies = {seed: judging.energy(triangle, whole(seed), exemplar=number) for seed in seeds}
        seeds = sorted(seeds, key=lambda seed: -energies[seed])[:kept]
        writer = _Writer(options, run, triangle, goal, [f"seed-{seed}" for seed in seeds], seeds)
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
    if triangle.modality.moving and goal[0] % triangle.factor[0]:
        print(f"texsyn: {goal[0]} frames is no multiple of {triangle.factor[0]}: resampled in time", file=sys.stderr)


def _plain(asked: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if name in ("tile", "loop") and value is not None}


def _morph(options: argparse.Namespace) -> int:
    from texsyn import runs, sampling

    run = runs.Run.open(options.run)
    triangle = run.triangle(shared.device(options.device))
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
    writer = _Writer(options, run, triangle, goal, ["across" if options.across else "morph"])
    writer.write(0, advancing(bands, goal[0], "morph"), made_by)
    return Exit.OK


def _reconstruct(options: argparse.Namespace) -> int:
    from texsyn import inference

    run, triangle, number, given = _opened(options)
    writer = _Writer(options, run, triangle, given.size, ["reconstruction"])
    made = inference.reconstruct(triangle, given.pixels, refine=options.refine, exemplar=number)
    error = float((made - given.pixels).square().mean()) / 4
    writer.write(0, [made], {"reconstructed": True}, {"squared_error": error})
    if not options.json:
        print(f"squared error {error:.5f} for each value in [0, 1]", file=sys.stderr)
    return Exit.OK


def _complete(options: argparse.Namespace) -> int:
    from texsyn import inference

    run, triangle, number, given = _opened(options)
    if given.hidden is None or not bool(given.hidden.any()):
        where = "what is missing in it is white in --mask's" if options.image else "name an IMAGE, and a --mask of it"
        raise TexsynError(
            f"nothing is missing in {'this picture' if options.image else 'what the run learnt'}: {where}"
        )
    writer = _Writer(options, run, triangle, given.size, ["complete"])
    if not 0 <= options.seed < 2**31:
        raise TexsynError(f"--seed must be at least 0, but is {options.seed}", Exit.USAGE)
    how = {"refine": options.refine, "seed": options.seed, "exemplar": number}
    made = inference.complete(triangle, given.pixels, given.hidden, **how)
    share = float(given.hidden.mean())
    writer.write(0, [made], {"completed": round(share, 4)}, {"missing": share})
    return Exit.OK


def _heatmap(options: argparse.Namespace) -> int:
    from texsyn import judging
    from texsyn.modality import Plane

    run, triangle, number, given = _opened(options)
    writer = _Writer(options, run, triangle, given.size, ["heatmap"], planes=(Plane("colour"),))
    heat = judging.heatmap(triangle, given.pixels, run.exemplars()[number].pixels, exemplar=number)
    share, most = float((heat > 1).float().mean()), float(heat.max())
    writer.write(0, [judging.overlay(given.pixels, heat)], {"heatmap": True}, {"strange": share, "most": most})
    if not options.json:
        print(f"{100 * share:.1f} % of it is stranger than 99 % of the exemplar", file=sys.stderr)
    return Exit.OK


def _opened(options: argparse.Namespace) -> tuple[Run, Triangle, int, Exemplar]:
    """The run, its triangle, which of its exemplars is meant, and the texture that is to be worked on."""
    from texsyn import media, runs

    if not 0 <= getattr(options, "refine", 0) <= 100_000:
        raise TexsynError(f"--refine must lie in 0 to 100000, but is {options.refine}", Exit.USAGE)
    run = runs.Run.open(options.run)
    number = run.number(options.exemplar)
    exemplar = run.exemplars()[number]
    if exemplar.modality.collection and (options.command is _heatmap or not options.image):
        said = "has no heat map of a picture" if options.command is _heatmap else "works on a picture that is named"
        raise TexsynError(f"this run learnt a collection of pictures, which {said}")
    mask = getattr(options, "mask", None)
    if not options.image and mask is not None:
        raise TexsynError("--mask goes with an IMAGE", Exit.USAGE)
    given = media.read_like(exemplar, *options.image, frames=options.frames, mask=mask) if options.image else exemplar
    return run, run.triangle(shared.device(options.device)), number, given


def _export(options: argparse.Namespace) -> int:
    from texsyn import exporting, runs

    run = runs.Run.open(options.run)
    triangle = run.triangle(shared.device(options.device))
    exporting.export(triangle, options.out, half=options.half, made_by=run.made_by(), force=options.force)
    print(options.out)
    return Exit.OK


@dataclass
class _Writer:
    """Where the textures of one command go: checked before the first is made."""

    options: argparse.Namespace
    run: Run
    triangle: Triangle
    goal: Sequence[int]  # (frames and) pixels of each texture
    names: Sequence[str]  # of each, where a folder is named or nothing
    numbers: Sequence[int] = (0,)  # told apart by these, where one file is named for several
    planes: Sequence[Plane] = ()  # of what is written; the run's, where none are named

    def __post_init__(self) -> None:
        from texsyn import writing

        self.moving = len(self.goal) == 3
        shared.check_fps(self.options.fps, self.moving)
        self.targets = self._targets()
        self.planes = self.planes or self.triangle.modality.planes
        self.channels = sum(plane.channels for plane in self.planes)
        for path, format in self.targets:
            for file in writing.written_as(path, format):
                writing.refuse_overwrite(file, self.options.force)
        path, format = self.targets[0]
        writing.refuse_full(path, format, len(self.targets) * self.channels * math.prod(self.goal))

    def write(
        self, index: int, bands: Iterable[Tensor], made_by: dict[str, Any], said: dict[str, Any] | None = None
    ) -> None:
        """Write one texture; `made_by` goes into the file, `said` beside its name with --json."""
        from texsyn import writing

        options, (path, format) = self.options, self.targets[index]
        written = writing.write_bands(
            bands,
            (self.channels, *self.goal),
            path,
            planes=self.planes,
            format=format,
            fps=options.fps or self.run.fps or 25.0,
            metadata=None if options.no_metadata else {**self.run.made_by(), "size": list(self.goal), **made_by},
            force=options.force,
        )
        for file in written:
            print(json.dumps({"file": str(file), **(said or {})}) if options.json else file)

    def _targets(self) -> list[tuple[Path, str]]:
        from texsyn import writing

        options, moving = self.options, self.moving
        if options.format and options.format not in writing.formats(moving):
            raise TexsynError(f"a {'clip' if moving else 'still'} cannot be written as {options.format}", Exit.USAGE)
        in_folders, several = options.format == "frames", len(self.names) > 1
        default = ".mp4" if moving else ".png"
        ending = {None: default, "frames": "", "sheet": ".png"}.get(options.format, f".{options.format}")
        out = options.out or self.run.path / "samples"
        single_file = options.out is not None and (
            out.suffix.lower() in writing.ENDINGS or (in_folders and not several)
        )
        if not single_file and re.search("[A-Za-z]", out.suffix) and not (options.format or out.is_dir()):
            raise TexsynError(
                f"{out.name}: there is no format {out.suffix}, but {', '.join(sorted(writing.ENDINGS))}; a folder's "
                "name ends otherwise, or --format says what goes into it",
                Exit.USAGE,
            )
        if single_file and not several:
            paths = [out]
        elif single_file:
            paths = [out.with_name(f"{out.stem}-{number}{out.suffix}") for number in self.numbers]
        else:
            paths = [out / f"{name}{ending}" for name in self.names]
        format = options.format or writing.format_for(paths[0], moving)
        expected = {"frames": "", "sheet": ".png", "jpg": paths[0].suffix if paths[0].suffix == ".jpeg" else ".jpg"}
        if paths[0].suffix.lower() != expected.get(format, f".{format}"):
            raise TexsynError(f"{paths[0].name} does not end as {format} does", Exit.USAGE)
        return [(path, format) for path in paths]
