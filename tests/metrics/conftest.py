"""Stills and clips from good to bad samples of an exemplar."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import VIDEOS
from metrics.degraded import blur, random_phase, shuffled_blocks

from texsyn.metrics.scoring import frames_for_scoring, still_for_scoring


@pytest.fixture(scope="session")
def ladder() -> dict[str, np.ndarray]:
    """Samples of the leaves, from the best to the worst."""
    exemplar = still_for_scoring(VIDEOS / "leaves.png")
    noise = exemplar.reshape(-1, 3)[np.random.default_rng(0).permutation(exemplar.size // 3)].reshape(exemplar.shape)
    return {
        "exemplar": exemplar,
        "shifted": np.roll(exemplar, (60, 90), (0, 1)),
        "shuffled": shuffled_blocks(exemplar),
        "blurred": blur(exemplar),
        "noise": noise,
        "phase": random_phase(exemplar),
        "other": still_for_scoring(VIDEOS / "pebbles.png"),
    }


@pytest.fixture(scope="session")
def clips() -> dict[str, np.ndarray]:
    clip = frames_for_scoring(VIDEOS / "water.mp4")
    train = clip[:32]
    random = np.random.default_rng(0)
    sharp = train
    for axis in (1, 2):
        sharp = (np.roll(sharp, 1, axis) + 2 * sharp + np.roll(sharp, -1, axis)) / 4
    return {
        "train": train,
        "held": clip[-32:],
        "still": np.repeat(train[:1], 32, 0),
        "shuffled": train[random.permutation(32)],
        "reversed": train[::-1],
        "blurred": sharp.astype(np.float32),
        "smeared": np.mean([np.roll(train, n, 0) for n in range(-2, 3)], 0).astype(np.float32),
        "slowed": np.repeat(train[:16], 2, 0),
        "other": frames_for_scoring(VIDEOS / "flag.mp4")[:32],
    }
