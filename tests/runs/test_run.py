"""What a run folder holds, and what is refused."""

import json
from dataclasses import replace

import pytest
import torch
from conftest import KINDS
from runs.helpers import equal, masked, noise, silent, train

import texsyn
from texsyn import Run, TexsynError, load
from texsyn.core.errors import Exit
from texsyn.core.files import locked
from texsyn.media.exemplar import Exemplar
from texsyn.models.trio import TERMS
from texsyn.runs.fitting import fit_run
from texsyn.synthesis import sampling
from texsyn.training import state


def test_a_run_holds_what_was_trained(tmp_path, exemplar, recipe):
    run = Run.create(tmp_path / "run", exemplar, recipe, "fast")
    triangle = train(run, exemplar, recipe)
    found = load(tmp_path / "run")
    assert equal(triangle, found)
    assert torch.equal(sampling.sample(found, seed=3), sampling.sample(triangle, seed=3))
    assert [p.name for p in run.checkpoints()] == ["00000006", "00000003"]
    assert json.loads((run.path / "run.json").read_text())["recipe"]["steps"] == 6
    events = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    assert [e["event"] for e in events if e["event"] != "step"] == ["start", "finished"]
    assert set(events[-2]["terms"]) == set(TERMS)
    assert (run.path / "previews" / "00000006.png").exists()
    assert torch.equal(run.exemplars()[0].pixels, exemplar.pixels)
    assert run.exemplars()[0].modality.window == exemplar.modality.window
    assert run.modality == replace(exemplar.modality, designs={})
    assert (run.recipe, run.recipe_name, run.seed) == (recipe, "fast", recipe.seed)


def test_what_is_sampled_during_training_is_the_newest_checkpoint(tmp_path, exemplar, recipe):
    run = Run.create(tmp_path / "run", exemplar, recipe)
    train(run, exemplar, recipe)
    finished = run.triangle()
    longer = fit_run(run, run.fresh(), exemplar, replace(recipe, steps=12), silent)
    while next(longer).step < 10:  # a checkpoint is stored at 9
        pass
    between = run.triangle()
    assert not equal(finished, between)
    longer.close()
    assert not equal(between, run.triangle())


def test_a_checkpoint_samples_as_the_model_of_the_same_step(tmp_path, exemplar, recipe):
    run = Run.create(tmp_path / "run", exemplar, recipe)
    train(run, exemplar, recipe)
    finished = run.triangle()
    (run.path / "model").rename(tmp_path / "model")
    assert equal(finished, run.triangle())


def test_sampling_a_checkpoint_builds_no_optimiser(tmp_path, recipe, monkeypatch):
    exemplar = masked()
    run = Run.create(tmp_path / "run", exemplar, recipe)
    train(run, exemplar, recipe)
    finished = run.triangle()
    (run.path / "model").rename(tmp_path / "model")

    def refuse(*given, **more):
        raise AssertionError("an optimiser is built")

    monkeypatch.setattr(state, "Adam", refuse)
    assert equal(finished, run.triangle())
    estimated = run.estimated_pixels()[0]
    assert torch.equal(estimated[:, 20:], exemplar.pixels[:, 20:])
    assert not torch.equal(estimated, exemplar.pixels)


def test_masked_pixels_are_the_exemplars_own_before_the_first_checkpoint(tmp_path, recipe):
    exemplar = masked()
    run = Run.create(tmp_path / "run", exemplar, recipe)
    assert torch.equal(run.estimated_pixels()[0], exemplar.pixels)
    with pytest.raises(TexsynError, match="has no model yet"):
        run.triangle()


def test_a_run_of_another_version_is_sampled_but_not_trained_further(tmp_path, recipe):
    exemplar = Exemplar(torch.zeros(3, 40, 40), KINDS["still"])
    run = Run.create(tmp_path / "run", exemplar, recipe)
    train(run, exemplar, recipe)
    content = json.loads((run.path / "run.json").read_text())
    del content["recipe"]["energy_signed"]
    (run.path / "run.json").write_text(json.dumps({**content, "made_with": {"texsyn": "0.0.9"}}))
    older = Run.open(run.path)
    assert older.made_by()["fit_seed"] == recipe.seed
    assert older.recipe_fields == content["recipe"]
    assert sampling.sample(older.triangle()).isfinite().all()
    with pytest.raises(TexsynError, match=r"other settings than this texsyn .*started by 0\.0\.9"):
        _ = older.recipe


def test_a_run_of_a_newer_format_is_refused(tmp_path, recipe):
    run = Run.create(tmp_path / "run", noise(), recipe)
    content = json.loads((run.path / "run.json").read_text())
    for format in (3, None, "2", True, 1.0):
        (run.path / "run.json").write_text(json.dumps({**content, "format": format}))
        with pytest.raises(TexsynError, match="this texsyn reads formats 1 and 2"):
            Run.open(run.path)


def test_a_title_replaces_the_names(tmp_path, recipe):
    exemplar = replace(noise(), facts={"name": "waves"})
    run = Run.create(tmp_path / "run", exemplar, recipe)
    assert run.title == "waves"
    run.rename("  my   waves ")
    assert Run.open(run.path).title == "my waves"
    assert Run.open(run.path).recipe == recipe
    for title in ("", " ", "x" * 81):
        with pytest.raises(TexsynError, match="1 to 80 characters"):
            run.rename(title)


def test_a_run_knows_what_it_takes_on_disk(tmp_path, recipe):
    run = Run.create(tmp_path / "run", noise(), recipe)
    assert 1 < run.bytes / noise().pixels.nbytes < 2


def test_a_run_that_is_being_trained_is_not_deleted(tmp_path, recipe):
    run = Run.create(tmp_path / "run", noise(), recipe)
    with locked(run.lock), pytest.raises(TexsynError, match="in use") as caught:
        run.discard()
    assert caught.value.exit is Exit.USAGE
    run.discard()
    assert not run.path.exists()


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


def test_a_run_begins_with_the_weights_that_training_does(tmp_path, picture):
    exemplar = texsyn.read(picture)
    for start in ("rendered", "noise"):
        recipe = texsyn.recipe_for("fast", exemplar.modality, start=start, steps=1)
        run = Run.create(tmp_path / start, exemplar, recipe, "fast")
        assert equal(run.fresh(), texsyn.create(exemplar, recipe))
    rendered, noise = (Run.open(tmp_path / start).fresh() for start in ("rendered", "noise"))
    assert not torch.equal(rendered.generator.last.weight, noise.generator.last.weight)
