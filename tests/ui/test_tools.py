"""Morph, repair and check: all end on the stage."""

from __future__ import annotations

import pytest
from server import ROOT


@pytest.fixture
def stage(visit, trained_run):
    visit.wait_for_picture("steps")
    return visit


def test_a_morph_is_a_looping_clip(stage):
    stage.open_tab("Morph")
    stage.page.get_by_label("Frames", exact=True).fill("4")
    stage.page.locator("#morph").click()
    stage.wait_for_picture("from 0 to 1")
    assert stage.shown()["clips"] == 1
    stage.page.locator("#morph-file a[download]").first.wait_for()


def test_a_painted_part_of_the_exemplar_is_filled(stage):
    stage.open_tab("Repair")
    page = stage.page
    canvas = page.locator("#fill-editor canvas").first
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)  # the editor fails on images that come before it is ready
    page.locator("#repair-exemplar").click()
    page.wait_for_timeout(1500)
    page.locator("#fill-editor button[aria-label=Brush]").click()
    page.wait_for_timeout(1500)
    stage.paint(canvas)
    page.locator("#fill").click()
    stage.wait_for_picture("before and after")
    assert stage.shown()["loaded"] == ["sample", "exemplar"]
    page.locator("#filled a[download]").first.wait_for()
    stage.screenshot("repair")


def test_nothing_painted_is_an_error_in_words(stage):
    stage.open_tab("Repair")
    stage.page.locator("#fill").click()
    stage.page.get_by_text("choose an image of this texture, and paint over").first.wait_for()


def test_anomalies_are_shown_on_the_image(stage):
    stage.open_tab("Check")
    page = stage.page
    page.locator("#anomaly-image input[type=file]").set_input_files(ROOT / "videos" / "grass.png")
    page.wait_for_selector("#anomaly-image a, #anomaly-image .file-preview")
    page.locator("#find-anomalies").click()
    stage.wait_for_text("#anomaly-share", "more unusual than 99 % of the exemplar")
    stage.wait_for_picture("heat map over the image")
    assert stage.shown()["mode"] == "blend"
    page.locator("#viewer [data-mode=sample]").click()  # the reader's choice counts from now on
    assert stage.shown()["mode"] == "sample"
    stage.screenshot("check")
