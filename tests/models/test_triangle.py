"""The five terms and their special cases, against torch.distributions and a Gaussian with a known answer."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from conftest import KINDS
from torch import distributions as D

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.recipes import OBJECTIVES, TRIANGLE, WAKE_SLEEP, Objective
from texsyn.models.triangle import Triangle
from texsyn.models.trio import TERMS, divergence, latent, prior, reconstruction


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_prior_is_the_kl_of_torch_distributions():
    mean, log_variance = draws(4, 3, 5, 5), draws(4, 3, 5, 5, seed=1)
    posterior = D.Independent(D.Normal(mean, (0.5 * log_variance).exp()), 3)
    standard = D.Independent(D.Normal(torch.zeros_like(mean), torch.ones_like(mean)), 3)
    torch.testing.assert_close(prior(mean, log_variance), D.kl_divergence(posterior, standard).mean())


def test_reconstruction_and_latent_are_negative_log_likelihoods_without_their_constants():
    x, decoded, sigma = draws(4, 3, 6, 6), draws(4, 3, 6, 6, seed=1), 0.3
    constant = x[0].numel() * (math.log(sigma) + 0.5 * math.log(2 * math.pi))
    expected = -D.Independent(D.Normal(decoded, sigma), 3).log_prob(x).mean() - constant
    torch.testing.assert_close(reconstruction(x, decoded, sigma), expected)
    z, mean, log_variance = draws(4, 2, 3), draws(4, 2, 3, seed=2), draws(4, 2, 3, seed=3)
    expected = -D.Independent(D.Normal(mean, (0.5 * log_variance).exp()), 2).log_prob(z).mean()
    torch.testing.assert_close(latent(z, mean, log_variance), expected - 0.5 * z[0].numel() * math.log(2 * math.pi))


def test_the_terms_add_up_to_the_divergence_of_one_dimensional_gaussians():
    """x ~ N(0, t^2), g(z) = a z, q(z|x) = N(b x, v), f(x) = -x^2 / (2 c): all three joints are Gaussians."""
    t, a, s, b, v, c, n = 1.3, 0.8, 0.5, 0.6, 0.7, 1.9, 1_000_000

    def joint(of_x: float, of_z: float, across: float) -> D.MultivariateNormal:
        covariance = torch.tensor([[of_z, across], [across, of_x]], dtype=torch.float64)
        return D.MultivariateNormal(torch.zeros(2, dtype=torch.float64), covariance)

    data = joint(t**2, b * b * t**2 + v, b * t**2)
    model = joint(a * a + s * s, 1.0, a)
    tilted = joint(c, b * b * c + v, b * c)
    kl = D.kl_divergence
    expected = kl(data, model) + kl(model, tilted) - kl(data, tilted)

    x, z = t * draws(n, 1), draws(n, 1, seed=1)
    log_variance = torch.full((n, 1), math.log(v), dtype=torch.float64)
    encoded = b * x + math.sqrt(v) * draws(n, 1, seed=2)
    generated = a * z + s * draws(n, 1, seed=3)  # a sample of p(x|z); the networks use its mean
    energy = lambda y: (-(y**2) / (2 * c)).mean()  # noqa: E731
    terms = {
        "reconstruction": reconstruction(x, a * encoded, s),
        "prior": prior(b * x, log_variance),
        "energy_data": energy(x),
        "energy_generated": -energy(generated),
        "latent": latent(z, b * generated, log_variance),
    }
    value = divergence({name: float(term) for name, term in terms.items()}, latent_size=1, size=1)
    assert value == pytest.approx(float(expected), abs=0.01)


def batch(triangle: Triangle) -> dict[str, torch.Tensor]:
    modality, dtype = triangle.modality, next(triangle.parameters()).dtype
    shape = (2, *triangle.latent_shape(modality.window))
    return {
        "x": torch.tanh(draws(2, modality.channels, *modality.window, seed=4)).to(dtype),
        "z": draws(*shape, seed=5).to(dtype),
        "noise": draws(*shape, seed=6).to(dtype),
    }


def gradients(triangle: Triangle, objective: Objective, **changes: torch.Tensor) -> dict[str, torch.Tensor]:
    triangle.zero_grad(set_to_none=True)
    inputs = {**batch(triangle), **changes}
    losses = triangle.losses(**inputs, objective=objective)
    losses.loss.backward()
    return {name: p.grad.clone() for name, p in triangle.named_parameters() if p.grad is not None}


def test_losses_are_the_terms_of_the_networks(triangle):
    inputs = batch(triangle)
    losses = triangle.losses(**inputs)
    mean, log_variance = triangle.posterior(inputs["x"])
    encoded = mean + inputs["noise"] * (0.5 * log_variance).exp()
    flat = (False,) * len(triangle.modality.axes)
    generated = triangle.generator(inputs["z"])
    expected = {
        "reconstruction": reconstruction(inputs["x"], triangle.generator(encoded, flat), 0.3),
        "prior": prior(mean, log_variance),
        "latent": latent(inputs["z"], *triangle.posterior(generated)),
        "energy_data": triangle.energy(inputs["x"]).mean(),
        "energy_generated": -triangle.energy(generated).mean(),
    }
    assert losses.terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(losses.terms[name], value)


def test_one_backward_pass_descends_theta_and_phi_and_ascends_alpha(triangle):
    objective = replace(TRIANGLE, reconstruction=0.7, prior=0.6, latent=0.5, energy=1.3)
    inputs = {name: value.double() for name, value in batch(triangle.double()).items()}
    terms = triangle.losses(**inputs, objective=objective).terms
    weighted = {name: getattr(objective, name) * terms[name] for name in ("reconstruction", "prior", "latent")}
    descent = sum(weighted.values()) - 1.3 * triangle.energy(triangle.generator(inputs["z"])).mean()
    contrast = terms["energy_data"] + terms["energy_generated"]
    together = gradients(triangle, objective, **inputs)
    for network in (triangle.generator, triangle.posterior):
        check(together, triangle, network, torch.autograd.grad(descent, list(network.parameters()), retain_graph=True))
    ascent = torch.autograd.grad(-contrast, list(triangle.energy.parameters()))
    check(together, triangle, triangle.energy, ascent)


def check(together, triangle, network, expected):
    names = {id(parameter): name for name, parameter in triangle.named_parameters()}
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(together[names[id(parameter)]], gradient)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("case", "ignored", "used"),
    [("vae", ["z"], ["x", "noise"]), ("acd", ["x", "noise"], ["z"]), ("wake-sleep", [], ["x", "z", "noise"])],
)
def test_special_cases_ignore_the_inputs_of_the_terms_they_leave_out(triangle, case, ignored, used):
    def descent(**changes: torch.Tensor) -> dict[str, torch.Tensor]:
        together = gradients(triangle, OBJECTIVES[case], **changes)
        return {name: gradient for name, gradient in together.items() if not name.startswith("energy")}

    inputs = batch(triangle)
    for name in ignored:
        assert same(descent(), descent(**{name: inputs[name].flip(0) * 0.5}))
    for name in used:
        assert not same(descent(), descent(**{name: inputs[name] * 0.5}))


@pytest.mark.parametrize("case", ["vae", "wake-sleep"])
def test_special_cases_without_energy_ignore_it(triangle, case):
    before, full = gradients(triangle, OBJECTIVES[case]), gradients(triangle, TRIANGLE)
    with torch.no_grad():
        for parameter in triangle.energy.parameters():
            parameter.mul_(1.7).add_(0.1)
    assert same(before, gradients(triangle, OBJECTIVES[case]))
    assert not same(full, gradients(triangle, TRIANGLE))


def test_wake_sleep_trains_each_network_by_one_term(triangle):
    triangle = copy.deepcopy(
        triangle
    ).double()  # in float32, rounding differs between processors by more than the tolerance
    inputs = batch(triangle)
    together = gradients(triangle, WAKE_SLEEP)
    mean, log_variance = (value.detach() for value in triangle.posterior(inputs["x"]))
    encoded = mean + inputs["noise"] * (0.5 * log_variance).exp()
    generated = triangle.generator(inputs["z"]).detach()
    triangle.zero_grad(set_to_none=True)
    flat = (False,) * len(triangle.modality.axes)
    reconstruction(inputs["x"], triangle.generator(encoded, flat), 0.3).backward()
    latent(inputs["z"], *triangle.posterior(generated)).backward()
    for name, parameter in triangle.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(together[name], parameter.grad, rtol=1e-9, atol=1e-9)


def test_the_penalty_is_the_mean_squared_gradient_of_the_energy(triangle):
    inputs = batch(triangle)
    generated = triangle.generator(inputs["z"]).detach()
    penalty = triangle.losses(**inputs, penalised=True).gradient_norm
    both = torch.cat((inputs["x"], generated)).double()
    energy = triangle.energy.double()
    step = 1e-6
    direction = draws(*both.shape, seed=9)
    slope = (energy(both + step * direction) - energy(both - step * direction)).sum() / (2 * step)
    both.requires_grad_(True)
    (gradient,) = torch.autograd.grad(energy(both).sum(), both)
    torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(penalty.double(), gradient.square().mean(), rtol=1e-3, atol=1e-3)


def test_all_terms_are_named():
    assert TERMS == ("reconstruction", "prior", "energy_data", "energy_generated", "latent")


def test_masked_pixels_do_not_enter_the_reconstruction(triangle):
    inputs = batch(triangle)
    mask = (torch.rand(2, 1, *triangle.modality.window) < 0.5).float()
    losses = triangle.losses(**inputs, mask=mask)
    squares = ((inputs["x"] - losses.decoded).square() * (mask == 0)).flatten(1).sum(1).mean()
    torch.testing.assert_close(losses.terms["reconstruction"], squares / (2 * 0.3**2))
    other = torch.where(mask > 0, torch.ones_like(inputs["x"]), inputs["x"])
    same_decoded = reconstruction(other, losses.decoded, 0.3, mask)
    torch.testing.assert_close(same_decoded, losses.terms["reconstruction"])


def test_textures_that_the_networks_cannot_take_are_refused():
    still, clip = (Triangle(KINDS[name], KINDS[name].designs["local"]) for name in ("still", "clip"))
    still.check(torch.zeros(3, 40, 24))
    for triangle, shape, message in (
        (still, (1, 40, 24), r"3 channel\(s\), which does not fit values of shape \(1, 40, 24\)"),
        (still, (3, 8, 16, 16), r"does not fit values of shape"),
        (still, (3, 3000, 2000), "2000 x 3000 is too large"),
        (clip, (3, 8, 16, 24), "has a fixed size of 16 pixels, so it cannot take 24"),
    ):
        with pytest.raises(TexsynError, match=message) as caught:
            triangle.check(torch.zeros(1).expand(shape))
        assert caught.value.exit is Exit.BAD_INPUT
