"""Tensor operations on grids of two and three axes, and seeds."""

import pytest
import torch

from texsyn.core import ops


def field(rank: int, size: int) -> torch.Tensor:
    return torch.randn((2, 2, *(size,) * rank), generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(
    ("numbers", "seed"),
    [
        ((5,), 0x1715609F7C746C69),
        ((5, 7), 0x527F549B46B6B478),
        ((5, 7, 11), 0x37727FA519D27991),
        ((0, 1, 2**40), 0x706A326D1CE4E5B9),
    ],
)
def test_seeds_are_mixed_as_ever(numbers, seed):
    """Stored runs are resumed and sampled with these."""
    assert ops.seeded_generator(*numbers).initial_seed() == seed


def test_a_seed_is_mixed_from_three_numbers_at_most():
    with pytest.raises(ValueError, match="zip"):
        ops.seeded_generator(1, 2, 3, 4)


def test_a_circular_margin_may_be_larger_than_the_torus():
    x = torch.arange(3.0).view(1, 1, 3, 1)
    assert ops.pad(x, (5, 0), (True, True)).flatten().tolist() == [1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1]


def test_unwrapped_axes_are_padded_with_their_ends():
    x = torch.arange(3.0).view(1, 1, 3, 1)
    assert ops.pad(x, (2, 0), (False, True)).flatten().tolist() == [0, 0, 0, 1, 2, 2, 2]


@pytest.mark.parametrize("axes", [(True, True), (False, True), (False, True, True)])
def test_the_blur_and_its_gradients_are_those_of_differences(axes):
    x = field(len(axes), 3).requires_grad_(True)
    blurred = ops.blur(x, axes)
    assert blurred.shape[2:] == tuple(n + chosen for n, chosen in zip(x.shape[2:], axes, strict=True))
    torch.testing.assert_close(blurred.sum(), x.sum())
    assert torch.autograd.gradcheck(lambda x: ops.blur(x, axes), x)
    assert torch.autograd.gradgradcheck(lambda x: ops.blur(x, axes).square(), x)


def test_coordinates_run_from_minus_one_to_one_along_the_chosen_axes():
    maps = ops.coordinates(torch.zeros(2, 3, 4, 5, 6), (False, True, True))
    assert maps.shape == (2, 2, 4, 5, 6)
    assert maps[0, 0, 0, :, 0].tolist() == [-1, -0.5, 0, 0.5, 1]
    assert maps[1, 1, 3, 2, 0] == -1
    assert maps[1, 1, 3, 2, -1] == 1


def test_depth_to_space_inverts_space_to_depth_and_both_commute_with_shifts():
    fine = torch.randn(2, 3, 4, 8, 12)
    packed = ops.space_to_depth(fine, (1, 2, 4))
    assert packed.shape == (2, 24, 4, 4, 3)
    assert torch.equal(ops.depth_to_space(packed, (1, 2, 4)), fine)
    assert torch.equal(ops.depth_to_space(packed.roll(1, 3), (1, 2, 4)), fine.roll(2, 3))


def test_resizing_keeps_fine_waves_and_the_first_position():
    wave = (2 * torch.pi * 0.35 * torch.arange(96)).cos().view(1, 1, 96).expand(2, 40, 96)
    found = ops.resize(wave, (40, 112))
    exact = (2 * torch.pi * 0.35 * torch.arange(112) * 96 / 112).cos()
    assert found.shape == (2, 40, 112)
    torch.testing.assert_close(found[1, 3, 10:-10], exact[10:-10], atol=0.02, rtol=0)
    assert torch.equal(ops.resize(wave, (40, 96)), wave)
    ramp = torch.linspace(-0.5, 0.5, 60).view(1, 60, 1).expand(1, 60, 60)
    small = ops.resize(ramp, (45, 45))
    assert small.min() >= -0.5
    assert small.max() <= 0.5
    torch.testing.assert_close(small[0, 8:-8, 20], ramp[0, :, 0][torch.arange(8, 37) * 60 // 45], atol=0.02, rtol=0)


def test_a_resized_mask_covers_every_masked_part():
    mask = torch.zeros(1, 50, 50)
    mask[:, 17, 31] = 1
    for size in ((40, 60), (60, 40)):
        found = ops.resize_mask(mask, size)
        assert found[0, 17 * size[0] // 50, 31 * size[1] // 50] == 1
        assert 1 <= found.sum() <= 6
        assert set(found.flatten().tolist()) == {0.0, 1.0}
