"""Metrics of stills order samples as a person would."""

import math

import numpy as np
import pytest
from conftest import VIDEOS

from texsyn.metrics import image
from texsyn.metrics.portilla_simoncelli import PortillaSimoncelli
from texsyn.metrics.scoring import still_for_scoring


@pytest.fixture(scope="module")
def statistics(ladder) -> PortillaSimoncelli:
    return PortillaSimoncelli(ladder["exemplar"])


def test_ps_and_swd_put_the_exemplar_first_and_all_else_behind(ladder, statistics):
    worse = ("shuffled", "blurred", "noise", "phase", "other")
    for measure in (statistics.distance, lambda sample: image.sliced_wasserstein(sample, ladder["exemplar"])):
        found = {name: measure(sample) for name, sample in ladder.items()}
        assert max(found["exemplar"], found["shifted"]) < min(found[name] for name in worse)
        assert found["shuffled"] < min(found[name] for name in ("blurred", "noise", "other"))


def test_sharpness_falls_with_blur_and_rises_with_noise(ladder):
    found = {name: image.sharpness(sample, ladder["exemplar"]) for name, sample in ladder.items()}
    assert found["exemplar"] == 1
    assert found["blurred"] < 0.3
    assert found["noise"] > 1.5
    assert found["shifted"] == pytest.approx(1, abs=0.1)


def test_copies_are_seen(ladder):
    found = {name: image.copying(sample, ladder["exemplar"]) for name, sample in ladder.items()}
    assert found["shifted"][0] > 0.9
    assert 0.4 < found["shuffled"][0] < found["shifted"][0]
    assert max(found[name][0] for name in ("noise", "phase", "other")) < 0.1
    assert found["shifted"][1] > found["shuffled"][1] > found["phase"][1]
    assert found["shifted"][2] < found["shuffled"][2] < found["noise"][2]
    assert image.completeness(ladder["shifted"], ladder["exemplar"]) < image.completeness(
        ladder["other"], ladder["exemplar"]
    )


def test_seams_are_where_an_image_does_not_wrap(ladder):
    assert image.seams(ladder["phase"]) == pytest.approx((1, 1), abs=0.15)  # generated on a torus
    ramp = np.repeat(np.mgrid[:64, :64].sum(0)[..., None] / 128, 3, -1)
    assert min(image.seams(ramp)) > 30


def test_diversity_is_zero_for_copies_and_nan_for_one_sample(ladder):
    same, exemplar = [ladder["exemplar"]] * 3, ladder["exemplar"]
    assert image.diversity(same, exemplar) == 0
    rolled = [np.roll(exemplar, (31 * n, 77 * n), (0, 1)) for n in range(3)]
    assert image.diversity(rolled, exemplar) > 0.7
    assert math.isnan(image.diversity(same[:1], exemplar))


def test_a_regular_pattern_keeps_its_period_or_is_torn():
    wicker = still_for_scoring(VIDEOS / "wicker.png")
    assert image.regularity([wicker], wicker) == pytest.approx(1)
    assert image.regularity([np.roll(wicker, (7, 11), (0, 1))], wicker) > 0.9
    drifting = np.stack([np.roll(row, round(0.15 * n), 0) for n, row in enumerate(wicker)])
    torn = np.concatenate((wicker[:, :112], np.roll(wicker[:, 112:], 9, 0)), 1)
    patches = np.concatenate([np.roll(part, 7 * n, 0) for n, part in enumerate(np.split(wicker, 4, 1))], 1)
    torn_twice = np.concatenate([np.roll(part, 13 * n, 1) for n, part in enumerate(np.split(patches, 4, 0))], 0)
    found = [image.regularity([spoilt], wicker) for spoilt in (drifting, torn, torn_twice)]
    assert found == pytest.approx([0.52, 0.21, 0.05], abs=0.1)
    assert math.isnan(image.regularity([wicker], still_for_scoring(VIDEOS / "beans.png")))
