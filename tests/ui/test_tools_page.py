"""The page More: morph, fill a mask, find anomalies."""

from __future__ import annotations

import pytest
from server import ROOT


@pytest.fixture
def tools(visit, trained_run):
    visit.open_tab("More")
    visit.wait_for_run("#tools-run")
    return visit


def test_a_morph_is_a_looping_clip(tools):
    tools.page.get_by_label("Frames", exact=True).fill("4")
    tools.page.locator("#morph").click()
    tools.page.wait_for_selector("#morph-clip video")
    assert tools.page.evaluate("document.querySelector('#morph-clip video').loop")


def test_a_painted_part_is_filled(tools):
    page = tools.page
    canvas = page.locator("#fill-editor canvas").first
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)  # the editor fails on images that come before it is ready
    page.locator("#fill-editor input[type=file]").first.set_input_files(ROOT / "videos" / "beans.png")
    page.locator("#fill-editor button[aria-label=Brush]").click()
    page.wait_for_timeout(1500)
    tools.paint(canvas)
    page.locator("#fill").click()
    page.wait_for_selector("#filled img")


def test_nothing_painted_is_an_error_in_words(tools):
    tools.page.locator("#fill").click()
    tools.page.get_by_text("choose an image of this texture, and paint over").first.wait_for()


def test_anomalies_are_shown(tools):
    page = tools.page
    page.locator("#anomaly-image input[type=file]").set_input_files(ROOT / "videos" / "grass.png")
    page.wait_for_selector("#anomaly-image a, #anomaly-image .file-preview")
    page.locator("#find-anomalies").click()
    tools.wait_for_text("#anomaly-share", "more unusual than 99 % of the exemplar")
    page.wait_for_selector("#heatmap img")
    tools.screenshot("more")
