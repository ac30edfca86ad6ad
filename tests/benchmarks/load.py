"""Many people looking on: python tests/benchmarks/load.py [--clients 16] [--minutes 5]

The real app and a real fit; each client asks for the run's status once a second, and one of them makes a sample now and
then. Prints the 95th percentile of an answer, and memory and temporary files of the server, and appends them to LOAD.md
beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import texsyn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from server import ROOT, Server  # noqa: E402


@dataclass
class Load:
    """What was measured; times in milliseconds, memory in MB at the start and after each minute."""

    taken: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    samples: int = 0
    memory: list[float] = field(default_factory=list)
    temporary: list[int] = field(default_factory=list)  # files
    state: str = ""
    step: int = 0

    @property
    def late(self) -> float:
        return float(np.percentile(self.taken, 95))

    def words(self) -> str:
        memory = ", ".join(f"{each:.0f}" for each in self.memory)
        return (
            f"{len(self.taken)} answers, {len(self.failed)} failed; median {np.median(self.taken):.0f} ms, 95th "
            f"percentile {self.late:.0f} ms, slowest {max(self.taken):.0f} ms; {self.samples} samples made beside. The "
            f"server's memory, at the start and after each minute: {memory} MB; its temporary files "
            f"{self.temporary[0]} -> {self.temporary[-1]}. The fit went on: {self.state}, {self.step} steps."
        )


def call(address: str, name: str, *data: Any) -> Any:
    """One call as any HTTP client makes it. (Python's own client spends more on it than the server does.)"""
    place = f"{address}/gradio_api/call/{name}"
    asked = urllib.request.Request(place, json.dumps({"data": data}).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{place}/{event}", timeout=60) as answer:
        told = answer.read().decode()
    if "event: complete" not in told:
        raise RuntimeError(told[:300])
    return json.loads(told.split("event: complete\ndata: ", 1)[1].splitlines()[0])[0]


def measure(server: Server, clients: int, minutes: float) -> Load:
    """Begin a fit, look on for so many minutes, and stop it."""
    from gradio_client import Client, handle_file

    exemplar = handle_file(str(ROOT / "videos" / "beans.png"))
    run = Client(server.address, verbose=False).predict(exemplar=exemplar, minutes=minutes + 2, api_name="/fit")
    while (begun := call(server.address, "status", run))["step"] < 105:  # the first checkpoint
        if begun["state"] not in ("queued", "running"):
            raise RuntimeError(f"the fit ended: {begun}")
        time.sleep(1)
    found = Load()
    for seed in range(3):  # the model is read, and what is kept of samples is there
        call(server.address, "sample", run, seed, 224, 224)
    for _ in range(clients):
        call(server.address, "status", run)
    end = time.monotonic() + 60 * minutes

    def poll(delay: float) -> None:
        time.sleep(delay)  # people do not begin at one moment
        while (start := time.monotonic()) < end:
            try:
                if "state" not in call(server.address, "status", run):
                    raise RuntimeError("no state")
                found.taken.append(1000 * (time.monotonic() - start))
            except Exception as error:  # whatever it is, it is a failed answer  # noqa: BLE001
                found.failed.append(repr(error))
            time.sleep(max(0.0, 1 - (time.monotonic() - start)))

    def make() -> None:
        while time.monotonic() < end:
            try:
                call(server.address, "sample", run, found.samples % 3, 224, 224)
                found.samples += 1
            except Exception as error:  # likewise  # noqa: BLE001
                found.failed.append(repr(error))
            time.sleep(5)

    delays = np.random.default_rng(0).uniform(0, 1, clients)
    threads = [threading.Thread(target=poll, args=(delay,)) for delay in delays] + [threading.Thread(target=make)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found.memory.append(server.resident())
        found.temporary.append(server.temporary())
        time.sleep(min(60.0, max(1.0, end - time.monotonic())))
    found.memory.append(server.resident())
    found.temporary.append(server.temporary())
    status = call(server.address, "status", run)
    found.state, found.step = status["state"], status["step"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=5.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["TMPDIR"] = str(Path(name) / "temporary")  # where the tickets of its fits lie
        tempfile.tempdir = None
        server = Server(Path(name))
        try:
            found = measure(server, options.clients, options.minutes)
        finally:
            server.stop_fits()
            server.stop()
    machine = f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, texsyn {texsyn.__version__}"
    command = f"python tests/benchmarks/load.py --clients {options.clients} --minutes {options.minutes:g}"
    text = f"\n## `{command}`, {machine}\n\n{found.words()}\n"
    print(text)
    with (HERE / "LOAD.md").open("a") as file:
        file.write(text)


if __name__ == "__main__":
    main()
