"""What came of many exemplars: a row for each, and the page of them all. Only the standard library at first."""

from __future__ import annotations

import html
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from texsyn.core.errors import short


@dataclass(frozen=True)
class Row:
    """What came of one exemplar."""

    name: str
    run: str  # its folder
    state: str  # finished, skipped (it cannot be learnt), stopped or failed
    exit: int = 0
    reason: str = ""  # why it is not finished, or what a finished one keeps from before
    steps: int = 0
    seconds: float = 0.0  # of learning
    before: bool = False  # it had been learnt already
    card: dict[str, Any] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)  # of the card
    node: str = ""  # of a cluster, that learnt it

    @property
    def line(self) -> str:
        name = short(self.name)
        if self.state != "finished":
            return f"{name}: {self.state}: {self.reason}"
        told = ", ".join(self.words)
        when = "finished before" if self.before else "finished"
        kept = f" ({self.reason})" if self.reason else ""
        return f"{name}: {when}{kept}, {self.steps} steps in {self.seconds / 60:.1f} min{': ' if told else ''}{told}"


def write(rows: Mapping[str, tuple[Row, str]], out: Path) -> None:
    """Write summary.json and summary.html. Raises TexsynError (exit 5) when the disk refuses."""
    from texsyn.core.files import replace_text

    ordered = [rows[name] for name in sorted(rows)]
    replace_text(out / "summary.json", json.dumps([asdict(row) for row, _ in ordered], indent=2) + "\n")
    lines = "".join(cells for _, cells in ordered)
    replace_text(out / "summary.html", _PAGE.replace("ROWS", lines).replace("WHEN", time.strftime("%Y-%m-%d")))


def cells(row: Row, out: Path) -> str:
    """A row in the page; made once, while its run's pictures are at hand."""
    sheets = sorted((out / row.name / "sheets").glob("*.png"))
    picture = f'<img src="{quote(os.fsencode(row.name))}/sheets/{sheets[-1].name}" alt="">' if sheets else ""
    told = "<br>".join(html.escape(word) for word in row.words) if row.state == "finished" else html.escape(row.reason)
    learnt = f"{row.steps:,} steps, {row.seconds / 60:.1f} min" if row.steps else ""
    texts = (html.escape(short(row.name)), picture, row.state, learnt, told)
    return "<tr>" + "".join(f"<td>{text}</td>" for text in texts) + "</tr>\n"


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>texsyn batch</title>
<style>
body { font: 15px system-ui, sans-serif; margin: 2rem; color: #222; background: #fff; }
td, th { padding: .5rem 1rem .5rem 0; vertical-align: top; text-align: left; }
img { height: 112px; border-radius: 6px; }
</style>
<h1>texsyn batch, WHEN</h1>
<table><tr><th>exemplar</th><th>exemplar and samples</th><th>state</th><th>learnt</th><th>quality</th></tr>
ROWS</table>
</html>
"""
