"""Images of the app: python tests/screens.py RUNS [FOLDER], RUNS with a trained run of a still.

With FOLDER every tab in both themes goes there, to be looked at; without, the two images of ui/README.md are taken.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from browser import Visit, open_browser
from server import ROOT, Server

TABS = ("Train", "Sample", "Repair", "Morph", "Check")


def main(runs: Path, folder: Path | None = None) -> None:
    with tempfile.TemporaryDirectory() as temporary, open_browser() as browser:
        (Path(temporary) / "runs").symlink_to(runs.resolve())
        server = Server(Path(temporary))
        try:
            visit = Visit(browser, server, width=1440)
            visit.wait_for_picture("steps")
            if folder is None:
                save(visit, ROOT / "ui" / "train.png")
            visit.open_tab("Sample")
            visit.page.locator("#new-samples").click()
            visit.wait_for_picture("seed 0")
            visit.page.wait_for_selector("#samples img")
            if folder is None:
                visit.page.locator("#viewer [data-mode=sample]").click()
                save(visit, ROOT / "ui" / "sample.png")
                return
            folder.mkdir(parents=True, exist_ok=True)
            for theme in ("dark", "light"):
                for name in TABS:
                    visit.open_tab(name)
                    save(visit, folder / f"{name.lower()}-{theme}.png")
                visit.page.locator("#theme").click()
        finally:
            server.stop()


def save(visit: Visit, path: Path) -> None:
    visit.page.wait_for_timeout(1500)
    visit.page.evaluate("window.scrollTo(0, 0)")
    visit.page.screenshot(path=path)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
