"""The options of `texsyn fit`, each written down once, as a field of `FitOptions`.

The parsers of `fit` and `batch`, the command lines of background processes and the app all derive from these fields.
"""
# ruff: noqa: RUF009  (_option returns a field, once for each)

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NoReturn

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.modality import MODALITIES, Modality
from texsyn.core.recipes import OBJECTIVES, RECIPES, Recipe, check_recipe, recipe_for

KINDS = tuple(dict.fromkeys("objects" if row.collection else row.name for row in MODALITIES.values()))
Crop = tuple[int, int, int, int]  # left, top, width and height of a part of an exemplar, in its pixels


def parse_crop(text: str) -> Crop:
    """Parse `WxH+X+Y`."""
    match = re.fullmatch(r"(\d+)x(\d+)\+(\d+)\+(\d+)", text.lower())
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form WxH+X+Y, such as 256x256+40+0")
    width, height, left, top = map(int, match.groups())
    return left, top, width, height


def format_crop(crop: Crop) -> str:
    """A crop as `parse_crop` reads it."""
    left, top, width, height = crop
    return f"{width}x{height}+{left}+{top}"


def parse_folder(text: str) -> Path:
    """Parse the path of a folder; addresses such as `s3://bucket` are refused."""
    if re.match(r"[A-Za-z][\w+.-]+:/", text):
        raise argparse.ArgumentTypeError(f"{text!r} is an address: mount it, and give the mounted folder")
    return Path(text)


def _option(default: Any, group: str, help: str, **argument: Any) -> Any:
    """A field whose metadata holds its group and the arguments of `ArgumentParser.add_argument`."""
    if default is False:
        argument["action"] = "store_true"
    elif default == ():
        argument["action"] = "append"
    return field(default=default, metadata={"group": group, "argument": {"help": help, **argument}})


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """Every option of `texsyn fit`; None stands for the default that its help names.

    Raises TexsynError (exit 2) for wrong values and combinations, as far as they can be checked without files.
    """

    kind: str | None = _option(None, "exemplar", "kind of texture (default: found from the files)", choices=KINDS)
    maps: tuple[str, ...] = _option(
        (), "exemplar", "which file holds which map of a material, instead of EXEMPLAR", metavar="MAP=FILE,..."
    )
    frames: str | None = _option(
        None, "exemplar", "frames of a clip to train on, as in Python: 0:-32 leaves out the last 32", metavar="A:B"
    )
    mask: Path | None = _option(
        None, "exemplar", "image or clip, white where masked; so are transparent pixels", type=Path, metavar="FILE"
    )
    crop: Crop | None = _option(
        None, "exemplar", "part of the exemplar to train on, in its pixels", type=parse_crop, metavar="WxH+X+Y"
    )
    side: int | None = _option(
        None, "exemplar", "reduce the shorter side to this; 0 keeps a still's size", type=int, metavar="PIXELS"
    )
    levels: int | None = _option(
        None,
        "exemplar",
        "of a still, levels of detail above a base (default: from 448 pixels on, by what it shows)",
        type=int,
        metavar="N",
    )
    unlabelled: bool = _option(False, "exemplar", "of a collection, leave out the classes of its images")
    recipe: str | None = _option(None, "recipe", "named training settings (default fast)", choices=(*RECIPES,))
    objective: str | None = _option(
        None, "recipe", "divergence triangle (default), or a special case of it", choices=(*OBJECTIVES,)
    )
    seed: int | None = _option(None, "recipe", "seed of weights, crops and noise (default 0)", type=int, metavar="S")
    set: tuple[str, ...] = _option((), "recipe", "set a recipe's field; --set ? lists all", metavar="FIELD=VALUE")
    steps: int | None = _option(
        None, "budget", "training steps in total (default: the recipe's)", type=int, metavar="N"
    )
    minutes: float | None = _option(None, "budget", "training time in minutes, in total", type=float, metavar="M")
    out: Path | None = _option(None, "run", "run folder (default runs/NAME-N)", type=parse_folder, metavar="RUN")
    resume: Path | None = _option(
        None, "run", "continue this run, with more --steps or --minutes if it is finished", type=Path, metavar="RUN"
    )
    device: str = _option("auto", "run", "auto, cpu, cuda or cuda:N (default auto)")
    devices: int = _option(1, "run", "processes that share each batch, one on each device", type=int, metavar="N")
    prepare: bool = _option(False, "run", "create the run without training it; --resume trains it")
    untrusted: bool = _option(False, "run", "read the files in a process with limits on memory and time")
    wait: bool = _option(False, "run", "wait for earlier fits on the same device")
    no_card: bool = _option(False, "run", "do not score samples after training")
    json: bool = _option(False, "output", "print progress as JSON Lines on stdout")
    quiet: bool = _option(False, "output", "print only the run folder")

    def __post_init__(self) -> None:
        object.__setattr__(self, "set", tuple(self.set))
        object.__setattr__(self, "maps", tuple(self.maps))
        for each in fields(self):
            value, choices = getattr(self, each.name), each.metadata["argument"].get("choices")
            if choices and value is not None and value not in choices:
                raise TexsynError(f"{flag(each.name)} is one of {', '.join(choices)}, not {value!r}", Exit.USAGE)
        if not 1 <= self.devices <= 1024:
            raise TexsynError(f"--devices must lie in 1 to 1024, but is {self.devices}", Exit.USAGE)
        if self.minutes is not None and not self.minutes > 0:  # 0 is no time limit in a recipe
            raise TexsynError(f"--minutes must be more than 0, but is {self.minutes:g}", Exit.USAGE)
        if self.resume and (fixed := self.given(FIXED)):
            raise TexsynError(RESUME_CONFLICT.format(flag(fixed[0])), Exit.USAGE)
        if self.kind == "objects" and (refused := self.given(("maps", "frames", "mask", "crop"))):
            raise TexsynError(f"{flag(refused[0])} does not go with --kind objects", Exit.USAGE)

    @classmethod
    def from_namespace(cls, parsed: argparse.Namespace, names: Sequence[str] | None = None) -> FitOptions:
        """The options that a parser with `add_arguments` found; of these names, where some are given."""
        return cls(**{each.name: getattr(parsed, each.name, each.default) for each in _fields(names)})

    @classmethod
    def parse(cls, words: Sequence[str]) -> FitOptions:
        """The options in words of a command line. Raises TexsynError (exit 2) for a word that is none."""
        parser = _Parser(add_help=False)
        add_arguments(parser)
        return cls.from_namespace(parser.parse_args(words))

    def to_args(self) -> list[str]:
        """The words of a command line that `parse` reads as these options; what has its default is left out."""
        words = []
        for each in _fields(self.given()):
            value = getattr(self, each.name)
            if each.metadata["argument"].get("action") == "store_true":
                words.append(flag(each.name))
            else:
                words += [f"{flag(each.name)}={text}" for text in _texts(each.name, value)]
        return words

    def given(self, names: Sequence[str] | None = None) -> list[str]:
        """The names of the options, of these or of all, that differ from their defaults."""
        return [each.name for each in _fields(names) if getattr(self, each.name) != each.default]

    def select(self, *names: str) -> FitOptions:
        """These options alone; all others have their defaults."""
        return FitOptions(**{name: getattr(self, name) for name in names})

    def recipe_changes(self) -> dict[str, Any]:
        """Changes to a recipe, by its fields. Raises TexsynError (exit 2) for what is no field, or no value of it."""
        changes: dict[str, Any] = asdict(OBJECTIVES[self.objective]) if self.objective else {}
        changes.pop("sigma", None)  # no objective has one of its own: the recipe's
        for text in self.set:
            name, value = parse_field(text)
            changes[name] = value
        budget_and_seed = {"steps": self.steps, "minutes": self.minutes, "seed": self.seed}
        return changes | {name: value for name, value in budget_and_seed.items() if value is not None}

    def new_recipe(self, modality: Modality) -> Recipe:
        """The recipe of a new run. Raises TexsynError (exit 2) for values outside their range."""
        return recipe_for(self.recipe_name, modality, **self.recipe_changes())

    @property
    def recipe_name(self) -> str:
        return self.recipe or "fast"

    def resumed_recipe(self, recipe: Recipe) -> Recipe:
        """A run's recipe with the total steps or minutes asked for. Raises TexsynError (exit 2) outside their range."""
        if self.steps is not None:
            recipe = replace(recipe, steps=self.steps, minutes=0.0)
        if self.minutes is not None:
            recipe = replace(recipe, minutes=self.minutes)
        check_recipe(recipe)
        return recipe


def _names(*groups: str) -> tuple[str, ...]:
    return tuple(each.name for each in fields(FitOptions) if each.metadata["group"] in groups)


BUDGET = _names("budget")
SETTINGS = _names("exemplar", "recipe", "budget")  # what a new run depends on
FIXED = (*_names("exemplar", "recipe"), "out")  # what a run keeps when it is resumed
RESUME_CONFLICT = (
    "--resume takes its exemplar and its settings from the run; only --steps or --minutes go with it, not {}"
)


def as_options(options: FitOptions | Sequence[str]) -> FitOptions:
    """Options as they are, or parsed from words. Raises TexsynError (exit 2)."""
    return options if isinstance(options, FitOptions) else FitOptions.parse(options)


def add_arguments(parser: argparse.ArgumentParser, names: Sequence[str] | None = None) -> None:
    """Add options of `texsyn fit` to a parser, by their groups: these, or all."""
    groups: dict[str, Any] = {}
    for each in _fields(names):
        title = each.metadata["group"]
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        groups[title].add_argument(flag(each.name), default=argparse.SUPPRESS, **each.metadata["argument"])


def parse_field(text: str) -> tuple[str, Any]:
    """A recipe's field and its value, from FIELD=VALUE. Raises TexsynError (exit 2)."""
    name, equals, value = text.partition("=")
    name = name.replace("-", "_")
    if not equals:
        raise TexsynError(f"--set {text!r} is not FIELD=VALUE; --set ? lists the fields", Exit.USAGE)
    defaults = {each.name: each.default for each in fields(Recipe)}
    if name not in defaults:
        raise TexsynError(f"--set {text!r}: a recipe has no field {name}; --set ? lists the fields", Exit.USAGE)
    return name, _parse_value(name, value, type(defaults[name]))


def _parse_value(name: str, value: str, kind: type) -> Any:
    if kind is bool:
        if value.lower() not in ("true", "false", "yes", "no", "1", "0"):
            raise TexsynError(f"--set {name} is yes or no, not {value!r}", Exit.USAGE)
        return value.lower() in ("true", "yes", "1")
    try:
        return kind(value)
    except ValueError:
        expected = {int: "a whole number", float: "a number"}.get(kind, "a word")
        raise TexsynError(f"--set {name} must be {expected}, not {value!r}", Exit.USAGE) from None


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are a TexsynError, not the end of the process."""

    def error(self, message: str) -> NoReturn:
        raise TexsynError(message, Exit.USAGE)


def _fields(names: Sequence[str] | None = None) -> list[Any]:
    return [each for each in fields(FitOptions) if names is None or each.name in names]


def _texts(name: str, value: Any) -> list[str]:
    """The values of an option on a command line: one, but --set and --maps can be given several times."""
    if name in ("set", "maps"):
        return list(value)
    return [format_crop(value) if name == "crop" else str(value)]


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
