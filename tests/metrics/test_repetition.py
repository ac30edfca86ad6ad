"""What recurs in a large texture is found, wherever it lies; what is merely regular or flat is not."""

import math

import numpy as np
import pytest

from texsyn.metrics.repetition import best_correlations, repetition, threshold


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).random((*shape, 3), np.float32)


@pytest.mark.parametrize("period", [64, 75])
def test_a_tiled_exemplar_recurs_at_any_period(period):
    exemplar = noise(0, period, period)
    assert repetition(np.tile(exemplar, (4, 4, 1)), threshold(exemplar), 16) == 1


def test_a_patch_method_repeats_and_a_new_texture_does_not(ladder):
    exemplar = ladder["exemplar"]
    random, side = np.random.default_rng(0), 56
    texture = np.zeros((448, 448, 3), np.float32)
    for y in range(0, 448, side):  # the simplest patch method: 64 pieces of the exemplar, from 16 places
        for x in range(0, 448, side):
            top, left = (56 * random.integers(0, 4, 2)).tolist()
            texture[y : y + side, x : x + side] = exemplar[top : top + side, left : left + side]
    least = threshold(exemplar)
    assert repetition(texture, least, 48) > 0.3  # windows inside a piece
    assert repetition(exemplar, least, 48) == 0


def test_a_small_error_does_not_hide_a_copy_and_an_offset_does_not_make_one():
    tiled = np.tile(noise(0, 80, 80), (3, 3, 1))
    assert repetition(tiled + 0.02 * noise(1, 240, 240), count=16) == 1
    assert repetition(0.1 * noise(2, 240, 240) + 0.8, count=16) == 0


def test_flat_windows_do_not_count_and_regular_ones_are_judged_by_the_exemplar():
    assert math.isnan(repetition(np.full((128, 128, 3), 0.5, np.float32)))
    waves = np.repeat(np.sin(np.mgrid[:400, :400] / 5).sum(0)[..., None] / 4 + 0.5, 3, 2).astype(np.float32)
    waves += 0.05 * noise(3, 400, 400)
    least = threshold(waves[:224, :224])
    assert least > best_correlations(waves[:224, :224]).mean() > 0.9
    assert repetition(waves, least, 24) == 0
