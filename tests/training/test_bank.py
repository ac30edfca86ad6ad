"""The codes of the mixture prior: those of training, renewed beside it, and those for sampling."""

from dataclasses import replace

import pytest
import torch

from texsyn.training import bank, loop
from texsyn.training.data import Data, Stream, draw_batch, latent_noise
from texsyn.training.state import init_state


@pytest.fixture
def learnt(recipe):
    return replace(recipe, latent_prior="mixture", steps=60, learning_rate=3e-3)


@pytest.fixture
def trained(exemplar, learnt):
    return loop.create(exemplar, learnt)


@pytest.fixture
def state(trained, exemplar, learnt):
    return init_state(trained, learnt, (exemplar,))


def data_of(exemplar, triangle, recipe):
    return Data.of([exemplar], [triangle.scaled(exemplar.pixels)], triangle.modality, recipe)


def renew(state, exemplar, recipe, step):
    state.step = step
    bank.renew_codes(state, data_of(exemplar, state.triangle, recipe), recipe)


def test_with_the_normal_prior_there_are_no_codes(exemplar, recipe):
    normal = replace(recipe, latent_prior="normal")
    state = init_state(loop.create(exemplar, normal), normal, (exemplar,))
    data = data_of(exemplar, state.triangle, normal)
    renew(state, exemplar, normal, 0)
    bank.encode_codes(state.triangle, data, normal)
    assert state.prior is None
    assert state.triangle.mixture_prior is None
    noise = latent_noise(state.triangle, 2, 0, Stream.PRIOR, 0)
    assert torch.equal(state.triangle.draw_latents(noise), noise)
    assert torch.equal(draw_batch(state, data, normal).z, noise)


def test_all_codes_are_encoded_at_first_and_the_oldest_later(state, exemplar, learnt):
    renew(state, exemplar, learnt, 0)
    first = state.prior.means.clone()
    assert first.flatten(1).std(1).min() > 0
    renew(state, exemplar, learnt, 1)
    assert torch.equal(state.prior.means, first)
    renew(state, exemplar, learnt, bank._INTERVAL)
    changed = (state.prior.means != first).flatten(1).any(1)
    assert changed.nonzero().flatten().tolist() == list(range(bank._RENEWED, 2 * bank._RENEWED))


def test_training_draws_from_codes_of_its_own(state, exemplar, learnt):
    """What is encoded for sampling in between changes nothing of the next steps."""
    data = data_of(exemplar, state.triangle, learnt)
    renew(state, exemplar, learnt, 0)
    z = draw_batch(state, data, learnt).z
    inverse = replace(exemplar, pixels=-exemplar.pixels)
    bank.encode_codes(state.triangle, data_of(inverse, state.triangle, learnt), learnt)
    assert torch.equal(draw_batch(state, data, learnt).z, z)
    assert not torch.equal(state.triangle.mixture_prior.means, state.prior.means)


def test_samples_have_more_codes_than_training(exemplar, learnt):
    many = replace(learnt, codes=40)
    state = init_state(loop.create(exemplar, many), many, (exemplar,))
    assert (len(state.triangle.mixture_prior.means), len(state.prior.means)) == (40, 16)
    data, prior = data_of(exemplar, state.triangle, many), state.triangle.mixture_prior
    bank.encode_codes(state.triangle, data, many)
    assert prior.means.flatten(1).std(1).min() > 0
    first = prior.means[torch.arange(40) % 16].clone()
    assert not torch.equal(prior.means, first)
    bank.encode_codes(state.triangle, data, many, whole=False)
    assert torch.equal(prior.means, prior.means[torch.arange(40) % 16])


def test_samples_are_drawn_from_codes_of_the_last_weights(trained, exemplar, learnt):
    for _report in loop.fit(trained, exemplar, learnt):
        pass
    kept = trained.mixture_prior.means.clone()
    bank.encode_codes(trained, data_of(exemplar, trained, learnt), learnt)
    assert torch.equal(trained.mixture_prior.means, kept)


def test_codes_are_what_the_posterior_gives_for_crops(trained, exemplar, learnt):
    """Of an exemplar that is the same everywhere, all crops with their margins are alike."""
    prior = trained.mixture_prior
    colour = torch.full((len(exemplar.pixels), *(1,) * len(exemplar.size)), 0.3)
    for part in trained.modality.vectors:  # straight up, so that they stay when a crop is deformed
        colour[part] = torch.tensor([0.0, 0.0, 1.0]).view_as(colour[part])
    flat = replace(exemplar, pixels=colour.expand_as(exemplar.pixels).contiguous())
    bank.encode_codes(trained, data_of(flat, trained, learnt), learnt)
    size = [(n + 4 * r) * f for n, r, f in zip(prior.inner, prior.ring, trained.stride, strict=True)]
    encoded = trained.posterior(colour.expand(1, -1, *size).contiguous())
    inner = (..., *(slice(r, -r or None) for r in prior.ring))
    mean, log_variance = (each[inner] for each in encoded)
    assert torch.allclose(prior.means, mean.expand_as(prior.means), atol=1e-6)
    fixed = [axis for axis, same in enumerate(prior.stationary, start=2) if same]
    assert torch.allclose(prior.variances[0], log_variance.exp().mean(fixed, keepdim=True)[0], atol=1e-6)


def test_codes_know_what_of_them_lies_outside_their_exemplar(trained, exemplar, learnt):
    """Nothing of crops that are not deformed, and all or some of the rings around those at an exemplar's ends."""
    prior, plain = trained.mixture_prior, replace(learnt, deformation=0.0, rotation=0.0, scaling=0.0, codes=16)
    bank.encode_codes(trained, data_of(exemplar, trained, plain), plain)
    inner = (slice(r * n, -r * n or None) for r, n in zip(prior.ring, prior.seams.fine, strict=True))
    assert prior.outside[(slice(None), *inner)].max() == 0
    assert float(prior.outside.max()) == float(any(prior.ring))


def test_the_ends_of_an_exemplar_are_in_many_codes_and_every_start_is_in_some():
    random = torch.Generator().manual_seed(0)
    places = bank._places([(40, 8), (96, 8)], (32, 8), 0, 800, random, (1, 1))
    for number, size, share in ((0, 40, 17 / 41), (1, 96, 17 / 97)):
        starts = torch.tensor([crop[1].start for each, crop in places if each == number])
        shares = starts.bincount(minlength=size - 31) / len(starts)
        assert len(shares) == size - 31
        assert shares[[0, -1]].tolist() == pytest.approx([share, share], rel=0.3)
        assert shares[1:-1].max() < 0.05
        assert (shares > 0).float().mean() > 0.9
    assert {crop[2].start for _, crop in places} == {0}
    sides = bank._places([(64, 8)], (32, 8), 0, 20, random, (32, 1))
    assert {crop[1].start for _, crop in sides} == {0, 32}


def test_a_fit_that_was_stopped_goes_on_as_if_it_had_not_been(exemplar, learnt):
    """Whatever is prepared for sampling when iteration ends is no part of what training goes on from."""
    brief = replace(learnt, steps=6)

    def train(*stops):
        state = init_state(loop.create(exemplar, brief), brief, (exemplar,))
        for stop in (*stops, brief.steps):
            for report in loop.fit(state.triangle, exemplar, brief, state):
                if report.step == stop:
                    break
        return state.triangle.mixture_prior.state_dict() | state.triangle.generator.state_dict()

    unbroken, stopped = train(), train(3)
    assert all(torch.equal(value, stopped[name]) for name, value in unbroken.items() if "running" not in name)


def test_draws_of_a_trained_triangle_lie_where_codes_do(exemplar, learnt):
    triangle = loop.create(exemplar, replace(learnt, precision="bfloat16"))
    for _report in loop.fit(triangle, exemplar, learnt):
        pass
    noise = latent_noise(triangle, 16, 5, Stream.PRIOR, 7)
    drawn, codes = triangle.draw_latents(noise), triangle.mixture_prior.means
    assert drawn.dtype is torch.float32
    over = (0, *range(2, codes.dim()))
    assert torch.allclose(drawn.mean(over), codes.mean(over), atol=float(0.5 * codes.std(over).max()))
    spread = (codes.var() + triangle.mixture_prior.variances.mean()).sqrt()
    assert float((drawn.std() / spread).log().abs()) < 0.5  # of N(0, I) 0.5 to 1
