"""Initial weights are learnt in rounds that add up, and shipped with a list of them."""

import json

import numpy as np
import pytest
import torch
from conftest import script_of_videos

from texsyn.core.modality import CLIP, STILL
from texsyn.models import initial_weights


@pytest.fixture(scope="module")
def script():
    with script_of_videos("train_start") as module:
        yield module


@pytest.fixture
def elsewhere(tmp_path, monkeypatch, script):
    """The package's weights and their list lie in a folder of the test's."""
    path = tmp_path / "initial.safetensors"
    monkeypatch.setattr(initial_weights, "file", lambda modality: path)
    monkeypatch.setattr(script, "file", lambda modality: path)
    monkeypatch.setattr(script, "HERE", tmp_path)
    return path


@pytest.mark.parametrize("kind", [STILL, CLIP], ids=lambda kind: kind.name)
def test_rounds_add_up_and_go_on_from_what_is_shipped(tmp_path, script, elsewhere, kind):
    state = tmp_path / "state.safetensors"
    script.train(state, 0, 2, kind)
    first, rounds = script.read(state)
    assert rounds == 1
    script.train(state, 0, 2, kind)
    second, rounds = script.read(state)
    assert rounds == 2
    assert any(not torch.equal(second[name], first[name]) for name in first)
    script.ship(state, kind)
    listed = [json.loads(line) for line in script.rounds_of(kind).read_text().splitlines()]
    assert [row["round"] for row in listed] == [row["seed"] for row in listed] == [0, 1]
    shipped, rounds = script.shipped(kind)
    assert rounds == 2
    assert all(torch.allclose(shipped[name], each, atol=float(each.abs().max()) / 127) for name, each in second.items())
    other = tmp_path / "other.safetensors"
    script.train(other, 0, 2, kind)
    assert script.read(other)[1] == 3
    assert json.loads(other.with_suffix(".log").read_text())["seed"] == 2


def test_two_processes_on_a_new_state_number_their_rounds_in_order(tmp_path, script, elsewhere):
    """The second to begin is the first to end: it is claimed number 1, and round 0."""
    state = tmp_path / "state.safetensors"
    assert script.claim(state, STILL)[1] == 0
    script.train(state, 0, 2, STILL)
    (row,) = (json.loads(line) for line in state.with_suffix(".log").read_text().splitlines())
    assert (row["round"], row["seed"]) == (0, 1)
    assert script.read(state)[1] == 1


def test_stills_are_turned_and_mirrored_and_clips_are_not(script, monkeypatch):
    ramp = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    monkeypatch.setattr(script.families, "render", lambda seed: ramp)
    monkeypatch.setattr(script.moving, "render", lambda seed: ramp[None])
    turned = {tuple(script.exemplar(seed, STILL).pixels.flatten().tolist()) for seed in range(8)}
    assert len(turned) == 8
    as_it_is = torch.from_numpy(ramp).movedim(-1, 0) / 127.5 - 1
    assert torch.equal(script.exemplar(0, STILL).pixels, as_it_is)
    assert torch.equal(script.exemplar(3, CLIP).pixels, as_it_is[:, None])
