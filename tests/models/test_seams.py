"""Seams between the pieces of which a latent field is made."""

from dataclasses import replace
from itertools import pairwise, product

import pytest
import torch

from texsyn.core import ops
from texsyn.core.modality import CLIP, STILL
from texsyn.core.recipes import design_for, recipe_for
from texsyn.models import seams
from texsyn.models.seams import Pieces, Seams

BANK = 6  # cells of a code along each axis


def seams_of(modality):
    design = design_for(modality, recipe_for("fast", modality, latent_prior="mixture"))
    folded = [1 if same else 16 for same in modality.stationary]
    joined = Seams(design.fields, modality.stationary, tuple(folded), eased=modality.is_stationary_still)
    return joined, design.latent_channels


def codes_of(joined, channels, count=3):
    sizes = [BANK if same else n for same, n in zip(joined.stationary, joined.folded, strict=True)]
    return torch.randn(count, channels, *sizes, generator=torch.Generator().manual_seed(0))


def random_pieces(joined, count, *grid):
    """Anywhere but in the outermost cells of codes."""
    random, cells = torch.Generator().manual_seed(1), (2, *grid)
    inner = [
        torch.randint(1, BANK - 1, cells, generator=random) if same else torch.zeros(cells, dtype=torch.long)
        for same in joined.stationary
    ]
    return Pieces(torch.randint(count, cells, generator=random), tuple(inner))


def join(joined, codes, pieces, wrapped, given=None):
    chosen = joined.choose(codes, torch.ones(1), nothing(joined, codes), pieces, wrapped, given)
    return joined.join(codes, pieces, chosen, wrapped)


def nothing(joined, codes):
    """What of codes is to be avoided."""
    return torch.zeros(len(codes), *(n * f for n, f in zip(codes.shape[2:], joined.fine, strict=True)))


@pytest.mark.parametrize(("modality", "grid"), [(STILL, (4, 4)), (CLIP, (4, 1, 1))])
def test_pieces_that_continue_each_other_give_the_code_itself(modality, grid):
    joined, channels = seams_of(modality)
    codes = codes_of(joined, channels)
    along = [1 + torch.arange(n) if n > 1 else torch.zeros(1, dtype=torch.long) for n in grid]
    places = tuple(each[None] for each in torch.meshgrid(*along, indexing="ij"))
    drawn = join(joined, codes, Pieces(torch.full((1, *grid), 2), places), (False,) * len(grid))
    part = codes[2:3]
    for axis, same in enumerate(joined.stationary, start=2):
        part = part.narrow(axis, 1, 4) if same else part
    assert torch.equal(drawn, part)


def test_every_value_is_of_a_piece_that_covers_it():
    joined, channels = seams_of(STILL)
    codes = codes_of(joined, channels)
    pieces = random_pieces(joined, len(codes), 4, 5)
    drawn = join(joined, codes, pieces, (True, True))
    field = joined.fields[-1]
    fine, bank = (ops.depth_to_space(each[:, -field.packed :], field.grid) for each in (drawn, codes))
    from_neighbours = 0
    for b, y, x in product(range(2), range(16), range(20)):
        cells = product(*((p // 4, p // 4 + (1 if p % 4 > 1 else -1)) for p in (y, x)))
        found = []
        for row, column in cells:
            at = b, row % 4, column % 5
            source = (
                int(place[at]) * 4 + p - 4 * c for place, p, c in zip(pieces.places, (y, x), (row, column), strict=True)
            )
            values = bank[(int(pieces.code[at]), slice(None), *source)]
            found.append(bool((values == fine[b, :, y, x]).all()))
        assert any(found)
        from_neighbours += not found[0]
    assert from_neighbours > 100


def test_seams_cost_less_than_the_borders_of_cells():
    """Codes are smooth, so that pieces agree in some places more than in others."""
    joined, channels = seams_of(STILL)
    codes = codes_of(joined, channels)
    field = joined.fields[-1]
    smooth = ops.depth_to_space(codes[:, -field.packed :], field.grid)
    for _ in range(3):
        smooth = (smooth + smooth.roll(1, 2) + smooth.roll(1, 3) + smooth.roll((1, 1), (2, 3))) / 2
    codes = torch.cat((0 * codes[:, : -field.packed], ops.space_to_depth(smooth, field.grid)), 1)
    pieces = random_pieces(joined, len(codes), 8, 8)
    everywhere = torch.ones(2, 8, 8, dtype=torch.bool)

    def roughness(given):
        drawn = join(joined, codes, pieces, (True, True), given)
        fine = ops.depth_to_space(drawn[:, -field.packed :], field.grid)
        return sum(float((fine - fine.roll(1, axis)).square().mean()) for axis in (2, 3))

    assert roughness(None) < 0.8 * roughness(everywhere)


def test_a_cell_that_is_given_keeps_its_piece():
    joined, channels = seams_of(STILL)
    codes = codes_of(joined, channels)
    pieces = random_pieces(joined, len(codes), 4, 4)
    given = torch.zeros(2, 4, 4, dtype=torch.bool)
    given[:, 1, 2] = True
    drawn = join(joined, codes, pieces, (True, True), given)
    finer = slice(joined.fields[0].packed, None)  # the coarsest field is eased
    for b in range(2):
        place = (int(each[b, 1, 2]) for each in pieces.places)
        assert torch.equal(drawn[b, finer, 1, 2], codes[(int(pieces.code[b, 1, 2]), finer, *place)])


def test_the_coarsest_field_steps_less_across_seams():
    """Of codes that are the same everywhere, so that all its steps are seams. A fifth is left of a step alone."""
    joined, channels = seams_of(STILL)
    codes = codes_of(joined, channels, count=2)
    codes[:, : joined.fields[0].packed] = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1)
    halves = (torch.arange(8) > 3).long().expand(1, 8, 8)
    pieces = Pieces(halves, tuple(torch.full((1, 8, 8), 2) for _ in range(2)))
    everywhere = torch.ones(1, 8, 8, dtype=torch.bool)

    def coarsest(wrapped, seams):
        return join(seams, codes, pieces, wrapped, everywhere)[0, 0, 3]

    assert coarsest((True, False), joined).tolist() == pytest.approx([-1, -1, -1, -0.2, 0.2, 1, 1, 1])
    torus = [-0.2, -1, -1, -0.2, 0.2, 1, 1, 0.2]
    assert coarsest((True, True), joined).tolist() == pytest.approx(torus)
    assert coarsest((True, True), replace(joined, eased=False)).tolist() == [-1] * 4 + [1] * 4


def test_what_is_to_be_avoided_is_taken_only_where_all_pieces_have_it():
    """Here the outermost cells of codes: beside a cell's own, at most the half of others that reaches it."""
    joined, channels = seams_of(STILL)
    codes = codes_of(joined, channels)
    pieces, avoided = random_pieces(joined, len(codes), 8, 8), nothing(joined, codes)
    avoided[:, :4] = avoided[:, -4:] = 1

    def share(outside):
        chosen = joined.choose(codes, torch.ones(1), outside, pieces, (True, True))
        return float(joined.follow(avoided[:, None], pieces, chosen, (True, True)).mean())

    assert share(nothing(joined, codes)) > 0.05
    assert share(avoided) == 0


def test_on_a_chain_propagation_finds_the_least_total_cost():
    random = torch.Generator().manual_seed(3)
    own, cost = torch.rand(3, 1, 7, generator=random), torch.rand(3, 3, 1, 7, generator=random)
    cost[..., -1] = 0  # no ring
    totals = {
        choice: sum(float(own[k, 0, p]) for p, k in enumerate(choice))
        + sum(float(cost[j, k, 0, p]) for p, (j, k) in enumerate(pairwise(choice)))
        for choice in product(range(3), repeat=7)
    }
    best = min(totals, key=totals.__getitem__)
    assert tuple(seams._propagate(own, {0: cost}).argmin(0)[0].tolist()) == best
