"""The app as a process in a folder of its own, for tests, trials and benchmarks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from texsyn import Run, stop

ROOT = Path(__file__).parent.parent
APP = ROOT / "ui" / "app.py"
_PATIENCE = 90  # seconds until the app must answer


class Server:
    """The app on a free port of this machine."""

    def __init__(self, folder: Path, *options: str, timed: bool = False) -> None:
        self.folder, self.options, self.timed = folder, options, timed
        self.runs, self.temporary = folder / "runs", folder / "temporary"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Start the process; returns when it answers."""
        self.temporary.mkdir(exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(self.temporary)}
        own = ["--port", str(self.port), "--runs", str(self.runs), *([] if self.timed else ["--untimed"])]
        command = [sys.executable, str(APP), *own, *self.options]
        self.log = (self.folder / "server.log").open("a")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=environment)
        deadline = time.monotonic() + _PATIENCE
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise RuntimeError(f"the app did not start: {self.log_text()}")
            time.sleep(0.3)

    def answers(self) -> bool:
        """Whether the app answers, if only that it needs a login."""
        try:
            urllib.request.urlopen(self.address, timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            return False
        return True

    def stop(self, kill: bool = False) -> None:
        self.process.kill() if kill else self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()

    def log_text(self) -> str:
        return (self.folder / "server.log").read_text()

    def run_folders(self) -> set[Path]:
        """The folders of all runs; drafts are none."""
        return {path for path in self.runs.iterdir() if (path / "run.json").exists()}

    def only_run(self) -> Run:
        (path,) = self.run_folders()
        return Run.open(path)

    def stop_fits(self) -> None:
        for path in self.run_folders():
            stop(Run.open(path))

    def memory(self) -> float:
        """Resident memory in megabytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def count_temporary_files(self) -> int:
        return sum(1 for path in self.temporary.rglob("*") if path.is_file())


@contextmanager
def queue_fits_in(folder: Path) -> Iterator[None]:
    """Use the queue of the fits whose temporary folder this is, instead of this machine's."""
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None  # so that TMPDIR is read again
    try:
        yield
    finally:
        os.environ.pop("TMPDIR") if before is None else os.environ.update(TMPDIR=before)
        tempfile.tempdir = None


@contextmanager
def serve(folder: Path, *options: str) -> Iterator[Server]:
    """The app in a folder, with a queue of its own. Its fits end with it."""
    with queue_fits_in(folder / "temporary"):
        server = Server(folder, *options)
        try:
            yield server
        finally:
            server.stop_fits()
            server.stop()
