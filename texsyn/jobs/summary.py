"""The results of a batch: a row for each exemplar, stored as summary.json and summary.html."""

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

from texsyn.core.errors import TexsynError
from texsyn.core.text import duration, in_steps, short


@dataclass(frozen=True)
class Row:
    """The result of one exemplar."""

    name: str
    run: str  # its folder
    state: str  # finished, skipped (the exemplar cannot be used), stopped or failed
    exit: int = 0  # exit code of its fit
    reason: str = ""  # why it is not finished, or which options a finished run does not follow
    steps: int = 0
    seconds: float = 0.0  # of training
    before: bool = False  # it was finished before this batch
    card: dict[str, Any] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)  # the card in words
    node: str = ""  # of a cluster, that trained it

    @property
    def line(self) -> str:
        name = short(self.name)
        if self.state != "finished":
            return f"{name}: {self.state}: {self.reason}"
        when = "finished before" if self.before else "finished"
        note = f" ({self.reason})" if self.reason else ""
        metrics = f": {', '.join(self.words)}" if self.words else ""
        return f"{name}: {when}{note}, {in_steps(self.steps)} in {duration(self.seconds)}{metrics}"


def write(rows: Mapping[str, tuple[Row, str]], out: Path) -> None:
    """Write summary.json and summary.html from rows and their `cells`. Raises TexsynError (exit 5) on a disk error."""
    from texsyn.core.files import replace_text

    ordered = [rows[name] for name in sorted(rows)]
    replace_text(out / "summary.json", json.dumps([asdict(row) for row, _ in ordered], indent=2) + "\n")
    cells = "".join(cells for _, cells in ordered)
    replace_text(out / "summary.html", _PAGE.replace("ROWS", cells).replace("DATE", time.strftime("%Y-%m-%d")))


def cells(row: Row, out: Path) -> str:
    """A row of summary.html, as HTML; `out` is the folder of the page and of the runs."""
    metrics = "<br>".join(map(html.escape, row.words if row.state == "finished" else [row.reason]))
    trained = f"{in_steps(row.steps)}, {duration(row.seconds)}" if row.steps else ""
    texts = (html.escape(short(row.name)), _image(row, out), row.state, trained, metrics)
    return "<tr>" + "".join(f"<td>{text}</td>" for text in texts) + "</tr>\n"


def _image(row: Row, out: Path) -> str:
    """The newest preview of a run, as HTML."""
    from texsyn.runs.run import Run

    try:
        previews = Run.open(out / row.name).previews()
    except TexsynError:  # a fit that failed may have left no run
        return ""
    if not previews:
        return ""
    return f'<img src="{quote(os.fsencode(previews[-1].sheet.relative_to(out)))}" alt="">'


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>texsyn batch</title>
<style>
body { font: 15px system-ui, sans-serif; margin: 2rem; color: #222; background: #fff; }
td, th { padding: .5rem 1rem .5rem 0; vertical-align: top; text-align: left; }
img { height: 112px; border-radius: 6px; }
</style>
<h1>texsyn batch, DATE</h1>
<table><tr><th>exemplar</th><th>exemplar and samples</th><th>state</th><th>training</th><th>metrics</th></tr>
ROWS</table>
</html>
"""
