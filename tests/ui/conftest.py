"""One server with one trained run for all tests of the app, and a browser."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Visit, open_browser, require_browser
from conftest import SMALL
from server import ROOT, Server, queue_fits_in

from texsyn import Run, stop

TRAINED = "trained"


@pytest.fixture(scope="session")
def fitted_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that the first of all processes which run tests trains, while the others wait."""
    own = tmp_path_factory.getbasetemp()
    run = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / TRAINED
    with run.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not run.exists():
            # Long enough for a preview and quick metrics, which come after ten seconds.
            command = [sys.executable, "-m", "texsyn", "fit", str(ROOT / "videos" / "beans.png"), "--minutes", "0.2"]
            subprocess.run([*command, *SMALL, "--quiet", "--out", str(run)], check=True)
    return run


@pytest.fixture(scope="session")
def session_server(tmp_path_factory: pytest.TempPathFactory, fitted_once: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("app")
    shutil.copytree(fitted_once, folder / "runs" / TRAINED)
    server = Server(folder)
    yield server
    with queue_fits_in(server.temporary):
        server.stop_fits()
    server.stop()


@pytest.fixture
def server(session_server: Server) -> Iterator[Server]:
    with queue_fits_in(session_server.temporary):
        yield session_server


@pytest.fixture
def trained_run(server: Server) -> Run:
    """A run of the server; the newest, as every test deletes its own."""
    return Run.open(server.runs / TRAINED)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    require_browser()
    with open_browser() as browser:
        yield browser


@pytest.fixture
def visit(browser: Any, server: Server) -> Iterator[Visit]:
    visit = Visit(browser, server)
    yield visit
    visit.close()


@pytest.fixture(scope="module")
def tab(browser: Any, session_server: Server) -> Iterator[Visit]:
    """A visit for those tests of a file that need no new page: to load one takes longer than most of them."""
    visit = Visit(browser, session_server)
    yield visit
    visit.close()


@pytest.fixture
def find_new_run(server: Server) -> Iterator[Callable[[], Run]]:
    """A function that finds the run which the test has started. The run is deleted after the test."""
    before = server.run_folders()

    def find() -> Run:
        (path,) = server.run_folders() - before
        return Run.open(path)

    yield find
    for path in server.run_folders() - before:
        stop(Run.open(path))
        Run.open(path).discard()
