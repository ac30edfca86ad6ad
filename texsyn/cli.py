"""The command line. Results go to stdout, everything else to stderr; exit codes are `errors.Exit`.

Only the standard library is imported here: commands import what they need, so that `texsyn --help` is quick.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texsyn import __version__
from texsyn.errors import Exit, TexsynError
from texsyn.screen import Screen, advancing

if TYPE_CHECKING:
    import torch

    from texsyn.media import Exemplar
    from texsyn.recipes import Recipe
    from texsyn.runs import Run
    from texsyn.triangle import Triangle

_KINDS = ("still", "clip", "surface", "material")
_RECIPES = ("fast", "best", "paper")
_OBJECTIVES = ("triangle", "vae", "acd", "wake-sleep")
_EXIT_CODES = "exit codes: 0 ok, 1 bug, 2 usage, 3 bad input, 4 out of memory, 5 disk, 6 diverged, 130/143 interrupted"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    # Beside other work on the same cores OpenMP's threads wait for one another at every layer, by default spinning so
    # long that a step takes ten times as long; with a shorter wait it takes five times, and on a quiet machine no more.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        return int(options.command(options))
    except TexsynError as error:
        print(f"texsyn: {error}", file=sys.stderr)
        return int(error.exit)
    except MemoryError:
        print("texsyn: not enough memory", file=sys.stderr)
        return int(Exit.OUT_OF_MEMORY)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.OK)
    except KeyboardInterrupt:
        print("texsyn: interrupted", file=sys.stderr)
        return int(Exit.INTERRUPTED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "texsyn", description="New textures, still and moving, from one exemplar.", epilog=_EXIT_CODES
    )
    parser.add_argument("--version", action="version", version=f"texsyn {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_fit(commands)
    _add_sample(commands)
    _add_info(commands)
    _add_score(commands)
    return parser


def _add_fit(commands: Any) -> None:
    fit = commands.add_parser(
        "fit",
        help="learn a texture from an exemplar",
        description="Learn a texture from one exemplar: a still, a clip (file or folder), or a material's maps.",
        epilog=_EXIT_CODES,
    )
    fit.add_argument("exemplar", nargs="*", type=Path, help="picture, clip, folder of frames, or colour and normal map")
    fit.add_argument("--out", type=Path, metavar="RUN", help="run folder (default runs/NAME-N)")
    fit.add_argument("--resume", type=Path, metavar="RUN", help="go on with this run")
    fit.add_argument("--kind", choices=_KINDS, help="what the exemplar is (default: found from the file)")
    fit.add_argument("--frames", metavar="A:B", help="frames of a clip to learn from; 0:-32 leaves out the last 32")
    fit.add_argument(
        "--side", type=int, metavar="PIXELS", help="reduce the shorter side to this; 0 keeps a still's size"
    )
    fit.add_argument("--recipe", choices=_RECIPES, default="fast", help="(default fast)")
    fit.add_argument(
        "--objective", choices=_OBJECTIVES, default="triangle", help="the triangle or a special case of it"
    )
    fit.add_argument("--steps", type=int, metavar="N", help="steps in all (default: the recipe's)")
    fit.add_argument("--minutes", type=float, metavar="M", help="time budget in all, in minutes")
    fit.add_argument("--seed", type=int, help="(default 0)")
    fit.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field of the recipe; ? lists them"
    )
    fit.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    fit.add_argument("--no-card", action="store_true", help="do not score samples at the end")
    fit.add_argument("--json", action="store_true", help="print progress as JSON Lines on stdout")
    fit.add_argument("--quiet", action="store_true", help="print nothing but the run's folder")
    fit.set_defaults(command=_fit)


def _add_sample(commands: Any) -> None:
    sample = commands.add_parser(
        "sample", help="make new textures from a run", description="Make new textures from a run.", epilog=_EXIT_CODES
    )
    sample.add_argument("run", type=Path, metavar="RUN")
    sample.add_argument("-o", "--out", type=Path, help="file, or folder for several (default: in the run)")
    sample.add_argument(
        "--count", type=int, default=1, metavar="N", help="how many, from seeds S, S+1, ... (default 1)"
    )
    sample.add_argument("--seed", type=int, default=0, metavar="S", help="(default 0)")
    sample.add_argument("--size", type=_width_by_height, metavar="WxH", help="pixels (default: the exemplar's)")
    sample.add_argument(
        "--frames", type=int, metavar="N", help="length of a clip (default: the exemplar's, at most 64)"
    )
    sample.add_argument("--tile", choices=("xy", "x", "y", "none"), help="axes that wrap (default: all that can)")
    sample.add_argument("--loop", action=argparse.BooleanOptionalAction, default=True, help="clips loop (default yes)")
    sample.add_argument("--fps", type=float, metavar="F", help="frames a second (default: the exemplar's)")
    sample.add_argument(
        "--format",
        choices=("png", "jpg", "webp", "mp4", "gif", "frames", "sheet"),
        help="default: from the file's ending, else png or mp4",
    )
    sample.add_argument("--no-metadata", action="store_true", help="write nothing into the file but the texture")
    sample.add_argument("--force", action="store_true", help="overwrite what is there")
    sample.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    sample.add_argument("--json", action="store_true", help="print each file as a JSON line")
    sample.set_defaults(command=_sample)


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
    score.add_argument("--held", default="-32:", metavar="A:B", help="frames of a clip to compare with (-32:)")
    score.add_argument("--json", action="store_true")
    score.set_defaults(command=_score)


def _width_by_height(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form WxH, such as 512x512")
    return int(width), int(height)


# ---------------------------------------------------------------- fit


def _fit(options: argparse.Namespace) -> int:
    if options.set == ["?"]:
        return _list_fields()
    screen, device = Screen(options), _device(options.device)
    run, recipe = _resumed(options) if options.resume else _begun(options, screen)
    exemplar = run.exemplar()
    from texsyn import training

    screen.say(_what(run, exemplar.size, device))
    triangle = run.fresh(device)
    recipe = training.resolve(recipe, triangle.device)
    with _stopping() as stop, screen:
        report = None
        for report in run.learn(triangle, exemplar, recipe, screen.warn):
            screen.show(report, recipe)
            if stop.number:
                break
    if report is None:
        screen.say(f"{run.path} is finished already: --steps or --minutes beyond it goes on")
    else:
        if not (stop.number or options.no_card):
            _print_card(run, triangle, exemplar, screen)
        screen.finish(run, report, stopped=bool(stop.number))
    return 128 + stop.number if stop.number else Exit.OK


def _print_card(run: Run, triangle: Triangle, exemplar: Exemplar, screen: Screen) -> None:
    from texsyn import quality

    try:
        card = run.card(triangle, exemplar)
    except TexsynError as error:
        screen.say(f"no quality card: {error}")
        return
    screen.card(card.plain(), quality.words(card))


def _begun(options: argparse.Namespace, screen: Screen) -> tuple[Run, Recipe]:
    if not options.exemplar:
        raise TexsynError("name an exemplar, or a run with --resume", Exit.USAGE)
    from texsyn import media, recipes, runs

    exemplar = media.read(*options.exemplar, kind=options.kind, frames=options.frames, side=options.side)
    recipe = recipes.recipe_for(options.recipe, exemplar.modality, **_changes(options))
    recipes.check_fit(exemplar.modality, recipe)  # before anything is written
    path = options.out or runs.default_path(options.exemplar[0])
    return runs.Run.create(path, exemplar, recipe, options.recipe), recipe


def _resumed(options: argparse.Namespace) -> tuple[Run, Recipe]:
    from dataclasses import replace

    from texsyn import recipes, runs

    if options.exemplar or options.out or options.set or options.seed is not None:
        raise TexsynError(
            "--resume takes its exemplar and its settings from the run; only --steps or --minutes go with it",
            Exit.USAGE,
        )
    run = runs.Run.open(options.resume)
    recipe = run.recipe
    if options.steps is not None:
        recipe = replace(recipe, steps=options.steps, minutes=0.0)
    if options.minutes is not None:
        recipe = replace(recipe, minutes=options.minutes)
    recipes.check_recipe(recipe)
    return run, recipe


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    from dataclasses import asdict, fields

    from texsyn.recipes import Recipe
    from texsyn.triangle import OBJECTIVES

    changes: dict[str, Any] = asdict(OBJECTIVES[options.objective]) if options.objective != "triangle" else {}
    defaults = {f.name: f.default for f in fields(Recipe)}
    for text in options.set:
        name, equals, value = text.partition("=")
        name = name.replace("-", "_")
        if not equals or name not in defaults:
            raise TexsynError(f"--set {text!r} is not FIELD=VALUE; --set ? lists the fields", Exit.USAGE)
        changes[name] = _parse(name, value, defaults[name])
    for name in ("steps", "minutes", "seed"):
        if getattr(options, name) is not None:
            changes[name] = getattr(options, name)
    return changes


def _parse(name: str, value: str, default: Any) -> Any:
    if isinstance(default, bool):
        if value.lower() not in ("true", "false", "yes", "no", "1", "0"):
            raise TexsynError(f"--set {name} is yes or no, not {value!r}", Exit.USAGE)
        return value.lower() in ("true", "yes", "1")
    try:
        return type(default)(value)
    except ValueError:
        raise TexsynError(f"--set {name} must be a {type(default).__name__}, not {value!r}", Exit.USAGE) from None


def _list_fields() -> int:
    from dataclasses import fields

    from texsyn.recipes import Recipe

    for f in fields(Recipe):
        print(f"{f.name}={f.default!s:10}  {f.metadata.get('help', '')}")
    return Exit.OK


def _device(name: str) -> torch.device:
    import torch

    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError:
        raise TexsynError(f"--device is auto, cpu, cuda or cuda:N, not {name!r}", Exit.USAGE) from None
    if device.type not in ("cpu", "cuda"):
        raise TexsynError(f"--device is auto, cpu, cuda or cuda:N, not {name!r}", Exit.USAGE)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise TexsynError(f"this machine has {torch.cuda.device_count()} CUDA device(s), so no {name}", Exit.USAGE)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    return device


def _what(run: Run, size: tuple[int, ...], device: torch.device) -> str:
    facts = run.content["exemplar"]
    learnt = " x ".join(str(n) for n in size[::-1])
    cut = f"{facts['width']} x {facts['height']}" + (f" x {facts['frames']} frames" if "frames" in facts else "")
    return f"{run.path}: {run.content['modality']['name']}, {cut}, learnt at {learnt} on {device}"


class _Stop:
    """Which signal asked to stop; 0 for none."""

    number: int = 0


@contextmanager
def _stopping() -> Iterator[_Stop]:
    """The first Ctrl-C or SIGTERM asks the loop to end and keep what is learnt; a second one ends at once."""
    stop = _Stop()
    before: dict[int, Any] = {}

    def ask(number: int, frame: types.FrameType | None) -> None:
        stop.number = number
        for each, handler in before.items():
            signal.signal(each, handler)

    for watched in (int(signal.SIGINT), int(signal.SIGTERM)):
        before[watched] = signal.signal(watched, ask)
    try:
        yield stop
    finally:
        for watched, handler in before.items():
            signal.signal(watched, handler)


# ---------------------------------------------------------------- sample and info


def _sample(options: argparse.Namespace) -> int:
    from texsyn import runs, sampling, writing

    if not 1 <= options.count <= 100_000 or options.seed < 0:
        raise TexsynError("--count must be at least 1 and --seed at least 0", Exit.USAGE)
    if options.fps is not None and not 0.1 <= options.fps <= 240:
        raise TexsynError(f"--fps must lie in 0.1 to 240, but is {options.fps:g}", Exit.USAGE)
    run = runs.Run.open(options.run)
    triangle = run.triangle(_device(options.device))
    modality = triangle.modality
    targets = _targets(options, run.path, modality.moving, modality.suffix)
    asked = {"size": options.size, "frames": options.frames, "tile": options.tile, "loop": options.loop}
    goal = sampling.target(modality, options.size, options.frames)
    if modality.moving and any(size % factor for size, factor in zip(goal[:1], triangle.factor[:1], strict=True)):
        print(f"texsyn: {goal[0]} frames is no multiple of {triangle.factor[0]}: resampled in time", file=sys.stderr)
    writing.refuse_full(targets[0][0], targets[0][1], options.count * modality.channels * math.prod(goal))
    made_by, fps = run.made_by(), options.fps or run.fps or 25.0
    for seed, (path, format) in enumerate(targets, start=options.seed):
        bands = sampling.bands(triangle, seed=seed, **asked)
        metadata = None if options.no_metadata else {**made_by, "seed": seed, "size": list(goal), **_plain(asked)}
        shown = advancing(bands, goal[0], f"seed {seed}")
        how = {"planes": modality.planes, "format": format, "fps": fps, "metadata": metadata, "force": options.force}
        written = writing.write_bands(shown, (modality.channels, *goal), path, **how)
        for file in written:
            print(json.dumps({"file": str(file), "seed": seed}) if options.json else file)
    return Exit.OK


def _plain(asked: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if name in ("tile", "loop") and value is not None}


def _targets(options: argparse.Namespace, run: Path, moving: bool, suffix: str) -> list[tuple[Path, str]]:
    """Where each texture goes, checked before the first is made."""
    from texsyn import writing

    if options.format and options.format not in writing.formats(moving):
        raise TexsynError(f"a {'clip' if moving else 'still'} cannot be written as {options.format}", Exit.USAGE)
    in_folders = options.format == "frames"
    ending = {None: suffix, "frames": "", "sheet": ".png"}.get(options.format, f".{options.format}")
    seeds = range(options.seed, options.seed + options.count)
    out = options.out or run / "samples"
    single_file = options.out is not None and (
        out.suffix.lower() in writing.ENDINGS or (in_folders and options.count == 1)
    )
    if single_file and options.count == 1:
        paths = [out]
    elif single_file:
        paths = [out.with_name(f"{out.stem}-{seed}{out.suffix}") for seed in seeds]
    else:
        paths = [out / f"seed-{seed}{ending}" for seed in seeds]
    format = options.format or writing.format_for(paths[0], moving)
    expected = {"frames": "", "sheet": ".png", "jpg": paths[0].suffix if paths[0].suffix == ".jpeg" else ".jpg"}
    if paths[0].suffix.lower() != expected.get(format, f".{format}"):
        raise TexsynError(f"{paths[0].name} does not end as {format} does", Exit.USAGE)
    for path in paths:
        for file in writing.written_as(path, format):
            writing.refuse_overwrite(file, options.force)
    return [(path, format) for path in paths]


def _info(options: argparse.Namespace) -> int:
    from texsyn import runs, writing

    if options.path.is_dir():
        run = runs.Run.open(options.path)
        content: dict[str, Any] = {**run.content, "checkpoints": [p.name for p in run.checkpoints()]}
    else:
        if not options.path.exists():
            raise TexsynError(f"{options.path.name}: no such file or folder")
        found = writing.read_metadata(options.path)
        if found is None:
            raise TexsynError(f"{options.path.name} says nothing of texsyn: not made by it, or made with --no-metadata")
        content = found
    if options.json:
        print(json.dumps(content))
    else:
        _show(content)
    return Exit.OK


def _score(options: argparse.Namespace) -> int:
    from texsyn import quality

    card = quality.score_files(options.exemplar, options.samples, options.train, options.held)
    if options.json:
        print(json.dumps(card.plain()))
        return Exit.OK
    described = quality.STILL_MEASURES if "ps" in card.measures else quality.CLIP_MEASURES
    print(f"{'':14}{'samples':>9}{'reference':>11}")
    for name, value in card.measures.items():
        print(f"{name:14}{value:9.3f}{card.reference.get(name, float('nan')):11.3f}  {described[name]}")
    print()
    for line in quality.words(card):
        print(line)
    return Exit.OK


def _show(content: dict[str, Any], indent: str = "", write: Callable[[str], None] = print) -> None:
    for name, value in content.items():
        if isinstance(value, dict):
            write(f"{indent}{name}")
            _show(value, indent + "  ", write)
        else:
            write(f"{indent}{name:<18} {json.dumps(value) if isinstance(value, list) else value}")
