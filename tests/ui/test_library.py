"""The library: facts about runs, titles, search, and the origin of a texture."""

from __future__ import annotations

import pytest
from browser import Visit
from library import Library
from server import ROOT

import texsyn
from texsyn import Status


def test_a_run_is_described_and_renamed(tab, trained_run):
    page, title = tab.page, trained_run.title
    page.get_by_role("button", name="Rename or delete").click()
    tab.wait_for_text("#run-facts", "MB on disk")
    page.get_by_label("Title").fill("my beans")
    page.locator("#rename").click()
    page.wait_for_function("document.querySelector('#run input')?.value == 'my beans'")
    page.wait_for_selector("#covers img[alt='my beans']")
    trained_run.rename(title)


def test_a_search_leaves_what_has_the_words(tab, trained_run):
    page, cover = tab.page, tab.page.locator("#covers img")
    cover.first.wait_for()
    page.get_by_placeholder("Search").fill("no such texture")
    cover.first.wait_for(state="detached")
    page.get_by_placeholder("Search").fill(trained_run.title[:4].upper())
    cover.first.wait_for()


def test_the_origin_of_a_texture_is_read(tab, trained_run, tmp_path):
    texture = texsyn.sample(trained_run.triangle())[0]
    texsyn.write(texture, tmp_path / "texture.png", metadata={**trained_run.made_by(), "seed": 0})
    tab.open_tab("Check")
    tab.page.locator("#texture-file input[type=file]").set_input_files(tmp_path / "texture.png")
    tab.wait_for_text("#origin", "exemplar_sha256")


@pytest.fixture
def second_run(server, find_new_run):
    return texsyn.prepare([ROOT / "videos" / "gravel.png"], server.runs / "second")


def test_a_run_is_deleted_after_a_question(second_run, visit, server, trained_run):
    visit.wait_for_text("#status", "Not started yet")
    visit.page.get_by_role("button", name="Rename or delete").click()
    visit.page.once("dialog", lambda dialog: dialog.accept())
    visit.page.locator("#delete").click()
    visit.wait_for_text("#status", "Finished")
    assert server.run_folders() == {trained_run.path}


def test_several_runs_are_deleted_at_once(server, browser, trained_run):
    for name in ("first", "second"):
        texsyn.prepare([ROOT / "videos" / "gravel.png"], server.runs / name).rename(f"{name} gravel")
    visit = Visit(browser, server)
    page = visit.page
    page.get_by_role("button", name="Rename or delete").click()
    for name in ("first", "second"):
        page.locator("#several input").click()
        page.get_by_role("option", name=f"{name} gravel").click()
    page.keyboard.press("Escape")
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#delete-several").click()
    visit.wait_for_text("#status", "Finished")
    assert server.run_folders() == {trained_run.path}
    visit.close()


def test_the_state_of_a_settled_run_is_read_once(tmp_path, monkeypatch, trained_run):
    """Many pages ask for the state of every run each few seconds."""
    library = Library.__new__(Library)
    library._settled = {}
    asked = []
    monkeypatch.setattr(texsyn, "status", lambda run: (asked.append(run), Status("stopped"))[1])
    assert [library._state(trained_run, False) for _ in range(3)] == ["stopped"] * 3
    assert len(asked) == 1
    library._state(trained_run, True)  # in the queue
    trained_run.event_file.touch()
    library._state(trained_run, False)
    assert len(asked) == 3
