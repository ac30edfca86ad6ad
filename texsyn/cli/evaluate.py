"""Commands that evaluate textures: rank, heatmap, landscape, info, score."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texsyn.cli import arguments, textures
from texsyn.core.errors import Exit, TexsynError

if TYPE_CHECKING:
    from texsyn.metrics.card import Card
    from texsyn.runs.run import Run


def add(commands: Any) -> None:
    """Add the commands to the parser."""
    _add_rank(commands)
    _add_heatmap(commands)
    _add_landscape(commands)
    _add_info(commands)
    _add_score(commands)


def _add_rank(commands: Any) -> None:
    description = "Order images or clips by the energy of a run's model: the most similar to the run's texture first."
    parser = arguments.add_run_command(
        commands, "rank", _rank, "order images by how similar they are to a run's texture", description
    )
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image or clip")
    parser.add_argument("--frames", metavar="A:B", help="frames of clips to use")
    arguments.add_exemplar(parser)
    arguments.add_json(parser, "print each file as a JSON line")


def _rank(options: argparse.Namespace) -> int:
    from texsyn.media.reader import read_like
    from texsyn.synthesis.energy import energy

    run, triangle = arguments.open_run(options)
    number = run.number(options.exemplar)
    exemplar = run.exemplar_of(number)
    images = [read_like(exemplar, path, frames=options.frames).pixels for path in options.images]
    energies = [energy(triangle, pixels, exemplar=number) for pixels in images]
    for path, value in sorted(zip(options.images, energies, strict=True), key=lambda pair: -pair[1]):
        print(json.dumps({"file": str(path), "energy": value}) if options.json else f"{value:9.4f}  {path}")
    return Exit.OK


def _add_heatmap(commands: Any) -> None:
    description = "Show where an image or clip differs from the run's texture, such as defects of a fabric."
    parser = arguments.add_run_command(commands, "heatmap", _heatmap, "show anomalies of an image", description)
    textures.add_image(parser, optional=False)
    textures.add_output(parser, "output file")


def _heatmap(options: argparse.Namespace) -> int:
    from texsyn.core.maps import Plane
    from texsyn.synthesis import anomaly

    run, triangle, number, image = textures.open_run_and_image(options, heatmap=True)
    writer = textures.TextureWriter(options, run, triangle, image.size, ["heatmap"], planes=(Plane("colour"),))
    heat = anomaly.heatmap(triangle, image.pixels, run.exemplars()[number].pixels, exemplar=number)
    share, highest = float((heat > 1).float().mean()), float(heat.max())
    printed = {"strange": share, "most": highest}
    summary = f"{100 * share:.1f} % of the pixels are more anomalous than 99 % of the exemplar's"
    writer.write(0, [anomaly.overlay(image.pixels, heat)], {"heatmap": True}, printed, summary)
    return Exit.OK


def _add_landscape(commands: Any) -> None:
    description = (
        "Map the energy landscape of a run's model: descend from crops and samples, and draw the basins and the "
        "barriers between them."
    )
    parser = arguments.add_run_command(commands, "landscape", _landscape, "map the energy's basins", description)
    parser.add_argument(
        "--starts", type=int, default=8, metavar="N", help="crops, and as many samples, of each exemplar (default 8)"
    )
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="steps of each descent (default 100)")
    parser.add_argument("--latent", action="store_true", help="descend on the latent field instead of on pixels")
    arguments.add_seed(parser)
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="output files, .png or .svg (default: in the run's folder)",
    )
    arguments.add_force(parser)
    arguments.add_json(parser, "print the basins as JSON")


def _landscape(options: argparse.Namespace) -> int:
    from texsyn.synthesis.landscape import landscape
    from texsyn.synthesis.landscape_plot import check_path, draw

    arguments.check_seed(options.seed)
    for path in options.out or []:
        check_path(path, options.force)
    run, triangle = arguments.open_run(options)
    how = {"starts": options.starts, "steps": options.steps, "seed": options.seed, "latent": options.latent}
    result = landscape(triangle, run.pixels_by_condition(), **how)
    crops = [near for near, kind in zip(result.near, result.kinds, strict=True) if kind.startswith("crop")]
    for path in options.out or [run.path / "landscape.png"]:
        # The run's own file is always replaced.
        draw(result, path, force=options.force or not options.out, names=run.conditions())
        if not options.json:
            print(path)
    if options.json:
        names = ("basins", "kinds", "before", "after", "merges")
        content = {name: getattr(result, name) for name in names}
        print(json.dumps({**content, "crops_that_stay_near": sum(crops) / len(crops)}))
    else:
        stay = f"{sum(crops)} of {len(crops)} crops stay near their start"
        print(f"{len(result.basins)} basins; {stay}", file=sys.stderr)
    return Exit.OK


def _add_info(commands: Any) -> None:
    parser = arguments.add_command(
        commands,
        "info",
        _info,
        "show the metadata of a file or a run",
        "Show how a file was made (the metadata that texsyn wrote into it), what a run contains, or how long a step of "
        "training takes on this machine.",
    )
    parser.add_argument("path", nargs="?", type=Path, metavar="FILE|RUN", help="image, clip, folder of frames, or run")
    parser.add_argument("--machine", action="store_true", help="time a step of each kind of texture on this machine")
    parser.add_argument("--device", default="auto", help="that is timed: auto, cpu, cuda or cuda:N (default auto)")
    arguments.add_json(parser, "print JSON")


def _info(options: argparse.Namespace) -> int:
    from texsyn.media.metadata import read_metadata
    from texsyn.runs.run import Run

    path = options.path
    if options.machine == (path is not None):
        raise TexsynError("name a FILE or a RUN, or give --machine", Exit.USAGE)
    if options.machine:
        return _info_machine(options)
    frames = sorted(path.glob("[0-9]*.png"))  # of a clip that was written as a folder
    if path.is_dir() and not frames:
        content = _describe_run(Run.open(path))
    elif not path.exists():
        raise TexsynError(f"{path.name}: no such file or folder")
    else:
        metadata = read_metadata(frames[0] if frames else path)
        if metadata is None:
            raise TexsynError(f"{path.name} has no texsyn metadata: not written by texsyn, or with --no-metadata")
        content = metadata
    if options.json:
        print(json.dumps(content))
    else:
        _print_content(content)
    return Exit.OK


def _describe_run(run: Run) -> dict[str, Any]:
    """What a user asks for first, then all of run.json."""
    from texsyn.jobs.process import status

    now = status(run)
    about = {"title": run.title, "state": now.state, "step": now.step, "seconds": round(now.seconds)}
    stored = {name: value for name, value in run.content.items() if name not in about}
    checkpoints = [checkpoint.name for checkpoint in run.checkpoints()]
    return {**about, "bytes": run.bytes, **stored, "checkpoints": checkpoints}


def _info_machine(options: argparse.Namespace) -> int:
    """Seconds of a step, and minutes of the default recipe, of each kind that is trained on one exemplar."""
    from texsyn.core.modality import MODALITIES
    from texsyn.core.recipes import recipe_for
    from texsyn.core.text import duration, in_steps
    from texsyn.training.timing import step_seconds

    device = arguments.open_device(options.device)
    for name, modality in MODALITIES.items():
        if modality.collection:
            continue
        seconds = step_seconds(name, device=device)
        steps = recipe_for("fast", modality).steps
        if options.json:
            print(json.dumps({"kind": name, "step_seconds": round(seconds, 4), "device": str(device)}), flush=True)
        else:
            print(
                f"{name:9}{1000 * seconds:6.0f} ms a step, {in_steps(steps)} in {duration(steps * seconds)}", flush=True
            )
    return Exit.OK


def _print_content(content: dict[str, Any], indent: str = "") -> None:
    for name, value in content.items():
        if isinstance(value, dict):
            print(f"{indent}{name}")
            _print_content(value, indent + "  ")
        else:
            print(f"{indent}{name:<18} {json.dumps(value) if isinstance(value, list) else value}")


def _add_score(commands: Any) -> None:
    parser = arguments.add_command(
        commands,
        "score",
        _score,
        "compare samples with their exemplar",
        "Print the quality card of samples or of a run: how faithful, sharp, new, varied and seamless they are.",
    )
    parser.add_argument("exemplar", type=Path, metavar="EXEMPLAR|RUN", help="image or clip; or a run, to sample it")
    parser.add_argument("samples", type=Path, nargs="*", metavar="SAMPLE", help="image or clip; none for a run")
    parser.add_argument(
        "--train", default="0:32", metavar="A:B", help="frames of a clip that were trained on (default 0:32)"
    )
    parser.add_argument(
        "--held", metavar="A:B", help="held-out frames for reference (default: the last 32 of at least 64)"
    )
    parser.add_argument(
        "--critic", action="store_true", help="also train a critic to tell stills from the exemplar (takes longer)"
    )
    parser.add_argument("--native", action="store_true", help="score crops of stills at the files' own sizes")
    collection = parser.add_argument_group("a run that was trained on a collection")
    collection.add_argument(
        "--features",
        type=Path,
        metavar="FILE.onnx",
        help="network whose features are compared (default: a classifier learnt on the collection, or the posterior)",
    )
    collection.add_argument("--count", type=int, default=2000, metavar="N", help="samples (default 2000)")
    arguments.add_json(parser, "print the card as JSON")


def _score_collection(run: Run, options: argparse.Namespace) -> None:
    import torch

    from texsyn.runs.collection_scores import NEAREST, describe, score_collection

    if not 2 <= options.count <= 100_000:
        raise TexsynError(f"--count must lie in 2 to 100000, but is {options.count}", Exit.USAGE)
    card = score_collection(run, run.triangle(torch.device("cpu")), options.features, options.count)
    print(json.dumps(asdict(card)) if options.json else "\n".join(describe(card)))
    print(f"samples, and right of each the nearest training image: {run.path / NEAREST}", file=sys.stderr)


def _score_run(run: Run, options: argparse.Namespace) -> list[Card]:
    """The cards of a run's model, which are stored; a critic and a large texture are always part of it."""
    import torch

    from texsyn.runs.cards import score_run

    if options.native:
        raise TexsynError("--native is for files: a model is scored at the size of its samples", Exit.USAGE)
    if options.features:
        raise TexsynError("--features is for runs that were trained on a collection", Exit.USAGE)
    triangle = run.triangle(torch.device("cpu"))
    return [score_run(run, triangle, number, thorough=True) for number in range(len(run.names()))]


def _score_files(options: argparse.Namespace) -> list[Card]:
    from texsyn.metrics.scoring import score_files

    if not options.samples:
        raise TexsynError(f"{options.exemplar.name} is no run: name samples to compare with it", Exit.USAGE)
    how = {"told": options.critic, "native": options.native}
    return [score_files(options.exemplar, options.samples, options.train, options.held, **how)]


def _score(options: argparse.Namespace) -> int:
    from texsyn.runs.run import Run

    is_run = (options.exemplar / "run.json").exists() and not options.samples
    run = Run.open(options.exemplar) if is_run else None
    if run is not None and run.modality.collection:
        _score_collection(run, options)
        return Exit.OK
    for card in _score_files(options) if run is None else _score_run(run, options):
        print(json.dumps(card.to_dict())) if options.json else _print_card(card)
    return Exit.OK


def _print_card(card: Card) -> None:
    from texsyn.metrics.card import CLIP_METRICS, MATERIAL_METRICS, STILL_METRICS, describe

    descriptions = STILL_METRICS | MATERIAL_METRICS if "ps" in card.metrics else CLIP_METRICS
    print(f"{'':16}{'samples':>9}{'reference':>11}")
    for name, value in card.metrics.items():
        print(f"{name:16}{value:9.3f}{card.reference.get(name, float('nan')):11.3f}  {descriptions[name]}")
    print()
    for line in describe(card):
        print(line)
