"""The app under load: python tests/benchmarks/load.py [--clients 16] [--minutes 5]

The real app and a real fit; each client requests the run's status once a second, and one more samples every 5 seconds.
Prints response times, and memory and temporary files of the server, and appends them to LOAD.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from report import machine

import texsyn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from server import ROOT, Server, serve  # noqa: E402


@dataclass
class Load:
    """Measurements; times in milliseconds, memory in MB at the start and after each minute."""

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

    def describe(self) -> str:
        memory = ", ".join(f"{each:.0f}" for each in self.memory)
        return (
            f"{len(self.taken)} answers, {len(self.failed)} failed; median {np.median(self.taken):.0f} ms, 95th "
            f"percentile {self.late:.0f} ms, slowest {max(self.taken):.0f} ms; {self.samples} samples meanwhile. The "
            f"server's memory, at the start and after each minute: {memory} MB; its temporary files "
            f"{self.temporary[0]} -> {self.temporary[-1]}. The fit meanwhile: {self.state}, {self.step} steps."
        )


def call(address: str, name: str, *data: Any) -> Any:
    """One call over plain HTTP: Gradio's Python client takes more time for it than the server does."""
    place = f"{address}/gradio_api/call/{name}"
    request = urllib.request.Request(place, json.dumps({"data": data}).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{place}/{event}", timeout=60) as answer:
        events = answer.read().decode()
    if "event: complete" not in events:
        raise RuntimeError(events[:300])
    return json.loads(events.split("event: complete\ndata: ", 1)[1].splitlines()[0])[0]


def measure(server: Server, clients: int, minutes: float, exemplar: Path = ROOT / "videos" / "beans.png") -> Load:
    """Start a fit of an exemplar, poll it for so many minutes, and sample the shipped run meanwhile."""
    from gradio_client import Client, handle_file

    fit = {"exemplar": handle_file(str(exemplar)), "minutes": minutes + 5}
    run = Client(server.address, verbose=False).predict(**fit, api_name="/fit")
    fitted = texsyn.unpack(ROOT / "ui" / "fitted" / "beans.zip", server.runs / "fitted").path.name
    while (status := call(server.address, "status", run))["step"] < 1:
        if status["state"] not in ("queued", "running"):
            raise RuntimeError(f"the fit ended: {status}")
        time.sleep(1)
    load = Load()
    for seed in range(3):  # fills the caches of the model and of samples
        call(server.address, "sample", fitted, seed, 224, 224, "")
    for _ in range(clients):
        call(server.address, "status", run)
    end = time.monotonic() + 60 * minutes

    def poll(delay: float) -> None:
        time.sleep(delay)  # clients do not start at the same moment
        while (start := time.monotonic()) < end:
            try:
                if "state" not in call(server.address, "status", run):
                    raise RuntimeError("no state")
                load.taken.append(1000 * (time.monotonic() - start))
            except Exception as error:  # any error is a failed answer  # noqa: BLE001
                load.failed.append(repr(error))
            time.sleep(max(0.0, 1 - (time.monotonic() - start)))

    def sample() -> None:
        while time.monotonic() < end:
            try:
                call(server.address, "sample", fitted, load.samples % 3, 224, 224, "")
                load.samples += 1
            except Exception as error:  # likewise  # noqa: BLE001
                load.failed.append(repr(error))
            time.sleep(5)

    delays = np.random.default_rng(0).uniform(0, 1, clients)
    threads = [threading.Thread(target=poll, args=(delay,)) for delay in delays] + [threading.Thread(target=sample)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        load.memory.append(server.memory())
        load.temporary.append(server.count_temporary_files())
        time.sleep(min(60.0, max(1.0, end - time.monotonic())))
    load.memory.append(server.memory())
    load.temporary.append(server.count_temporary_files())
    status = call(server.address, "status", run)
    load.state, load.step = status["state"], status["step"]
    return load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=5.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, serve(Path(name)) as server:
        load = measure(server, options.clients, options.minutes)
    command = f"python tests/benchmarks/load.py --clients {options.clients} --minutes {options.minutes:g}"
    text = f"\n## `{command}`, {machine()}\n\n{load.describe()}\n"
    print(text)
    with (HERE / "LOAD.md").open("a") as file:
        file.write(text)


if __name__ == "__main__":
    main()
