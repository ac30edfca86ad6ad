"""What the benchmarks share: training, timing, tables, and reports of sections."""

from __future__ import annotations

import argparse
import contextlib
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

import texsyn
from texsyn.core.recipes import OBJECTIVES
from texsyn.media.exemplar import Exemplar, as_tuple
from texsyn.training.state import TrainState

VIDEOS = Path(__file__).parent.parent.parent / "videos"


def train(
    exemplar: Exemplar | tuple[Exemplar, ...], steps: int, objective: str = "triangle"
) -> tuple[texsyn.Triangle, TrainState]:
    """A model trained for `steps` steps of recipe `fast`, and its state."""
    changes = {} if objective == "triangle" else vars(OBJECTIVES[objective])
    recipe = texsyn.recipe_for("fast", as_tuple(exemplar)[0].modality, steps=steps, **changes)
    triangle = texsyn.create(exemplar, recipe)
    *_, last = texsyn.fit(triangle, exemplar, recipe)
    return triangle, last.state


def table(names: list[str], rows: list[list[object]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    return "\n".join(lines + [f"| {' | '.join(map(str, row))} |" for row in rows]) + "\n"


def best_time(call: Callable[[], object], times: int = 3) -> float:
    """Seconds of the fastest of several calls."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)


def time_command(*words: str) -> tuple[float, float]:
    """Seconds and peak memory in GB of a texsyn command, start-up included.

    The peak is read from /proc: that of `wait4` is at least what this process holds when it starts the command.
    """
    start, peak = time.perf_counter(), 0
    with subprocess.Popen([sys.executable, "-m", "texsyn", *words], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            with contextlib.suppress(OSError):
                match = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
                peak = int(match[1]) if match else peak
            time.sleep(0.01)
    if process.returncode:
        raise SystemExit(f"{words} ended with {process.returncode}")
    return time.perf_counter() - start, peak / 1e6


def machine() -> str:
    """The date, the processor and the versions."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", info)
    gpu = [torch.cuda.get_device_name()] if torch.cuda.is_available() else []
    parts = [
        time.strftime("%Y-%m-%d"),
        " ".join(model[1].split()) if model else platform.machine(),
        *(["matrix units"] if "amx_bf16" in info else []),
        *gpu,
        f"{torch.get_num_threads()} thread(s)",
        f"Python {platform.python_version()}",
        f"torch {torch.__version__}",
        f"texsyn {texsyn.__version__}",
    ]
    return ", ".join(parts)


Section = Callable[[argparse.Namespace], str]  # the text of a section; its docstring is the heading


def write_sections(
    parser: argparse.ArgumentParser,
    sections: dict[str, Section],
    path: Path,
    title: str,
    by_default: Sequence[str] | None = None,
) -> None:
    """Run the sections that the command line names, and write each into a report in the place of its old text.

    by_default: sections that run where none is named; None for all.
    """
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(sections))
    options = parser.parse_args()
    if unknown := [name for name in options.sections if name not in sections]:
        parser.error(f"no such section: {', '.join(unknown)}; there are {', '.join(sections)}")
    for name in options.sections or by_default or sections:
        try:
            text = sections[name](options)
        except texsyn.TexsynError as error:
            raise SystemExit(str(error)) from None
        print(text, flush=True)
        command = f"python tests/benchmarks/{Path(sys.argv[0]).name} {name}{_changed_options(parser, options)}"
        store(path, title, name, command, f"{sections[name].__doc__}\n\n{text}")


def _changed_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> str:
    """The options that are not as by default; of paths only the last two parts, which name no one's folders."""
    words = []
    for name, value in vars(options).items():
        if name != "sections" and value != parser.get_default(name):
            values = value if isinstance(value, list) else [value]
            shown = ("/".join(each.parts[-2:]) if isinstance(each, Path) else str(each) for each in values)
            words.append(f" --{name.replace('_', '-')} {' '.join(shown)}")
    return "".join(words)


def store(report: Path, title: str, name: str, command: str, text: str) -> None:
    """Put a section into a report, in the place of its old text."""
    section = f"## {name}\n\n`{command}`, {machine()}\n\n{text}\n"
    old = report.read_text() if report.exists() else f"# {title}\n\n"
    place = re.compile(rf"## {re.escape(name)}\n.*?(?=## |\Z)", re.S)
    report.write_text(place.sub(lambda _: section, old) if place.search(old) else old + section)
