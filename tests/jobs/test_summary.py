"""The rows of a batch, as a line, as JSON and as a page."""

import json
from dataclasses import asdict

from texsyn.jobs import summary
from texsyn.jobs.summary import Row


def test_a_row_is_one_line():
    row = Row("a", "runs/a", "finished", steps=1200, seconds=150.0, words=["faithful 0.9"])
    assert row.line == "a: finished, 1,200 steps in 2 minutes: faithful 0.9"
    assert Row("b\n", "runs/b", "failed", 3, "no image").line == "b?: failed: no image"


def test_the_page_shows_names_and_reasons_as_text(tmp_path):
    rows = [Row("<b>", "runs/b", "skipped", 3, "no <image>"), Row("a", "runs/a", "finished", steps=2, seconds=1.0)]
    summary.write({row.name: (row, summary.cells(row, tmp_path)) for row in rows}, tmp_path)
    page = (tmp_path / "summary.html").read_text()
    assert "<td>&lt;b&gt;</td><td></td><td>skipped</td><td></td><td>no &lt;image&gt;</td>" in page
    assert "<td>a</td><td></td><td>finished</td><td>2 steps, 1 second</td><td></td>" in page
    assert json.loads((tmp_path / "summary.json").read_text()) == [asdict(row) for row in rows]
