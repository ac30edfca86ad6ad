"""Training runs: resumed ones end as unbroken ones, kills and full disks lose next to nothing."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from conftest import KINDS
from runs.helpers import equal, finish, noise, start, train

from texsyn import Run, TexsynError, load
from texsyn.core.errors import Exit
from texsyn.core.files import locked, write_synced
from texsyn.core.recipes import Recipe
from texsyn.media.exemplar import Exemplar
from texsyn.runs import previews, storage
from texsyn.synthesis import sampling

pytestmark = pytest.mark.usefixtures("quick_draws")


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_resumed_fit_equals_an_unbroken_one(tmp_path, exemplar, recipe, stop):
    unbroken = train(Run.create(tmp_path / "one", exemplar, recipe), exemplar, recipe)
    run = Run.create(tmp_path / "two", exemplar, recipe)
    train(run, exemplar, recipe, stop_at=stop)
    resumed = train(Run.open(tmp_path / "two"), Run.open(tmp_path / "two").exemplars(), recipe)
    assert equal(unbroken, resumed)


def test_a_fit_continues_beyond_its_first_budget(tmp_path, exemplar, recipe):
    run = Run.create(tmp_path / "run", exemplar, recipe)
    train(run, exemplar, recipe)
    train(run, exemplar, replace(recipe, steps=9))
    assert run.checkpoints()[0].name == "00000009"
    assert run.recipe.steps == 9


def test_a_budget_that_is_spent_is_refused(tmp_path, recipe):
    run = Run.create(tmp_path / "run", noise(), recipe)
    train(run, noise(), recipe)
    with pytest.raises(TexsynError, match=r"was trained for 6 steps already: --steps 5 must be more") as caught:
        train(run, noise(), replace(recipe, steps=5))
    assert caught.value.exit is Exit.USAGE
    assert run.recipe == recipe


def test_previews_and_quick_metrics_are_stored_when_they_are_due(tmp_path, exemplar, recipe, monkeypatch):
    monkeypatch.setattr(previews.Times, "due", lambda self, seconds: True)
    run = Run.create(tmp_path / "run", exemplar, recipe)
    train(run, exemplar, recipe)
    assert [preview.step for preview in run.previews()] == [1, 2, 3, 4, 5, 6]
    assert [event["step"] for event in run.events() if event["event"] == "quick_metrics"] == [1, 2, 3, 4, 5, 6]


def test_training_deletes_the_cards_of_the_model_before(tmp_path, recipe):
    run = Run.create(tmp_path / "run", noise(), recipe)
    train(run, noise(), recipe)
    (run.path / "card.json").write_text("{}")
    train(run, noise(), recipe)  # nothing is left to train
    assert run.is_scored
    train(run, noise(), replace(recipe, steps=7))
    assert not run.is_scored


@pytest.mark.parametrize("point", ["tensors.safetensors", "aside", "written"])
def test_what_a_killed_fit_left_half_written_is_gone_after_the_next(tmp_path, recipe, point):
    exemplar = Exemplar(torch.zeros(3, 40, 40), KINDS["still"])
    run = Run.create(tmp_path / "run", exemplar, recipe)
    train(run, exemplar, recipe)  # a second fit puts its model in place of this one's, and passes every point
    environment = {**os.environ, "TEXSYN_KILL_AT": point}
    with start(run.path, environment) as child:
        assert child.wait(timeout=240) == -signal.SIGKILL
    assert [p for p in run.path.rglob(".*") if p.name != ".lock"]
    train(run, exemplar, recipe)
    assert [p for p in run.path.rglob(".*") if p.name != ".lock"] == []


def test_killed_fits_lose_at_most_a_checkpoint_and_end_the_same(tmp_path):
    exemplar = noise(40)
    recipe = Recipe(steps=20, batch_size=2, precision="float32", checkpoint_interval=4, bandwidth=0.15, codes=16)
    unbroken = Run.create(tmp_path / "unbroken", exemplar, recipe)
    killed = Run.create(tmp_path / "killed", exemplar, recipe)
    finish(unbroken.path)
    for wait in (2, 7):
        with start(killed.path) as child:
            for _ in range(wait):
                child.stdout.readline()
            reached = int(child.stdout.readline())
            child.kill()
        stored = [int(p.name) for p in Run.open(killed.path).checkpoints()]
        assert max(stored, default=0) >= reached - recipe.checkpoint_interval
    finish(killed.path)
    assert equal(load(unbroken.path), load(killed.path))


def test_a_full_disk_costs_a_checkpoint_but_not_the_fit(tmp_path, exemplar, recipe, monkeypatch):
    run = Run.create(tmp_path / "run", exemplar, recipe)
    true, tries = write_synced, []

    def full(path, blob):
        tries.append(path)
        if "00000003" in str(path):
            raise OSError(28, "No space left on device")
        true(path, blob)

    monkeypatch.setattr(storage, "write_synced", full)
    warnings = []
    train(run, exemplar, recipe, warn=warnings.append)
    assert [p.name for p in run.checkpoints()] == ["00000006"]
    assert any("No space left" in text for text in warnings)
    assert not list(run.path.glob("**/*.part"))


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, Exit.INTERRUPTED), (signal.SIGTERM, Exit.TERMINATED)])
def test_stop_signals_keep_what_is_trained(tmp_path, picture, sent, code):
    command = [sys.executable, "-m", "texsyn", "fit", str(picture), "--out", str(tmp_path / "run"), "--steps", "100000"]
    small = ["--set", "width_multiplier=0.1", "--set", "batch_size=1", "--set", "bandwidth=0.15", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command + small, stdout=subprocess.PIPE, text=True, env=environment) as child:
        for line in child.stdout:
            if json.loads(line).get("step", 0) >= 2:
                break
        child.send_signal(sent)
        out, _ = child.communicate(timeout=120)
    assert child.returncode == code
    assert json.loads(out.splitlines()[-1])["event"] == "stopped"
    assert sampling.sample(load(tmp_path / "run")).shape == (1, 3, 64, 64)


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path, exemplar, recipe):
    run = Run.create(tmp_path / "run", exemplar, recipe)
    with locked(run.lock), pytest.raises(TexsynError, match="in use"):
        train(run, exemplar, recipe)
    train(run, exemplar, recipe)
