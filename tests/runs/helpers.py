"""What tests of runs share: training in this process and in others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from conftest import KINDS, TESTS

from texsyn import Run, Triangle
from texsyn.core.recipes import Recipe
from texsyn.media.exemplar import Exemplar
from texsyn.runs.fitting import fit_run


def silent(text: str) -> None:
    raise AssertionError(f"unexpected warning: {text}")


def train(
    run: Run,
    exemplar: Exemplar | Sequence[Exemplar],
    recipe: Recipe,
    stop_at: int | None = None,
    warn: Callable[[str], None] = silent,
) -> Triangle:
    """Train a run until its budget is spent, or until a step."""
    triangle = run.fresh()
    for report in fit_run(run, triangle, exemplar, recipe, warn):
        if report.step == stop_at:
            break
    return triangle


def equal(one: Triangle, other: Triangle) -> bool:
    """Whether all tensors are the same, bit for bit."""
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def noise(size: int = 32) -> Exemplar:
    """A still of uniform noise."""
    pixels = torch.rand(3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Exemplar(pixels, KINDS["still"])


def masked(size: int = 32) -> Exemplar:
    """A still with a hole."""
    mask = torch.zeros(1, size, size)
    mask[:, 4:12, 6:10] = 1
    return Exemplar(noise(size).pixels, KINDS["still"], mask=mask)


CHILD = """
import sys
sys.path.insert(0, {tests!r})
from conftest import KINDS
from texsyn import Run
from texsyn.runs.fitting import fit_run
run = Run.open({path!r})
print("ready", flush=True)
for report in fit_run(run, run.fresh(), run.exemplars(), run.recipe, print):
    print(report.step, flush=True)
"""


def start(path: Path, environment: Mapping[str, str] = os.environ) -> subprocess.Popen[str]:
    """Train a run in another process, which prints each step."""
    code = CHILD.format(tests=str(TESTS), path=str(path))
    environment = {**environment, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)


def finish(path: Path) -> None:
    child = start(path)
    out, _ = child.communicate(timeout=240)
    assert child.returncode == 0, out


DAMAGE = ["flip", "cut", "missing", "no manifest", "manifest", "numbers"]


def damage(folder: Path, how: str) -> None:
    """Damage a stored folder in one of the ways of DAMAGE."""
    tensors, manifest = folder / "tensors.safetensors", folder / "manifest.json"
    if how == "flip":
        blob = bytearray(tensors.read_bytes())
        blob[len(blob) // 2] ^= 16
        tensors.write_bytes(blob)
    elif how == "cut":
        tensors.write_bytes(tensors.read_bytes()[:-7])
    elif how == "missing":
        tensors.unlink()
    elif how == "no manifest":
        manifest.unlink()
    elif how == "manifest":
        manifest.write_text(manifest.read_text().replace("sha256", "sha257"))
    elif how == "numbers":
        (folder / "content.json").write_text("{}")
