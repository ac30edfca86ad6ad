"""Samples: of seeds, like a chosen one, of another size, on the stage, and a download."""

from __future__ import annotations

import re

import pytest
from PIL import Image

from texsyn.media.metadata import read_metadata


@pytest.fixture
def panel(visit, trained_run):
    visit.open_tab("Sample")
    visit.wait_for_picture("steps")
    return visit


def test_samples_are_made_chosen_and_downloaded(panel, tmp_path):
    page, samples = panel.page, panel.page.locator("#samples button:has(img)")
    page.locator("#new-samples").click()
    panel.wait_for_picture("seed 0")
    assert samples.count() == 8
    samples.nth(3).click()
    panel.wait_for_picture("seed 3")
    panel.screenshot("sample")
    page.locator("#similar-samples").click()
    panel.wait_for_picture("like 3, 8")
    samples.nth(2).click()
    panel.wait_for_picture("like 3, 10")
    page.locator("#new-samples").click()
    page.locator("#samples").get_by_text(re.compile("^seed 1[6-9]$")).first.wait_for()
    samples.nth(1).click()
    panel.wait_for_picture("seed 17")
    assert download(page, tmp_path)["seed"] == 17
    page.locator("#similar-samples").click()
    panel.wait_for_picture("like 17, 24")
    assert download(page, tmp_path)["between"] == [17, 10_024]


def test_the_arrow_keys_change_the_seed(panel):
    page = panel.page
    page.locator("#new-samples").click()
    panel.wait_for_picture("seed 0")
    page.locator("#viewer canvas").focus()
    for key, seed in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)):
        page.keyboard.press(key)
        panel.wait_for_picture(f"seed {seed}")


def test_a_size_is_chosen(panel, tmp_path):
    page = panel.page
    page.get_by_label("512", exact=True).check()
    page.locator("#new-samples").click()
    panel.wait_for_picture("seed 0")
    page.wait_for_selector("#samples button:has(img)")
    assert page.locator("#samples button:has(img)").count() == 7
    page.get_by_label("Another").check()
    page.get_by_label("Width").fill("300")
    page.get_by_label("Height").fill("200")
    page.locator("#seed-after").click()
    panel.wait_for_picture("seed 1")
    download(page, tmp_path, (300, 200))


def download(page, folder, size=(224, 224)):
    """The metadata of the file that the page offers."""
    link = page.locator("#file a[download]").first
    before = link.evaluate("each => each.href") if link.count() else None
    page.locator("#save").click()
    page.wait_for_function(
        "before => ![null, undefined, before].includes(document.querySelector('#file a[download]')?.href)", arg=before
    )
    with page.expect_download() as waiting:
        link.click()
    waiting.value.save_as(folder / "texture.png")
    with Image.open(folder / "texture.png") as image:
        assert image.size == size
    return read_metadata(folder / "texture.png")
