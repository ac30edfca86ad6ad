"""The command `texsyn fit`."""

from __future__ import annotations

import argparse
import signal
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texsyn.cli import arguments
from texsyn.cli.console import FitDisplay
from texsyn.core.errors import Exit, TexsynError
from texsyn.core.text import short
from texsyn.jobs import devices
from texsyn.jobs.options import RESUME_CONFLICT, FitOptions, add_arguments

if TYPE_CHECKING:
    import torch

    from texsyn.core.group import Group
    from texsyn.core.modality import Modality
    from texsyn.core.recipes import Recipe
    from texsyn.media.exemplar import Exemplar
    from texsyn.models.triangle import Triangle
    from texsyn.runs.run import Run


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = arguments.add_command(
        commands,
        "fit",
        _fit,
        "train on an exemplar",
        "Train a model on one exemplar: an image, a clip (a file or a folder of frames), or the maps of a material (a "
        "folder or files). Several exemplars share one model, which can morph between them. The first Ctrl-C stops the "
        "training and stores the model.",
    )
    parser.add_argument(
        "exemplar",
        nargs="*",
        type=Path,
        metavar="EXEMPLAR",
        help="image, clip or folder of frames; or the maps of a material, as files or a folder; or several exemplars; "
        "or, with --kind objects, a collection of many small images",
    )
    add_arguments(parser)


def _fit(parsed: argparse.Namespace) -> int:
    options = FitOptions.from_namespace(parsed)
    if options.set == ("?",):
        return arguments.list_recipe_fields()
    display = FitDisplay(options.json, options.quiet)
    device = arguments.open_device(options.device)
    if helper := devices.helper():
        return _help(options, device, helper)
    if options.resume:
        run, recipe = _resume(options.resume, parsed.exemplar, options)
    else:
        run, recipe = _create(parsed.exemplar, options)
    if options.prepare:
        print(run.path)
        return Exit.OK
    if not options.wait:
        return _train(run, recipe, device, options, display)
    from texsyn.jobs.queue import turn

    with turn(run, str(device), display.say):
        return _train(run, recipe, device, options, display)


def _create(files: Sequence[Path], options: FitOptions) -> tuple[Run, Recipe]:
    """A new run, and its recipe."""
    if not (files or options.maps):
        raise TexsynError("name an exemplar, or a run with --resume", Exit.USAGE)
    from texsyn.jobs.sandbox import prepare
    from texsyn.media.material import title
    from texsyn.runs.paths import default_path, refuse_used
    from texsyn.runs.run import Run

    path = options.out or default_path(title(files) if files else "material")
    refuse_used(path)
    if options.untrusted:
        run = prepare(files, path, options)
        return run, run.recipe
    exemplars = _read_exemplars(files, options, path.parent)
    recipe = options.new_recipe(exemplars[0].modality)
    return Run.create(path, exemplars, recipe, options.recipe_name), recipe


def _read_exemplars(files: Sequence[Path], options: FitOptions, folder: Path) -> tuple[Exemplar, ...]:
    """folder: where a run will be, for the images of a collection."""
    from texsyn.media.collection import read_collection
    from texsyn.media.material import parse_maps
    from texsyn.media.reader import read_all

    if options.kind != "objects":
        names = ("kind", "frames", "side", "mask", "crop", "levels")
        settings = {name: getattr(options, name) for name in names}
        if options.recipe_name == "paper" and options.levels is None:
            settings["levels"] = 0  # the paper has one size
        return tuple(read_all(files, maps=parse_maps(options.maps), **settings))
    folder.mkdir(parents=True, exist_ok=True)
    collection = read_collection(
        *files, side=options.side, seed=options.seed or 0, labelled=not options.unlabelled, folder=folder
    )
    for line in collection.facts["skipped"]:
        print(f"texsyn: warning: {line}: skipped", file=sys.stderr)
    if collection.facts["skipped_count"]:
        print(f"texsyn: warning: {collection.facts['skipped_count']} images were skipped", file=sys.stderr)
    return (collection,)


def _resume(path: Path, files: Sequence[Path], options: FitOptions) -> tuple[Run, Recipe]:
    """An existing run, and its recipe with the budget that was asked for."""
    from texsyn.runs.run import Run

    if files:
        raise TexsynError(RESUME_CONFLICT.format(short(files[0].name)), Exit.USAGE)
    run = Run.open(path)
    run.check_trainable()
    return run, options.resumed_recipe(run.recipe)


def _train(run: Run, recipe: Recipe, device: torch.device, options: FitOptions, display: FitDisplay) -> int:
    """Train a run, score it, and return the exit code."""
    from texsyn.core.group import Group
    from texsyn.training.loop import check_group

    exemplars = run.exemplars()
    check_group(exemplars, recipe, Group(count=options.devices))  # before processes are started
    with devices.together(run, options, device) as (group, device):
        return _train_together(run, exemplars, recipe, device, group, options, display)


def _help(options: FitOptions, device: torch.device, helper: devices.Helper) -> int:
    """Take part in the training of a run, as one of several processes."""
    from texsyn.models import precision
    from texsyn.runs.fitting import help_fit

    if arguments.may_set_signals():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # process 0 tells when to stop
    run, recipe = _resume(options.resume or Path(), (), options)
    with helper.joined(device) as (group, device):
        recipe = replace(recipe, precision=precision.resolve(recipe.precision, device))
        help_fit(run, run.fresh(device), run.exemplars(), recipe, group)
    return Exit.OK


def _train_together(
    run: Run,
    exemplars: Sequence[Exemplar],
    recipe: Recipe,
    device: torch.device,
    group: Group,
    options: FitOptions,
    display: FitDisplay,
) -> int:
    """As process 0 of a group, or alone."""
    from texsyn.models import precision
    from texsyn.runs.fitting import fit_run

    for exemplar in exemplars:
        display.say(f"{run.path}: {_describe(exemplar, named=len(exemplars) > 1)} on {devices.text(device, group)}")
    if pattern := _describe_pattern(exemplars[0].modality):
        display.say(f"{run.path}: {pattern}")
    triangle = run.fresh(device)
    recipe = replace(recipe, precision=precision.resolve(recipe.precision, device))  # stored, so that resuming keeps it
    report = None
    with _stop_signals() as stop, display:
        for report in fit_run(run, triangle, exemplars, recipe, display.warn, group):
            display.show_step(report, recipe)
            if stop.signal and group.count == 1:
                break
            group.stop = bool(stop.signal)  # all stop after the next step
    if report is None:
        display.say(f"{run.path} is finished already: more --steps or --minutes train it further")
    # A finished run without a card was killed while it was scored.
    if not (stop.signal or options.no_card or (report is None and run.is_scored)):
        _score(run, triangle, display)
    if report is not None:
        display.show_end(run, report, stopped=bool(stop.signal))
    return 128 + stop.signal if stop.signal else Exit.OK


def _score(run: Run, triangle: Triangle, display: FitDisplay) -> None:
    """Score samples of each exemplar, or the reconstructions of a collection."""
    from texsyn.metrics.card import describe
    from texsyn.runs.cards import score_run
    from texsyn.runs.collection_scores import reconstruction

    if triangle.modality.collection:
        train, held = reconstruction(run, triangle)
        errors = f"{train:.5f} (training images), {held:.5f} (held-out images)"
        display.say(f"mean squared error of reconstructions, pixel values in [0, 1]: {errors}")
        return
    names = run.names()
    display.say("scoring samples")
    for number, name in enumerate(names):
        if len(names) > 1:
            display.say(name)
        try:
            card = score_run(run, triangle, number)
        except TexsynError as error:
            display.say(f"no quality card: {error}")
            return
        display.show_card(card.to_dict(), describe(card))


def _describe(exemplar: Exemplar, named: bool) -> str:
    """What an exemplar is, and at which size it is trained on."""
    facts, kind = exemplar.facts, exemplar.modality.name
    if exemplar.modality.collection:
        skipped = f", {facts['skipped_count']} skipped" * bool(facts.get("skipped_count"))
        held = f"{facts.get('held', 0)} held out{skipped}"
        classes = f", {len(exemplar.classes)} classes" * bool(exemplar.classes)
        return f"{kind}, {facts.get('pictures', '?')} images of {exemplar.modality.side} pixels{classes}, {held},"
    size = f"{facts.get('width', exemplar.size[-1])} x {facts.get('height', exemplar.size[-2])}"
    size += f" x {facts['frames']} frames" if "frames" in facts else ""
    masked = "" if exemplar.mask is None else f", {100 * float(exemplar.mask.mean()):.1f} % masked"
    used = " x ".join(str(n) for n in exemplar.size[::-1])
    if len(exemplar.modality.planes) > 1:
        kind = f"{kind} of {', '.join(plane.name for plane in exemplar.modality.planes)}"
    steps = " x ".join(str(n) for n in exemplar.modality.factors[::-1])
    levels = f", a base at 1/{exemplar.modality.enlargement} and levels of {steps}" if steps else ""
    elements = f"; its elements are about {facts['elements']} pixels large" if "elements" in facts else ""
    return f"{kind}{f' {exemplar.name}' if named else ''}, {size}{masked}, trained at {used}{levels}{elements}"


def _describe_pattern(modality: Modality) -> str:
    """The period of a regular pattern, of which samples have whole ones; empty for any other texture."""
    named = zip(("downwards", "to the right"), modality.own_period, strict=False)
    found = [f"{period:.1f} pixels {way}" for way, period in named if period]
    return f"the pattern repeats every {' and '.join(found)}: samples tile in whole periods" if found else ""


class _StopRequest:
    """The signal that asked the training to stop; 0 for none."""

    signal: int = 0


@contextmanager
def _stop_signals() -> Iterator[_StopRequest]:
    """The first Ctrl-C or SIGTERM asks the loop to stop and store the model; a second one ends the process at once."""
    request = _StopRequest()
    handlers: dict[int, Any] = {}

    def ask(number: int, frame: types.FrameType | None) -> None:
        request.signal = number
        restore()

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    for number in (int(signal.SIGINT), int(signal.SIGTERM)) if arguments.may_set_signals() else ():
        handlers[number] = signal.signal(number, ask)
    try:
        yield request
    finally:
        restore()
