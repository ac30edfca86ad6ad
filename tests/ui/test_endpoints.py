"""The endpoints for other programs, as ui/README.md calls them."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from server import ROOT


def example(address: str, exemplar: Path) -> list[str]:
    """The README's Python blocks from `import gradio_client` on, for a short fit of `exemplar` on this server."""
    text = (ROOT / "ui" / "README.md").read_text()
    text = text.replace("http://127.0.0.1:7860", address).replace("minutes=1,", "minutes=0.05,")
    assert "videos/beans.png" in text
    text = text.replace("videos/beans.png", str(exemplar))
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    first = next(number for number, block in enumerate(blocks) if "gradio_client" in block)
    return blocks[first:]


def test_the_readmes_example_runs(server, find_new_run, monkeypatch, picture):
    monkeypatch.chdir(ROOT)
    fit, *sample = example(server.address, picture)
    names: dict[str, Any] = {}
    exec(fit, names)
    app, run = names["app"], names["run"]
    assert find_new_run().path.name == run
    deadline = time.monotonic() + 120
    while (status := app.predict(run=run, api_name="/status"))["state"] in ("queued", "running"):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert status["state"] == "finished"
    assert status["progress"] == 1
    for block in sample:
        exec(block, names)
    with Image.open(names["image"]) as image:
        assert image.size == (512, 512)
    with pytest.raises(Exception, match="does not exist any more"):
        app.predict(run="../../etc", api_name="/status")
