"""A fresh critic tells what is wrong, and is at a loss where nothing is."""

import math

import numpy as np
import pytest
import torch
from metrics.degraded import blur

from texsyn.metrics import critic as module
from texsyn.metrics.critic import critic

SMALL = {"steps": 40, "batch": 8}  # enough for coarse faults


def discs(seed: int, side: int = 128, count: int = 160) -> np.ndarray:
    """Shaded discs of random grey that cover each other, on a torus."""
    random, picture = np.random.default_rng(seed), np.zeros((side, side), np.float32)
    ys, xs = np.mgrid[:side, :side]
    ranges = ((0, side), (0, side), (5, 9), (0.4, 1))
    for y, x, radius, tone in np.stack([random.uniform(*each, count) for each in ranges], 1):
        down, right = ((at - centre + side / 2) % side - side / 2 for at, centre in ((ys, y), (xs, x)))
        squared = (down**2 + right**2) / radius**2
        picture = np.where(squared < 1, tone * np.sqrt(np.maximum(1 - squared, 0)), picture)
    return np.repeat(picture[..., None], 3, 2).astype(np.float32)


def test_another_picture_of_the_same_kind_is_not_told():
    assert critic([discs(1), discs(2)], discs(3), **SMALL).told == pytest.approx(0.5, abs=0.15)


def test_blur_and_stripes_are_told():
    assert critic([blur(discs(1)), blur(discs(2))], discs(3), **SMALL).told > 0.9


def test_brightness_and_colour_do_not_tell():
    tinted = [discs(seed) * np.float32([0.5, 0.7, 0.6]) + np.float32(0.2) for seed in (1, 2)]
    assert critic(tinted, discs(3), **SMALL).told < 0.7


def test_the_verdict_follows_from_the_seed():
    first, again, other = (critic([discs(1)], discs(3), steps=2, batch=2, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert 0 <= first.told <= 1
    assert first.error > 0


def test_no_crop_that_is_learnt_from_meets_the_held_out_quarter():
    picture = torch.zeros(3, 128, 160)
    for quarter in range(4):
        top, bottom, left, right = module._held_out(picture, quarter)
        picture[:] = 0.5
        picture[:, top:bottom, left:right] = math.nan
        assert module._draw([picture], quarter, 64, 32, torch.Generator().manual_seed(quarter)).isfinite().all()
