"""The flow from noise to latent fields."""

from dataclasses import replace

import pytest
import torch

from texsyn.core.modality import CLIP, STILL, SURFACE
from texsyn.core.recipes import design_for, recipe_for
from texsyn.models.latent_flow import LatentFlow


def flow_of(modality, exemplars=1):
    design = design_for(modality, recipe_for("fast", modality, latent_prior="flow"), exemplars)
    flow = LatentFlow(modality, replace(design, flow_channels=16))
    random = torch.Generator().manual_seed(0)
    flow.initialise(random)
    torch.nn.init.normal_(flow.convolutions[-1].weight, 0.0, 0.1, generator=random)  # begins as zero
    for each in (flow.mean, flow.drawn_mean):
        each.normal_(generator=random)
    return flow


def noise_of(flow, *grid, count=1):
    channels = sum(each.packed for each in flow.layout.fields) + flow.labels
    return torch.randn(count, channels, *grid, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_a_fresh_flow_gives_the_noise():
    design = design_for(STILL, recipe_for("fast", STILL))
    flow = LatentFlow(STILL, design)
    flow.initialise(torch.Generator().manual_seed(0))
    noise = noise_of(flow, 3, 4)
    assert torch.allclose(flow(noise), noise, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("modality", "grid"), [(STILL, (4, 6)), (CLIP, (5, 4, 4)), (SURFACE, (3, 2, 4))])
def test_draws_live_on_the_torus(modality, grid):
    flow = flow_of(modality)
    noise = noise_of(flow, *grid)
    axes = [axis for axis, same in enumerate(modality.stationary, start=2) if same]
    moved = flow(noise.roll([1] * len(axes), axes))
    assert torch.allclose(moved, flow(noise).roll([1] * len(axes), axes), atol=1e-4)
    assert not torch.allclose(flow(noise), noise, atol=0.1)


@torch.no_grad()
@pytest.mark.parametrize(("modality", "rest"), [(STILL, (3,)), (CLIP, (4, 4))])
def test_a_part_depends_on_noise_within_reach_alone(modality, rest):
    flow = flow_of(modality)
    reach = flow.reach[0]
    noise = noise_of(flow, 2 * reach + 9, *rest)
    part = noise[:, :, 3 : 3 + 2 * reach + 2]
    wrapped = [False, *modality.stationary[1:]]
    inside = flow(part, wrapped)[:, :, reach : reach + 2]
    assert torch.allclose(inside, flow(noise)[:, :, 3 + reach : 5 + reach], atol=1e-4)
    nearer = flow(noise[:, :, 4 : 4 + 2 * reach], wrapped)[:, :, reach - 1 : reach + 1]
    assert not torch.equal(nearer, inside)


@torch.no_grad()
def test_labels_stay_and_count():
    flow = flow_of(STILL, 2)
    noise = noise_of(flow, 3, 3)
    noise[:, -2:] = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    other = noise.clone()
    other[:, -2:] = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1)
    assert torch.equal(flow(noise)[:, -2:], noise[:, -2:])
    assert not torch.allclose(flow(noise)[:, :-2], flow(other)[:, :-2], atol=1e-3)


@torch.no_grad()
def test_draws_have_the_moments_of_codes():
    flow = flow_of(STILL)
    codes = 3 * noise_of(flow, 4, 4, count=16) + 2
    codes[:, 1] += 2 * codes[:, 0]  # channels of one field that belong together
    flow.standardise(codes)
    noise = torch.randn(16, codes.shape[1], 4, 4, generator=torch.Generator().manual_seed(2))
    flow.measure_draws(noise)
    drawn, unpacked = (flow.layout.unpack(z).movedim(1, 0).flatten(1) for z in (flow(noise), codes))
    assert torch.allclose(drawn.mean(1), unpacked.mean(1), atol=1e-3)
    assert torch.allclose(drawn.cov(), unpacked.cov(), atol=0.15 * float(unpacked.var(1).max()))
    assert torch.allclose(drawn.std(1), unpacked.std(1), rtol=0.1)


@torch.no_grad()
def test_completion_keeps_what_is_known():
    flow = flow_of(STILL)
    noise, z = noise_of(flow, 6, 6), 2 * noise_of(flow, 6, 6).flip(2)
    known = torch.zeros_like(z, dtype=torch.bool)
    known[:, :, :, :3] = True
    drawn = flow.complete(noise, z, known, (False, False))
    assert torch.equal(drawn[known], z[known])
    other = flow.complete(noise, -z, known, (False, False))
    assert not torch.allclose(drawn[:, :, :, 3], other[:, :, :, 3], atol=1e-3)  # what is drawn beside it differs


def test_it_learns_how_neighbours_belong_together():
    """Codes that are nearly constant over a crop: draws of the trained flow are smooth, noise is not."""
    flow = flow_of(STILL)
    flow.mean.zero_()
    flow.drawn_mean.zero_()
    optimiser = torch.optim.Adam(flow.parameters(), 3e-3)
    random = torch.Generator().manual_seed(3)
    channels = noise_of(flow, 1, 1).shape[1]
    for _ in range(150):
        coarse = torch.randn(8, 1, 1, 1, generator=random)
        z = coarse.expand(8, channels, 4, 4) + 0.1 * torch.randn(8, channels, 4, 4, generator=random)
        loss = flow.loss(torch.randn(z.shape, generator=random), z, torch.rand(8, generator=random))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    with torch.no_grad():
        x = flow.layout.unpack(flow(noise_of(flow, 4, 4, count=8)))
    agreement = torch.corrcoef(torch.stack((x[:, 9, :, 1:].flatten(), x[:, 9, :, :-1].flatten())))[0, 1]
    assert agreement > 0.35  # of noise 0, of the codes .99
