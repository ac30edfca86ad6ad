"""What was made of runs: settings of samples, which a browser keeps, so that any can be made again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from samples import ANOTHER, OTHER_SEEDS, OWN, TILES, Choice

import texsyn
from texsyn import Run, TexsynError

MOST = 60  # entries that a browser keeps beside the favourites
_FAVOURITES = 12  # of a run that are shown
Entry = dict[str, Any]  # run, seed, like, shape (as the page's fields have it), favourite


def entry(run: str, choice: Choice, shape: Sequence[Any]) -> Entry:
    return {"run": run, "seed": choice.seed, "like": choice.like, "shape": list(shape), "favourite": False}


def choice_of(entry: Entry) -> Choice:
    return Choice(entry["seed"], entry["like"])


def label(entry: Entry) -> str:
    """An entry in a few words."""
    size, width, height, frames, tile = entry["shape"]
    words = [choice_of(entry).caption]
    if size != OWN:
        words.append(f"{width:.0f} x {height:.0f}" if size == ANOTHER else f"{size} x {size}")
    words += [f"{frames:.0f} frames"] if frames else []
    words += [f"tiles along {tile}"] if tile != TILES[0] else []
    return ", ".join(words)


def noted(entries: list[Entry], new: Entry) -> list[Entry]:
    """The entries with a new one first; the oldest that are no favourites are forgotten."""
    known = next((each for each in entries if _same(each, new)), new)
    rest = [each for each in entries if not _same(each, new)]
    ordinary = [each for each in rest if not each["favourite"]]
    dropped = ordinary[MOST - 1 :]
    return [known, *(each for each in rest if each not in dropped)]


def favoured(entries: list[Entry], new: Entry) -> list[Entry]:
    """The entries with one as a favourite, or no longer, if it is one."""
    found = noted(entries, new)
    return [{**found[0], "favourite": not found[0]["favourite"]}, *found[1:]]


def of_run(entries: list[Entry] | None, run: str | None) -> list[Entry]:
    return [each for each in entries or [] if each["run"] == run]


def favourites(entries: list[Entry] | None, run: str | None) -> list[Entry]:
    """The newest favourites of a run."""
    return [each for each in of_run(entries, run) if each["favourite"]][:_FAVOURITES]


def _same(one: Entry, other: Entry) -> bool:
    return all(one[name] == other[name] for name in ("run", "seed", "like", "shape"))


def from_facts(facts: dict[str, Any], runs: Sequence[Run]) -> Entry:
    """The settings of a texture that texsyn made, for the newest run that can make it again.

    facts: its metadata. Raises TexsynError where it is no sample, or where no run was trained in that way.
    """
    if "seed" in facts and not facts.get("exemplar"):
        choice = Choice(int(facts["seed"]))
    elif "between" in facts and facts["between"][1] >= OTHER_SEEDS:
        choice = Choice(int(facts["between"][1]) - OTHER_SEEDS, int(facts["between"][0]))
    else:
        raise TexsynError("this texture was not made as a sample is: see Check for its settings")
    for run in runs:
        made_by = {name: value for name, value in run.made_by().items() if name != "texsyn"}
        if made_by.items() <= facts.items():
            return entry(run.path.name, choice, _fields(run, facts))
    raise TexsynError("no run here was trained on the exemplar of this texture with its settings")


def _fields(run: Run, facts: dict[str, Any]) -> list[Any]:
    """The page's fields for the size and the tiling that a texture has."""
    *frames, height, width = facts["size"]
    own = texsyn.target(run.modality, None, frames[0] if frames else None)
    size = OWN if list(own[-2:]) == [height, width] else ANOTHER
    return [size, width, height, frames[0] if frames else 0, facts.get("tile", TILES[0])]
