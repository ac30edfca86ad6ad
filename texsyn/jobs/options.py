"""The options of `texsyn fit`: what they are in a recipe, and how they are written."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from texsyn.core.errors import Exit, TexsynError

if TYPE_CHECKING:
    pass


def option_words(words: Sequence[str], option: str) -> list[str]:
    """An option, with its value if it has one, where it is among the words; the last, if it is said twice."""
    found: list[str] = []
    for index, word in enumerate(words):
        if word == option:
            found = [word] if option == "--no-card" else list(words[index : index + 2])
        elif word.startswith(f"{option}="):
            found = [word]
    return found


def option_value(words: Sequence[str], option: str) -> str:
    """What an option says, or nothing where it is not among the words."""
    return option_words(words, option)[-1].removeprefix(f"{option}=") if option_words(words, option) else ""


def changes(options: argparse.Namespace) -> dict[str, Any]:
    """What a command line asks of a recipe, by its fields. Raises TexsynError (exit 2) for what is no field of it."""
    from dataclasses import fields

    from texsyn.core.recipes import OBJECTIVES, Recipe

    changes: dict[str, Any] = asdict(OBJECTIVES[options.objective]) if getattr(options, "objective", None) else {}
    defaults = {f.name: f.default for f in fields(Recipe)}
    for text in options.set:
        name, equals, value = text.partition("=")
        name = name.replace("-", "_")
        if not equals:
            raise TexsynError(f"--set {text!r} is not FIELD=VALUE; --set ? lists the fields", Exit.USAGE)
        if name not in defaults:
            raise TexsynError(f"--set {text!r}: a recipe has no field {name}; --set ? lists them", Exit.USAGE)
        changes[name] = field_value(name, value, defaults[name])
    check_minutes(options)
    for name in ("steps", "minutes", "seed"):
        if getattr(options, name) is not None:
            changes[name] = getattr(options, name)
    return changes


def check_minutes(options: argparse.Namespace) -> None:
    """Raise TexsynError (exit 2) for a budget of no time; in a recipe 0 is no budget."""
    if options.minutes is not None and not options.minutes > 0:
        raise TexsynError(f"--minutes must be more than 0, but is {options.minutes:g}", Exit.USAGE)


def field_value(name: str, value: str, default: Any) -> Any:
    """A field's value as `--set` writes it, of the type of `default`. Raises TexsynError (exit 2)."""
    if isinstance(default, bool):
        if value.lower() not in ("true", "false", "yes", "no", "1", "0"):
            raise TexsynError(f"--set {name} is yes or no, not {value!r}", Exit.USAGE)
        return value.lower() in ("true", "yes", "1")
    try:
        return type(default)(value)
    except ValueError:
        kind = {int: "a whole number", float: "a number"}.get(type(default), "a word")
        raise TexsynError(f"--set {name} must be {kind}, not {value!r}", Exit.USAGE) from None
