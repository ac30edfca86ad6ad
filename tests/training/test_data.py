"""Crops, masks and random streams: what a step draws."""

import pytest
import torch

from texsyn.core import ops
from texsyn.media.exemplar import Exemplar, crops, random_places
from texsyn.training import loop
from texsyn.training.data import Data, Stream, draw_batch
from texsyn.training.state import init_state


def test_crops_come_from_everywhere():
    places = torch.arange(40.0).view(1, 40, 1).expand(1, 40, 8)
    generators = (ops.seeded_generator(0, Stream.CROP, step) for step in range(600))
    starts = [int(crops(places, (8, 8), 1, random)[0, 0, 0, 0]) for random in generators]
    counts = torch.bincount(torch.tensor(starts), minlength=33)
    assert counts.min() >= 4
    assert counts.max() <= 45


def test_streams_and_steps_and_seeds_differ():
    drawn = {
        float(torch.rand((), generator=ops.seeded_generator(seed, stream, step), dtype=torch.float64))
        for seed in range(4)
        for stream in (Stream.CROP, Stream.PRIOR, Stream.POSTERIOR)
        for step in range(50)
    }
    assert len(drawn) == 4 * 3 * 50


def test_exemplars_take_turns_and_each_crop_comes_from_its_own():
    sizes = [(20, 20), (40, 30), (16, 16)]
    chosen = random_places(sizes, (16, 16), 1, 7, ops.seeded_generator(0, Stream.CROP, 5))
    assert [number for number, _ in chosen] == [1, 2, 0, 1, 2, 0, 1]
    for number, (_, *cuts) in chosen:
        assert all(c.stop - c.start == 16 and c.stop <= size for c, size in zip(cuts, sizes[number], strict=True))


def test_masks_are_cropped_with_their_exemplars(modality, recipe):
    """The second of two exemplars has a mask: its pixels are 1 there, and -1 elsewhere."""
    size = [2 * n for n in modality.window]
    mask = (torch.rand(1, *size) < 0.3).float()
    shown = Exemplar(torch.zeros(modality.channels, *size), modality)
    masked = Exemplar((2 * mask - 1).repeat(modality.channels, *(1,) * len(size)), modality, mask=mask)
    pixels = [each.pixels.clone() for each in (shown, masked)]
    assert Data.of([shown, shown], pixels, modality, recipe).mask([]) is None
    data = Data.of([shown, masked], pixels, modality, recipe)
    places = random_places([size, size], modality.window, 0, 4, ops.seeded_generator(0, Stream.CROP, 0))
    cropped = data.mask(places)
    assert torch.equal(cropped[::2], torch.zeros_like(cropped[::2]))
    assert torch.equal(2 * cropped[1::2] - 1, data.crops(places, None)[1::2, :1])


def test_estimates_move_a_tenth_of_the_way_and_nothing_else_moves(modality, recipe):
    mask = (torch.rand(1, *modality.window) < 0.3).float()
    before = torch.zeros(modality.channels, *modality.window)
    data = Data.of([Exemplar(before, modality, mask=mask)], [before.clone()], modality, recipe)
    place = (slice(None), *(slice(0, n) for n in modality.window))
    data.estimate([(0, place)], torch.ones(1, *before.shape))
    torch.testing.assert_close(data.pixels[0], 0.1 * mask.expand_as(before))


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_the_parts_of_a_batch_are_the_batch(exemplar, recipe, parts):
    recipe = type(recipe)(batch_size=5)
    triangle = loop.create(exemplar, recipe)
    data = Data.of([exemplar], [exemplar.pixels], triangle.modality, recipe)
    state = init_state(triangle, recipe, (exemplar,))
    state.step = 3
    batch, again = draw_batch(state, data, recipe), draw_batch(state, data, recipe)
    assert batch.places == again.places
    shares, inputs = zip(*batch.split(parts), strict=True)
    assert len(shares) == parts
    assert sum(shares) == pytest.approx(1)
    for name in ("x", "z", "noise"):
        assert torch.equal(torch.cat([each[name] for each in inputs]), getattr(again, name))
    assert all(each["labels"] is each["mask"] is None for each in inputs)
