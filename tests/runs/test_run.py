"""Runs on disk: what is stored is what was learnt, kills lose nothing, damage is noticed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import KINDS, TESTS
from PIL import Image
from safetensors.torch import save as to_bytes

from texsyn import Run, TexsynError, load, save
from texsyn.core.errors import Exit
from texsyn.core.files import locked, write_synced
from texsyn.core.recipes import Recipe
from texsyn.media.exemplar import Exemplar
from texsyn.models.triangle import TERMS
from texsyn.runs import checkpoints, storage
from texsyn.runs.run import default_path
from texsyn.synthesis import sampling
from texsyn.training import loop


def silent(text: str) -> None:
    raise AssertionError(f"unexpected warning: {text}")


def learn(run: Run, exemplar, recipe, stop_at: int | None = None, warn=silent):
    triangle = run.fresh()
    for report in run.learn(triangle, exemplar, recipe, warn):
        if report.step == stop_at:
            break
    return triangle


def equal(one, other) -> bool:
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_holds_what_was_learnt(tmp_path, exemplar, recipe):
    run = Run.create(tmp_path / "run", exemplar, recipe, "fast")
    triangle = learn(run, exemplar, recipe)
    found = load(tmp_path / "run")
    assert equal(triangle, found)
    assert torch.equal(sampling.sample(found, seed=3), sampling.sample(triangle, seed=3))
    assert [p.name for p in run.checkpoints()] == ["00000006", "00000003"]
    assert json.loads((run.path / "run.json").read_text())["recipe"]["steps"] == 6
    events = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    assert [e["event"] for e in events if e["event"] != "step"] == ["start", "finished"]
    assert set(events[-2]["terms"]) == set(TERMS)
    assert (run.path / "sheets" / "00000006.png").exists()
    assert torch.equal(run.exemplars()[0].pixels, exemplar.pixels)
    assert run.exemplars()[0].modality.window == exemplar.modality.window


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_resumed_fit_equals_an_unbroken_one(tmp_path, exemplar, recipe, stop):
    unbroken = learn(Run.create(tmp_path / "one", exemplar, recipe), exemplar, recipe)
    run = Run.create(tmp_path / "two", exemplar, recipe)
    learn(run, exemplar, recipe, stop_at=stop)
    resumed = learn(Run.open(tmp_path / "two"), Run.open(tmp_path / "two").exemplars(), recipe)
    assert equal(unbroken, resumed)


def test_a_fit_goes_on_further_than_planned(tmp_path, exemplar, recipe):
    run = Run.create(tmp_path / "run", exemplar, recipe)
    learn(run, exemplar, recipe)
    learn(run, exemplar, replace(recipe, steps=9))
    assert run.checkpoints()[0].name == "00000009"
    assert run.recipe.steps == 9


def test_what_is_sampled_while_a_fit_goes_on_is_its_newest_checkpoint(tmp_path, exemplar, recipe):
    run = Run.create(tmp_path / "run", exemplar, recipe)
    learn(run, exemplar, recipe)
    finished = run.triangle()
    longer = run.learn(run.fresh(), exemplar, replace(recipe, steps=12), silent)
    while next(longer).step < 10:  # a checkpoint is stored at 9
        pass
    between = run.triangle()
    assert not equal(finished, between)
    longer.close()
    assert not equal(between, run.triangle())


CHILD = """
import sys
sys.path.insert(0, {tests!r})
from conftest import KINDS
from texsyn import Run
run = Run.open({path!r})
print("ready", flush=True)
for report in run.learn(run.fresh(), run.exemplars(), run.recipe, print):
    print(report.step, flush=True)
"""


@pytest.mark.parametrize("point", ["tensors.safetensors", "aside", "written"])
def test_what_a_killed_fit_left_half_written_is_gone_after_the_next(tmp_path, recipe, point):
    exemplar = Exemplar(torch.zeros(3, 40, 40), KINDS["still"])
    run = Run.create(tmp_path / "run", exemplar, recipe)
    learn(run, exemplar, recipe)  # a second fit puts its model in place of this one's, and passes every point
    environment = {**os.environ, "TEXSYN_KILL_AT": point}
    with start(run.path, environment) as child:
        assert child.wait(timeout=240) == -signal.SIGKILL
    assert [p for p in run.path.rglob(".*") if p.name != ".lock"]
    learn(run, exemplar, recipe)
    assert [p for p in run.path.rglob(".*") if p.name != ".lock"] == []


@pytest.mark.parametrize("kills", [[2, 3], [7]])
def test_killed_fits_lose_at_most_a_checkpoint_and_end_the_same(tmp_path, kills):
    modality = KINDS["still"]
    pixels = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
    exemplar = Exemplar(pixels, modality)
    recipe = Recipe(steps=40, batch_size=2, precision="float32", checkpoint_interval=4)
    unbroken = Run.create(tmp_path / "unbroken", exemplar, recipe)
    killed = Run.create(tmp_path / "killed", exemplar, recipe)
    finish(unbroken.path)
    for wait in kills:
        with start(killed.path) as child:
            for _ in range(wait):
                child.stdout.readline()
            reached = int(child.stdout.readline())
            child.kill()
        stored = [int(p.name) for p in Run.open(killed.path).checkpoints()]
        assert max(stored, default=0) >= reached - recipe.checkpoint_interval
    finish(killed.path)
    assert equal(load(unbroken.path), load(killed.path))


def test_a_run_of_another_version_is_sampled_but_not_gone_on_with(tmp_path, recipe):
    exemplar = Exemplar(torch.zeros(3, 40, 40), KINDS["still"])
    run = Run.create(tmp_path / "run", exemplar, recipe)
    learn(run, exemplar, recipe)
    content = json.loads((run.path / "run.json").read_text())
    del content["recipe"]["energy_signed"]
    (run.path / "run.json").write_text(json.dumps({**content, "made_with": {"texsyn": "0.0.9"}}))
    older = Run.open(run.path)
    assert older.made_by()["fit_seed"] == recipe.seed
    assert sampling.sample(older.triangle()).isfinite().all()
    with pytest.raises(TexsynError, match=r"other settings than this texsyn .*begun by 0\.0\.9"):
        _ = older.recipe


def start(path: Path, environment: Mapping[str, str] = os.environ) -> subprocess.Popen:
    code = CHILD.format(tests=str(TESTS), path=str(path))
    environment = {**environment, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)


def finish(path: Path) -> None:
    child = start(path)
    out, _ = child.communicate(timeout=240)
    assert child.returncode == 0, out


def ruin(folder: Path, how: str) -> None:
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


DAMAGE = ["flip", "cut", "missing", "no manifest", "manifest", "numbers"]


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over_and_said(tmp_path, recipe, how):
    exemplar = Exemplar(torch.rand(3, 32, 32) * 2 - 1, KINDS["still"])
    run = Run.create(tmp_path / "run", exemplar, recipe)
    learn(run, exemplar, recipe)
    ruin(run.checkpoints()[0], how)
    said = []
    state = loop.init_state(run.fresh(), recipe, run.exemplars())
    assert checkpoints.restore(run.path / "checkpoints", state, said.append)
    assert state.step == 3
    assert len(said) == 1
    assert "00000006" in said[0]


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_model_is_refused(tmp_path, recipe, how):
    exemplar = Exemplar(torch.rand(3, 32, 32) * 2 - 1, KINDS["still"])
    triangle = loop.create(exemplar, recipe)
    save(triangle, tmp_path / "model")
    ruin(tmp_path / "model", how)
    with pytest.raises(TexsynError):
        load(tmp_path / "model")


def test_strangers_models_are_checked_before_memory_is_taken(tmp_path, recipe):
    exemplar = Exemplar(torch.rand(3, 32, 32) * 2 - 1, KINDS["still"])
    save(loop.create(exemplar, recipe), tmp_path / "model")
    content = json.loads((tmp_path / "model" / "content.json").read_text())
    for change, said in (
        ({"latents": [4]}, "do not fit"),
        ({"latents": [10**9]}, "latents"),
        ({"latents": 5}, "latents"),
        ({"latents": [3] * 5}, "latents"),
        ({"frames": [1, 1]}, "frames"),
        ({"frames": "many"}, "frames"),
        ({"frames": [1]}, "do not fit"),
        ({"posterior": [{"channels": 0, "kernel": [4, 4], "factor": [2, 2], "padded": True}]}, "channels"),
        ({"generator": [{"channels": 4096, "kernel": [64, 64], "factor": [2, 2], "padded": True}] * 16}, "design"),
        ({"latents": [4, 2], "energy_scales": 8}, "do not fit"),
        ({"energy": []}, "energy"),
        ({"normalisation": "__import__"}, "normalisation"),
    ):
        forged = {**content, "design": {**content["design"], **change}}
        storage.store(tmp_path / "forged", {}, forged)
        blob = (tmp_path / "model" / "tensors.safetensors").read_bytes()
        (tmp_path / "forged" / "tensors.safetensors").write_bytes(blob)
        with pytest.raises(TexsynError, match=said):
            load(tmp_path / "forged")


def test_a_lying_header_is_refused(tmp_path):
    folder = tmp_path / "stored"
    storage.store(folder, {"a": torch.zeros(4)}, {})
    path = folder / "tensors.safetensors"
    honest = to_bytes({"a": torch.zeros(4)})
    for lie in (honest.replace(b"[4]", b"[9]"), b"\xff" * 8 + honest[8:], honest[:8] + b"[" * (len(honest) - 8), b""):
        path.write_bytes(lie)
        with pytest.raises(TexsynError, match=r"header|do not fit"):
            storage.read_tensors(folder, {"a": torch.zeros(4)})


def test_a_full_disk_costs_a_checkpoint_but_not_the_fit(tmp_path, exemplar, recipe, monkeypatch):
    run = Run.create(tmp_path / "run", exemplar, recipe)
    true, tries = write_synced, []

    def full(path, blob):
        tries.append(path)
        if "00000003" in str(path):
            raise OSError(28, "No space left on device")
        true(path, blob)

    monkeypatch.setattr(storage, "write_synced", full)
    said = []
    learn(run, exemplar, recipe, warn=said.append)
    assert [p.name for p in run.checkpoints()] == ["00000006"]
    assert any("No space left" in text for text in said)
    assert not list(run.path.glob("**/*.part"))


@pytest.mark.parametrize("point", range(1, 9))
def test_a_crash_anywhere_in_a_save_leaves_the_old_or_the_new(tmp_path, monkeypatch, point):
    storage.store(tmp_path / "it", {"a": torch.zeros(3)}, {"n": 1})
    calls = []

    def crashing(true):
        def call(*arguments, **more):
            calls.append(true)
            if len(calls) == point:
                raise KeyboardInterrupt
            return true(*arguments, **more)

        return call

    monkeypatch.setattr(storage, "write_synced", crashing(write_synced))
    monkeypatch.setattr(storage, "_sync_folder", crashing(storage._sync_folder))
    monkeypatch.setattr(Path, "rename", crashing(Path.rename))
    try:
        storage.store(tmp_path / "it", {"a": torch.ones(3)}, {"n": 2})
    except KeyboardInterrupt:
        monkeypatch.undo()
    folders = [p for p in tmp_path.iterdir() if (p / "manifest.json").exists()]
    found = [(float(storage.read_tensors(p)["a"][0]), storage.read_content(p)["n"]) for p in folders]
    assert found
    assert set(found) <= {(0.0, 1), (1.0, 2)}


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, Exit.INTERRUPTED), (signal.SIGTERM, Exit.TERMINATED)])
def test_stop_signals_keep_what_is_learnt(tmp_path, picture, sent, code):
    command = [sys.executable, "-m", "texsyn", "fit", str(picture), "--out", str(tmp_path / "run"), "--steps", "100000"]
    small = ["--set", "width_multiplier=0.1", "--set", "batch_size=1", "--json"]
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


def test_a_run_is_learnt_by_one_process_at_a_time(tmp_path, exemplar, recipe):
    run = Run.create(tmp_path / "run", exemplar, recipe)
    with locked(run.path / ".lock"), pytest.raises(TexsynError, match="in use"):
        learn(run, exemplar, recipe)
    learn(run, exemplar, recipe)


def test_folders_that_are_no_runs_are_refused(tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(TexsynError, match="is not a run"):
        load(tmp_path / "other")
    with pytest.raises(TexsynError, match="is not a run"):
        Run.open(tmp_path / "nowhere")


def test_a_run_is_not_laid_over_another(tmp_path, exemplar, recipe):
    Run.create(tmp_path / "run", exemplar, recipe)
    with pytest.raises(TexsynError, match="exists already"):
        Run.create(tmp_path / "run", exemplar, recipe)


def test_default_names_count_up(tmp_path):
    first = default_path(Path("a b?.png"), tmp_path)
    assert first.name == "a-b--1"
    first.mkdir(parents=True)
    assert default_path(Path("a b?.png"), tmp_path).name == "a-b--2"


@pytest.mark.parametrize("folder", sorted((TESTS / "golden").iterdir()), ids=lambda path: path.name)
def test_runs_of_every_released_format_are_read(folder, tmp_path):
    """And sample as they did: to two greys of 255, for other processors round otherwise."""
    run = Run.open(shutil.copytree(folder, tmp_path / "run"))
    assert run.exemplars()[0].modality.name == "tiny"
    made = sampling.sample(run.triangle(), seed=3)[0]
    made = made[:, 0] if made.dim() == 4 else made
    with Image.open(folder / "seed-3.png") as picture:
        was = torch.from_numpy(np.asarray(picture, np.float32)).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(made, was, atol=2 / 127.5, rtol=0)


def test_a_run_half_laid_out_is_laid_out_anew(tmp_path, exemplar, recipe):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "exemplar").mkdir()
    run = Run.create(tmp_path / "run", exemplar, recipe)
    assert torch.equal(run.exemplars()[0].pixels, exemplar.pixels)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter.txt").write_text("mine")
    with pytest.raises(TexsynError, match="names another folder"):
        Run.create(tmp_path / "used", exemplar, recipe)
