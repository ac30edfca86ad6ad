"""A new texture: uploads, masks, errors, and the keyboard."""

from __future__ import annotations

import re

import new_panel

import texsyn


def test_an_error_is_shown_once_and_covers_nothing(server, tab):
    before = len(server.log_text())
    tab.open_new()
    tab.page.locator("#start").click()
    tab.page.get_by_text("choose an image or a clip first").first.wait_for()
    for name in ("Sample", "Repair", "Morph", "Check"):
        tab.open_tab(name)
        assert tab.page.locator(".block span.error:visible").count() == 0, name
    assert "Traceback" not in server.log_text()[before:]


def test_a_budget_is_chosen_by_what_it_gives(tab):
    tab.open_new()
    images = tab.page.locator("#gains button:has(img)")
    assert images.count() == 2
    for number, words in ((0, "Draft"), (1, "Good")):
        images.nth(number).click()
        tab.page.get_by_role("radio", name=re.compile(words), checked=True).wait_for()


def test_a_broken_upload_is_one_sentence(tab, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + b"nothing" * 40)
    tab.open_new()
    tab.page.locator("#upload input[type=file]").set_input_files(broken)
    message = tab.page.get_by_text(re.compile("cannot be read as a PNG image"))
    message.first.wait_for()


def test_a_masked_part_is_reported(tab):
    page = tab.page
    tab.choose_example(1)
    page.locator("#paint-mask").click()
    tab.wait_for_picture("paint over what is not to be learnt")
    tab.paint(page.locator("#viewer canvas"))
    tab.screenshot("mask")
    page.locator("#apply-mask").click()
    tab.wait_for_text("#summary", "of it is masked")


def test_training_can_be_started_with_the_keyboard_alone(visit, find_new_run):
    page = visit.page
    visit.open_new()
    page.locator("#examples button:has(img)").nth(1).focus()
    page.keyboard.press("Enter")
    visit.wait_for_text("#summary", "trained at")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('#start') !== null"):
            break
    page.keyboard.press("Enter")
    visit.wait_for_text("#status", "Training")
    assert find_new_run().path.exists()
    page.locator("#pause").focus()
    page.keyboard.press("Enter")
    visit.wait_for_text("#status", "The model is kept")


def test_what_is_learnt_already_is_one_click_away(visit, server, find_new_run):
    visit.open_new()
    visit.page.locator("#fitted button:has(img)").first.click()
    visit.wait_for_text("#status", "Finished: 4,000 steps")
    visit.wait_for_picture("after 4,000 steps")
    assert visit.shown()["loaded"] == ["sample", "exemplar"]
    assert find_new_run().is_packed
    visit.open_tab("Sample")
    visit.page.locator("#new-samples").click()
    visit.wait_for_picture("seed 0")
    visit.open_tab("Train")
    visit.page.locator("#resume").click()
    visit.page.get_by_text("was packed: it can be sampled").first.wait_for()


def test_examples_are_exemplars_and_no_results():
    names = [path.stem for path in new_panel._find_examples()]
    assert {"beans", "hubble", "water", "cobbles"} <= set(names)
    assert not {"samples", "completed", "heat", "morph", "spheres", "beans-mask", "pebbles-normal"} & set(names)


def test_one_small_model_of_each_kind_is_learnt_already(tmp_path):
    kinds = set()
    for path in new_panel.FITTED.glob("*.zip"):
        assert path.with_suffix(".jpg").exists()
        run = texsyn.unpack(path, tmp_path / path.stem)
        kinds.add(run.modality.name)
        assert texsyn.sample(run.triangle())[0].std() > 0.1
    assert kinds == {"still", "clip", "material"}
    assert sum(path.stat().st_size for path in new_panel.FITTED.iterdir()) < 6_000_000


def test_settings_become_options_of_a_fit():
    """Kind, recipe, levels, seed, side, first frame, number of frames, crop."""
    found = new_panel._options(["still", "fast", "1", 3, 512, 0, 0, 10, 20, 30, 40])
    assert (found.kind, found.seed, found.side, found.levels, found.crop) == ("still", 3, 512, 1, (10, 20, 30, 40))
    plain = new_panel._options(["auto", "fast", "auto", *[0] * 8])
    assert plain.given() == ["recipe"]
