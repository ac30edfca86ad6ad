"""The page Sample: samples, similar samples, the tiled preview, and a download."""

from __future__ import annotations

import re

from PIL import Image


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
    page.locator("#new-samples").click()
    page.locator("#samples").get_by_text(re.compile("^seed 1[0-9]$")).first.wait_for()
    page.locator("#save").click()
    page.wait_for_selector("#file a[download]")
    with page.expect_download() as waiting:
        page.locator("#file a[download]").first.click()
    waiting.value.save_as(tmp_path / "texture.png")
    with Image.open(tmp_path / "texture.png") as image:
        assert image.size == (224, 224)
        assert '"seed": 3' in image.info["Comment"]
