"""Fits as processes: they take turns, stop and go on, and their folder alone says where they stand."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import torch
from conftest import draw

from texsyn import Run, TexsynError, recipe_for, write
from texsyn.jobs import queue, sandbox
from texsyn.jobs.process import Status, start, status, stop
from texsyn.jobs.queue import pid_of, ticket_of, turn
from texsyn.jobs.sandbox import _limit, origin, prepare
from texsyn.media.reader import read


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    """Tickets of these tests alone, and one thread for each fit."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(queue.tempfile, "tempdir", None)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def make(tmp_path, name: str, **changes) -> Run:
    draw(tmp_path / "waves.png")
    exemplar = read(tmp_path / "waves.png")
    changes = {
        "width_multiplier": 0.1,
        "batch_size": 1,
        "checkpoint_interval": 5,
        "precision": "float32",
        "steps": 100_000,
        **changes,
    }
    return Run.create(tmp_path / name, exemplar, recipe_for("fast", exemplar.modality, **changes), "fast")


def until(run: Run, *states: str, patience: float = 60.0) -> Status:
    deadline = time.monotonic() + patience
    while (found := status(run)).state not in states:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def test_a_fit_runs_by_itself_stops_and_goes_on_to_its_end(tmp_path):
    run = make(tmp_path, "run", steps=60)
    assert status(run).state == "new"
    start(run)
    assert status(run).working
    with pytest.raises(TexsynError, match="being learnt already"):
        start(run)
    done = until(run, "finished")
    assert done.step == 60
    assert done.progress == 1
    assert done.curves[-1]["terms"].keys() >= {"reconstruction", "latent"}
    assert (run.path / "model").exists()


def test_one_after_another_and_a_queued_one_can_be_cancelled(tmp_path):
    first, second, third = (make(tmp_path, name) for name in ("first", "second", "third"))
    start(first)
    until(first, "running")
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
    until(third, "running")
    stop(third)
    start(first)
    until(first, "running")
    stop(first)
    assert status(first).step >= stopped.step


def test_a_killed_fit_is_interrupted_and_others_get_their_turn(tmp_path):
    first, second = (make(tmp_path, name) for name in ("first", "second"))
    start(first)
    until(first, "running")
    start(second)
    os.kill(pid_of(ticket_of(first)), signal.SIGKILL)
    assert until(first, "interrupted").state == "interrupted"
    until(second, "running")
    stop(second)


def test_what_goes_wrong_is_said(tmp_path):
    run = make(tmp_path, "run")
    (run.path / "exemplar" / "content.json").write_text("{}")
    (run.path / "exemplar" / "tensors.safetensors").write_bytes(b"no")
    start(run)
    found = until(run, "failed")
    assert "exemplar is damaged" in found.message


def test_a_fit_on_the_command_line_is_seen_too(tmp_path):
    run = make(tmp_path, "run")
    command = [sys.executable, "-m", "texsyn", "fit", "--resume", str(run.path), "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        until(run, "running")
        process.send_signal(signal.SIGINT)
    assert until(run, "stopped").state == "stopped"


def test_an_upload_is_read_in_a_process_of_its_own(tmp_path):
    draw(tmp_path / "-waves.png", (96, 64))
    run = prepare([tmp_path / "-waves.png"], tmp_path / "draft", ["--seed", "4", "--crop", "64x64+8+0"])
    assert run.recipe.seed == 4
    assert run.exemplars()[0].size == (64, 64)
    assert status(run).state == "new"
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 100)
    with pytest.raises(TexsynError, match="cannot be read as a PNG picture"):
        prepare([tmp_path / "broken.png"], tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_what_made_a_texture_is_read_the_same_way(tmp_path):
    texture = torch.zeros(3, 8, 8)
    write(texture, tmp_path / "--made.png", metadata={"seed": 7})
    assert origin(tmp_path / "--made.png") == {"seed": 7}
    draw(tmp_path / "waves.png")
    with pytest.raises(TexsynError, match="says nothing of texsyn"):
        origin(tmp_path / "waves.png")


def test_reading_has_limits(tmp_path, monkeypatch):
    draw(tmp_path / "waves.png")
    monkeypatch.setattr(sandbox, "_MEMORY", 100_000_000)
    with pytest.raises(TexsynError, match="memory"):
        prepare([tmp_path / "waves.png"], tmp_path / "draft")
    monkeypatch.undo()
    monkeypatch.setattr(sandbox, "_SECONDS", 0.01)
    monkeypatch.setattr(sandbox, "_limit", lambda: None)
    with pytest.raises(TexsynError, match=r"more than 0\.01 seconds"):
        prepare([tmp_path / "waves.png"], tmp_path / "draft")


def test_runs_are_renamed_measured_and_discarded(tmp_path):
    run = make(tmp_path, "run")
    assert run.title == "waves"
    run.rename("  my   waves ")
    assert Run.open(run.path).title == "my waves"
    with pytest.raises(TexsynError, match="1 to 80"):
        run.rename(" ")
    assert run.bytes > 10_000
    run.discard()
    assert not run.path.exists()


def test_what_reads_uploads_has_no_network():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
        alone = subprocess.run([sys.executable, "-c", code], capture_output=True, preexec_fn=_limit, check=False)
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
    if alone.returncode == 0:
        pytest.skip("this system lets no process have a network of its own")
    assert b"unreachable" in alone.stderr.lower() or b"errno" in alone.stderr.lower()


def test_of_two_that_start_a_fit_at_once_one_is_refused(tmp_path):
    run = make(tmp_path, "run")
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
    until(run, "running")
    stop(run)
    assert [error.exit for error in refused] == [2]
    assert [event["event"] for event in run.events()].count("start") == 1


def test_tickets_are_not_left_where_a_link_leads(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "temporary" / f"texsyn-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TexsynError, match="not a folder of this user's"):
        status(make(tmp_path, "run"))


def test_a_run_that_is_being_scored_is_not_queued_again(tmp_path):
    run = make(tmp_path, "run", steps=2)
    with turn(run, "cpu", print):
        assert status(run).state == "queued"
        for _ in run.learn(run.fresh(), run.exemplars(), run.recipe, print):
            pass
        assert (status(run).state, status(run).progress) == ("running", 1)
    assert status(run).state == "finished"
