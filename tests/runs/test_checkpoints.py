"""Checkpoints: the newest that is whole is read, and what is wrong with others is told."""

import pytest
import torch
from runs.helpers import DAMAGE, damage, equal, masked, noise, silent, train

from texsyn import Run
from texsyn.runs import checkpoints, serialization
from texsyn.training.state import init_state


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path, recipe, how):
    run = Run.create(tmp_path / "run", noise(), recipe)
    train(run, noise(), recipe)
    damage(run.checkpoints()[0], how)
    warnings = []
    state = init_state(run.fresh(), recipe, run.exemplars())
    assert checkpoints.restore(run.path / "checkpoints", state, warnings.append)
    assert state.step == 3
    assert len(warnings) == 1
    assert "00000006" in warnings[0]


@pytest.mark.parametrize("how", DAMAGE)
def test_sampling_and_training_read_the_same_checkpoint(tmp_path, recipe, how):
    run = Run.create(tmp_path / "run", masked(), recipe)
    train(run, masked(), recipe)
    damage(run.checkpoints()[0], how)
    state = init_state(run.fresh(), recipe, run.exemplars())
    assert checkpoints.restore(run.path / "checkpoints", state, lambda warning: None)
    triangle = serialization.empty(run.content, run.path)
    found = checkpoints.load_triangle(run.path / "checkpoints", triangle, run.exemplars(), run.format)
    assert found is not None
    assert equal(triangle, state.triangle)
    assert (found.level, found.step, found.seconds) == (0, state.step, state.seconds)
    assert torch.equal(found.pixels[0], state.pixels(run.exemplars())[0])


def test_where_there_is_no_checkpoint_nothing_is_restored(tmp_path, recipe):
    run = Run.create(tmp_path / "run", noise(), recipe)
    state = init_state(run.fresh(), recipe, run.exemplars())
    assert not checkpoints.restore(run.path / "checkpoints", state, silent)
    triangle = serialization.empty(run.content, run.path)
    assert checkpoints.load_triangle(run.path / "checkpoints", triangle, run.exemplars(), run.format) is None
    assert torch.equal(checkpoints.load_pixels(run.path / "checkpoints", [masked()], run.format)[0], masked().pixels)


def test_a_checkpoint_of_other_networks_is_passed_over(tmp_path, recipe):
    run = Run.create(tmp_path / "run", noise(), recipe)
    train(run, noise(), recipe)
    other = Run.create(tmp_path / "other", (noise(), noise()), recipe)
    state = init_state(other.fresh(), recipe, other.exemplars())
    warnings = []
    assert not checkpoints.restore(run.path / "checkpoints", state, warnings.append)
    assert len(warnings) == 2
    assert all("do not fit the stored networks" in warning for warning in warnings)
