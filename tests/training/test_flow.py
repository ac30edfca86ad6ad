"""The learnt prior beside the triangle: codes, their renewal, and draws that follow them."""

from dataclasses import replace

import pytest
import torch

from texsyn.training import flow, loop
from texsyn.training.data import Data
from texsyn.training.state import init_state


@pytest.fixture
def learnt(recipe):
    return replace(recipe, latent_prior="flow", steps=60, learning_rate=3e-3)


@pytest.fixture
def state(exemplar, learnt):
    return init_state(loop.create(exemplar, learnt), learnt, [exemplar])


def data_of(state, exemplar):
    return Data.of([exemplar], state.pixels([exemplar]))


def test_without_a_flow_there_are_no_codes(exemplar, recipe):
    plain = replace(recipe, latent_prior="normal")
    state = init_state(loop.create(exemplar, plain), plain, [exemplar])
    flow.train_flow(state, data_of(state, exemplar), plain, 1.0)
    assert len(state.codes) == 0
    assert "flow" not in state.optimisers
    assert not any("flow" in name or name == "codes" for name in state.tensors())


def test_all_codes_are_encoded_at_first_and_a_part_later(state, exemplar, learnt):
    data = data_of(state, exemplar)
    flow.train_flow(state, data, learnt, 1.0)
    first = state.codes.clone()
    assert first.flatten(1).std(1).min() > 0
    state.step = 1
    flow.train_flow(state, data, learnt, 1.0)
    assert torch.equal(state.codes, first)
    state.step = flow._INTERVAL
    flow.train_flow(state, data, learnt, 1.0)
    changed = (state.codes != first).flatten(1).any(1)
    assert changed.sum() == flow._RENEWED
    assert bool(changed[flow._RENEWED : 2 * flow._RENEWED].all())


def test_crops_for_codes_are_wider_where_the_exemplar_is(state, exemplar):
    modality, triangle = exemplar.modality, state.triangle
    small = flow.flow_window(triangle, [modality.window])
    assert small == modality.window
    large = flow.flow_window(triangle, [[10 * n for n in modality.window]])
    for n, wide, stride, same in zip(modality.window, large, triangle.stride, modality.stationary, strict=True):
        assert wide == n + (2 * stride if same else 0)


def test_the_average_follows_and_measures_its_draws(state, exemplar, learnt):
    triangle, data = state.triangle, data_of(state, exemplar)
    before = [p.clone() for p in triangle.flow_ema.parameters()]
    for _ in range(3):
        loop.train_step(state, data, learnt)
    assert any(not torch.equal(a, b) for a, b in zip(before, triangle.flow_ema.parameters(), strict=True))
    assert not torch.equal(triangle.flow_ema.drawn_mean, torch.zeros_like(triangle.flow_ema.drawn_mean))
    assert torch.equal(triangle.flow_ema.factor, triangle.flow.factor)


def test_a_fit_that_was_stopped_goes_on_as_if_it_had_not_been(exemplar, learnt):
    """Whatever is prepared for sampling when iteration ends is no part of what training goes on from."""
    brief = replace(learnt, steps=6)

    def train(*stops):
        state = init_state(loop.create(exemplar, brief), brief, (exemplar,))
        for stop in (*stops, brief.steps):
            for report in loop.fit(state.triangle, exemplar, brief, state):
                if report.step == stop:
                    break
        return state.triangle.flow_ema.state_dict() | state.triangle.generator.state_dict()

    unbroken, stopped = train(), train(3)
    assert all(torch.equal(value, stopped[name]) for name, value in unbroken.items() if "running" not in name)


def test_a_step_in_bfloat16_gives_draws_in_float32(exemplar, learnt):
    half = replace(learnt, precision="bfloat16")
    state = init_state(loop.create(exemplar, half), half, [exemplar])
    loop.train_step(state, data_of(state, exemplar), half)
    drawn = state.triangle.draw_latents(flow.latent_noise(state.triangle, 2, 0, flow.Stream.PRIOR, 0))
    assert drawn.dtype is torch.float32
    assert bool(drawn.isfinite().all())


def test_draws_have_the_moments_of_the_posterior(exemplar, learnt):
    triangle = loop.create(exemplar, learnt)
    state = init_state(triangle, learnt, (exemplar,))
    for _report in loop.fit(triangle, exemplar, learnt, state):
        pass
    noise = flow.latent_noise(triangle, 16, 5, flow.Stream.FLOW, 7)
    layout = triangle.flow_ema.layout
    drawn, codes = layout.unpack(triangle.draw_latents(noise)), layout.unpack(state.codes)
    over = (0, *range(2, codes.dim()))
    assert torch.allclose(drawn.mean(over), codes.mean(over), atol=float(0.5 * codes.std(over).max()))
    ratio = (drawn.std(over) / codes.std(over)).log()
    assert float(ratio.mean().abs()) < 0.2
