"""Metadata of dataclass fields: whoever checks or reads a value loops over `dataclasses.fields`.

Keys: `low` and `high` (inclusive) of a number, or of each number of a tuple; `choices`; for tuples `per_axis`, as many
entries as the texture has axes (or none where `optional`), or `count`, the least and the most; of a text that is no
plain word, the regular expression `pattern`.
"""

from __future__ import annotations

from typing import Any


def between(low: float, high: float, **more: Any) -> dict[str, Any]:
    """A number, or each number of a tuple, lies in `low` to `high`. more: further metadata."""
    return {"low": low, "high": high, **more}


def one_of(choices: tuple[Any, ...], **more: Any) -> dict[str, Any]:
    """The value is one of these. more: further metadata."""
    return {"choices": choices, **more}


def count(least: int, most: int) -> dict[str, Any]:
    """A tuple has `least` to `most` entries."""
    return {"count": (least, most)}


def pattern(expression: str) -> dict[str, Any]:
    """A text matches a regular expression as a whole."""
    return {"pattern": expression}
