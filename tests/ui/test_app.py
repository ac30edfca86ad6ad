"""The browser app as a person meets it: a real browser, the real server, real fits of a few seconds."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from server import ROOT, Server

from texsyn import Run, status

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
CHROMIUM = shutil.which("chromium")
PATIENCE = 120_000  # milliseconds


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def missing(reason: str) -> None:
    """Skip where there is no browser; on the machine that decides, fail."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("app")
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder / "temporary")  # where the tickets of its fits lie
    import tempfile

    tempfile.tempdir = None
    made = Server(folder)
    yield made
    made.stop()
    for path in made.runs.iterdir():
        if (path / "run.json").exists():
            from texsyn import stop

            stop(Run.open(path))
    os.environ.pop("TMPDIR") if before is None else os.environ.update(TMPDIR=before)
    tempfile.tempdir = None


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if CHROMIUM is None:
        missing("needs Debian's chromium")
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


class Visit:
    """One tab: what went wrong in it, and whom it asked."""

    def __init__(self, browser, server: Server, width: int = 1200) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.page.set_default_timeout(PATIENCE)
        self.errors: list[str] = []
        self.outside: list[str] = []
        own = (server.address, f"ws://127.0.0.1:{server.port}", "data:", "blob:")
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("request", lambda r: None if r.url.startswith(own) else self.outside.append(r.url))
        self.page.goto(server.address)
        self.page.wait_for_selector("#shipped img")

    def reload(self) -> None:
        """Whatever the page was just being told is cut off by this, and its client says so."""
        self.page.reload()
        self.page.wait_for_selector("#shipped img")
        self.errors = [error for error in self.errors if "AbortError" not in error]

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    def until(self, selector: str, text: str) -> None:
        self.page.wait_for_function(
            "([selector, text]) => document.querySelector(selector)?.innerText.includes(text)", arg=[selector, text]
        )

    def shoot(self, name: str) -> None:
        """A picture of the page, where a folder for them is named."""
        if os.environ.get("TEXSYN_SCREENS"):
            self.page.wait_for_timeout(700)
            self.page.screenshot(path=Path(os.environ["TEXSYN_SCREENS"]) / f"{name}.png")

    def violations(self) -> list[str]:
        """What a screen reader or a keyboard would stumble over, by axe: serious and critical alone."""
        found = axe.Axe().run(self.page).response["violations"]
        serious = (violation for violation in found if violation["impact"] in ("serious", "critical"))
        nodes = [f"{each['id']}: {node['html'][:160]}" for each in serious for node in each["nodes"]]
        return [node for node in nodes if 'aria-label="Empty value"' not in node]  # gradio's own, of an empty gallery

    def close(self) -> None:
        self.page.close()
        assert self.errors == []
        assert self.outside == []


@pytest.fixture
def visit(browser, server) -> Iterator[Visit]:
    made = Visit(browser, server)
    yield made
    made.close()


def test_the_whole_journey(browser, server, visit, tmp_path):
    page = visit.page
    page.locator("#shipped button:has(img)").first.click()
    visit.until("#understood", "learnt at 224 x 224")
    visit.shoot("start")
    page.get_by_label("Until I stop it").check()
    page.locator("#begin").click()
    visit.until("#state", "Learning")

    visit.reload()  # a reload, and another person's tab, find the fit alive
    visit.tab("Watch")
    visit.until("#state", "Learning")
    second = Visit(browser, server)
    second.tab("Watch")
    second.until("#state", "Learning")
    second.close()

    page.wait_for_selector("#compare img")
    visit.until("#card", "sharpness")
    visit.shoot("watch")
    page.locator("#pause").click()
    visit.until("#state", "What was learnt is kept")
    assert status(server.only_run()).state == "stopped"

    visit.tab("Sample")
    page.locator("#make").click()
    page.wait_for_selector("#grid img")
    assert page.locator("#grid button:has(img)").count() == 8
    page.locator("#grid button:has(img)").nth(3).click()
    tile = page.locator(".tile")
    tile.wait_for()
    before = tile.evaluate("each => each.style.backgroundPosition")
    tile.press("ArrowRight")
    assert tile.evaluate("each => each.style.backgroundPosition") != before
    visit.shoot("sample")
    page.locator("#alike").click()
    page.get_by_text("like 3,").first.wait_for()
    page.locator("#make").click()
    page.locator("#grid").get_by_text(re.compile("^seed 1[0-9]$")).first.wait_for()
    page.locator("#save").click()
    page.wait_for_selector("#file a[download]")
    with page.expect_download() as waiting:
        page.locator("#file a[download]").first.click()
    waiting.value.save_as(tmp_path / "texture.png")
    with Image.open(tmp_path / "texture.png") as picture:
        assert picture.size == (224, 224)
        assert '"seed": 3' in picture.info["Comment"]

    visit.tab("Library")
    visit.until("#about", "MB on disk")
    page.get_by_label("Title").fill("my beans")
    page.locator("#rename").click()
    page.wait_for_function("document.querySelector('#kept input')?.value == 'my beans'")
    page.wait_for_selector("#shelf img")
    visit.shoot("library")
    page.locator("#made input[type=file]").set_input_files(tmp_path / "texture.png")
    visit.until("#origin", "exemplar_sha256")


def test_what_is_painted_over_is_not_learnt(visit):
    page = visit.page
    page.locator("#shipped button:has(img)").nth(1).click()
    visit.until("#understood", "learnt at")
    page.get_by_text("Paint over what must not be learnt").click()
    canvas = page.locator("#mask canvas").first
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    area = canvas.bounding_box()
    page.mouse.move(area["x"] + area["width"] * 0.4, area["y"] + area["height"] * 0.4)
    page.mouse.down()
    for step in range(12):
        page.mouse.move(area["x"] + area["width"] * (0.4 + 0.02 * step), area["y"] + area["height"] * 0.5)
    page.mouse.up()
    visit.shoot("mask")
    page.get_by_role("button", name="Leave this out").click()
    visit.until("#understood", "of it is missing")


def test_what_does_not_belong_is_shown(server, visit):
    """In the run that the journey left."""
    page = visit.page
    visit.tab("More")
    page.locator("#suspect input[type=file]").set_input_files(ROOT / "videos" / "grass.png")
    page.wait_for_selector("#suspect a, #suspect .file-preview")
    page.locator("#search").click()
    visit.until("#verdict", "stranger than 99 % of the exemplar")
    page.wait_for_selector("#heat img")
    visit.shoot("more")


def test_the_keyboard_alone_begins_a_fit(browser, server):
    visit = Visit(browser, server)
    page = visit.page
    page.locator("#shipped button:has(img)").nth(1).focus()
    page.keyboard.press("Enter")
    visit.until("#understood", "learnt at")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('#begin') !== null"):
            break
    before = {path.name for path in server.runs.iterdir()}
    page.keyboard.press("Enter")
    visit.until("#state", "Learning")
    (name,) = {path.name for path in server.runs.iterdir()} - before
    page.locator("#pause").focus()
    page.keyboard.press("Enter")
    visit.until("#state", "What was learnt is kept")
    Run.open(server.runs / name).discard()
    visit.close()


def test_a_screen_reader_finds_its_way(visit):
    assert visit.violations() == []
    for name in ("Watch", "Sample", "More", "Library"):
        visit.tab(name)
        visit.page.wait_for_timeout(500)
        assert visit.violations() == [], name


def test_a_clip_is_trimmed_learnt_and_looped(browser, server):
    visit = Visit(browser, server)
    page = visit.page
    page.locator("#upload input[type=file]").set_input_files(ROOT / "videos" / "water.mp4")
    visit.until("#understood", "Clip")
    page.get_by_role("button", name="More").click()
    page.get_by_label("Clip: first frame").fill("8")
    page.get_by_label("Clip: number of frames").fill("48")
    page.get_by_role("button", name="Read it again").click()
    visit.until("#understood", "48 of 128 frames")
    page.get_by_label("Until I stop it").check()
    before = {path.name for path in server.runs.iterdir()}
    page.locator("#begin").click()
    visit.until("#state", "Learning")
    page.locator("#pause").click()
    visit.until("#state", "What was learnt is kept")
    page.locator("#finish").click()
    visit.until("#state", "Finished")
    visit.tab("Sample")
    page.locator("#make").click()
    page.wait_for_selector("#grid video")
    page.locator("#grid button:has(video)").first.click()
    page.wait_for_selector(".videos video")
    assert page.evaluate("document.querySelector('.videos video').loop")
    (name,) = {path.name for path in server.runs.iterdir()} - before
    Run.open(server.runs / name).discard()
    visit.close()


def test_a_broken_upload_is_one_sentence(visit, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + b"nothing" * 40)
    visit.page.locator("#upload input[type=file]").set_input_files(broken)
    toast = visit.page.get_by_text(re.compile("cannot be read as a PNG picture"))
    toast.first.wait_for()


def test_what_was_wrong_is_said_once_and_stays_in_no_ones_way(server, visit):
    before = len((server.folder / "server.log").read_text())
    visit.page.locator("#begin").click()
    visit.page.get_by_text("choose a picture or a clip first").first.wait_for()
    for name in ("Watch", "Sample", "More"):
        visit.tab(name)
        assert visit.page.locator(".block span.error:visible").count() == 0, name
    assert "Traceback" not in (server.folder / "server.log").read_text()[before:]


def test_a_killed_server_loses_no_fit(browser, server):
    client = pytest.importorskip("gradio_client")
    api = client.Client(server.address, verbose=False)
    name = api.predict(exemplar=client.handle_file(str(ROOT / "videos" / "gravel.png")), minutes=5.0, api_name="/fit")
    run = Run.open(server.runs / name)
    deadline = time.monotonic() + 120
    while status(run).step < 2:
        assert time.monotonic() < deadline
        time.sleep(0.3)
    server.stop(kill=True)
    before = status(run)
    assert before.state == "running"
    server.start()
    visit = Visit(browser, server)
    visit.tab("Watch")
    visit.until("#state", "Learning")
    assert status(run).step >= before.step
    visit.page.locator("#pause").click()
    visit.until("#state", "What was learnt is kept")
    visit.close()


def test_other_programs_use_three_endpoints(server, tmp_path):
    """The README's example, and what it does when asked for more."""
    text = (ROOT / "README.md").read_text()
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "gradio_client" in block)
    first, last = (
        code.replace("http://127.0.0.1:7860", server.address).replace("minutes=1", "minutes=0.05").split("picture")
    )
    names: dict[str, Any] = {}
    with working_in(ROOT):
        exec(first, names)
    api, name = names["app"], names["run"]
    deadline = time.monotonic() + 120
    while (found := api.predict(run=name, api_name="/status"))["state"] in ("queued", "running"):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert found["state"] == "finished"
    assert found["progress"] == 1
    exec("picture" + last, names)
    with Image.open(names["picture"]) as picture:
        assert picture.size == (512, 512)
    with pytest.raises(Exception, match="not here any more"):
        api.predict(run="../../etc", api_name="/status")


def test_it_fits_a_phone(browser, server):
    visit = Visit(browser, server, width=375)
    for name in ("Start", "Watch", "Sample"):
        if name != "Start":
            tab = visit.page.get_by_role("tab", name=name)
            tab.click() if tab.is_visible() else None
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 375
    visit.close()


def asked(server: Server, path: str, method: str = "GET", **headers: str) -> int:
    request = urllib.request.Request(server.address + path, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, data=b"{}" if method == "POST" else None, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_strangers_are_refused(server):
    assert asked(server, "/") == 200
    assert asked(server, "/", Host="evil.example") == 403
    assert asked(server, "/gradio_api/upload", "POST", Origin="http://evil.example") == 403
    assert asked(server, "/gradio_api/queue/join", "POST", **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert asked(server, "/gradio_api/file=https://127.0.0.1:1/x") == 403
    assert asked(server, "/openapi.json") == 404
    for path in ("/etc/passwd", str(server.folder / "server.log"), str(ROOT / "pyproject.toml")):
        assert asked(server, f"/gradio_api/file={path}") in (403, 404)


def test_others_need_a_login():
    command = [sys.executable, str(ROOT / "ui" / "app.py"), "--host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "needs --auth" in done.stderr


def test_a_folder_or_a_port_that_cannot_be_had_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for words, said in (
            (["--runs", str(tmp_path / "file")], "is no folder"),
            (["--runs", str(tmp_path / "runs"), "--port", port], f"port {port}"),
            (["--runs", str(tmp_path / "runs"), "--port", "99999"], "--port must lie in 0 to 65535"),
        ):
            command = [sys.executable, str(ROOT / "ui" / "app.py"), *words]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr.count("\n")) == (2, 1)
            assert said in done.stderr
