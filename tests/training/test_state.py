"""The state of training: its tensors and numbers, and going back to a snapshot."""

import copy
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from conftest import VIDEOS

from texsyn.training import loop
from texsyn.training.adam import Adam
from texsyn.training.data import Data
from texsyn.training.state import init_state


@pytest.fixture
def state(exemplar, recipe):
    return init_state(loop.create(exemplar, recipe), recipe, [exemplar])


def steps(state, exemplar, recipe, count):
    data = Data.of([exemplar], state.pixels([exemplar]), state.triangle.modality, recipe)
    for _ in range(count):
        loop.train_step(state, data, recipe)


def test_a_state_has_the_same_tensors_at_every_step(state, exemplar, recipe):
    before = {name: value.shape for name, value in state.tensors().items()}
    steps(state, exemplar, recipe, 1)
    assert {name: value.shape for name, value in state.tensors().items()} == before


def test_training_repeats_from_a_snapshot(state, exemplar, recipe):
    steps(state, exemplar, recipe, 2)
    snapshot = state.snapshot()
    steps(state, exemplar, recipe, 2)
    ends, numbers = state.snapshot()
    state.restore(*snapshot)
    assert state.numbers() == snapshot[1]
    steps(state, exemplar, recipe, 2)
    assert all(torch.equal(ends[name], value) for name, value in state.tensors().items())
    assert state.numbers() == numbers


def test_optimisers_see_the_memory_of_the_weights_without_gaps(state):
    for optimiser in state.optimisers.values():
        for view, parameter in zip(optimiser.views, optimiser.parameters, strict=True):
            assert view.data_ptr() == parameter.data_ptr()
            assert view.is_contiguous()
            assert view.numel() == parameter.numel()


@pytest.mark.parametrize("modality", ["still"], indirect=True)
def test_a_step_is_that_of_pytorchs_adam(state, recipe):
    recipe = replace(recipe, weight_decay=0.01)
    ours, theirs = (copy.deepcopy(state.triangle.generator) for _ in range(2))
    optimiser = Adam(ours, recipe)
    reference = torch.optim.Adam(theirs.parameters(), betas=(recipe.beta1, recipe.beta2), weight_decay=0.01, fused=True)
    for rate in (1e-2, 3e-3):
        reference.param_groups[0]["lr"] = rate
        for network in (ours, theirs):
            for parameter in network.parameters():
                parameter.grad = torch.cos(parameter.detach() * 9)
        optimiser.descend(rate)
        reference.step()
    pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    assert all(torch.allclose(one, other, rtol=0, atol=1e-6) for one, other in pairs)
    assert not torch.equal(pairs[0][0], next(state.triangle.generator.parameters()))


def test_training_does_not_load_the_compiler(tmp_path):
    """It takes some 3 s of each start."""
    code = (
        "import sys, texsyn; e = texsyn.read(sys.argv[1]); r = texsyn.recipe_for('fast', e.modality, "
        "steps=1, width_multiplier=0.1, batch_size=1); list(texsyn.fit(texsyn.create(e, r), e, r)); "
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(VIDEOS / "beans.png")], check=True)
