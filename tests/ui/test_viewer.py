"""The picture in the middle, compared, tiled, zoomed and dragged; what is seen is measured."""

from __future__ import annotations

import numpy as np
import pytest

from texsyn import sample
from texsyn.metrics.scoring import to_numpy


@pytest.fixture
def viewer(tab, trained_run):
    tab.wait_for_picture("steps")
    tab.page.locator("#viewer [data-mode=sample]").click()
    tab.page.locator("#viewer [data-times='1']").click()
    yield tab
    press(tab, "0")
    if tab.page.locator("[data-toggle=seams][aria-pressed=true]").count():
        press(tab, "s")


def press(visit, *keys):
    visit.page.locator("#viewer canvas").focus()
    for key in keys:
        visit.page.keyboard.press(key)


def middle(image, size=100):
    top, left = (n // 2 - size // 2 for n in image.shape[:2])
    return image[top : top + size, left : left + size]


def test_at_100_percent_a_pixel_is_a_pixel(viewer, trained_run):
    press(viewer, "1")
    viewer.wait_for_text("#viewer .zoom", "100 %")
    exact = to_numpy(sample(trained_run.triangle())[0])
    assert abs(middle(viewer.picture()) - middle(exact)).mean() < 0.02


def test_tiles_repeat_and_seams_are_drawn(viewer):
    press(viewer, "t", "1")  # two times each way, pixel by pixel
    seen = viewer.picture()
    row, left = seen[seen.shape[0] // 2], seen.shape[1] // 2
    assert abs(row[left - 100 : left - 50] - row[left + 124 : left + 174]).mean() < 0.02
    press(viewer, "s")
    assert abs(viewer.picture() - seen).max() > 0.5
    assert viewer.page.locator("[data-toggle=seams]").get_attribute("aria-pressed") == "true"


def test_the_slider_shows_the_exemplar_on_its_left(viewer):
    page, seen = viewer.page, viewer.picture()
    page.locator("#viewer [data-mode=exemplar]").click()
    exemplar = viewer.picture()
    page.locator("#viewer [data-mode=split]").click()
    box = page.locator("#viewer canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 50, steps=5)
    page.mouse.up()
    split, at = viewer.picture(), int(seen.shape[1] * 0.6)
    assert np.array_equal(split[:, : at - 5], exemplar[:, : at - 5])
    assert np.array_equal(split[:, at + 5 :], seen[:, at + 5 :])


def test_the_sample_covers_as_much_of_the_exemplar_as_is_asked(viewer):
    page, sample = viewer.page, viewer.picture()
    page.locator("#viewer [data-mode=exemplar]").click()
    exemplar = viewer.picture()
    page.locator("#viewer [data-mode=blend]").click()
    for share in (0, 0.5, 1):
        page.locator("#viewer [data-range=blend]").fill(str(share))
        assert abs(viewer.picture() - (1 - share) * exemplar - share * sample).max() < 0.02


def test_the_picture_is_zoomed_and_dragged(viewer):
    page = viewer.page
    press(viewer, "1", "+", "+")
    viewer.wait_for_text("#viewer .zoom", "156 %")
    before = viewer.picture()
    box = page.locator("#viewer canvas").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 240, box["y"] + 230, steps=4)
    page.mouse.up()
    after = viewer.picture()
    assert abs(after[230:330, 240:340] - before[200:300, 200:300]).mean() < 0.02
    press(viewer, "0")
    assert viewer.shown()["zoom"] == 0


def test_how_it_is_shown_is_remembered(viewer):
    press(viewer, "m", "m", "m")  # exemplar, slider, side by side
    assert viewer.shown()["mode"] == "side"
    viewer.reload()
    viewer.wait_for_picture("steps")
    assert viewer.shown()["mode"] == "side"


def test_keys_are_not_taken_from_what_is_typed(viewer):
    viewer.page.get_by_placeholder("Search").fill("")
    viewer.page.get_by_placeholder("Search").press_sequentially("mst 1")
    assert viewer.page.get_by_placeholder("Search").input_value() == "mst 1"
    assert viewer.shown()["mode"] == "sample"
