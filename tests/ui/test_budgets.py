"""How long to train: what a choice says, and what it does."""

from __future__ import annotations

import budgets
from browser import Visit
from server import Server

from texsyn import FitOptions


def test_minutes_are_those_of_this_machine_and_kind():
    seconds = {"still": 0.09, "clip": 1.0}
    texts = [text for text, _ in budgets.choices("still", seconds)]
    assert texts == [
        "Draft: shapes and colours, about 2 minutes here",
        "Good: for use, about 6 minutes here",
        "Best: four times as long, about 24 minutes here",
        "Until I stop it",
    ]
    assert budgets.choices("clip", seconds)[1] == ("Good: for use, about 20 minutes here", "good")
    assert budgets.choices("still", {})[0] == ("Draft: shapes and colours", "draft")


def test_a_budget_is_steps_of_the_kind():
    assert budgets.options("draft", "still") == FitOptions(steps=1000)
    assert budgets.options("good", "clip") == FitOptions(steps=1200)
    assert budgets.options("best", "material") == FitOptions(steps=16_000)
    assert budgets.options("open", "still") == FitOptions(minutes=720)


def test_the_machine_is_timed_once_the_app_is_up(browser, tmp_path):
    """The first visitor may see no minutes yet; who reads an exemplar later does."""
    server = Server(tmp_path, timed=True)
    try:
        visit = Visit(browser, server)
        for _ in range(12):  # times what reading an exemplar takes, a process of its own
            visit.choose_example(1)
            if "here" in visit.page.locator("#budget").inner_text():
                break
            visit.page.wait_for_timeout(10_000)
        assert visit.page.locator("#budget").get_by_text("Good: for use, about").count() == 1
        visit.close()
    finally:
        server.stop()
