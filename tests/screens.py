"""Pictures of the app for README: python tests/screens.py RUNS, a folder with a run of a still that has learnt."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from server import ROOT, Server
from test_ui import CHROMIUM, Visit


def main(runs: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        (Path(folder) / "runs").symlink_to(runs.resolve())
        server = Server(Path(folder))
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            visit = Visit(browser, server)
            visit.tab("Watch")
            visit.page.wait_for_selector("#compare img")
            visit.page.wait_for_selector("#card table")
            shoot(visit, "watch")
            visit.tab("Sample")
            visit.page.locator("#make").click()
            visit.page.wait_for_selector("#grid img")
            visit.page.locator("#grid button:has(img)").nth(1).click()
            visit.page.locator(".tile").wait_for()
            shoot(visit, "sample")
        finally:
            browser.close()
            server.stop()


def shoot(visit: Visit, name: str) -> None:
    visit.page.wait_for_timeout(1500)
    visit.page.evaluate("window.scrollTo(0, 0)")
    visit.page.screenshot(path=ROOT / "ui" / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
