"""The quality card says what was computed, and grades it."""

import json
import math
import sys

import numpy as np
import pytest

from texsyn import TexsynError
from texsyn.metrics.card import CLIP_METRICS, STILL_METRICS, Card, describe
from texsyn.metrics.scoring import score_clips, score_stills


@pytest.mark.usefixtures("few_crops")
def test_the_card_tells_a_copy_from_a_new_texture(ladder):
    samples = [np.roll(ladder["exemplar"], (40 * n + 8, 70 * n + 3), (0, 1)) for n in range(2)]
    card = score_stills(samples, ladder["exemplar"])
    assert card.metrics.keys() == STILL_METRICS.keys()
    lines = describe(card)
    assert [line.split()[0] for line in lines] == ["faithful", "sharp", "new", "varied", "seamless"]
    assert "new       poor" in lines[2]
    assert "good" in lines[1]
    assert json.loads(json.dumps(card.to_dict()))["reference"]["diversity"] is None


def test_the_card_of_clips_compares_with_held_out_frames(clips):
    card = score_clips([clips["train"], clips["held"], clips["other"]], clips["train"], clips["held"])
    assert card.metrics.keys() == card.reference.keys() == CLIP_METRICS.keys()
    assert card.reference["near"] == pytest.approx(1)
    lines = describe(card)
    assert [line.split()[0] for line in lines] == ["faithful", "moving", "sharp", "new", "varied", "seamless"]
    assert card.metrics["lsd"] == pytest.approx(card.reference["lsd"])  # the median is the held-out frames' own
    assert score_clips([clips["held"]], clips["train"]).reference == {}
    with pytest.raises(TexsynError, match="must be others"):
        score_clips([clips["held"]], clips["train"], clips["train"])
    with pytest.raises(TexsynError, match="must be as many"):
        score_clips([clips["held"]], clips["train"], clips["held"][:8])


def test_clips_that_are_alike_are_not_varied(clips):
    same = score_clips([clips["held"]] * 3, clips["train"])
    assert same.metrics["diversity"] == pytest.approx(0, abs=1e-5)
    assert "varied    poor" in describe(same)[4]
    other = [np.roll(clips["train"], 11 * n, 0) for n in range(3)]
    assert score_clips(other, clips["train"]).metrics["diversity"] > 0.7
    copies = score_clips([clips["other"]] * 3, clips["train"], clips["held"])
    assert "new       poor" in describe(copies)[3]  # nothing of the exemplar is as far from it


def test_without_the_extra_the_card_says_what_is_missing(ladder, clips, monkeypatch):
    monkeypatch.setitem(sys.modules, "plenoptic", None)
    monkeypatch.setitem(sys.modules, "scipy.ndimage", None)
    monkeypatch.setitem(sys.modules, "scipy", None)
    card = score_stills([ladder["shifted"]], ladder["exemplar"])
    assert math.isnan(card.metrics["ps"])
    assert "texsyn[quality]" in describe(card)[0]
    card = score_clips([clips["held"]], clips["train"], clips["held"])
    assert card.missing.count("need the extra") == 1
    assert {name for name, value in card.metrics.items() if math.isnan(value)} == {
        "flow",
        "swd",
        "coherence",
        "completeness",
        "diversity",  # of one sample
    }
    assert "texsyn[quality]" in describe(card)[1]


@pytest.mark.usefixtures("few_crops")
def test_a_stored_card_is_read_again(ladder):
    card = score_stills([ladder["shifted"]], ladder["exemplar"])
    again = Card.from_dict(json.loads(json.dumps(card.to_dict())))
    assert describe(again) == describe(card)
