"""Metrics of clips put an exemplar's continuation before clips that are wrong in some way."""

import numpy as np
import pytest
from metrics.degraded import blur, random_phase

from texsyn.metrics import video


@pytest.mark.parametrize(
    ("metric", "worse"),
    [
        (video.log_spectral_distance, ["still", "shuffled", "blurred", "smeared", "slowed", "other"]),
        (video.lbp_divergence, ["still", "shuffled", "blurred", "smeared", "slowed", "other"]),
        (video.flow_divergence, ["still", "shuffled", "reversed", "other"]),
        (video.autocorrelation_difference, ["still", "shuffled", "slowed"]),
        (video.sliced_wasserstein, ["still", "blurred", "smeared", "other"]),
        (lambda *pair: video.coherence_and_completeness(*pair)[0], ["other"]),
        (lambda *pair: video.coherence_and_completeness(*pair)[1], ["still", "other"]),
    ],
)
def test_metrics_of_motion_put_the_continuation_first(clips, metric, worse):
    held = metric(clips["held"], clips["train"])
    for name in worse:
        assert metric(clips[name], clips["train"]) > held, name


def test_reversal_is_seen_where_motion_has_a_direction():
    frames = np.arange(32)[:, None, None]
    y, x = np.mgrid[:64, :64]
    wave = 0.5 + 0.4 * np.sin(0.4 * (x[None] - 2 * frames) + 0.1 * y[None]) ** 3
    clip = np.repeat(wave[..., None], 3, -1).astype(np.float32)
    assert video.flow_divergence(clip[::-1], clip) > 0.5
    assert video.flow_divergence(clip[4:], clip[:-4]) < 0.05


def test_the_top_band_is_where_a_checkerboard_shows(clips):
    board = (np.arange(64) % 2)[None, None, :, None] * 0.2 - 0.1
    assert video.top_band(clips["train"] + board, clips["train"]) > 3
    assert video.top_band(clips["blurred"], clips["train"]) < -3
    assert abs(video.top_band(clips["held"], clips["train"])) < 1


def test_copies_have_no_distance_and_loops_no_seam(clips):
    assert video.nearest_frame(clips["shuffled"], clips["train"]) == 0
    assert video.nearest_frame(clips["other"], clips["train"]) > video.nearest_frame(clips["held"], clips["train"]) > 0
    turning = np.stack([np.roll(random_phase(blur(blur(clips["train"][0]))), 2 * n, 1) for n in range(32)])
    assert video.seam(turning) == pytest.approx(1, abs=0.01)
    assert video.seam(turning[:16]) > 1.5
