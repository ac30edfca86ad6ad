"""Commands that change a given texture with a run's model: reconstruct, complete."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from texsyn.cli import arguments, textures
from texsyn.core.errors import Exit, TexsynError


def add(commands: Any) -> None:
    """Add the commands to the parser."""
    _add_reconstruct(commands)
    _add_complete(commands)


def _add_reconstruct(commands: Any) -> None:
    description = "Encode a texture, decode it again, and print the mean squared error of pixel values in [0, 1]."
    parser = arguments.add_run_command(
        commands, "reconstruct", _reconstruct, "encode a texture and decode it again", description
    )
    textures.add_image(parser, optional=True)
    textures.add_refine(parser, default=0)
    textures.add_output(parser, "output file")


def _reconstruct(options: argparse.Namespace) -> int:
    from texsyn.synthesis import inversion

    run, triangle, number, image = textures.open_run_and_image(options)
    writer = textures.TextureWriter(options, run, triangle, image.size, ["reconstruction"])
    texture = inversion.reconstruct(triangle, image.pixels, refine=options.refine, exemplar=number)
    error = float((texture - image.pixels).square().mean()) / 4  # pixels lie in [-1, 1]
    summary = f"mean squared error {error:.5f} of pixel values in [0, 1]"
    writer.write(0, [texture], {"reconstructed": True}, {"squared_error": error}, summary)
    return Exit.OK


def _add_complete(commands: Any) -> None:
    description = (
        "Fill the masked pixels of a texture from the run's model; all other pixels stay unchanged. Large holes are "
        "filled with new texture: change --seed for another."
    )
    parser = arguments.add_run_command(commands, "complete", _complete, "fill holes in a texture", description)
    textures.add_image(parser, optional=True)
    help = "image or clip, white where masked; so are transparent pixels"
    parser.add_argument("--mask", type=Path, metavar="FILE", help=help)
    arguments.add_seed(parser, "seed of the new texture in large holes (default 0)")
    textures.add_refine(parser, default=100)
    textures.add_output(parser, "output file")


def _complete(options: argparse.Namespace) -> int:
    from texsyn.synthesis import inversion

    arguments.check_seed(options.seed)
    run, triangle, number, image = textures.open_run_and_image(options)
    if image.mask is None or not bool(image.mask.any()):
        if options.image:
            raise TexsynError("no pixels of this image are masked: --mask marks them in white")
        raise TexsynError("no pixels of the run's exemplar are masked: name an IMAGE and its --mask")
    writer = textures.TextureWriter(options, run, triangle, image.size, ["complete"])
    how = {"refine": options.refine, "seed": options.seed, "exemplar": number}
    texture = inversion.complete(triangle, image.pixels, image.mask, **how)
    share = float(image.mask.mean())
    writer.write(0, [texture], {"completed": round(share, 4)}, {"missing": share})
    return Exit.OK
