"""Favourites, what was made before, and textures that are dropped: each is made again."""

from __future__ import annotations

import history
import pytest
from samples import Choice
from server import ROOT

import texsyn
from texsyn import TexsynError


@pytest.fixture
def panel(visit, trained_run):
    visit.open_tab("Sample")
    visit.wait_for_picture("steps")
    return visit


def test_favourites_and_what_was_made_come_back(panel):
    page = panel.page
    page.locator("#new-samples").click()
    panel.wait_for_picture("seed 0")
    page.get_by_label("Another").check()
    page.get_by_label("Width").fill("300")
    page.get_by_label("Height").fill("200")
    page.locator("#seed-after").click()
    panel.wait_for_picture("seed 1")
    page.locator("#favour").click()
    page.locator("#favourites img").first.wait_for()
    panel.reload()
    panel.wait_for_picture("steps")
    page.locator("#favourites button:has(img)").first.click()
    panel.wait_for_picture("seed 1")
    assert page.get_by_label("Width").input_value() == "300"
    page.locator("#history input").click()
    page.get_by_role("option", name="seed 0", exact=True).click()
    panel.wait_for_picture("seed 0")
    assert page.get_by_label("The exemplar's").is_checked()
    page.locator("#favourites button:has(img)").first.click()
    panel.wait_for_picture("seed 1")
    page.locator("#favour").click()  # no longer
    page.locator("#favourites img").first.wait_for(state="detached")


def made(run, path, **settings):
    """A texture as a sample of a run is stored."""
    texsyn.write(texsyn.sample(run.triangle())[0], path, metadata={**run.made_by(), "size": [224, 224], **settings})
    return path


def drop(page, selector, path):
    """Drop a file from outside the browser."""
    files = page.evaluate_handle(
        """bytes => {
            const list = new DataTransfer();
            list.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
            return list;
        }""",
        list(path.read_bytes()),
    )
    page.dispatch_event(selector, "drop", {"dataTransfer": files})


def test_a_texture_that_is_dropped_on_the_picture_is_made_again(panel, trained_run, tmp_path):
    drop(panel.page, "#viewer canvas", made(trained_run, tmp_path / "a.png", seed=7, size=[200, 300], tile="x"))
    panel.wait_for_picture("seed 7")
    assert panel.page.get_by_label("Width").input_value() == "300"
    assert panel.page.get_by_role("radio", name="x", exact=True).is_checked()
    panel.page.locator("#dropped input[type=file]").set_input_files(ROOT / "videos" / "gravel.png")
    panel.page.get_by_text("has no texsyn metadata").first.wait_for()


@pytest.fixture
def other_run(server, find_new_run):
    return texsyn.unpack(ROOT / "ui" / "fitted" / "beans.zip", server.runs / "other")


def test_of_another_run_it_chooses_that(other_run, visit, trained_run, tmp_path):
    visit.wait_for_picture("after 4,000 steps")  # the newest run
    visit.open_tab("Sample")
    visit.page.locator("#dropped input[type=file]").set_input_files(made(trained_run, tmp_path / "a.png", seed=4))
    visit.wait_for_picture("seed 4")
    visit.page.wait_for_timeout(1500)
    visit.wait_for_picture("seed 4")
    assert visit.page.locator("#run input").input_value() != "beans" or len(visit.page.locator("#run").all()) == 1


def entries(count, run="run"):
    return [history.entry(run, Choice(seed), [history.OWN, 0, 0, 0, "xy"]) for seed in range(count)]


def test_a_history_holds_each_setting_once_and_the_oldest_are_forgotten():
    found = []
    for each in [*entries(history.MOST + 5), *entries(3)]:
        found = history.noted(found, each)
    assert [each["seed"] for each in found[:4]] == [2, 1, 0, history.MOST + 4]
    assert len(found) == history.MOST
    found = history.favoured(found, entries(3)[1])
    for each in entries(history.MOST + 200, "another"):
        found = history.noted(found, each)
    assert [each["seed"] for each in history.favourites(found, "run")] == [1]
    assert len(found) == history.MOST + 1
    assert not history.favourites(history.favoured(found, entries(2)[1]), "run")


def test_settings_in_words():
    like = history.entry("run", Choice(9, like=3), [history.ANOTHER, 300, 200, 48, "x"])
    assert history.label(like) == "like 3, 9, 300 x 200, 48 frames, tiles along x"
    assert history.label(history.entry("run", Choice(9), ["512", 0, 0, 0, "xy"])) == "seed 9, 512 x 512"


def test_facts_of_textures_become_settings(trained_run):
    own = {**trained_run.made_by(), "size": [224, 224]}
    for facts, choice, shape in (
        ({"seed": 3}, Choice(3), [history.OWN, 224, 224, 0, "xy"]),
        ({"between": [2, 10_005], "share": 0.3}, Choice(5, 2), [history.OWN, 224, 224, 0, "xy"]),
        ({"seed": 3, "size": [64, 512], "tile": "none"}, Choice(3), [history.ANOTHER, 512, 64, 0, "none"]),
    ):
        found = history.from_facts({**own, **facts}, [trained_run])
        assert (history.choice_of(found), found["shape"]) == (choice, shape)
    for facts, message in (
        ({**own, "morph": [[0, 1], [0, 2]]}, "not made as a sample is"),
        ({**own, "seed": 1, "fit_seed": 77}, "no run here was trained"),
    ):
        with pytest.raises(TexsynError, match=message):
            history.from_facts(facts, [trained_run])
