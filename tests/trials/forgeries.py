"""Runs and models with forged JSON or tensors: refused in one line, or harmless."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import texsyn
from texsyn import Run, TexsynError
from texsyn.core.recipes import Recipe
from texsyn.runs import storage
from trials.children import PATIENCE, Outcome, fit, mutated, new_run, run_forked, wait_for

_SECONDS, _MEMORY = 20, 1_000_000_000  # that one forged run may take; bytes in addition to the process's own

_FORGED: tuple[Any, ...] = (None, -1, 0, 10**12, 1e308, True, "x" * 1000, "../../etc/passwd", [], {}, [[]], [10**9] * 3)


def forged_json(tries: int, folder: Path) -> Outcome:
    """Each value of a run's and a model's JSON forged: refused in one line, or harmless."""
    run = new_run(folder / "run", Recipe(steps=2, batch_size=1, precision="float32", bandwidth=0.15, codes=16))
    assert wait_for(run_forked(fit(run.path))) == 0
    forged: list[tuple[Path, str]] = []
    for file in (run.path / "run.json", run.path / "model" / "content.json"):
        content = json.loads(file.read_text())
        for place in _places(content):
            forged += [(file, json.dumps(_replaced(content, place, value))) for value in _FORGED]
    random.Random(5).shuffle(forged)
    forged = forged[:tries]
    good, failures, left = 0, [], list(forged)
    while left:
        out = folder / "out"
        code = wait_for(run_forked(lambda left=left: _open_all(run, left), out), PATIENCE * 3)
        lines = [line[1:] for line in out.read_text().splitlines() if line.startswith("=")]
        good += sum(line.startswith(("refused", "harmless")) for line in lines)
        failures += [line for line in lines if not line.startswith(("refused", "harmless"))]
        if code and len(lines) < len(left):
            failures.append(f"the process ended with {code}: {left[len(lines)][1][:200]}")
        left = left[len(lines) + (code != 0) :]
    return Outcome(len(forged), good, "; ".join(failures[:3]))


def _places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys and indices that lead to each value of a JSON document."""
    if path:
        yield path
    for key in content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ():
        yield from _places(content[key], (*path, key))


def _replaced(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy of a JSON document with another value at a place."""
    copy = json.loads(json.dumps(content))
    part = copy
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    return copy


def _open_all(run: Run, forged: list[tuple[Path, str]]) -> int:
    """Open and sample at most 100 forged runs, with matching manifests, and print the result of each in one line."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (now + _MEMORY, now + _MEMORY))
    signal.signal(signal.SIGALRM, lambda *_: os._exit(99))
    warnings.simplefilter("error")  # forged values must not reach code that only warns
    for file, text in forged[:100]:
        signal.alarm(_SECONDS)
        before = {path: path.read_bytes() for path in (file, run.path / "model" / "manifest.json")}
        file.write_text(text)
        if file.name == "content.json":
            manifest = json.loads(before[run.path / "model" / "manifest.json"])
            manifest[file.name] = {"bytes": len(text.encode()), "sha256": hashlib.sha256(text.encode()).hexdigest()}
            (run.path / "model" / "manifest.json").write_text(json.dumps(manifest))
        try:
            opened = Run.open(run.path)
            triangle = opened.triangle()
            opened.exemplars()
            opened.made_by()
            texsyn.sample(triangle)
            print("=harmless", flush=True)
        except TexsynError as error:
            print("=refused" if "\n" not in str(error) else f"=several lines {error!r}", flush=True)
        except Exception as error:  # a bug  # noqa: BLE001
            print(f"=crashed {error!r} {traceback.format_exc().splitlines()[-3].strip()}", flush=True)
        finally:
            for path, blob in before.items():
                path.write_bytes(blob)
    return 0


def forged_tensors(tries: int, folder: Path) -> Outcome:
    """Forged tensor files with matching manifests: pickles, wrong headers, random bytes."""
    stored = folder / "stored"
    wanted = {"a": torch.zeros(4, 4), "b": torch.zeros(3)}
    storage.store(stored, wanted, {})
    blob = (stored / "tensors.safetensors").read_bytes()
    chance, good = random.Random(6), 0
    special = [
        pickle.dumps({"a": 1}),
        b"\x80\x04" + blob,
        b"PK\x03\x04" + blob,
        (2**63 - 1).to_bytes(8, "little") + blob[8:],
        (10**9).to_bytes(8, "little") + blob[8:],
        blob.replace(b"[4,4]", b"[4,9]"),
        blob.replace(b"[4,4]", b"[99999999,99999999]"),
        blob.replace(b"[4,4]", b"[-4,4]"),
        blob.replace(b'"F32"', b'"F64"'),
        b"",
    ]
    for number in range(tries):
        forged = special[number] if number < len(special) else mutated(blob, chance)
        (stored / "tensors.safetensors").write_bytes(forged)
        manifest = json.loads((stored / "manifest.json").read_text())
        manifest["tensors.safetensors"] = {"bytes": len(forged), "sha256": hashlib.sha256(forged).hexdigest()}
        (stored / "manifest.json").write_text(json.dumps(manifest))
        try:
            read = storage.read_tensors(stored, wanted)
            good += {n: t.shape for n, t in read.items()} == {n: t.shape for n, t in wanted.items()}
        except TexsynError as error:
            good += "\n" not in str(error)
        except Exception as error:  # a bug  # noqa: BLE001
            print(f"tensors: {error!r}", file=sys.stderr)
    return Outcome(tries, good)
