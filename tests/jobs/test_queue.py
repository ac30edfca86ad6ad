"""Fits on one device take turns, whatever becomes of those before them."""

import os
import signal

import pytest

from texsyn import TexsynError, advance, queued
from texsyn.jobs.process import start, status, stop
from texsyn.jobs.queue import pid_of, ticket_of, turn
from texsyn.runs.fitting import fit_run

pytestmark = pytest.mark.usefixtures("own_queue")


def test_one_after_another_and_a_queued_one_can_be_cancelled(new_run, wait_for):
    first, second, third = (new_run(name) for name in ("first", "second", "third"))
    start(first)
    wait_for(first, "running")
    start(second)
    start(third)
    assert status(second).state == "queued"
    assert status(second).ahead == 1
    assert status(third).ahead == 2
    stop(second)
    assert status(second).state == "new"
    assert status(first).state == "running"
    stop(first)
    stopped = status(first)
    assert stopped.state == "stopped"
    assert stopped.step >= 1
    wait_for(third, "running")
    stop(third)
    start(first)
    wait_for(first, "running")
    stop(first)
    assert status(first).step >= stopped.step


def test_a_waiting_fit_can_be_given_the_next_turn(new_run, wait_for):
    first, second, third, fourth = runs = [new_run(name) for name in ("first", "second", "third", "fourth")]
    for run in runs:
        start(run)
    assert queued() == [run.path.resolve() for run in runs]
    for run in (fourth, first, third, third):  # what trains and what is next already stay where they are
        advance(run)
    assert queued() == [run.path.resolve() for run in (first, third, fourth, second)]
    assert [status(run).ahead for run in runs] == [0, 3, 1, 2]
    stop(first)
    assert wait_for(third, "running").state == "running"
    stop(fourth)
    assert queued() == [run.path.resolve() for run in (third, second)]
    stop(third)
    wait_for(second, "running")
    stop(second)
    assert queued() == []
    advance(second)


def test_a_killed_fit_is_interrupted_and_others_get_their_turn(new_run, wait_for):
    first, second = (new_run(name) for name in ("first", "second"))
    start(first)
    wait_for(first, "running")
    start(second)
    os.kill(pid_of(ticket_of(first)), signal.SIGKILL)
    assert wait_for(first, "interrupted").state == "interrupted"
    wait_for(second, "running")
    stop(second)


def test_tickets_are_not_left_where_a_link_leads(tmp_path, new_run):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "temporary" / f"texsyn-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TexsynError, match="not a folder of this user"):
        status(new_run("run"))


def test_a_run_that_is_being_scored_is_not_queued_again(new_run):
    run = new_run("run", steps=2)
    with turn(run, "cpu", print):
        assert status(run).state == "queued"
        for _ in fit_run(run, run.fresh(), run.exemplars(), run.recipe, print):
            pass
        assert (status(run).state, status(run).progress) == ("running", 1)
    assert status(run).state == "finished"
