"""The app as a process, for tests and benchmarks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from texsyn import Run, stop

ROOT = Path(__file__).parent.parent


class Server:
    """The app on a free port, in a folder of its own."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.folder, self.more = folder, more
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.start()

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def start(self) -> None:
        (self.folder / "temporary").mkdir(exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(self.folder / "temporary")}
        command = [sys.executable, str(ROOT / "ui" / "app.py"), "--port", str(self.port), "--runs", str(self.runs)]
        command += self.more
        self.log = (self.folder / "server.log").open("a")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=environment)
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(self.address, timeout=5).close()
                return
            except urllib.error.HTTPError:
                return  # it answers, if only that a login is needed
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.process.kill()
                    raise RuntimeError(f"the app did not start: {(self.folder / 'server.log').read_text()}") from None
                time.sleep(0.3)

    def stop(self, kill: bool = False) -> None:
        self.process.kill() if kill else self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()

    def only_run(self) -> Run:
        (path,) = (path for path in self.runs.iterdir() if (path / "run.json").exists())
        return Run.open(path)

    def resident(self) -> float:
        """Megabytes of memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def temporary(self) -> int:
        """Files of its own in the temporary folder."""
        return sum(1 for path in (self.folder / "temporary").rglob("*") if path.is_file())

    def stop_fits(self) -> None:
        for path in self.runs.iterdir():
            if (path / "run.json").exists():
                stop(Run.open(path))
