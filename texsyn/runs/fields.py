"""Values from JSON that nobody vouches for, each checked against the type and the range of its dataclass field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from texsyn.core.errors import TexsynError

T = TypeVar("T")
_MAX_TEXT = 100  # characters


def damaged(folder: Path, what: str) -> TexsynError:
    """The error for a value that cannot be right."""
    return TexsynError(f"{folder.name} is damaged: its {what} cannot be right")


def object_in(content: Mapping[str, Any], name: str, folder: Path) -> dict[str, Any]:
    """The JSON object under a name. Raises TexsynError (exit 3) for anything else."""
    found = content.get(name)
    if not isinstance(found, dict):
        raise damaged(folder, name)
    return found


def number_in(row: Mapping[str, Any], name: str, kind: type, low: float, high: float, folder: Path) -> Any:
    """The number under a name, in `low` to `high`. Raises TexsynError (exit 3) for anything else."""
    return _number(row.get(name), name, kind, low, high, folder)


def to_json(instance: Any) -> dict[str, Any]:
    """The fields of a dataclass that are stored: all but those with `stored=False` in their metadata."""
    stored = {f.name for f in fields(instance) if f.metadata.get("stored", True)}
    return {name: value for name, value in asdict(instance).items() if name in stored}


def from_json(cls: type[T], row: Any, axes: int, folder: Path, **given: Any) -> T:
    """A dataclass from a JSON object, by the ranges in its fields' metadata: see `core.ranges`.

    axes: of the texture. given: fields that are not stored.
    Raises TexsynError (exit 3) where a value is missing, has another type, or is out of range.
    """
    if not isinstance(row, dict):
        raise damaged(folder, cls.__name__.lower())
    types, values = get_type_hints(cls), dict[str, Any]()
    for field in fields(cls):  # type: ignore[arg-type]
        if field.name in row and field.metadata.get("stored", True):
            value = _value(row[field.name], types[field.name], field, axes, folder)
            if value not in field.metadata.get("choices", (value,)):
                raise damaged(folder, field.name)
            values[field.name] = value
        elif field.name not in given and field.default is MISSING:
            raise damaged(folder, field.name)
    return cls(**values, **given)


def _value(value: Any, kind: Any, field: Field[Any], axes: int, folder: Path) -> Any:
    if get_origin(kind) is tuple:
        if not isinstance(value, list) or not _may_have(len(value), field, axes):
            raise damaged(folder, field.name)
        return tuple(_value(each, get_args(kind)[0], field, axes, folder) for each in value)
    if is_dataclass(kind):
        return from_json(kind, value, axes, folder)  # type: ignore[arg-type]
    if kind in (int, float):
        return _number(value, field.name, kind, field.metadata["low"], field.metadata["high"], folder)
    if not isinstance(value, kind) or (kind is str and not _is_text(value, field)):
        raise damaged(folder, field.name)
    return value


def _may_have(count: int, field: Field[Any], axes: int) -> bool:
    """Whether a tuple may have so many entries."""
    least, most = field.metadata.get("count", (axes, axes))
    return least <= count <= most or (count == 0 and field.metadata.get("optional", False))


def _is_text(text: str, field: Field[Any]) -> bool:
    """Whether a text is a word, or what its field allows."""
    if "pattern" in field.metadata:
        return re.fullmatch(field.metadata["pattern"], text) is not None
    return len(text) <= _MAX_TEXT and text.replace(".", "").isalnum()


def _number(value: Any, name: str, kind: type, low: float, high: float, folder: Path) -> Any:
    allowed = int if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed) or not low <= value <= high:
        raise damaged(folder, name)
    return kind(value)
