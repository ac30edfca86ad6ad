"""Processes that share each batch compute what one process does, and end together."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from media.sample_files import digits, packed, tar

from texsyn import Run, TexsynError
from texsyn.cli.entry import main
from texsyn.core.group import Group
from texsyn.jobs.process import COMMAND, environment

SMALL = ["--set", "width_multiplier=0.1", "--set", "precision=float32", "--no-card", "--quiet"]


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    members = {}
    for number, picture in enumerate(digits(30)):
        members |= {f"{number:02}.png": packed(picture), f"{number:02}.cls": b"odd" if number % 2 else b"even"}
    return tar(tmp_path_factory.mktemp("set") / "discs.tar", members)


def fit(collection: Path, run: Path, devices: int, steps: int, batch: int = 6) -> None:
    new = [str(collection), "--kind", "objects", "--out", str(run), "--set", f"batch_size={batch}", *SMALL]
    words = [*new] if not run.exists() else ["--resume", str(run), "--no-card", "--quiet"]
    assert main(["fit", *words, "--steps", str(steps), "--devices", str(devices)]) == 0


def weights(run: Path) -> torch.Tensor:
    return torch.cat([each.flatten() for each in Run.open(run).triangle().state_dict().values() if each.dim()])


def test_two_processes_learn_what_one_does_and_another_number_goes_on(collection, tmp_path):
    """Also the generator's batch statistics: with those of each half alone, terms differ by up to 12 %."""
    for devices in (1, 2):
        fit(collection, tmp_path / str(devices), devices, steps=3)
    terms = []
    for devices in ("1", "2"):
        steps = [event for event in Run.open(tmp_path / devices).events() if event["event"] == "step"]
        terms.append([value for event in steps for value in event["terms"].values()])
    np.testing.assert_allclose(terms[1], terms[0], rtol=1e-3)
    assert torch.allclose(weights(tmp_path / "2"), weights(tmp_path / "1"), rtol=1e-2, atol=1e-3)
    fit(collection, tmp_path / "2", devices=1, steps=5)
    assert Run.open(tmp_path / "2").events()[-1]["step"] == 5


def test_a_killed_process_ends_the_others_and_the_run_goes_on(collection, tmp_path):
    run = tmp_path / "run"
    fit(collection, run, devices=1, steps=1)
    words = ["fit", "--resume", str(run), "--no-card", "--quiet", "--steps", "100000", "--devices", "2"]
    child = subprocess.Popen([*COMMAND, *words], stderr=subprocess.PIPE, text=True, env=environment())
    try:
        deadline = time.monotonic() + 90
        while Run.open(run).events()[-1].get("step", 0) < 5:
            assert child.poll() is None, child.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        (helper,) = (int(line.split()[0]) for line in _children(child.pid))
        os.kill(helper, signal.SIGKILL)
        _, said = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 143
    assert "one of the 2 processes has ended: continue with --resume" in said
    step = Run.open(run).events()[-1]["step"]
    fit(collection, run, devices=1, steps=step + 1)
    assert Run.open(run).events()[-1]["step"] == step + 1


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_torchrun_starts_them_too(collection, tmp_path):
    run = tmp_path / "run"
    fit(collection, run, devices=1, steps=1)
    words = ["--no-python", *COMMAND, "fit", "--resume", str(run), "--steps", "3", "--devices", "2", "--no-card"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, *words], capture_output=True, text=True, env=environment(), timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert Run.open(run).events()[-1]["step"] == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--devices", "0"], "--devices must lie in 1 to 1024"),
        (["--devices", "7"], "a batch of 6 cannot be shared among 7 devices"),
    ],
)
def test_wrong_numbers_are_one_line(collection, tmp_path, capsys, words, said):
    new = [str(collection), "--kind", "objects", "--out", str(tmp_path / "run"), "--set", "batch_size=6", *SMALL]
    assert main(["fit", *new, *words]) == 2
    assert said in capsys.readouterr().err


def test_one_process_alone_needs_no_others():
    group, x = Group(), torch.ones(2)
    group.add([x])
    assert x.tolist() == [1, 1]
    assert group.agree(3.5, torch.device("cpu")) == 3.5
    with pytest.raises(TexsynError, match="cannot be joined"):
        Group.join(torch.device("cpu"))
    assert (Group.joined().rank, Group.joined().count) == (0, 1)
