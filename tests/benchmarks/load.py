"""Many people looking on: python tests/benchmarks/load.py [--clients 16] [--minutes 5]

The real app and a real fit; each client asks for the run's status once a second. Prints the 95th percentile of an
answer, and memory and temporary files of the server before and after, and appends them to LOAD.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
from gradio_client import Client, handle_file

import texsyn

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def resident(pid: int) -> float:
    """Megabytes of memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def files(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if path.is_file())


def ask(address: str, run: str) -> None:
    """One poll as any HTTP client makes it. (Python's own client spends more on it than the server does.)"""
    call = f"{address}/gradio_api/call/status"
    asked = urllib.request.Request(call, json.dumps({"data": [run]}).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{call}/{event}", timeout=30) as answer:
        told = answer.read().decode()
    if "event: complete" not in told or '"state"' not in told:
        raise RuntimeError(told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--runs", type=Path, help="folder for the run, to look at afterwards")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["TMPDIR"] = name
        tempfile.tempdir = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        runs = options.runs or folder / "runs"
        command = [sys.executable, str(ROOT / "ui" / "app.py"), "--port", str(port), "--runs", str(runs)]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            print(report(options, server, f"http://127.0.0.1:{port}", folder, runs))
        finally:
            for path in runs.iterdir():
                if (path / "run.json").exists():
                    texsyn.stop(texsyn.Run.open(path))
            server.terminate()
            server.wait(30)


def report(options: argparse.Namespace, server: subprocess.Popen[bytes], address: str, folder: Path, runs: Path) -> str:
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            break
        except OSError:
            time.sleep(0.5)
    first = Client(address, verbose=False)
    exemplar = handle_file(str(ROOT / "videos" / "beans.png"))
    run = first.predict(exemplar=exemplar, minutes=options.minutes + 2, api_name="/fit")
    for _ in range(options.clients):
        ask(address, run)
    before = resident(server.pid), files(runs / run), _temporary(folder)
    taken: list[float] = []
    failed: list[str] = []
    end = time.monotonic() + 60 * options.minutes

    def poll(delay: float) -> None:
        time.sleep(delay)  # people do not begin at one moment
        while (start := time.monotonic()) < end:
            try:
                ask(address, run)
                taken.append(time.monotonic() - start)
            except Exception as error:  # whatever it is, it is a failed answer  # noqa: BLE001
                failed.append(repr(error))
            time.sleep(max(0.0, 1 - (time.monotonic() - start)))

    delays = np.random.default_rng(0).uniform(0, 1, options.clients)
    threads = [threading.Thread(target=poll, args=(delay,)) for delay in delays]
    for thread in threads:
        thread.start()
    grown = []
    while any(thread.is_alive() for thread in threads):
        grown.append(resident(server.pid))
        time.sleep(min(60.0, max(1.0, end - time.monotonic())))
    status = first.predict(run=run, api_name="/status")
    after = resident(server.pid), files(runs / run), _temporary(folder)
    middle, late, last = (1000 * float(np.percentile(taken, share)) for share in (50, 95, 100))
    machine = f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores"
    command = f"python tests/benchmarks/load.py --clients {options.clients} --minutes {options.minutes:g}"
    text = (
        f"\n## `{command}`, {machine}\n\n"
        f"{len(taken)} answers, {len(failed)} failed; median {middle:.0f} ms, 95th percentile {late:.0f} ms, slowest "
        f"{last:.0f} ms. The server's memory, at the start, after each minute and at the end: "
        f"{', '.join(f'{each:.0f}' for each in (*grown, after[0]))} MB; its temporary files "
        f"{before[2]} -> {after[2]}; the run's files {before[1]} -> {after[1]}. The fit went on beside it: "
        f"{status['state']}, {status['step']} steps.\n"
    )
    with (HERE / "LOAD.md").open("a") as file:
        file.write(text)
    return text


def _temporary(folder: Path) -> int:
    return sum(files(path) for path in folder.iterdir() if path.name.startswith("texsyn-app-"))


if __name__ == "__main__":
    main()
