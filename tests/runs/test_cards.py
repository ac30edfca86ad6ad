"""Scoring runs: cards are stored and told in words; collections are reconstructed."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import KINDS
from runs.helpers import noise, train

from texsyn import Run, TexsynError
from texsyn.core.recipes import Recipe
from texsyn.media.exemplar import Exemplar
from texsyn.metrics.card import STILL_METRICS, Card
from texsyn.metrics.scoring import to_numpy
from texsyn.runs import cards
from texsyn.runs.cards import score_run
from texsyn.runs.collection_scores import reconstruction
from texsyn.synthesis import sampling

LARGE = replace(KINDS["still"], size=(128, 128))
SHORT = Recipe(steps=1, batch_size=1, precision="float32", codes=16)


def still(name: str, size: int = 128) -> Exemplar:
    pixels = torch.rand(3, size, size, generator=torch.Generator().manual_seed(len(name))) * 2 - 1
    return Exemplar(pixels, LARGE, facts={"name": name})


@pytest.mark.usefixtures("few_crops")
def test_a_card_is_stored_and_told_in_words(tmp_path):
    run = Run.create(tmp_path / "run", still("noise"), SHORT)
    assert (run.is_scored, run.card(), run.describe_cards()) == (False, None, [])
    card = score_run(run, train(run, still("noise"), SHORT))
    assert run.is_scored
    assert run.card().to_dict() == card.to_dict() == json.loads((run.path / "card.json").read_text())
    assert run.describe_cards()[0].startswith("faithful")


@pytest.fixture
def scored(monkeypatch):
    """Scoring that takes no time: what was to be scored, and cards that tell the exemplar's mean."""
    given = []

    def score(samples, original, wholes):
        given.append((samples, original, wholes))
        row = dict.fromkeys(STILL_METRICS, float(original.mean()))
        return Card(row, row)

    monkeypatch.setattr(cards, "score_stills", score)
    return given


def test_each_of_several_exemplars_has_its_card(tmp_path, scored):
    both = (still("one"), still("other"))
    run = Run.create(tmp_path / "run", both, SHORT)
    triangle = train(run, both, SHORT)
    score_run(run, triangle, 1)
    assert (run.is_scored, run.card(0)) == (False, None)
    assert run.describe_cards()[0] == "other"
    score_run(run, triangle, 0)
    assert run.is_scored
    words = run.describe_cards()
    assert (words[0], words[len(words) // 2]) == ("one", "other")
    assert run.card(0).metrics["ps"] != run.card(1).metrics["ps"]


def test_a_large_still_is_scored_in_crops(tmp_path, scored, monkeypatch):
    monkeypatch.setattr("texsyn.metrics.scoring.score_stills", cards.score_stills)
    large = Exemplar(still("noise", 448).pixels, replace(LARGE, size=(448, 448)), facts={"name": "noise"})
    run = Run.create(tmp_path / "run", large, SHORT)
    score_run(run, train(run, large, SHORT))
    assert [(samples[0].shape, original.shape, wholes[0].shape) for samples, original, wholes in scored] == [
        ((224, 224, 3), (224, 224, 3), (448, 448, 3))
    ] * 4


def test_a_thorough_card_asks_a_critic_and_looks_for_repetition(tmp_path, scored, monkeypatch):
    given = []
    monkeypatch.setattr(cards, "_LARGE", (160, 192))
    monkeypatch.setattr(cards, "with_critic", lambda card, *pictures: given.append(pictures) or card)
    monkeypatch.setattr(cards, "with_repetition", lambda card, *pictures: given.append(pictures) or card)
    run = Run.create(tmp_path / "run", still("noise"), SHORT)
    triangle = train(run, still("noise"), SHORT)
    score_run(run, triangle)
    assert not given
    score_run(run, triangle, thorough=True)
    (samples, original), (large, same) = given
    assert (len(samples), large.shape) == (3, (192, 160, 3))
    assert original is same


def test_three_samples_are_scored_and_twelve_have_their_seams_measured(tmp_path, scored):
    run = Run.create(tmp_path / "run", still("noise", 140), SHORT)
    triangle = train(run, still("noise", 140), SHORT)
    score_run(run, triangle)
    ((samples, original, wholes),) = scored
    assert (len(samples), len(wholes)) == (3, 12)
    assert all(np.array_equal(one, other) for one, other in zip(samples, wholes, strict=False))
    assert samples[0].shape == original.shape == (128, 128, 3)
    assert np.array_equal(original, to_numpy(still("noise", 140).pixels[:, :128, :128]))
    assert np.array_equal(samples[2], to_numpy(sampling.sample(triangle, seed=2)[0]))


def test_masked_pixels_are_scored_as_they_were_estimated(tmp_path, scored):
    mask = torch.zeros(1, 128, 128)
    mask[:, 20:90, 20:90] = 1
    holed, recipe = replace(still("noise"), mask=mask), replace(SHORT, steps=4, batch_size=4)
    run = Run.create(tmp_path / "run", holed, recipe)
    score_run(run, train(run, holed, recipe))
    ((_, original, _),) = scored
    estimated = run.estimated_pixels()[0]
    assert np.array_equal(original, to_numpy(estimated))
    assert not torch.equal(estimated, holed.pixels)
    assert torch.equal(estimated[:, :20], holed.pixels[:, :20])


def test_a_clip_is_compared_with_frames_that_were_held_out_or_else_its_last(tmp_path, monkeypatch):
    given = []

    def score(*arguments):
        given.append(arguments)
        return Card({}, {})

    monkeypatch.setattr(cards, "score_clips", score)
    pixels = torch.rand(3, 20, 16, 16) * 2 - 1
    for name, held, last in (
        ("held", pixels[:, 12:].clone(), pixels[:, 12:]),
        ("long", None, pixels[:, 12:]),
        ("short", None, None),
    ):
        exemplar = Exemplar(pixels[:, :12] if name == "short" else pixels, KINDS["clip"], 25.0, {}, held)
        run = Run.create(tmp_path / name, exemplar, SHORT)
        score_run(run, train(run, exemplar, SHORT))
        samples, original, others = given.pop()
        assert [clip.shape for clip in samples] == [(8, 16, 16, 3)] * 3
        assert np.array_equal(original, to_numpy(pixels[:, :8]))
        assert others is None if last is None else np.array_equal(others, to_numpy(last))


def test_what_is_too_small_to_score_is_refused(tmp_path, recipe):
    run = Run.create(tmp_path / "run", noise(), recipe)
    with pytest.raises(TexsynError, match="scoring needs at least 128 x 128 pixels"):
        score_run(run, run.fresh())
    assert not run.is_scored


@pytest.mark.parametrize("content", ["{}", "[]", '{"metrics": 5}', '{"metrics": {"ps": "good"}}', "no json"])
def test_a_damaged_card_is_refused_in_one_line(tmp_path, recipe, content):
    run = Run.create(tmp_path / "run", noise(), recipe)
    (run.path / "card.json").write_text(content)
    with pytest.raises(TexsynError, match=r"card\.json is damaged"):
        run.describe_cards()


def test_a_collection_is_scored_by_its_reconstructions(tmp_path, recipe):
    flat = replace(KINDS["still"], stationary=(False, False), collection=True)
    sheet = torch.rand(3, 32, 32) * 2 - 1
    held = Exemplar(sheet, flat, held=sheet[:, :16].clone(), facts={"name": "objects", "pictures": 4})
    run = Run.create(tmp_path / "run", held, recipe)
    triangle = train(run, held, recipe)
    assert not run.is_scored
    found = reconstruction(run, triangle)
    assert run.is_scored
    assert all(0 < error < 1 for error in found)
    event = run.events()[-1]
    assert (event["event"], event["train"], event["held"]) == ("reconstruction", *found)
    train(run, held, replace(recipe, steps=7))
    assert not run.is_scored
