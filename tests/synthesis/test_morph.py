"""Morphs between seeds and exemplars, and blends from left to right."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from conftest import KINDS, lively

from texsyn import End, TexsynError, across, morph
from texsyn.models.triangle import Triangle
from texsyn.synthesis import sampling


@pytest.fixture(params=["still", "material"])
def flat(request) -> Triangle:
    return lively(Triangle(KINDS[request.param], KINDS[request.param].designs["local"], seed=1))


def test_a_morph_begins_and_ends_with_its_seeds(flat):
    frames = list(morph(flat, End(3), End(8), frames=5, loop=False, size=(32, 16)))
    assert [frame.shape for frame in frames] == [(flat.modality.channels, 1, 16, 32)] * 5
    for frame, seed in ((frames[0], 3), (frames[-1], 8)):
        torch.testing.assert_close(
            frame[:, 0], sampling.sample(flat, seed=seed, size=(32, 16))[0], rtol=1e-4, atol=1e-5
        )


def test_a_looping_morph_goes_there_and_back(flat):
    frames = list(morph(flat, End(3), End(8), frames=8))
    torch.testing.assert_close(frames[4][:, 0], sampling.sample(flat, seed=8)[0], rtol=1e-4, atol=1e-5)
    for n in range(1, 4):
        torch.testing.assert_close(frames[n], frames[8 - n], rtol=1e-4, atol=1e-5)


def test_a_still_changes_steadily():
    """Draws of the mixture prior change abruptly with the noise; what is between two of them is interpolated."""
    design = replace(KINDS["still"].designs["local"], latent_prior="mixture")
    still = lively(Triangle(KINDS["still"], design, seed=1))
    frames = torch.cat(list(morph(still, End(3), End(8), frames=65, loop=False, size=(32, 32))), 1)
    moved = (frames[:, 1:] - frames[:, :-1]).abs().mean((0, 2, 3))
    abrupt = [sampling.between(still, End(3), End(8), n / 64, size=(32, 32)) for n in range(65)]
    jumps = torch.stack([(a - b).abs().mean() for a, b in pairwise(abrupt)])
    assert float(moved.max()) < 0.4 * float(jumps.max())


def test_frames_between_two_draws_draw_nothing(monkeypatch):
    design = replace(KINDS["still"].designs["local"], latent_prior="mixture")
    still, drawn = lively(Triangle(KINDS["still"], design, seed=1)), []
    draw = still.draw_latents
    monkeypatch.setattr(still, "draw_latents", lambda *how: drawn.append(how) or draw(*how))
    frames = list(morph(still, End(3), End(8), frames=40, loop=False, size=(32, 32)))
    assert len(drawn) == 9
    assert torch.equal(frames[7], list(morph(still, End(3), End(8), frames=40, loop=False, size=(32, 32)))[7])


def test_a_clip_morphs_as_it_plays_and_loops():
    clip = lively(Triangle(KINDS["flipbook"], KINDS["flipbook"].designs["local"], seed=1))
    sequence = torch.cat(list(morph(clip, End(1), End(2), frames=64)), 1)
    assert sequence.shape == (3, 64, 16, 16)
    start, end = (sampling.sample(clip, seed=seed, frames=64)[0] for seed in (1, 2))
    assert (sequence - start).abs()[:, :2].mean() < 0.3 * (sequence - end).abs()[:, :2].mean()
    assert (sequence - end).abs()[:, 31:33].mean() < 0.3 * (sequence - start).abs()[:, 31:33].mean()


def test_across_has_one_end_on_each_side_and_tiles_from_top_to_bottom():
    still = lively(Triangle(KINDS["still"], KINDS["still"].designs["local"], seed=1))
    blend = torch.cat(list(across(still, End(1), End(2), size=(160, 32))), 1)
    assert blend.shape == (3, 32, 160)
    clip = Triangle(KINDS["clip"], KINDS["clip"].designs["local"])
    with pytest.raises(TexsynError, match="cannot change from left to right"):
        across(clip, End(1), End(2))
    ramp = sampling._ramp(8, 11)
    assert ramp[:2] == [0, 0]
    assert ramp[6:8] == [1, 1]
    assert ramp == [*sorted(ramp[:8]), 1, 0.5, 0]
