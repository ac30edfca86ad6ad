"""The command line. Results go to stdout, everything else to stderr; exit codes are `errors.Exit`.

Only the standard library is imported here: commands import what they need, so that `texsyn --help` is quick.
"""

from __future__ import annotations

import argparse
import signal
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texsyn.cli import arguments
from texsyn.cli.console import Screen
from texsyn.core.errors import Exit, TexsynError, short
from texsyn.jobs.options import changes, check_minutes

if TYPE_CHECKING:
    import torch

    from texsyn.core.recipes import Recipe
    from texsyn.media.exemplar import Exemplar
    from texsyn.models.triangle import Triangle
    from texsyn.runs.run import Run

_KINDS = ("still", "clip", "surface", "material", "objects")
_OBJECTIVES = ("triangle", "vae", "acd", "wake-sleep")


def add(commands: Any) -> None:
    fit = commands.add_parser(
        "fit",
        help="learn a texture from an exemplar",
        description="Learn a texture from one exemplar: a still, a clip (file or folder), or a material's maps (a "
        "colour and a normal map). Several exemplars are learnt in one model, which moves between them.",
        epilog=arguments.EXIT_CODES,
    )
    fit.add_argument(
        "exemplar",
        nargs="*",
        type=Path,
        help="picture, clip, folder of frames, colour and normal map; or several; or many pictures (--kind objects)",
    )
    fit.add_argument("--out", type=arguments.folder, metavar="RUN", help="run folder (default runs/NAME-N)")
    fit.add_argument("--resume", type=Path, metavar="RUN", help="go on with this run")
    fit.add_argument("--kind", choices=_KINDS, help="what the exemplar is (default: found from the file)")
    fit.add_argument("--frames", metavar="A:B", help="frames of a clip to learn from; 0:-32 leaves out the last 32")
    fit.add_argument(
        "--mask",
        type=Path,
        metavar="FILE",
        help="white where the exemplar is missing (its transparent pixels are, too)",
    )
    fit.add_argument(
        "--crop", type=arguments.window, metavar="WxH+X+Y", help="part of the exemplar to learn from, in its pixels"
    )
    fit.add_argument(
        "--side", type=int, metavar="PIXELS", help="reduce the shorter side to this; 0 keeps a still's size"
    )
    fit.add_argument("--recipe", choices=arguments.RECIPES, help="(default fast)")
    fit.add_argument("--objective", choices=_OBJECTIVES, help="the triangle (default) or a special case of it")
    fit.add_argument("--steps", type=int, metavar="N", help="steps in all (default: the recipe's)")
    fit.add_argument("--minutes", type=float, metavar="M", help="time budget in all, in minutes")
    fit.add_argument("--seed", type=int, help="(default 0)")
    fit.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field of the recipe; ? lists them"
    )
    fit.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    fit.add_argument("--prepare", action="store_true", help="lay the run out and learn nothing yet; --resume goes on")
    fit.add_argument(
        "--untrusted",
        action="store_true",
        help="read the files in a process of its own, with limits on memory and time",
    )
    fit.add_argument("--wait", action="store_true", help="wait for fits on this device that waited before")
    fit.add_argument("--no-card", action="store_true", help="do not score samples at the end")
    fit.add_argument("--json", action="store_true", help="print progress as JSON Lines on stdout")
    fit.add_argument("--quiet", action="store_true", help="print nothing but the run's folder")
    fit.set_defaults(command=_fit)


# ---------------------------------------------------------------- fit


def _fit(options: argparse.Namespace) -> int:
    if options.set == ["?"]:
        return _list_fields()
    screen, where = Screen(options), arguments.device(options.device)
    run, recipe = _resumed(options) if options.resume else _begun(options)
    if options.prepare:
        print(run.path)
        return Exit.OK
    if not options.wait:
        return _learn(options, screen, run, recipe, where)
    from texsyn.jobs.queue import turn

    with turn(run, str(where), screen.say):
        return _learn(options, screen, run, recipe, where)


def _learn(options: argparse.Namespace, screen: Screen, run: Run, recipe: Recipe, where: torch.device) -> int:
    from dataclasses import replace

    from texsyn.models import precision

    exemplars = run.exemplars()
    for line in _what(run, exemplars, where):
        screen.say(line)
    triangle = run.fresh(where)
    recipe = replace(recipe, precision=precision.resolve(recipe.precision, where))  # stored: going on keeps it
    with _stopping() as stop, screen:
        report = None
        for report in run.learn(triangle, exemplars, recipe, screen.warn):
            screen.show(report, recipe)
            if stop.number:
                break
    if report is None:
        screen.say(f"{run.path} is finished already: --steps or --minutes beyond it goes on")
    # A process that was killed while it scored left a run that is finished and has no card.
    if not (stop.number or options.no_card or (report is None and run.scored)):
        _print_cards(run, triangle, screen)
    if report is not None:
        screen.finish(run, report, stopped=bool(stop.number))
    return 128 + stop.number if stop.number else Exit.OK


def _print_cards(run: Run, triangle: Triangle, screen: Screen) -> None:
    from texsyn.metrics.card import describe

    if triangle.modality.collection:
        seen, held = run.reconstructed(triangle)
        screen.say(
            f"squared error of a reconstruction, for each value in [0, 1]: {seen:.5f} learnt, {held:.5f} held out"
        )
        return

    names = run.names()
    for number, name in enumerate(names):
        if len(names) > 1:
            screen.say(name)
        try:
            card = run.card(triangle, number)
        except TexsynError as error:
            screen.say(f"no quality card: {error}")
            return
        screen.card(card.to_dict(), describe(card))


def _begun(options: argparse.Namespace) -> tuple[Run, Recipe]:
    if not options.exemplar:
        raise TexsynError("name an exemplar, or a run with --resume", Exit.USAGE)
    from texsyn.core.recipes import recipe_for
    from texsyn.jobs.sandbox import prepare
    from texsyn.media.reader import read_all
    from texsyn.runs.run import Run, default_path, refuse_used

    path = options.out or default_path(options.exemplar[0])
    refuse_used(path)
    if options.untrusted:
        run = prepare([*options.exemplar], path, _said_again(options))
        return run, run.recipe
    how = {name: getattr(options, name) for name in ("kind", "frames", "side", "mask", "crop")}
    many = options.kind == "objects"
    exemplars = (_collection(options),) if many else read_all(options.exemplar, **how)
    name = options.recipe or "fast"
    recipe = recipe_for(name, exemplars[0].modality, **changes(options))
    return Run.create(path, exemplars, recipe, name), recipe


def _collection(options: argparse.Namespace) -> Exemplar:
    from texsyn.media.collection import read_collection

    for name in ("frames", "mask", "crop"):
        if getattr(options, name) is not None:
            raise TexsynError(f"--{name} does not go with --kind objects", Exit.USAGE)
    found = read_collection(*options.exemplar, side=options.side, seed=options.seed or 0)
    for line in found.facts["skipped"]:
        print(f"texsyn: warning: {line}: left out", file=sys.stderr)
    if found.facts["skipped_count"]:
        print(f"texsyn: warning: {found.facts['skipped_count']} pictures were left out", file=sys.stderr)
    return found


def _said_again(options: argparse.Namespace) -> list[str]:
    """What was asked of a fit beside its files and its folder, as a command line says it."""
    said = [f"--set={text}" for text in options.set]
    for name in ("kind", "frames", "mask", "side", "recipe", "objective", "steps", "minutes", "seed"):
        value = getattr(options, name)
        if value is not None:
            said.append(f"--{name}={value.resolve() if isinstance(value, Path) else value}")
    if options.crop is not None:
        said.append("--crop={2}x{3}+{0}+{1}".format(*options.crop))
    return said


def _resumed(options: argparse.Namespace) -> tuple[Run, Recipe]:
    from dataclasses import replace

    from texsyn.core.recipes import check_recipe
    from texsyn.runs.run import Run

    settled = ("out", "kind", "frames", "mask", "crop", "side", "recipe", "objective", "seed", "set")
    given = [f"--{name}" for name in settled if getattr(options, name) not in (None, [])]
    if options.exemplar or given:
        raise TexsynError(
            "--resume takes its exemplar and its settings from the run; only --steps or --minutes go with it, not "
            f"{given[0] if given else short(options.exemplar[0].name)}",
            Exit.USAGE,
        )
    run = Run.open(options.resume)
    recipe = run.recipe
    if options.steps is not None:
        recipe = replace(recipe, steps=options.steps, minutes=0.0)
    check_minutes(options)
    if options.minutes is not None:
        recipe = replace(recipe, minutes=options.minutes)
    check_recipe(recipe)
    return run, recipe


def _list_fields() -> int:
    from dataclasses import fields

    from texsyn.core.recipes import Recipe

    for f in fields(Recipe):
        print(f"{f.name}={f.default!s:10}  {f.metadata.get('help', '')}")
    return Exit.OK


def _what(run: Run, exemplars: Sequence[Exemplar], device: torch.device) -> Iterator[str]:
    """A line for each exemplar: what it is, and on what scale it is learnt."""
    for each in exemplars:
        facts = each.facts
        if each.modality.collection:
            told = (
                f"{facts.get('pictures', '?')} pictures of {each.modality.side} pixels, {facts.get('held', 0)} held out"
            )
            yield f"{run.path}: {each.modality.name}, {told}, on {device}"
            continue
        read = f"{facts.get('width', each.size[-1])} x {facts.get('height', each.size[-2])}"
        read += f" x {facts['frames']} frames" if "frames" in facts else ""
        name = f" {each.name}" if len(exemplars) > 1 else ""
        missing = "" if each.mask is None else f", {100 * float(each.mask.mean()):.1f} % missing"
        learnt = " x ".join(str(n) for n in each.size[::-1])
        yield f"{run.path}: {each.modality.name}{name}, {read}, learnt at {learnt}{missing} on {device}"


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
