"""Each correction, fitted to textures whose statistics are known; their chain."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import KINDS

from texsyn.models.colour_transfer import ColourTransfer
from texsyn.models.corrections import Correction
from texsyn.models.deflicker import Deflicker
from texsyn.models.equaliser import Equaliser
from texsyn.models.subband_matching import SubbandMatching, pyramid

WRAPPED = (True, True)


def test_the_equaliser_is_a_convolution_and_the_identity_at_first():
    layer = Equaliser(3, (3, 5), "yx").double()
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64) * 0.02
    torch.testing.assert_close(layer(x, WRAPPED), x, atol=1e-9, rtol=1e-7)
    layer.kernel.copy_(torch.randn(3, 3, 3, 5))
    layer.offset.copy_(torch.randn(3) * 0.02)
    torch.testing.assert_close(
        layer(x.roll((1, 2), (2, 3)), WRAPPED), layer(x, WRAPPED).roll((1, 2), (2, 3)), atol=1e-9, rtol=1e-7
    )
    for scale in (1, 100):  # without and with values that are clamped
        padded = F.pad(x * scale, (2, 2, 1, 1), mode="replicate")
        expected = F.conv2d(padded, layer.kernel, layer.offset)
        assert (expected.abs().max() > 1) == (scale > 1)
        torch.testing.assert_close(layer(x * scale, (False, False)), expected.clamp(-1, 1), atol=1e-9, rtol=1e-7)


def test_bands_of_detail_sum_to_the_clip_and_know_their_speed():
    t = torch.arange(64.0)
    fast, slow = torch.cos(math.pi * t), torch.cos(2 * math.pi * t / 16)
    clip = (fast + slow).view(1, 1, -1, 1, 1)
    wide = torch.cat((clip[:, :, -7:], clip, clip[:, :, :7]), 2)
    first, *middle, rest = pyramid(wide, 3, (2,))
    torch.testing.assert_close(first + sum(middle) + rest, clip)
    torch.testing.assert_close(first.flatten(), fast + 0.038 * slow, atol=0.01, rtol=0)
    assert max(float(each.abs().max()) for each in (*middle, rest)) < 1.1
    still = torch.rand(1, 3, 40, 50)
    torch.testing.assert_close(sum(pyramid(still, 2, (2, 3))), still[:, :, 3:-3, 3:-3])


@pytest.mark.parametrize(("axes", "grid"), [((2,), (32, 16, 16)), ((2, 3), (96, 96))], ids=["clip", "still"])
def test_detail_is_as_often_slight_as_the_exemplars(axes, grid):
    """Weak noise everywhere against rare steps: the same power, other magnitudes."""
    random, wrapped = torch.Generator().manual_seed(0), (True, *[len(axes) == 2] * (len(grid) - 1))
    generated = 0.05 * torch.randn(4, 2, *grid, generator=random)
    rare = (torch.rand(2, 2, *grid, generator=random) < 0.05).float()
    real = 0.05 * rare / 0.05**0.5 * torch.randn(rare.shape, generator=random)
    matching = SubbandMatching(2, 3, axes)
    torch.testing.assert_close(matching(generated, wrapped), generated, atol=1e-6, rtol=1e-6)  # before it is fitted
    matching.fit(generated, real, 100.0)
    matched = matching(generated, wrapped)
    slight = [
        float(((each[:, :, 1:] - each[:, :, :-1]).abs() < 0.01).float().mean()) for each in (generated, matched, real)
    ]
    assert slight[0] < 0.15
    assert slight[2] > 0.8
    assert slight[1] > 3 * slight[0]  # not as many: bands are slight at different places
    assert matched.std() == pytest.approx(float(real.std()), rel=0.3)
    torch.testing.assert_close(matching(generated.roll(5, 2), wrapped), matched.roll(5, 2))
    flat = torch.zeros_like(generated).requires_grad_()
    (slope,) = torch.autograd.grad(matching(flat, wrapped).sum(), flat)
    assert slope.isfinite().all()
    matching.fit(generated, real, 2.0)
    assert matching.gain.max() == 2
    assert matching(generated * 1000, wrapped).abs().max() == 1


@pytest.mark.parametrize("channels", [1, 3])
def test_colour_transfer_gives_the_mean_and_covariance_of_the_exemplar(channels):
    random = torch.Generator().manual_seed(0)
    mix = torch.randn(2, channels, channels, generator=random) * 0.2
    mix[1] = mix[0] + 0.02
    generated, real = (
        torch.einsum("dc,bcyx->bdyx", each, torch.randn(4, channels, 64, 64, generator=random)) + offset
        for each, offset in zip(mix, (0.1, -0.2), strict=True)
    )
    transfer = ColourTransfer(channels)
    transfer.fit(generated, real, gain=100.0)
    matched = torch.einsum("dc,bcyx->bdyx", transfer.matrix, generated) + transfer.offset.view(-1, 1, 1)
    torch.testing.assert_close(transfer(generated, WRAPPED), matched.clamp(-1, 1))
    flat = [each.transpose(0, 1).flatten(1) for each in (matched, real)]
    torch.testing.assert_close(flat[0].mean(1), flat[1].mean(1), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cov(flat[0]), torch.cov(flat[1]), atol=1e-3, rtol=1e-2)
    torch.testing.assert_close(transfer.matrix, transfer.matrix.T)
    transfer.fit(generated * 0.01, real)
    assert torch.linalg.eigvalsh(transfer.matrix).max() <= 1.5 + 1e-5


def test_deflicker_takes_motion_away_and_never_adds_any():
    """On the left the exemplar stands still and samples move; on the right the exemplar moves more."""
    random = torch.Generator().manual_seed(0)
    generated = 0.1 * torch.randn(2, 3, 20, 8, 8, generator=random) + 0.3
    real = 0.2 * torch.randn(1, 3, 30, 8, 8, generator=random) - 0.2
    real[..., :4] = real[:, :, :1, :, :4]
    deflicker = Deflicker(3, (1, 8, 8))
    torch.testing.assert_close(deflicker(generated, (True, False, False)), generated)  # before it is fitted
    deflicker.fit(generated, real)
    out = deflicker(generated, (True, False, False))
    torch.testing.assert_close(out[..., :4], real[:, :, :1, :, :4].expand_as(out[..., :4]))
    motion = [each[..., 4:].diff(dim=2) for each in (generated, out)]
    torch.testing.assert_close(motion[1], motion[0])
    torch.testing.assert_close(out.mean((0, 2)), real.mean((0, 2)))


def test_each_correction_is_fitted_to_the_output_of_those_before(modality):
    """The statistics of generated textures change with each; every part has those of its own input."""
    random = torch.Generator().manual_seed(0)
    shape = (3, modality.channels, *modality.window)
    generated, crops = (torch.tanh(torch.randn(shape, generator=random) * scale) for scale in (0.3, 0.5))
    real = crops[:1]
    design, stationary = modality.designs["local"], modality.stationary
    correction = Correction(modality, design)
    correction.fit(generated, real, crops, gain=2.0)
    parts = list(correction.children())
    assert [type(part) for part in parts][-1] is SubbandMatching
    assert len(parts) == 3
    before = generated
    for part in parts:
        alone = Correction(modality, design)
        again = next(each for each in alone.children() if type(each) is type(part))
        how = {Equaliser: (crops, 2.0), ColourTransfer: (real,), Deflicker: (real,), SubbandMatching: (real, 2.0)}
        again.fit(before, *how[type(part)])
        assert all(torch.equal(one, other) for one, other in zip(again.buffers(), part.buffers(), strict=True))
        before = part(before, stationary)
    assert torch.equal(correction(generated, stationary), before)
    assert before.abs().max() <= 1


def test_a_design_without_corrections_changes_nothing():
    modality = KINDS["still"]
    plain = replace(modality.designs["local"], equaliser=(), colour_transfer=False, subband_matching=0)
    x = torch.randn(1, 3, 16, 16)
    assert torch.equal(Correction(modality, plain)(x, WRAPPED), x)
