"""Fits that are killed or stopped, have damaged files, run out of disk or memory, or get gradients not finite."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import texsyn
from texsyn import Run, TexsynError
from texsyn.cli.entry import main
from texsyn.core.errors import Exit
from texsyn.runs import checkpoints
from texsyn.training.state import init_state
from trials.children import (
    PATIENCE,
    RECIPE,
    Outcome,
    are_equal,
    fit,
    last_step,
    leftovers,
    new_run,
    run_forked,
    wait_for,
    weights,
)

_MANY = 10  # tries from which on a trial does what takes long
POINTS = ("begun", "tensors.safetensors", "content.json", "manifest.json", "aside", "renamed", "written")


def kills(tries: int, folder: Path) -> Outcome:
    """A fit is killed at random moments, every third time while it stores a checkpoint or preview, and resumed."""
    unbroken = new_run(folder / "unbroken")
    start = time.monotonic()
    assert wait_for(run_forked(fit(unbroken.path))) == 0
    duration, wanted = time.monotonic() - start, weights(unbroken)
    chance = random.Random(0)
    good = lost = killed = 0
    for number in range(tries):
        run, out = new_run(folder / "killed"), folder / "out"
        for _ in range(chance.randint(1, 3)):
            if number % 3 == 0:
                child = run_forked(fit(run.path), out, TEXSYN_KILL_AT=chance.choice(POINTS))
            else:
                child = run_forked(fit(run.path), out)
                time.sleep(chance.uniform(0, duration))
                os.kill(child, signal.SIGKILL)
            killed += wait_for(child) == -signal.SIGKILL
            stored = max((int(p.name) for p in run.checkpoints()), default=0)
            lost = max(lost, last_step(out) - stored)
        finished = wait_for(run_forked(fit(run.path))) == 0
        good += finished and are_equal(wanted, weights(run)) and not leftovers(run.path)
        shutil.rmtree(run.path)
    interval = RECIPE.checkpoint_interval
    within = "at most" if lost <= interval else "MORE THAN"
    return Outcome(
        tries,
        good if lost <= interval else 0,
        f"{killed} kills; work lost {lost} steps, {within} the {interval} between checkpoints",
    )


def signals(tries: int, folder: Path) -> Outcome:
    """SIGTERM and Ctrl-C: exit codes 143 and 130 within two seconds, and a whole checkpoint."""
    unbroken = new_run(folder / "unbroken")
    assert wait_for(run_forked(fit(unbroken.path))) == 0
    wanted, chance, good, taken = weights(unbroken), random.Random(1), 0, []
    for number in range(tries):
        run, sent = new_run(folder / "stopped"), (signal.SIGTERM, signal.SIGINT)[number % 2]
        out = folder / "out"
        child = run_forked(fit(run.path, "--steps", "100000"), out)
        deadline = time.monotonic() + PATIENCE
        while last_step(out) < chance.randint(1, 20) and time.monotonic() < deadline:
            time.sleep(0.005)
        start = time.monotonic()
        os.kill(child, sent)
        code = wait_for(child)
        taken.append(time.monotonic() - start)
        state = init_state(run.fresh(), run.recipe, run.exemplars())
        right = code == 128 + sent and checkpoints.restore(run.path / "checkpoints", state, lambda text: None)
        # A longer fit has another schedule, so its weights differ from `wanted`; its checkpoint must be whole.
        good += right and state.step == int(run.checkpoints()[0].name) and bool(weights(run)) and bool(wanted)
        shutil.rmtree(run.path)
    seconds = float(np.percentile(taken, 95))
    details = f"95th percentile {seconds:.2f} s, slowest {max(taken):.2f} s"
    return Outcome(tries, good if seconds < 2 else 0, details)


# ------------------------------------------------------------ damage


def damage(tries: int, folder: Path) -> Outcome:
    """The newest checkpoint is damaged: the one before is loaded, with a warning."""
    run = new_run(folder / "run")
    assert wait_for(run_forked(fit(run.path))) == 0
    newest, before = run.checkpoints()
    chance, good = random.Random(2), 0
    state = init_state(run.fresh(), run.recipe, run.exemplars())
    for _ in range(tries):
        kept = folder / "kept"
        shutil.copytree(newest, kept)
        _damage(newest, before, chance)
        warnings: list[str] = []
        restored = checkpoints.restore(run.path / "checkpoints", state, warnings.append)
        good += restored and state.step == int(before.name) and len(warnings) == 1 and newest.name in warnings[0]
        shutil.rmtree(newest)
        kept.rename(newest)
    return Outcome(tries, good)


def _damage(folder: Path, other: Path, chance: random.Random) -> None:
    file = chance.choice(sorted(folder.iterdir()))
    blob = bytearray(file.read_bytes())
    how = chance.choice(("flip", "cut", "missing", "swapped", "zeroed", "longer", "edited"))
    place = chance.randrange(len(blob))
    if how == "flip":
        blob[place] ^= 1 << chance.randrange(8)
    elif how == "cut":
        del blob[place:]
    elif how == "missing":
        file.unlink()
        return
    elif how == "swapped":
        file = folder / "tensors.safetensors"
        blob = bytearray((other / file.name).read_bytes())
    elif how == "zeroed":
        blob[place : place + 64] = b"\0" * len(blob[place : place + 64])
        blob[-1] ^= 1  # zeros may have been there
    elif how == "longer":
        blob += b"more"
    else:
        file = folder / "manifest.json"
        manifest = json.loads(file.read_text())
        entry = manifest[chance.choice(sorted(manifest))]
        name = chance.choice(sorted(entry))
        entry[name] = chance.choice((None, -1, 0, "0" * 64, [], {}, 10**30, 1.5, True))
        blob = bytearray(json.dumps(manifest).encode())
    file.write_bytes(blob)


# ------------------------------------------------------------ a full disk


class _Full:
    """An audit hook that lets a process write so many times, and then reports a full disk."""

    def __init__(self, allowed: int) -> None:
        self.left, self.full = allowed, False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        # A rename within a folder needs no space.
        writing = event == "os.mkdir" or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        if writing and str(arguments[0]) != os.devnull:
            self.left -= 1
            if self.left < 0:
                self.full = True
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_disk(tries: int, folder: Path) -> Outcome:
    """The disk is full from the k-th write of a command on: exit code 5, checkpoints load, no temporary files."""
    done = new_run(folder / "done")
    assert wait_for(run_forked(fit(done.path))) == 0
    sources = {}  # of commands that another run is for
    out, failures = folder / "outputs", []
    commands = {
        "fit": ["fit", "--resume", "RUN", "--steps", "75", "--json", "--no-card"],
        "sample": ["sample", "RUN", "-o", str(out / "a.png")],
        "frames": ["morph", "RUN", "--from", "0", "--to", "1", "--frames", "4", "--format", "frames", "-o", str(out)],
        "clip": ["morph", "RUN", "--from", "0", "--to", "1", "--frames", "4", "-o", str(out / "a.gif")],
    }
    if tries >= _MANY:  # each writes a graph, of N(0, I), which takes less time
        sources["export"] = new_run(folder / "plain", replace(RECIPE, latent_prior="normal"))
        assert wait_for(run_forked(fit(sources["export"].path))) == 0
        commands["export"] = ["export", "RUN", "-o", str(out / "a.onnx")]
    good = count = 0
    for name, command in commands.items():
        for allowed in range(tries):
            shutil.rmtree(out, ignore_errors=True)
            run = Run.open(shutil.copytree(sources.get(name, done).path, folder / "run", dirs_exist_ok=True))
            words = [str(run.path) if word == "RUN" else word for word in command]

            def call(words: list[str] = words, allowed: int = allowed) -> int:
                sys.addaudithook(_Full(allowed))
                return main(words)

            code = wait_for(run_forked(call, folder / "out"))
            count += 1
            right = code in (0, 5) and not leftovers(folder)
            right &= not (code and name not in ("fit", "frames") and any(out.glob("*.*")))
            state = init_state(run.fresh(), run.recipe, run.exemplars())
            right &= checkpoints.restore(run.path / "checkpoints", state, lambda text: None) and bool(run.triangle())
            good += right
            if not right:
                failures.append(f"{name} at write {allowed}: exit {code}, {leftovers(folder)}")
            shutil.rmtree(run.path)
            if code == 0 and (name != "fit" or "warning" not in (folder / "out").read_text()):
                break  # the command writes less often than that
    return Outcome(count, good, "; ".join(failures))


def small_disk(tries: int, folder: Path) -> Outcome:
    """The same for a fit on a real file system of 60 to 700 kilobytes, where this user may mount one."""
    place = folder / "small"
    place.mkdir()
    good = count = 0
    for size in np.linspace(60, 700, tries).astype(int):
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", str(place)], capture_output=True, check=False
        )
        if mounted.returncode:
            return Outcome(1, 1, "not tried: this user may not mount a file system")
        try:
            try:
                run = new_run(place / "run")
            except TexsynError as error:
                count, good = count + 1, good + (error.exit is Exit.DISK and not leftovers(place))
                continue
            code = wait_for(run_forked(fit(run.path), folder / "out"))
            text = (folder / "out").read_text()
            state = init_state(run.fresh(), run.recipe, run.exemplars())
            whole = not run.checkpoints() or checkpoints.restore(run.path / "checkpoints", state, lambda text: None)
            right = code in (0, 5) and whole and not leftovers(place) and "Traceback" not in text
            count, good = count + 1, good + right
        finally:
            subprocess.run(["umount", str(place)], check=True)
    return Outcome(count, good)


# ------------------------------------------------------------ steps that fail


def bad_steps(tries: int, folder: Path) -> Outcome:
    """Gradients that are not finite, or no memory, at random: finished, or exit 6 or 4 with a stored model."""
    chance, good, codes = random.Random(3), 0, {}
    for number in range(tries):
        run, share, seed = new_run(folder / "run"), chance.choice((0.02, 0.2, 0.6, 1.0)), chance.random()
        late = chance.randint(0, 40)

        def call(
            number: int = number, share: float = share, seed: float = seed, late: int = late, run: Run = run
        ) -> int:
            dice, original, calls = random.Random(seed), texsyn.Triangle.losses, [0]

            def losses(self: texsyn.Triangle, *given: Any, **more: Any) -> Any:
                result = original(self, *given, **more)
                calls[0] += 1
                if calls[0] > late and dice.random() < share:
                    if number % 2:
                        raise torch.OutOfMemoryError("no memory")
                    result.loss.register_hook(lambda gradient: gradient * float("nan"))
                return result

            texsyn.Triangle.losses = losses  # type: ignore[method-assign]
            return main(["fit", "--resume", str(run.path), "--json", "--no-card"])

        code = wait_for(run_forked(call, folder / "out"))
        codes[code] = codes.get(code, 0) + 1
        kept = not run.checkpoints() or all(bool(w.isfinite().all()) for w in weights(run).values())
        good += code in (0, 4, 6) and kept and (bool(run.checkpoints()) or code in (4, 6))
        shutil.rmtree(run.path)
    return Outcome(tries, good, "exits " + ", ".join(f"{code}: {n}" for code, n in sorted(codes.items())))


def same_bytes(tries: int, folder: Path) -> Outcome:
    """The same seed on the same machine: samples with 1 and with 2 threads, and two fits with 1 thread."""
    run = new_run(folder / "run")
    assert wait_for(run_forked(fit(run.path))) == 0
    again = new_run(folder / "again")
    assert wait_for(run_forked(fit(again.path))) == 0
    good = int(are_equal(weights(run), weights(again)))
    for number in range(tries - 1):
        images = []
        for threads in (1, 2):
            path = folder / f"{number}-{threads}.png"
            command = [sys.executable, "-m", "texsyn", "sample", str(run.path), "--seed", str(number), "-o", str(path)]
            subprocess.run(
                command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)}
            )
            images.append(path.read_bytes())
        good += images[0] == images[1]
    return Outcome(tries, good, "fits with different numbers of threads may differ in the last bits: not promised")
