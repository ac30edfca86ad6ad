"""The app in a real browser, Debian's Chromium driven by playwright."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from conftest import refuse
from PIL import Image
from server import Server

CHROMIUM = shutil.which("chromium")
_PATIENCE = 120_000  # milliseconds until what a test waits for must be there
# A tab begins as in a new profile, whatever those beside it have stored; what it stores itself outlasts its reloads.
_BEGIN = "if (!sessionStorage.begun) { localStorage.clear(); sessionStorage.begun = 'yes'; }"
_EMPTY_GALLERY = 'aria-label="Empty value"'  # gradio's own violation


def require_browser() -> None:
    """Skip a test where there is no browser to drive; in continuous integration, fail it."""
    missing = [name for name in ("playwright", "axe_playwright_python") if find_spec(name) is None]
    missing += [] if CHROMIUM else ["chromium"]
    if missing:
        refuse(f"not installed: {', '.join(missing)}")


@contextmanager
def open_browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def serious_violations(page: Any) -> list[str]:
    """Serious and critical violations that axe finds on a page."""
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(page).response["violations"]
    serious = (each for each in violations if each["impact"] in ("serious", "critical"))
    return [f"{each['id']}: {node['html'][:160]}" for each in serious for node in each["nodes"]]


def watch(page: Any, *own: str) -> tuple[list[str], list[str]]:
    """Two lists that will be filled: console errors of a page, and its requests to addresses that begin otherwise."""
    errors: list[str] = []
    outside: list[str] = []
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.on("request", lambda r: None if r.url.startswith((*own, "data:", "blob:")) else outside.append(r.url))
    return errors, outside


class Visit:
    """The app in one tab; keeps console errors, and requests to any other server."""

    def __init__(self, browser: Any, server: Server, width: int = 1200) -> None:
        # Tabs of one profile: what the first has fetched and compiled is most of what loading a page takes.
        context = browser.contexts[0] if browser.contexts else browser.new_context()
        self.page = context.new_page()
        self.page.add_init_script(_BEGIN)
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.set_default_timeout(_PATIENCE)
        self.errors, self.outside = watch(self.page, server.address, f"ws://127.0.0.1:{server.port}")
        self.page.goto(server.address)
        self.page.wait_for_selector("#viewer canvas")
        self.page.wait_for_function("document.querySelector('#status')?.innerText.trim()")

    def reload(self) -> None:
        """Reload the page. This aborts requests in progress, and the page's client reports that as an error."""
        self.page.reload()
        self.page.locator("[role=tabpanel]:visible").first.wait_for()
        aborted = ("AbortError", "Connection errored out")
        self.errors[:] = [error for error in self.errors if not any(each in error for each in aborted)]

    def wait_for_text(self, selector: str, text: str) -> None:
        self.page.wait_for_function(
            "([selector, text]) => document.querySelector(selector)?.innerText.includes(text)", arg=[selector, text]
        )

    def open_tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    def open_new(self) -> None:
        """Open what a new texture begins with; it is open where there are no runs."""
        self.open_tab("Train")
        if not self.page.locator("#start").is_visible():
            self.page.get_by_role("button", name="New texture").click()
        self.page.locator("#examples img").first.wait_for()

    def shown(self) -> dict[str, Any]:
        """The state of the viewer: mode, zoom, how many clips, which pictures are loaded."""
        state: dict[str, Any] = self.page.evaluate("window.texsynViewer.state")
        return state

    def wait_for_picture(self, caption: str) -> None:
        """Wait until the viewer shows a picture with these words below."""
        self.wait_for_text("#viewer .caption", caption)

    def picture(self) -> np.ndarray:
        """What the canvas shows, `h w 3` in [0, 1]."""
        self.page.wait_for_timeout(300)
        with Image.open(io.BytesIO(self.page.locator("#viewer canvas").screenshot())) as image:
            return np.asarray(image.convert("RGB")) / 255

    def choose_example(self, number: int) -> None:
        """Choose an example, and wait until it is read."""
        self.open_new()
        self.page.locator("#examples button:has(img)").nth(number).click()
        self.wait_for_text("#summary", "trained at")

    def upload(self, path: Path) -> None:
        """Choose an exemplar of one's own, and wait until it is read."""
        self.open_new()
        self.page.locator("#upload input[type=file]").set_input_files(path)
        self.wait_for_text("#summary", "trained at")

    def pause(self) -> None:
        self.page.locator("#pause").click()
        self.wait_for_text("#status", "The model is kept")

    def paint(self, canvas: Any) -> None:
        """Paint a stroke across the middle of a canvas."""
        area = canvas.bounding_box()
        middle = area["y"] + area["height"] * 0.5
        self.page.mouse.move(area["x"] + area["width"] * 0.4, middle)
        self.page.mouse.down()
        self.page.mouse.move(area["x"] + area["width"] * 0.6, middle, steps=12)
        self.page.mouse.up()

    def screenshot(self, name: str) -> None:
        """Save an image of the page, if the environment names a folder: TEXSYN_SCREENS."""
        if os.environ.get("TEXSYN_SCREENS"):
            self.page.wait_for_timeout(700)
            self.page.screenshot(path=Path(os.environ["TEXSYN_SCREENS"]) / f"{name}.png")

    def accessibility_violations(self) -> list[str]:
        """Serious and critical violations that axe finds."""
        return [node for node in serious_violations(self.page) if _EMPTY_GALLERY not in node]

    def close(self) -> None:
        """Close the tab; fails where there were console errors or other servers."""
        self.page.close()
        assert not self.errors, self.errors
        assert not self.outside, self.outside
