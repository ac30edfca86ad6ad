"""Smooth continuation under a mask."""

import pytest
import torch

from texsyn.media import inpaint


@pytest.mark.parametrize("shape", [(3, 17, 24), (2, 6, 9, 8), (1, 5, 1)])
def test_masked_values_do_not_matter(shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    mask = (torch.rand(1, *shape[1:], generator=torch.Generator().manual_seed(1)) < 0.6).float()
    filled = inpaint.fill(values, mask)
    spoilt = torch.where(mask > 0, torch.full_like(values, float("nan")), values)
    assert torch.equal(filled, inpaint.fill(spoilt, mask))
    assert torch.equal(torch.where(mask > 0, 0, filled), torch.where(mask > 0, 0, values))
    assert filled.abs().max() <= values.abs().max() + 1e-6  # harmonic: no new extremes


def test_a_slope_goes_on_under_a_mask():
    slope = torch.linspace(-1, 1, 64).expand(1, 64, 64).contiguous()
    mask = torch.zeros(1, 64, 64)
    mask[:, 20:40, 24:44] = 1
    assert (inpaint.fill(slope, mask) - slope).abs().max() < 0.08


def test_frames_that_are_masked_whole_lie_between_their_neighbours():
    clip = torch.linspace(-1, 1, 17).view(1, 17, 1, 1).expand(1, 17, 8, 8).contiguous()
    mask = torch.zeros_like(clip)
    mask[:, 1::2] = 1
    assert (inpaint.fill(clip, mask) - clip)[:, 2:-2].abs().max() < 0.05
