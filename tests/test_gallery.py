"""The gallery: a page of what runs made, which makes textures itself, in a real browser."""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import open_browser, require_browser, serious_violations, watch
from conftest import TINY_WORDS, refuse, script_of_videos, short_draws
from PIL import Image

import texsyn

SHOWN = ("cobbles", "water")  # a material, which is a still with maps, and a clip
LIMIT = 15_000_000  # bytes of all files
PATIENCE = 60_000  # milliseconds


class Gallery:
    """A page that was built from small fits, open in a tab."""

    def __init__(self, page: Any, folder: Path, runs: Path) -> None:
        self.page, self.folder, self.runs = page, folder, runs

    def make(self, seed: int, side: int) -> np.ndarray:
        """The texture that the page makes, `h w 3`, uint8, as it is downloaded."""
        self.page.locator("[name=size]").evaluate(f"e => {{ e.value = {side}; e.oninput() }}")
        self.page.fill("[name=seed]", str(seed))
        self.page.get_by_role("button", name="Make a texture").click()
        self.page.wait_for_function(f"document.querySelector('#made').dataset.shown === '{seed} {side}'")
        with self.page.expect_download() as download:
            self.page.get_by_role("button", name="Download").click()
        assert download.value.suggested_filename == f"texture-{seed}-{side}.png"
        with Image.open(io.BytesIO(Path(download.value.path()).read_bytes())) as image:
            return np.asarray(image.convert("RGB"))


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    require_browser()
    if not shutil.which("npm"):
        refuse("npm, which brings onnxruntime-web, is not installed")
    folder, runs = tmp_path_factory.mktemp("page"), tmp_path_factory.mktemp("runs")
    fields = [*TINY_WORDS, "--set", "latent_prior=normal"]  # a graph of the learnt prior takes twice as long to write
    words = [str(folder), "--runs", str(runs), "--steps", "4", *fields, "--only", *SHOWN]
    with pytest.MonkeyPatch.context() as patch, script_of_videos("render_gallery") as script, short_draws():
        patch.setattr("sys.argv", ["render_gallery.py", *words])
        script.main()
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        with open_browser() as browser:
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            page.set_default_timeout(PATIENCE)
            errors, outside = watch(page, address)
            page.goto(address)
            yield Gallery(page, folder, runs)
            assert not errors, errors
            assert not outside, outside
        server.shutdown()
        server.server_close()


def test_every_picture_is_there_and_clips_play(gallery):
    page = gallery.page
    assert [each.get_attribute("id") for each in page.locator("article").all()] == ["made", *SHOWN]
    for image in page.locator("img").all():
        image.scroll_into_view_if_needed()
        page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=image.element_handle())
    clips = page.locator("video")
    assert clips.count() == 2
    for clip in clips.all():
        clip.scroll_into_view_if_needed()  # a clip begins to play when it is seen
        page.wait_for_function("clip => clip.currentTime > 0.2", arg=clip.element_handle())
        assert clip.evaluate("clip => clip.loop && clip.muted && !clip.paused")
    assert "texsyn fit videos/materials/cobbles --steps 4" in page.locator("#cobbles pre").inner_text()


def test_it_is_light_and_accessible(gallery):
    assert sum(path.stat().st_size for path in gallery.folder.iterdir()) < LIMIT
    assert serious_violations(gallery.page) == []
    gallery.page.set_viewport_size({"width": 390, "height": 800})
    assert gallery.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    gallery.page.set_viewport_size({"width": 1200, "height": 900})


def test_a_page_opened_as_a_file_says_what_it_cannot(gallery):
    page = gallery.page.context.browser.new_page()
    page.goto((gallery.folder / "index.html").as_uri())
    assert "Serve its folder" in page.locator("#made [role=status]").inner_text()
    assert page.locator("img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    page.close()


def test_tiles_are_scrolled_by_keyboard(gallery):
    field = gallery.page.locator(".tiled").first
    field.focus()
    gallery.page.keyboard.press("ArrowDown")
    gallery.page.wait_for_function("document.querySelector('.tiled').scrollTop > 0")
    assert field.evaluate("e => e.scrollWidth") == 2048


@pytest.mark.parametrize(("seed", "side"), [(0, 512), (7, 256)])
def test_a_seed_gives_the_texture_of_the_command_line(gallery, seed, side):
    made = gallery.make(seed, side)
    expected = texsyn.sample(texsyn.load(gallery.runs / "beans-narrow"), seed=seed, size=(side, side))[0]
    expected = ((expected.clamp(-1, 1) + 1) * 127.5).round().permute(1, 2, 0).numpy()
    assert expected.std() > 1
    assert np.abs(made - expected).max() <= 2


def test_a_texture_is_shown_four_times(gallery):
    gallery.make(1, 256)
    before = gallery.page.locator("canvas").evaluate("e => e.width")
    gallery.page.get_by_label("Tiled 2 x 2").check()
    assert gallery.page.locator("canvas").evaluate("e => e.width") == 2 * before
