"""The page Sample: samples, similar samples, the tiled preview, and a download."""

from __future__ import annotations

import re

from PIL import Image

from texsyn.media.metadata import read_metadata


def test_samples_are_made_tiled_and_downloaded(visit, trained_run, tmp_path):
    page = visit.page
    visit.open_tab("Sample")
    visit.wait_for_run("#sample-run")
    page.locator("#new-samples").click()
    page.wait_for_selector("#samples img")
    assert page.locator("#samples button:has(img)").count() == 8
    page.locator("#samples button:has(img)").nth(3).click()
    tile = page.locator(".tile")
    tile.wait_for()
    before = tile.evaluate("each => each.style.backgroundPosition")
    tile.press("ArrowRight")
    assert tile.evaluate("each => each.style.backgroundPosition") != before
    visit.screenshot("sample")
    page.locator("#similar-samples").click()
    page.get_by_text("like 3,").first.wait_for()
    before = tile.get_attribute("style")
    page.locator("#samples button:has(img)").nth(2).click()
    page.wait_for_function("style => document.querySelector('.tile').getAttribute('style') != style", arg=before)
    variation = tile.get_attribute("style")
    page.locator("#new-samples").click()
    page.locator("#samples").get_by_text(re.compile("^seed 1[0-9]$")).first.wait_for()
    assert tile.get_attribute("style") == variation  # the choice stays while other samples are shown
    assert download(page, tmp_path)["between"] == [3, 10_010]
    page.locator("#samples button:has(img)").nth(1).click()
    page.wait_for_function("style => document.querySelector('.tile').getAttribute('style') != style", arg=variation)
    assert download(page, tmp_path)["seed"] == 17


def download(page, folder):
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
        assert image.size == (224, 224)
    return read_metadata(folder / "texture.png")
