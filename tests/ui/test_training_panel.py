"""Training: a fit is seen from its start to its pause, from every tab, and outlives the server."""

from __future__ import annotations

import shutil
import time

import pytest
from browser import Visit
from gradio_client import Client, handle_file
from server import ROOT

from texsyn import Run, status


def test_a_fit_is_watched_from_its_start_to_its_pause(browser, server, visit, find_new_run):
    page = visit.page
    visit.choose_example(0)
    visit.wait_for_text("#summary", "trained at 224 x 224")
    visit.screenshot("start")
    page.get_by_label("Until I stop it").check()
    page.locator("#start").click()
    visit.wait_for_text("#status", "Training")

    visit.reload()  # a reloaded page shows the same fit, and so does another person's
    page.locator("#status").wait_for()
    visit.wait_for_text("#status", "Training")
    second = Visit(browser, server)
    second.wait_for_text("#status", "Training")
    second.close()

    visit.wait_for_picture("after")
    assert visit.shown()["loaded"] == ["sample", "exemplar"]
    visit.wait_for_text("#card", "sharpness")
    visit.screenshot("watch")
    visit.pause()
    assert status(find_new_run()).state == "stopped"


def test_a_clip_is_trimmed_trained_and_looped(visit, find_new_run):
    page = visit.page
    visit.open_new()
    page.locator("#upload input[type=file]").set_input_files(ROOT / "videos" / "water.mp4")
    visit.wait_for_text("#summary", "Clip")
    page.get_by_role("button", name="More settings").click()
    page.get_by_label("Clip: first frame").fill("8")
    page.get_by_label("Clip: number of frames").fill("48")
    page.get_by_role("button", name="Read again").click()
    visit.wait_for_text("#summary", "48 of 128 frames")
    page.get_by_label("Until I stop it").check()
    page.locator("#start").click()
    visit.wait_for_text("#status", "Training")
    visit.pause()
    page.locator("#finish").click()
    visit.wait_for_text("#status", "Finished")
    assert status(find_new_run()).state == "finished"
    visit.open_tab("Sample")
    page.locator("#new-samples").click()
    page.wait_for_selector("#samples video")
    visit.wait_for_picture("seed 0")
    assert visit.shown()["clips"] == 2  # exemplar and sample
    page.locator("#viewer [data-toggle=play]").click()
    assert visit.shown()["paused"]


@pytest.fixture
def older_run(server, find_new_run):
    shutil.copytree(ROOT / "tests" / "golden" / "format-1-unfinished", server.runs / "older")
    (server.runs / "older").touch()  # the newest run is watched
    return find_new_run()


def test_a_run_of_an_older_version_is_shown_and_not_trained_on(older_run, visit):
    visit.wait_for_picture("after")  # its contact sheet
    visit.page.locator("#resume").click()
    visit.page.get_by_text("trained by an older version").first.wait_for()
    assert status(older_run).state == "interrupted"


def test_a_killed_server_loses_no_fit(browser, server, find_new_run):
    exemplar = handle_file(str(ROOT / "videos" / "gravel.png"))
    name = Client(server.address, verbose=False).predict(exemplar=exemplar, minutes=5.0, api_name="/fit")
    run = Run.open(server.runs / name)
    deadline = time.monotonic() + 120
    while status(run).step < 2:
        assert time.monotonic() < deadline
        time.sleep(0.3)
    server.stop(kill=True)
    before = status(run)
    assert before.state == "running"
    server.start()
    visit = Visit(browser, server)
    visit.wait_for_text("#status", "Training")
    assert status(run).step >= before.step
    visit.pause()
    visit.close()
