"""Training: a fit is seen from its start to its pause, from every tab, and outlives the server."""

from __future__ import annotations

import shutil
import time

import pytest
from browser import Visit
from conftest import TINY
from gradio_client import Client, handle_file
from server import ROOT

from texsyn import FitOptions, Run, prepare, queued, start, status, stop


def test_a_fit_is_watched_from_its_start_to_its_pause(browser, server, visit, find_new_run, picture):
    page = visit.page
    visit.upload(picture)
    visit.wait_for_text("#summary", "trained at 64 x 64")
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


def test_a_killed_server_loses_no_fit(browser, server, find_new_run, picture):
    exemplar = handle_file(str(picture))
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


def test_earlier_previews_are_looked_at(visit, trained_run):
    first, *_, last = (preview.step for preview in trained_run.previews())
    visit.wait_for_picture(f"after {last:,} step")
    visit.page.locator("#moment input[type=range]").fill("1")
    visit.wait_for_picture(f"after {first:,} step")
    visit.page.locator("#moment input[type=number]").fill("2")
    visit.wait_for_picture(f"after {trained_run.previews()[1].step:,} step")


def test_a_waiting_fit_is_trained_next_and_its_end_is_told(browser, server, trained_run, picture):
    runs = []
    for name in ("one", "two", "three"):
        options = FitOptions(set=TINY, minutes=60.0, no_card=True)
        runs.append(prepare([picture], server.runs / name, options))
        start(runs[-1])
    visit = Visit(browser, server)
    visit.wait_for_text("#status", "Waiting for 2 other fits")
    visit.page.locator("#train-next").click()
    visit.wait_for_text("#status", "Waiting for 1 other fit ")
    assert queued() == [runs[n].path.resolve() for n in (0, 2, 1)]
    assert visit.page.locator("#train-next").is_hidden()
    stop(runs[0])
    visit.wait_for_text("#status", "Training")
    visit.page.wait_for_function("document.title.includes('%')")
    visit.page.evaluate(
        """() => {
            window.Notification = class { constructor(...words) { window.told = words; } };
            window.Notification.permission = "granted";
            Object.defineProperty(document, "hidden", { value: true });
        }"""
    )
    stop(runs[2])
    visit.page.wait_for_function("window.told?.[1].body.includes('The model is kept')")
    assert visit.page.title() == "texsyn"
    visit.close()
    stop(runs[1])
    for run in runs:
        run.discard()
