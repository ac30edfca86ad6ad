"""Commands that ask about textures: what made them, how good they are, how like a run's they are, and where not.

Only the standard library is imported at first: commands import what they need, so that `texsyn --help` is quick.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from texsyn.cli import arguments, textures
from texsyn.core.errors import Exit, TexsynError


def add(commands: Any) -> None:
    """Add the commands to the parser's."""
    _add_rank(commands)
    _add_heatmap(commands)
    _add_landscape(commands)
    _add_info(commands)
    _add_score(commands)


def _add_rank(commands: Any) -> None:
    description = "Order pictures or clips by the energy of a run: what is most like the run's texture comes first."
    rank = arguments.command(
        commands, "rank", "order pictures by how like a run's texture they are", description, _rank
    )
    rank.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    rank.add_argument("--frames", metavar="A:B", help="frames of clips to take")
    rank.add_argument("--exemplar", metavar="NAME", help="which to be like, of several that the run learnt (the first)")
    rank.add_argument("--json", action="store_true", help="print each as a JSON line")


def _add_landscape(commands: Any) -> None:
    description = "Map the basins of the run's energy: descend from crops and samples, and draw what lies between."
    land = arguments.command(commands, "landscape", "map the basins of the energy", description, _landscape)
    land.add_argument("--starts", type=int, default=8, metavar="N", help="crops, and samples, of each exemplar (8)")
    land.add_argument("--steps", type=int, default=100, metavar="N", help="of each descent (100)")
    land.add_argument("--latent", action="store_true", help="descend the latent field instead of the texture")
    land.add_argument("--seed", type=int, default=0, metavar="S", help="(default 0)")
    land.add_argument("-o", "--out", type=Path, nargs="+", metavar="FILE", help=".png or .svg (default: in the run)")
    land.add_argument("--force", action="store_true", help="overwrite what is there")
    land.add_argument("--json", action="store_true", help="print what was found as JSON")


def _add_info(commands: Any) -> None:
    info = commands.add_parser(
        "info", help="show what made a texture, or what a run holds", description="Show what made a file or a run."
    )
    info.add_argument("path", type=Path, metavar="FILE|RUN")
    info.add_argument("--json", action="store_true")
    info.set_defaults(command=_info)


def _add_score(commands: Any) -> None:
    score = commands.add_parser(
        "score", help="judge samples against their exemplar", description="Print the quality card of samples."
    )
    score.add_argument("exemplar", type=Path)
    score.add_argument("samples", type=Path, nargs="+", metavar="SAMPLE")
    score.add_argument("--train", default="0:32", metavar="A:B", help="frames of a clip to score against (0:32)")
    score.add_argument("--held", metavar="A:B", help="frames of a clip to compare with (the last 32 of at least 64)")
    score.add_argument("--json", action="store_true")
    score.set_defaults(command=_score)


def _rank(options: argparse.Namespace) -> int:
    from texsyn.media.reader import read_like
    from texsyn.runs.run import Run
    from texsyn.synthesis.energy import energy

    run = Run.open(options.run)
    triangle, number = run.triangle(arguments.device(options.device)), run.number(options.exemplar)
    like = run.exemplars()[number]
    given = [read_like(like, path, frames=options.frames).pixels for path in options.images]
    found = [energy(triangle, pixels, exemplar=number) for pixels in given]
    for path, value in sorted(zip(options.images, found, strict=True), key=lambda each: -each[1]):
        print(json.dumps({"file": str(path), "energy": value}) if options.json else f"{value:9.4f}  {path}")
    return Exit.OK


def _landscape(options: argparse.Namespace) -> int:
    from texsyn.runs.run import Run
    from texsyn.synthesis.landscape import check, draw, landscape

    if not 0 <= options.seed < 2**31:
        raise TexsynError(f"--seed must be at least 0, but is {options.seed}", Exit.USAGE)
    run = Run.open(options.run)
    for path in options.out or []:
        check(path, options.force)
    triangle = run.triangle(arguments.device(options.device))
    exemplars = [each.pixels for each in run.exemplars()]
    how = {"starts": options.starts, "steps": options.steps, "seed": options.seed, "latent": options.latent}
    found = landscape(triangle, exemplars, **how)
    crops = [near for near, kind in zip(found.near, found.kinds, strict=True) if kind.startswith("crop")]
    said = {
        "basins": found.basins,
        "kinds": found.kinds,
        "before": found.before,
        "after": found.after,
        "merges": found.merges,
        "crops_that_stay_near": sum(crops) / len(crops),
    }
    for path in options.out or [run.path / "landscape.png"]:
        draw(found, path, force=options.force or not options.out)  # the run's own is the newest
        if not options.json:
            print(path)
    if options.json:
        print(json.dumps(said))
    else:
        print(
            f"{len(found.basins)} basins; {sum(crops)} of {len(crops)} crops stay near where they began",
            file=sys.stderr,
        )
    return Exit.OK


def _info(options: argparse.Namespace) -> int:
    from texsyn.media import writing
    from texsyn.runs.run import Run

    frames = sorted(options.path.glob("[0-9]*.png"))  # of a clip that was written as such
    if options.path.is_dir() and not frames:
        run = Run.open(options.path)
        content: dict[str, Any] = {**run.content, "checkpoints": [p.name for p in run.checkpoints()]}
    else:
        if not options.path.exists():
            raise TexsynError(f"{options.path.name}: no such file or folder")
        found = writing.read_metadata(frames[0] if frames else options.path)
        if found is None:
            raise TexsynError(f"{options.path.name} says nothing of texsyn: not made by it, or made with --no-metadata")
        content = found
    if options.json:
        print(json.dumps(content))
    else:
        _show(content)
    return Exit.OK


def _score(options: argparse.Namespace) -> int:
    from texsyn.metrics.card import CLIP_MEASURES, STILL_MEASURES, describe
    from texsyn.metrics.scoring import score_files

    card = score_files(options.exemplar, options.samples, options.train, options.held)
    if options.json:
        print(json.dumps(card.to_dict()))
        return Exit.OK
    described = STILL_MEASURES if "ps" in card.measures else CLIP_MEASURES
    print(f"{'':14}{'samples':>9}{'reference':>11}")
    for name, value in card.measures.items():
        print(f"{name:14}{value:9.3f}{card.reference.get(name, float('nan')):11.3f}  {described[name]}")
    print()
    for line in describe(card):
        print(line)
    return Exit.OK


def _show(content: dict[str, Any], indent: str = "") -> None:
    for name, value in content.items():
        if isinstance(value, dict):
            print(f"{indent}{name}")
            _show(value, indent + "  ")
        else:
            print(f"{indent}{name:<18} {json.dumps(value) if isinstance(value, list) else value}")


def _add_heatmap(commands: Any) -> None:
    description = "Show where a picture or a clip does not belong to the run's texture, such as defects of a fabric."
    heatmap = arguments.command(commands, "heatmap", "show where a picture does not belong", description, _heatmap)
    heatmap.add_argument("image", nargs="+", type=Path, metavar="IMAGE", help="picture or clip of the run's texture")
    heatmap.add_argument("--frames", metavar="A:B", help="frames of a clip to take")
    heatmap.add_argument("--exemplar", metavar="NAME", help="which it is like, of several that the run learnt")
    textures.add_output(heatmap, "file (default: in the run)")


def _heatmap(options: argparse.Namespace) -> int:
    from texsyn.core.modality import Plane
    from texsyn.synthesis import anomaly
    from texsyn.synthesis.anomaly import overlay

    run, triangle, number, given = textures.open_run_and_image(options, heatmap=True)
    writer = textures.TextureWriter(options, run, triangle, given.size, ["heatmap"], planes=(Plane("colour"),))
    heat = anomaly.heatmap(triangle, given.pixels, run.exemplars()[number].pixels, exemplar=number)
    share, most = float((heat > 1).float().mean()), float(heat.max())
    writer.write(0, [overlay(given.pixels, heat)], {"heatmap": True}, {"strange": share, "most": most})
    if not options.json:
        print(f"{100 * share:.1f} % of it is stranger than 99 % of the exemplar", file=sys.stderr)
    return Exit.OK
