"""Morph, repair and check: all end on the stage."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image
from server import ROOT
from viewer import painted_mask

from texsyn import TexsynError


@pytest.fixture
def stage(visit, trained_run):
    visit.wait_for_picture("steps")
    return visit


def test_nothing_painted_is_an_error_in_words(tab):
    """The first of those that share a page, since nothing is chosen there yet."""
    tab.open_tab("Repair")
    tab.page.locator("#fill").click()
    tab.page.get_by_text("choose what shall be repaired, and paint over").first.wait_for()
    tab.page.locator("#undo").click()
    tab.page.get_by_text("nothing was filled yet").first.wait_for()


def test_a_sample_is_painted_on_erased_and_cleared(tab):
    tab.open_tab("Repair")
    page = tab.page
    page.locator("#repair-sample").click()
    tab.wait_for_picture("paint over what is to be filled")
    clean, canvas = tab.picture(), page.locator("#viewer canvas")
    page.locator("#viewer [data-range=brush]").fill("30")
    for undo in ("[data-toggle=erase]", "[data-act=clear]"):
        tab.paint(canvas)
        assert abs(tab.picture() - clean).max() > 0.2
        page.locator(f"#viewer {undo}").click()
        if "erase" in undo:
            tab.paint(canvas)
            page.locator(f"#viewer {undo}").click()
        assert abs(tab.picture() - clean).max() < 0.02


def test_a_morph_is_a_looping_clip(tab):
    tab.open_tab("Morph")
    tab.page.get_by_label("Frames", exact=True).fill("4")
    tab.page.locator("#morph").click()
    tab.wait_for_picture("from 0 to 1")
    assert tab.shown()["clips"] == 1
    tab.page.locator("#morph-file a[download]").first.wait_for()


def test_anomalies_are_shown_on_the_image(tab):
    tab.open_tab("Check")
    page = tab.page
    page.locator("#anomaly-image input[type=file]").set_input_files(ROOT / "videos" / "grass.png")
    page.wait_for_selector("#anomaly-image a, #anomaly-image .file-preview")
    page.locator("#find-anomalies").click()
    tab.wait_for_text("#anomaly-share", "more unusual than 99 % of the exemplar")
    tab.wait_for_picture("heat map over the image")
    assert tab.shown()["mode"] == "blend"
    page.locator("#viewer [data-mode=sample]").click()  # the reader's choice counts from now on
    assert tab.shown()["mode"] == "sample"
    tab.screenshot("check")


def test_a_painted_part_of_the_exemplar_is_filled_where_it_stands_and_undone(stage):
    stage.open_tab("Repair")
    page = stage.page
    page.locator("#repair-exemplar").click()
    stage.wait_for_picture("paint over what is to be filled")
    whole = stage.picture()
    stage.paint(page.locator("#viewer canvas"))
    assert abs(stage.picture() - whole).max() > 0.2  # the stroke
    page.locator("#fill").click()
    stage.wait_for_picture("repaired")
    filled = stage.picture()
    changed = abs(filled - whole).max(2) > 0.02
    middle = slice(int(changed.shape[0] * 0.45), int(changed.shape[0] * 0.55))
    assert changed[middle].any()
    changed[middle] = False
    assert not changed.any()  # nothing but what was painted over
    page.locator("#filled a[download]").first.wait_for()
    stage.screenshot("repair")
    page.locator("#undo").click()
    stage.wait_for_picture("paint over what is to be filled")
    assert abs(stage.picture() - whole).max() < 0.02


def test_an_image_of_ones_own_is_repaired_and_a_broken_one_refused(stage, tmp_path):
    stage.open_tab("Repair")
    page = stage.page
    (tmp_path / "broken.png").write_bytes(b"nothing")
    page.locator("#repair-image input[type=file], input[type=file][data-testid]").last.wait_for(state="attached")
    with page.expect_file_chooser() as chooser:
        page.locator("#repair-image").click()
    chooser.value.set_files(tmp_path / "broken.png")
    page.get_by_text("cannot be read as an image").first.wait_for()
    with page.expect_file_chooser() as chooser:
        page.locator("#repair-image").click()
    chooser.value.set_files(ROOT / "videos" / "beans.png")
    stage.wait_for_picture("paint over what is to be filled")
    stage.paint(page.locator("#viewer canvas"))
    page.locator("#fill").click()
    stage.wait_for_picture("repaired")


def url(image, format="PNG"):
    blob = io.BytesIO()
    image.save(blob, format)
    return "data:image/png;base64," + base64.b64encode(blob.getvalue()).decode()


def test_only_a_png_is_a_mask():
    image = Image.new("RGBA", (30, 20))
    assert painted_mask("") is None
    assert painted_mask(url(image)) is None
    image.putpixel((3, 2), (255, 0, 0, 255))
    assert [each.tolist() for each in np.nonzero(painted_mask(url(image)))] == [[2], [3]]
    forged = [url(image.convert("RGB"), "JPEG"), url(image)[:60], "data:image/png;base64,%", "file:///etc/passwd"]
    for painted in (*forged, url(image).replace("png", "svg+xml"), "data:image/png;base64," + "A" * 9_000_000):
        with pytest.raises(TexsynError, match="what was painted cannot be read"):
            painted_mask(painted)
