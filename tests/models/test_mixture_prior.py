"""The mixture of posteriors from which latent fields are drawn."""

from dataclasses import replace

import pytest
import torch

from texsyn.core import ops
from texsyn.core.modality import CLIP, STILL, SURFACE
from texsyn.core.recipes import design_for, recipe_for
from texsyn.models.mixture_prior import MixturePrior


def prior_of(modality, exemplars=1):
    """With 16 random codes of each exemplar, in turn."""
    design = design_for(modality, recipe_for("fast", modality, latent_prior="mixture", codes=16), exemplars)
    prior = MixturePrior(modality, design)
    prior.means.normal_(generator=torch.Generator().manual_seed(0))
    prior.variances.fill_(0.01)
    if exemplars > 1:
        prior.labels.copy_(torch.eye(exemplars).repeat(len(prior.labels) // exemplars, 1))
    return prior


def noise_of(prior, *grid, count=1):
    channels = prior.channels + prior.labels.shape[1]
    return torch.randn(count, channels, *grid, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
@pytest.mark.parametrize(("modality", "grid"), [(STILL, (4, 6)), (CLIP, (5, 4, 4)), (SURFACE, (3, 2, 4))])
def test_draws_live_on_the_torus(modality, grid):
    """Moved by whole blocks."""
    prior = prior_of(modality)
    grid = tuple(n if same else f for n, f, same in zip(grid, prior.folded, modality.stationary, strict=True))
    noise = noise_of(prior, *grid)
    axes = [axis for axis, same in enumerate(modality.stationary, start=2) if same]
    steps = [prior.block[axis - 2] for axis in axes]
    moved = prior(noise.roll(steps, axes))
    assert torch.allclose(moved, prior(noise).roll(steps, axes), atol=1e-3)
    assert not torch.allclose(prior(noise), noise, atol=0.1)


@torch.no_grad()
def test_nothing_is_drawn_of_what_lies_outside_the_exemplar():
    prior = prior_of(STILL)
    noise = noise_of(prior, 8, 8)

    def shown():
        _, pieces, chosen = prior._draw(noise)
        return float(prior.seams.follow(outside[:, None], pieces, chosen, prior.stationary).mean())

    outside = torch.zeros_like(prior.outside)
    outside[:, :12] = 1  # the ring, and of each code two rows of six
    assert shown() > 0.2
    prior.outside.copy_(outside)
    prior.settle(0.1)
    assert shown() == 0


@torch.no_grad()
@pytest.mark.parametrize("exemplars", [1, 2])
def test_all_places_are_drawn_about_equally_often(exemplars):
    """Though some lie in the midst of all others, so that they are near to whatever disagrees."""
    prior = prior_of(STILL, exemplars)
    random = torch.Generator().manual_seed(2)
    codes, kinds = torch.randn(prior.means.shape, generator=random), torch.randn(8, prior.channels, generator=random)
    prior.means.copy_(torch.einsum("nk...,kc->nc...", codes[:, :8], kinds))
    prior.means *= torch.linspace(0.2, 1, len(codes)).view(-1, 1, 1, 1)
    noise = noise_of(prior, 40, 40)
    if exemplars > 1:
        noise[:, -2:] = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1)
    own = prior.labels[:, 1] > 0 if exemplars > 1 else torch.ones(len(codes), dtype=torch.bool)

    def shares():
        """Of codes, 1 where they are drawn as often as others of their exemplar."""
        _, pieces, _ = prior._draw(noise)
        return pieces.code.flatten().bincount(minlength=len(codes)) / pieces.code.numel() * int(own.sum())

    assert shares().max() > 4
    prior.settle(float(prior.bandwidth))
    assert shares()[own].min() > 0.3
    assert shares().max() < 2.5
    assert shares()[~own].sum() == 0


def width(prior: MixturePrior) -> float:
    """Standard deviation of the Gaussians around codes that are N(0, 1)."""
    return float(prior.variances.mean() + float(prior.bandwidth)) ** 0.5


@torch.no_grad()
@pytest.mark.parametrize("modality", [STILL, CLIP])
def test_a_part_depends_on_noise_within_reach_alone(modality):
    prior = prior_of(modality)
    reach = prior.reach[0]
    rest = [3 if same else n for n, same in zip(prior.folded[1:], modality.stationary[1:], strict=True)]
    noise = noise_of(prior, 2 * reach + 9, *rest)
    wrapped = [False, *modality.stationary[1:]]
    origin = (3, *(0 for _ in rest))  # in the middle of a block, where cells have blocks
    inside = prior(noise[:, :, 3 : 3 + 2 * reach + 2], wrapped, origin=origin)[:, :, reach : reach + 2]
    assert torch.allclose(inside, prior(noise)[:, :, 3 + reach : 5 + reach], atol=1e-3)


@torch.no_grad()
def test_a_part_across_the_border_of_an_odd_torus_equals_the_whole():
    prior = prior_of(STILL)
    reach = prior.reach[0]
    size = 2 * reach + 5  # odd, larger than a part with its reach
    noise = noise_of(prior, size, 3)
    rows = [(size - 1 - reach + n) % size for n in range(2 * reach + 3)]
    part = prior(noise[:, :, rows], (False, True), origin=(rows[0], 0), whole=(size, 3))
    expected = prior(noise)[:, :, [size - 1, 0, 1]]
    assert torch.allclose(part[:, :, reach : reach + 3], expected, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("grid", [(4, 6), (5, 7)])
def test_cells_of_a_block_are_from_places_beside_each_other(grid):
    prior = prior_of(STILL)
    x = prior(noise_of(prior, *grid, count=2))
    pieces = prior._pieces(x, prior._mixture(None), (True, True), prior._within(x, (0, 0), None), None)
    rows, columns = pieces.places
    whole = (slice(None), slice(0, grid[0] // 2 * 2), slice(0, grid[1] // 2 * 2))
    assert all(int(place[whole].min()) >= 1 for place in pieces.places)  # never of the ring
    assert int(rows.max()) <= prior.inner[0]
    assert int(columns.max()) <= prior.inner[1]
    for y, x in ((0, 1), (1, 0), (1, 1)):
        first, beside = (
            (slice(None), slice(0, -1, 2), slice(0, -1, 2)),
            (slice(None), slice(y, None, 2), slice(x, None, 2)),
        )
        beside = tuple(slice(each.start, grid[n - 1] // 2 * 2, 2) if n else each for n, each in enumerate(beside))
        assert torch.equal(pieces.code[beside], pieces.code[first])
        assert torch.equal(rows[beside], rows[first] + y)
        assert torch.equal(columns[beside], columns[first] + x)


@torch.no_grad()
def test_a_block_is_of_the_place_that_is_likeliest_for_all_its_cells():
    """A field that is a part of a code, whose cells alone would be told wrongly, is found."""
    prior = prior_of(STILL)
    y, x = 2, 3
    field = prior.means[5:6, :, y : y + 2, x : x + 2].clone()
    field[..., 1, 1] = prior.means[7, :, 1, 1]  # of the four cells three agree
    within = prior._within(field, (0, 0), None)
    pieces = prior._pieces(field, prior._mixture(None), (False, False), within, None)
    assert pieces.code.flatten().tolist() == [5, 5, 5, 5]
    assert pieces.places[0].flatten().tolist() == [y, y, y + 1, y + 1]
    assert pieces.places[1].flatten().tolist() == [x, x + 1, x, x + 1]
    kept = torch.tensor([[[False, False], [False, True]]])
    single = prior._pieces(field, prior._mixture(None), (False, False), within, kept)
    assert single.code.flatten().tolist() == [5, 5, 5, 7]


@torch.no_grad()
def test_what_a_draw_should_show_is_what_the_crops_of_its_pieces_show():
    """Pictures that are means of codes' own values: then a draw without width shows what it is, but beside seams."""
    prior = prior_of(STILL)
    prior.bandwidth.fill_(1e-6)
    prior.variances.fill_(1e-6)
    prior.keep_pictures(1)
    fine, size = prior.seams.fine, [n * f for n, f in zip(prior.means.shape[2:], prior.stride, strict=True)]
    per_fine = [f // n for f, n in zip(prior.stride, fine, strict=True)]
    for slot in range(len(prior.means)):
        values = finest(prior, prior.means[slot : slot + 1])
        prior.note_picture(slot, ops.repeat(values, per_fine)[0])
        assert prior.pictures.shape[2:] == tuple(n // 4 for n in size)
    drawn, picture = prior.illustrate(noise_of(prior, 4, 6, count=2))
    shown = ops.repeat(finest(prior, drawn), [n // 4 for n in per_fine])
    assert picture.pixels.shape == picture.known.shape == shown.shape
    assert 0.2 < picture.known.mean() < 0.95
    assert float(((shown - picture.pixels).abs() * picture.known).max()) < 0.02
    assert torch.equal(picture.part(slice(1, 2)).known, picture.known[1:])


def finest(prior, z):
    """The first value of the finest field, `b 1 *positions`."""
    field = prior.seams.fields[-1]
    return ops.depth_to_space(z[:, -field.packed :], field.grid)[:, :1]


@torch.no_grad()
def test_every_value_of_a_draw_is_of_one_of_the_codes_and_as_often_as_in_these():
    prior = prior_of(STILL)
    prior.means.sign_()
    drawn = prior(noise_of(prior, 6, 6))
    assert float((drawn.abs() < 0.3).float().mean()) < 0.06  # of standard normal values, 24 %
    assert float((drawn > 0).float().mean()) == pytest.approx(0.5, abs=0.05)
    codes = {tuple((drawn[0, :, y, x] > 0).tolist()) for y in range(6) for x in range(6)}
    assert len(codes) > 30


@torch.no_grad()
def test_neighbours_of_a_draw_belong_together():
    """Codes whose neighbours are equal in half of their channels: so are those of draws, and those of noise are not."""
    prior = prior_of(STILL)
    half = prior.channels // 2
    prior.means[:, :half] = prior.means[:, :half, :1, :1]
    noise = noise_of(prior, 6, 6)
    drawn = prior(noise)

    def step(z):
        return float((z[:, :half, :, 1:] - z[:, :half, :, :-1]).std())

    assert step(drawn) < 0.8 * step(noise)


@torch.no_grad()
def test_labels_stay_and_choose_the_exemplar():
    prior = prior_of(STILL, 2)
    prior.means[::2] += 2
    prior.means[1::2] -= 2
    noise = noise_of(prior, 4, 4)
    for exemplar in range(2):
        noise[:, -2:] = torch.eye(2)[exemplar].view(1, 2, 1, 1)
        drawn = prior(noise)
        assert torch.equal(drawn[:, -2:], noise[:, -2:])
        assert torch.equal(drawn[:, :-2].mean(1) > 0, torch.full((1, 4, 4), exemplar == 0))


@torch.no_grad()
def test_completion_keeps_what_is_known_and_fits_beside_it():
    prior = prior_of(STILL)
    given = prior.means[:1].clone()
    noise = noise_of(prior, *given.shape[2:])
    known = torch.zeros_like(given, dtype=torch.bool)
    known[..., :5] = True
    drawn = prior(noise, (False, False), given, known)
    assert torch.equal(drawn[known], given[known])
    # In the bank only one code has such neighbours, so the next column is the rest of it.
    column = drawn[:, :, 1:-1, 5], given[:, :, 1:-1, 5]
    assert float((column[0] - column[1]).abs().mean()) < 1.5 * width(prior)  # of other codes 1.1
    assert not torch.allclose(prior(noise, (False, False))[known], given[known], atol=0.1)


def test_codes_are_stored_in_their_slots():
    prior = prior_of(CLIP)
    before = prior.means.clone()
    mean, log_variance = torch.ones_like(prior.means[:2]), torch.zeros_like(prior.means[:2])
    prior.store([3, 5], mean, log_variance, None)
    changed = (prior.means != before).flatten(1).any(1)
    assert changed.nonzero().flatten().tolist() == [3, 5]
    assert bool((prior.variances[[3, 5]] == 1).all())
    assert prior.variances.shape[2:] == (1, *CLIP_GRID)


CLIP_GRID = tuple(w // f for w, f in zip(CLIP.window[1:], CLIP.designs["local"].stride[1:], strict=True))


@torch.no_grad()
def test_of_a_bank_of_one_gaussian_draws_are_exact():
    prior = prior_of(STILL)
    prior.means[:] = torch.linspace(-1, 1, prior.channels).view(-1, 1, 1)
    prior.variances.fill_(0.25)
    noise = noise_of(prior, 4, 4)
    assert torch.allclose(prior(noise), prior.means[:1, :, :1, :1] + 0.5 * noise, atol=1e-4)


def regular_prior(period=(96, 64)):
    """Of a pattern that repeats after 3 and 2 positions. Each code's values tell its place in the period."""
    modality = replace(STILL, period=period, scale=(1.0, 1.0))
    prior = prior_of(modality)
    random = torch.Generator().manual_seed(2)
    for n in range(len(prior.means)):
        starts = [raster * int(torch.randint(9, (), generator=random)) for raster in prior.raster]
        rows, columns = (
            (start // 32 - ring + torch.arange(size)) % count
            for start, ring, size, count in zip(starts, prior.ring, prior.means.shape[2:], prior.phases, strict=True)
        )
        places = (rows[:, None] * prior.phases[1] + columns).float()
        mean = prior.means[n : n + 1] * 0.1 + 3 * places
        prior.store([n], mean, torch.full_like(mean, -6), None, starts)
    return prior


@torch.no_grad()
def test_a_regular_pattern_keeps_its_phase_everywhere():
    prior = regular_prior()
    assert prior.phases == (3, 2)
    places = (torch.arange(6)[:, None] % 3 * 2 + torch.arange(4) % 2).float()
    noise = noise_of(prior, 6, 4, count=5)
    found = prior(noise)[:, :80].mean(1) / 3
    assert torch.allclose(found, places.expand_as(found), atol=0.3)
    moved = prior(noise, origin=(2, 1))[:, :80].mean(1) / 3
    assert torch.allclose(moved, places.roll((-2, -1), (0, 1)).expand_as(moved), atol=0.3)


@torch.no_grad()
def test_a_part_of_a_regular_pattern_equals_the_whole():
    prior = regular_prior()
    reach = prior.reach[0]
    noise = noise_of(prior, 2 * reach + 10, 4)
    wrapped = [False, True]
    inside = prior(noise[:, :, 4 : 4 + 2 * reach + 2], wrapped, origin=(4, 0))[:, :, reach : reach + 2]
    assert torch.allclose(inside, prior(noise)[:, :, 4 + reach : 6 + reach], atol=1e-3)
