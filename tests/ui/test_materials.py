"""A material in the app: its maps are dropped together, and a sample is seen lit."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from base64 import b64encode

import pytest
from browser import Visit
from conftest import SMALL, VIDEOS

import texsyn

FOLDER = VIDEOS / "materials" / "rust"
PATHS = sorted(FOLDER.iterdir())


def test_the_maps_of_a_material_are_read_together(visit):
    visit.open_new()
    visit.page.locator("#upload input[type=file]").set_input_files(PATHS)
    visit.wait_for_text("#summary", "Material of colour, normal, height, roughness, occlusion, metal, 256 x 256 pixels")


def test_a_folder_of_maps_can_be_dropped(tab):
    """As the browser gives it: an entry whose files are read one batch after the other."""
    tab.open_new()
    files = [[path.name, f"data:image/png;base64,{b64encode(path.read_bytes()).decode()}"] for path in PATHS]
    tab.page.evaluate(
        """async (names) => {
            const files = await Promise.all(names.map(async ([name, data]) =>
                new File([await (await fetch(data)).blob()], name, { type: "image/png" })));
            const entries = [...files, new File(["x"], "readme.txt")].map((file) => ({
                isFile: true, name: file.name, file: (done) => done(file) }));
            const batches = [entries.slice(0, 2), entries.slice(2), []];
            const reader = { readEntries: (give) => give(batches.shift()) };
            const folder = { isDirectory: true, createReader: () => reader };
            const event = new Event("drop", { bubbles: true, cancelable: true });
            event.dataTransfer = { items: [{ webkitGetAsEntry: () => folder }] };
            document.querySelector("#upload button, #upload input").dispatchEvent(event);
        }""",
        files,
    )
    tab.wait_for_text("#summary", "Material of colour, normal, height, roughness, occlusion, metal")


def test_files_of_no_one_material_are_told_in_one_line(tab):
    tab.open_new()
    files = [VIDEOS / "beans.png", VIDEOS / "gravel.png"]
    tab.page.locator("#upload input[type=file]").set_input_files(files)
    tab.page.get_by_text("these are several exemplars").first.wait_for()


@pytest.fixture
def material_run(server):
    """A material in the server's folder, hardly trained."""
    path = server.runs / "rusty"
    words = ["--steps", "2", *SMALL, "--quiet"]
    subprocess.run([sys.executable, "-m", "texsyn", "fit", str(FOLDER), *words, "--out", str(path)], check=True)
    yield texsyn.Run.open(path)
    texsyn.Run.open(path).discard()


def test_a_sample_is_seen_lit_and_downloaded(material_run, browser, server, tmp_path):
    visit = Visit(browser, server)
    page = visit.page
    try:
        visit.open_tab("Sample")
        page.locator("#new-samples").click()
        page.wait_for_selector("#samples img")
        page.locator("#samples button:has(img)").first.click()
        canvas = page.locator("#lit canvas")
        canvas.wait_for()
        canvas.scroll_into_view_if_needed()
        for _ in range(60):  # of a busy machine
            picture = canvas.screenshot(path=tmp_path / "lit.png")
            if len(picture) > 20_000:  # a shaded body, not an empty ground
                break
            page.wait_for_timeout(1000)
        assert len(picture) > 20_000
        visit.screenshot("material")
        # The viewer tries WebGPU first, and says so where there is none.
        visit.errors = [error for error in visit.errors if "WebGPU" not in error]
        page.locator("#save").click()
        link = page.locator("#file a[download]").first
        link.wait_for()
        with page.expect_download() as waiting:
            link.click()
        waiting.value.save_as(tmp_path / "maps.zip")
        names = zipfile.ZipFile(tmp_path / "maps.zip").namelist()
        assert sorted(name.rpartition("_")[2] for name in names if name.endswith(".png")) == sorted(
            ["Color.png", "NormalGL.png", "Displacement.png", "Roughness.png", "AmbientOcclusion.png", "Metalness.png"]
        )
    finally:
        visit.close()
