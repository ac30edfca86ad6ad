"""Images of the app for README: python tests/screens.py RUNS, a folder with a trained run of a still."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from browser import Visit, open_browser
from server import ROOT, Server


def main(runs: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        (Path(folder) / "runs").symlink_to(runs.resolve())
        server = Server(Path(folder))
        try:
            visit = Visit(browser, server)
            visit.open_tab("Watch")
            visit.page.wait_for_selector("#compare img")
            visit.page.wait_for_selector("#card table")
            save(visit, "watch")
            visit.open_tab("Sample")
            visit.wait_for_run("#sample-run")
            visit.page.locator("#new-samples").click()
            visit.page.wait_for_selector("#samples img")
            visit.page.locator("#samples button:has(img)").nth(1).click()
            visit.page.locator(".tile").wait_for()
            save(visit, "sample")
        finally:
            server.stop()


def save(visit: Visit, name: str) -> None:
    visit.page.wait_for_timeout(1500)
    visit.page.evaluate("window.scrollTo(0, 0)")
    visit.page.screenshot(path=ROOT / "ui" / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
