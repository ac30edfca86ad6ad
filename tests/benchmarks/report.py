"""What the benchmarks that write tables have in common."""

from __future__ import annotations

import contextlib
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

import texsyn
from texsyn.core.recipes import OBJECTIVES
from texsyn.media.exemplar import Exemplar, as_tuple
from texsyn.training import loop

VIDEOS = Path(__file__).parent.parent.parent / "videos"


def learnt(
    exemplar: Exemplar | tuple[Exemplar, ...], steps: int, objective: str = "triangle", **changes: object
) -> tuple[texsyn.Triangle, loop.TrainState]:
    """A model after so many steps of recipe `fast`."""
    first = as_tuple(exemplar)[0]
    how = {} if objective == "triangle" else vars(OBJECTIVES[objective])
    recipe = texsyn.recipe_for("fast", first.modality, steps=steps, **{**how, **changes})
    triangle = texsyn.create(exemplar, recipe)
    *_, last = texsyn.fit(triangle, exemplar, recipe)
    return triangle, last.state


def table(names: list[str], rows: list[list[object]]) -> str:
    """In Markdown."""
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    return "\n".join(lines + [f"| {' | '.join(map(str, row))} |" for row in rows]) + "\n"


def seconds(call: Callable[[], object], times: int = 3) -> float:
    """The least of a few."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)


def child(*command: str) -> tuple[float, float]:
    """Seconds and peak memory in GB of a command, start-up included.

    Not the peak that `wait4` tells: to that, what this process holds when it begins the other is the least.
    """
    start, peak = time.perf_counter(), 0
    with subprocess.Popen([sys.executable, "-m", "texsyn", *command], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            with contextlib.suppress(OSError):
                found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
                peak = int(found[1]) if found else peak
            time.sleep(0.01)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return time.perf_counter() - start, peak / 1e6


def machine() -> str:
    """When and on what."""
    told = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", told)
    gpu = [torch.cuda.get_device_name()] if torch.cuda.is_available() else []
    parts = [
        time.strftime("%Y-%m-%d"),
        " ".join(model[1].split()) if model else platform.machine(),
        *(["matrix units"] if "amx_bf16" in told else []),
        *gpu,
        f"{torch.get_num_threads()} thread(s)",
        f"Python {platform.python_version()}",
        f"torch {torch.__version__}",
        f"texsyn {texsyn.__version__}",
    ]
    return ", ".join(parts)


def store(report: Path, title: str, name: str, command: str, said: str) -> None:
    """Put a section of a report in the place of its old one."""
    section = f"## {name}\n\n`{command}`, {machine()}\n\n{said}\n"
    old = report.read_text() if report.exists() else f"# {title}\n\n"
    found = re.compile(rf"## {re.escape(name)}\n.*?(?=## |\Z)", re.S)
    report.write_text(found.sub(lambda _: section, old) if found.search(old) else old + section)
