"""Runs and exemplars for background processes and batches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL, draw

from texsyn import Run, Status, read, recipe_for, status
from texsyn.cli.entry import main
from texsyn.jobs import queue


@pytest.fixture
def own_queue(tmp_path, monkeypatch) -> None:
    """A queue of this test's fits alone, and one thread for each fit."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(queue.tempfile, "tempdir", None)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def new_run(tmp_path) -> Callable[..., Run]:
    """Create a tiny run with so many steps that it does not end by itself, unless `changes` say otherwise."""

    def new_run(name: str, **changes: Any) -> Run:
        draw(tmp_path / "waves.png")
        exemplar = read(tmp_path / "waves.png")
        changes = {
            "width_multiplier": 0.1,
            "batch_size": 1,
            "bandwidth": 0.15,
            "checkpoint_interval": 5,
            "precision": "float32",
            "steps": 100_000,
            **changes,
        }
        return Run.create(tmp_path / name, exemplar, recipe_for("fast", exemplar.modality, **changes), "fast")

    return new_run


@pytest.fixture
def wait_for() -> Callable[..., Status]:
    """Wait until a run is in one of some states; until training has begun, where that is "running"."""

    def reached(found: Status, run: Run, states: tuple[str, ...]) -> bool:
        return found.state in states and (found.state != "running" or bool(run.events()))

    def wait_for(run: Run, *states: str, patience: float = 60.0) -> Status:
        deadline = time.monotonic() + patience
        while not reached(found := status(run), run, states):
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
        return found

    return wait_for


@pytest.fixture
def folder(tmp_path) -> Path:
    """An empty folder of exemplars."""
    (tmp_path / "exemplars").mkdir()
    return tmp_path / "exemplars"


@pytest.fixture
def run_batch(capsys) -> Callable[..., tuple[int, list[dict[str, Any]], str]]:
    """Run `texsyn batch`; returns its exit code, its rows by name, and stderr."""

    def run_batch(*words: object) -> tuple[int, list[dict[str, Any]], str]:
        code = main(["batch", *map(str, words), *SMALL, "--json"])
        out, err = capsys.readouterr()
        return code, sorted((json.loads(line) for line in out.splitlines()), key=lambda row: row["name"]), err

    return run_batch
