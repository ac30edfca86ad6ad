"""The state of training: its tensors and numbers, and going back to a snapshot."""

import pytest
import torch

from texsyn.training import loop
from texsyn.training.data import Data
from texsyn.training.state import NETWORKS, init_state


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
    for network in NETWORKS:
        for view, parameter in state._views(network):
            assert view.data_ptr() == parameter.data_ptr()
            assert view.is_contiguous()
            assert view.numel() == parameter.numel()
