"""What commands that work on textures share: an image given, where textures are written, in what format."""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texsyn.cli import arguments
from texsyn.core.errors import Exit, TexsynError

if TYPE_CHECKING:
    from torch import Tensor

    from texsyn.core.modality import Plane
    from texsyn.media.exemplar import Exemplar
    from texsyn.models.triangle import Triangle
    from texsyn.runs.run import Run


def add_image(command: argparse.ArgumentParser, help: str, refine: int) -> None:
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


def open_run_and_image(options: argparse.Namespace, heatmap: bool = False) -> tuple[Run, Triangle, int, Exemplar]:
    """The run, its triangle, which of its exemplars is meant, and the texture that is to be worked on."""
    from texsyn.media.reader import read_like
    from texsyn.runs.run import Run

    if not 0 <= getattr(options, "refine", 0) <= 100_000:
        raise TexsynError(f"--refine must lie in 0 to 100000, but is {options.refine}", Exit.USAGE)
    run = Run.open(options.run)
    number = run.number(options.exemplar)
    exemplar = run.exemplars()[number]
    if exemplar.modality.collection and (heatmap or not options.image):
        said = "has no heat map of a picture" if heatmap else "works on a picture that is named"
        raise TexsynError(f"this run learnt a collection of pictures, which {said}")
    mask = getattr(options, "mask", None)
    if not options.image and mask is not None:
        raise TexsynError("--mask goes with an IMAGE", Exit.USAGE)
    given = read_like(exemplar, *options.image, frames=options.frames, mask=mask) if options.image else exemplar
    return run, run.triangle(arguments.device(options.device)), number, given


@dataclass
class TextureWriter:
    """Where the textures of one command go: checked before the first is made."""

    options: argparse.Namespace
    run: Run
    triangle: Triangle
    goal: Sequence[int]  # (frames and) pixels of each texture
    names: Sequence[str]  # of each, where a folder is named or nothing
    numbers: Sequence[int] = (0,)  # told apart by these, where one file is named for several
    planes: Sequence[Plane] = ()  # of what is written; the run's, where none are named

    def __post_init__(self) -> None:
        from texsyn.core.files import refuse_overwrite
        from texsyn.media import writing

        self.moving = len(self.goal) == 3
        check_fps(self.options.fps, self.moving)
        self.targets = self._targets()
        self.planes = self.planes or self.triangle.modality.planes
        self.channels = sum(plane.channels for plane in self.planes)
        for path, format in self.targets:
            for file in writing.written_as(path, format):
                refuse_overwrite(file, self.options.force)
        path, format = self.targets[0]
        writing.refuse_full(path, format, len(self.targets) * self.channels * math.prod(self.goal))

    def write(
        self, index: int, bands: Iterable[Tensor], made_by: dict[str, Any], said: dict[str, Any] | None = None
    ) -> None:
        """Write one texture; `made_by` goes into the file, `said` beside its name with --json."""
        from texsyn.media import writing

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
        from texsyn.media import writing

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


FORMATS = ("png", "jpg", "webp", "mp4", "gif", "frames", "sheet")


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
