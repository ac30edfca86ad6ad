"""What commands on textures share: images that they take, and files that they write."""

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

from texsyn.cli import arguments
from texsyn.core.errors import Exit, TexsynError
from texsyn.core.formats import ALL_FORMATS, DEFAULT_FPS, WRITTEN_ENDINGS, endings_of, format_for, formats

if TYPE_CHECKING:
    from torch import Tensor

    from texsyn.core.maps import Plane
    from texsyn.media.exemplar import Exemplar
    from texsyn.models.triangle import Triangle
    from texsyn.runs.run import Run


def add_image(parser: argparse.ArgumentParser, *, optional: bool) -> None:
    """Add an image or clip to work on; several files are the maps of one material."""
    help = "image, clip or maps of the run's texture" + (" (default: the run's exemplar)" if optional else "")
    parser.add_argument("image", nargs="*" if optional else "+", type=Path, metavar="IMAGE", help=help)
    parser.add_argument("--frames", metavar="A:B", help="frames of a clip to use")
    arguments.add_exemplar(parser)


def add_refine(parser: argparse.ArgumentParser, default: int) -> None:
    help = f"steps of gradient descent on the latent field (default {default})"
    parser.add_argument("--refine", type=int, default=default, metavar="N", help=help)


def add_output(parser: argparse.ArgumentParser, out: str) -> None:
    """Add where textures are written, and how; `out` is the help of --out."""
    parser.add_argument("-o", "--out", type=Path, help=f"{out} (default: in the run's folder)")
    parser.add_argument("--format", choices=ALL_FORMATS, help="(default: from the file's ending, else png or mp4)")
    parser.add_argument("--fps", type=float, metavar="F", help="frames per second (default: the exemplar's)")
    parser.add_argument("--no-metadata", action="store_true", help="write no metadata into the file")
    arguments.add_force(parser)
    arguments.add_json(parser, "print each file as a JSON line")


def open_run_and_image(options: argparse.Namespace, heatmap: bool = False) -> tuple[Run, Triangle, int, Exemplar]:
    """The run, its model, the number of the exemplar that was named, and the texture to work on."""
    from texsyn.media.reader import read_like
    from texsyn.runs.run import Run

    if not 0 <= getattr(options, "refine", 0) <= 100_000:
        raise TexsynError(f"--refine must lie in 0 to 100000, but is {options.refine}", Exit.USAGE)
    run = Run.open(options.run)
    number = run.number(options.exemplar)
    exemplar = run.exemplar_of(number)
    if exemplar.modality.collection and heatmap:
        raise TexsynError("there are no heat maps for a run that was trained on a collection")
    if exemplar.modality.collection and not options.image:
        raise TexsynError("this run was trained on a collection: name an IMAGE")
    mask = getattr(options, "mask", None)
    if not options.image and mask is not None:
        raise TexsynError("--mask goes with an IMAGE", Exit.USAGE)
    texture = read_like(exemplar, *options.image, frames=options.frames, mask=mask) if options.image else exemplar
    return run, run.triangle(arguments.open_device(options.device)), number, texture


@dataclass
class TextureWriter:
    """Writes the textures of one command; all files are checked before the first texture is computed.

    Raises TexsynError: exit 2 for wrong options or existing files, exit 5 when the disk is too full.
    """

    options: argparse.Namespace
    run: Run
    triangle: Triangle
    size: Sequence[int]  # (frames and) pixels of each texture
    names: Sequence[str]  # of the textures, for files in a folder
    numbers: Sequence[int] = (0,)  # of the textures, added to the name of a single file
    planes: Sequence[Plane] = ()  # of the textures (default: the run's)

    def __post_init__(self) -> None:
        from texsyn.core.files import refuse_overwrite
        from texsyn.media import writing

        self.moving = len(self.size) == 3
        _check_fps(self.options.fps, self.moving)
        self.paths = self._paths()
        self.format = self.options.format or format_for(self.paths[0], self.moving)
        if self.paths[0].suffix.lower() not in endings_of(self.format, self.moving):
            raise TexsynError(f"{self.paths[0].name} does not end as {self.format} does", Exit.USAGE)
        self.planes = self._planes()
        self.channels = sum(plane.channels for plane in self.planes)
        for path in self.paths:
            for file in writing.written_as(path, self.format):
                refuse_overwrite(file, self.options.force)
        writing.refuse_full(self.paths[0], self.format, len(self.paths) * self.channels * math.prod(self.size))

    def write(
        self,
        index: int,
        bands: Iterable[Tensor],
        metadata: dict[str, Any],
        printed: dict[str, Any] | None = None,
        summary: str = "",
    ) -> None:
        """Write one texture; `metadata` goes into the file.

        `printed` is printed beside its name with --json, `summary` on stderr without.
        """
        from texsyn.media import writing

        options = self.options
        files = writing.write_bands(
            bands,
            (self.channels, *self.size),
            self.paths[index],
            planes=self.planes,
            format=self.format,
            fps=options.fps or self.run.fps or DEFAULT_FPS,
            metadata=None if options.no_metadata else {**self.run.made_by(), "size": list(self.size), **metadata},
            force=options.force,
        )
        for file in files:
            print(json.dumps({"file": str(file), **(printed or {})}) if options.json else file)
        if summary and not options.json:
            print(summary, file=sys.stderr)

    def _planes(self) -> Sequence[Plane]:
        from texsyn.core.maps import CHANNELS, packed

        planes = self.planes or self.triangle.modality.planes
        if getattr(self.options, "packed", None) is None:
            return planes
        if not any(plane.name in CHANNELS for plane in planes):
            raise TexsynError(f"--packed needs a map of {', '.join(CHANNELS)}, and this run has none", Exit.USAGE)
        return packed(planes)

    def _paths(self) -> list[Path]:
        """A path for each texture: in a folder by name, or of a single file with the number added."""
        options, several = self.options, len(self.names) > 1
        if options.format and options.format not in formats(self.moving):
            kind = "clip" if self.moving else "still"
            raise TexsynError(f"a {kind} cannot be written as {options.format}", Exit.USAGE)
        out = options.out or self.run.path / "samples"
        is_file = options.out is not None and (
            out.suffix.lower() in WRITTEN_ENDINGS or (options.format == "frames" and not several)
        )
        if is_file and several:
            return [out.with_name(f"{out.stem}-{number}{out.suffix}") for number in self.numbers]
        if is_file:
            return [out]
        if re.search("[A-Za-z]", out.suffix) and not (options.format or out.is_dir()):
            raise TexsynError(
                f"{out.name}: there is no format {out.suffix}, but {', '.join(sorted(WRITTEN_ENDINGS))}; for a folder "
                "of this name, add --format",
                Exit.USAGE,
            )
        ending = endings_of(options.format or formats(self.moving)[0], self.moving)[0]
        return [out / f"{name}{ending}" for name in self.names]


def _check_fps(fps: float | None, moving: bool) -> None:
    if fps is not None and not moving:
        raise TexsynError("--fps is for clips, but this is a still", Exit.USAGE)
    if fps is not None and not 0.1 <= fps <= 240:
        raise TexsynError(f"--fps must lie in 0.1 to 240, but is {fps:g}", Exit.USAGE)
