"""Fits as background processes: they start, stop and resume, and their folder alone shows where they stand."""

import signal
import subprocess
import sys
import threading

import pytest

from texsyn import FitOptions, TexsynError
from texsyn.jobs.process import start, status, stop

pytestmark = pytest.mark.usefixtures("own_queue")


def test_a_fit_runs_by_itself_to_its_end(new_run, wait_for):
    run = new_run("run", steps=60)
    assert status(run).state == "new"
    start(run)
    assert status(run).working
    with pytest.raises(TexsynError, match="being trained already"):
        start(run)
    done = wait_for(run, "finished")
    assert done.step == 60
    assert done.progress == 1
    assert done.curves[-1]["terms"].keys() >= {"reconstruction", "latent"}
    assert (run.path / "model").exists()


def test_a_fit_takes_its_options_as_words_or_as_an_object(new_run, wait_for):
    run = new_run("run", steps=4)
    for steps, options in ((5, FitOptions(steps=5, device="cpu", no_card=True)), (6, ["--steps", "6", "--no-card"])):
        start(run, options)
        assert wait_for(run, "finished").step == steps
    for options in (FitOptions(side=64), ["--side", "64"]):
        with pytest.raises(TexsynError, match="--resume takes its exemplar and its settings from the run") as refused:
            start(run, options)
        assert refused.value.exit == 2


def test_an_error_is_in_the_status(new_run, wait_for):
    run = new_run("run")
    (run.path / "exemplar" / "content.json").write_text("{}")
    (run.path / "exemplar" / "tensors.safetensors").write_bytes(b"no")
    start(run)
    found = wait_for(run, "failed")
    assert "exemplar is damaged" in found.message


def test_a_fit_on_the_command_line_is_seen_too(new_run, wait_for):
    run = new_run("run")
    command = [sys.executable, "-m", "texsyn", "fit", "--resume", str(run.path), "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_for(run, "running")
        process.send_signal(signal.SIGINT)
    assert wait_for(run, "stopped").state == "stopped"


def test_of_two_that_start_a_fit_at_once_one_is_refused(new_run, wait_for):
    run = new_run("run")
    refused: list[TexsynError] = []

    def press() -> None:
        try:
            start(run)
        except TexsynError as error:
            refused.append(error)

    clicks = [threading.Thread(target=press) for _ in range(2)]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    wait_for(run, "running")
    stop(run)
    assert [error.exit for error in refused] == [2]
    assert [event["event"] for event in run.events()].count("start") == 1
