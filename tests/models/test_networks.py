"""The paper's networks, and laws of every generator, posterior and energy."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import KINDS, lively

from texsyn.core.modality import CLIP, STILL
from texsyn.models import layers
from texsyn.models.triangle import Triangle


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def meta(modality, design):
    with torch.device("meta"):
        return Triangle(modality, design)


def test_the_papers_still_networks_have_its_sizes():
    triangle = meta(replace(STILL, window=(224, 224)), STILL.designs["paper"])
    assert triangle.latent_shape((224, 224)) == (5, 7, 7)
    shapes = [tuple(up.weight.shape) for up in triangle.generator.ups] + [tuple(triangle.generator.last.weight.shape)]
    assert shapes == [(5, 512, 4, 4), (512, 512, 4, 4), (512, 256, 4, 4), (256, 128, 4, 4), (128, 3, 4, 4)]
    assert count(triangle.energy) == 3 * 49 * 100 + 100 + 100 * 49 * 70 + 70 + 70 * 25 * 30 + 30
    assert triangle.posterior.heads.weight.shape == (10, 512, 4, 4)


def test_the_papers_clip_networks_have_its_sizes():
    triangle = meta(CLIP, CLIP.designs["paper"])
    assert triangle.latent_shape((32, 64, 64)) == (10, 2, 1, 1)
    assert triangle.stride == (16, 64, 64)
    assert triangle.generator(torch.zeros(1, 10, 2, 1, 1, device="meta")).shape == (1, 3, 32, 64, 64)
    mean, _ = triangle.posterior(torch.zeros(1, 3, 32, 64, 64, device="meta"))
    assert mean.shape == (1, 10, 2, 1, 1)
    assert triangle.energy(torch.zeros(2, 3, 32, 64, 64, device="meta")).shape == (2,)
    assert triangle.energy.scales[0][-2].weight.numel() == 128 * 128 * 4 * 16 * 16


def test_weights_are_drawn_as_in_the_paper():
    triangle = Triangle(STILL, STILL.designs["paper"], seed=3)
    weights = triangle.generator.ups[1].weight.detach()
    assert float(weights.mean()) == pytest.approx(0, abs=1e-4)
    assert float(weights.std()) == pytest.approx(0.02, rel=0.01)
    assert torch.equal(weights, triangle.generator_ema.ups[1].weight)


def test_a_shift_of_the_field_is_a_shift_of_the_texture(triangle):
    g = triangle.generator_ema.double().eval()
    z = torch.randn(1, *triangle.latent_shape(triangle.modality.window), dtype=torch.float64)
    for axis, same in enumerate(triangle.modality.stationary):
        moved = g(z.roll(1, axis + 2))
        still = g(z).roll(triangle.stride[axis], axis + 2)
        assert torch.allclose(moved.double(), still.double(), atol=1e-6) == same


def test_a_larger_field_makes_a_larger_texture(triangle):
    z = torch.randn(1, *triangle.latent_shape(triangle.modality.window))
    doubled = [2 if same else 1 for same in triangle.modality.stationary]
    texture = triangle.generator_ema.eval()(z)
    larger = triangle.generator_ema(z.repeat(1, 1, *doubled))
    assert larger.shape[2:] == tuple(n * d for n, d in zip(texture.shape[2:], doubled, strict=True))
    torch.testing.assert_close(larger, texture.repeat(1, 1, *doubled), rtol=1e-4, atol=1e-4)


def test_the_networks_know_the_position_on_a_fixed_axis():
    clip = lively(Triangle(KINDS["clip"], KINDS["clip"].designs["local"], seed=1))
    texture = clip.generator.eval()(torch.zeros(1, *clip.latent_shape((8, 16, 16))))
    assert texture.std((3, 4)).min() > 0.01
    torch.testing.assert_close(texture[:, :, 4:], texture[:, :, :4])
    left, right = torch.zeros(1, 3, 8, 16, 16), torch.zeros(1, 3, 8, 16, 16)
    left[..., :6], right[..., -6:] = 1, 1
    assert not torch.allclose(clip.energy(left), clip.energy(right), rtol=1e-3)


def test_log_variances_stay_within_their_bound(triangle):
    _, log_variance = triangle.posterior(torch.randn(2, triangle.modality.channels, *triangle.modality.window) * 1e4)
    assert log_variance.abs().max() <= 6


def test_the_written_out_gradient_of_the_energy_is_autograds(triangle):
    energy = lively(triangle).energy.double()
    x = torch.rand(2, triangle.modality.channels, *triangle.modality.window, dtype=torch.float64, requires_grad=True)
    value = energy(x)
    (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    weights = [weight for weight in energy.parameters() if weight.dim() > 1]  # biases do not change the gradient
    penalty = torch.autograd.grad(gradient.square().mean(), weights)
    same_value, same_gradient = energy.with_gradient(x.detach())
    torch.testing.assert_close(same_value, value)
    torch.testing.assert_close(same_gradient, gradient)
    torch.testing.assert_close(torch.autograd.grad(same_gradient.square().mean(), weights), penalty)
    assert min(float(each.abs().max()) for each in penalty) > 0


def test_half_of_a_signed_energys_last_filters_are_negative():
    signed = KINDS["still"].designs["local"]
    triangle = lively(Triangle(KINDS["still"], signed, seed=1))
    plain = Triangle(KINDS["still"], replace(signed, energy_signed=False))
    plain.load_state_dict(triangle.state_dict())
    x = torch.rand(2, 3, 16, 16)
    for half, whole in zip(triangle.energy.local(x), plain.energy.local(x), strict=True):
        assert torch.equal(half, torch.cat((whole[:, :3], -whole[:, 3:]), 1))  # of five filters
    assert not torch.allclose(triangle.energy(x), plain.energy(x), rtol=0.1)


@pytest.mark.parametrize("design", ["paper", "local"])
@pytest.mark.parametrize("modality", [STILL, CLIP], ids=lambda m: m.name)
def test_the_backward_of_every_size_of_layer_is_autograds(modality, design):
    rows = modality.designs[design]
    for layer in (*rows.energy, *rows.posterior):
        module = layers.conv(modality.channels, 2, layer.kernel, layer.stride, layer.padded).double()
        torch.nn.init.normal_(module.weight)
        x = torch.randn(
            1, modality.channels, *(min(n, 40) for n in modality.window), dtype=torch.float64, requires_grad=True
        )
        out = module(x)
        seed = torch.randn_like(out)
        (expected,) = torch.autograd.grad(out, x, seed)
        torch.testing.assert_close(layers.conv_backward(module, seed, x.shape[2:]), expected)


def test_every_latent_field_changes_the_texture_and_is_inferred():
    triangle = lively(Triangle(STILL, STILL.designs["local"], seed=2))
    z = torch.randn(1, *triangle.latent_shape(STILL.window))
    texture = triangle.generator.eval()(z)
    mean, log_variance = triangle.posterior(texture)
    assert mean.shape == log_variance.shape == z.shape
    start = 0
    for channels, grid in zip(triangle.design.latents, triangle.design.latent_grids, strict=True):
        stop = start + channels * grid[0] * grid[1]
        other = z.clone()
        other[:, start:stop] = torch.randn(1, stop - start, *z.shape[2:])
        assert not torch.allclose(triangle.generator(other), texture, atol=1e-3)
        start = stop
    assert stop == z.shape[1]


@torch.no_grad()
def test_a_frame_latent_reaches_all_of_its_frames_and_is_inferred():
    triangle = lively(Triangle(CLIP, CLIP.designs["local"], seed=2))
    z = torch.randn(1, *triangle.latent_shape(CLIP.window))
    first = triangle.design.latents[0]
    assert z.shape[1] == first + sum(
        c * math.prod(grid)
        for c, grid in zip(triangle.design.frame_latents, triangle.design.frame_latent_grids, strict=True)
    )
    texture = triangle.generator.eval()(z)
    other = z.clone()
    other[:, first:, :1, 0, 0] += 3  # the frame latents of the first latent position
    moved = (triangle.generator(other) - texture).abs().amax((0, 1))
    assert (F.max_pool2d(moved[:8], 16) > 0).all()  # the pixels of each latent position
    assert float(moved[16:24].max()) == 0  # the reach of a position ends before
    other = z.clone()
    other[:, first:, :, 1:] = 0  # positions that are not read
    assert torch.equal(triangle.generator(other), texture)
    mean, log_variance = triangle.posterior(texture)
    assert bool((mean[:, first:, :, 0, 0] != 0).all())
    for each in (mean, log_variance):
        assert float(each[:, first:, :, 1:].abs().max()) == float(each[:, first:, :, :, 1:].abs().max()) == 0


@torch.no_grad()
def test_activations_of_the_generator_are_bounded(triangle):
    """Without a bound features grow with the code."""
    largest = []

    def look(_module, inputs):
        largest.append(float(inputs[0].max()))

    for bound in (0.0, 0.5):
        design = replace(triangle.design, activation_bound=bound, normalisation="none")
        generator = lively(Triangle(triangle.modality, design, seed=1)).generator
        generator.last.register_forward_pre_hook(look)
        generator(10 * torch.ones(1, *triangle.latent_shape(triangle.modality.window)))
    assert largest[0] > 1
    assert largest[1] == 0.5
