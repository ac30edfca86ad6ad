"""The measures order what they should, and the card says what was measured."""

import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import VIDEOS
from PIL import Image

from texsyn import TexsynError
from texsyn.cli.entry import main
from texsyn.media import writing
from texsyn.metrics import image, video
from texsyn.metrics.card import CLIP_MEASURES, STILL_MEASURES, Card, describe, quick_metrics, score_clips, score_stills
from texsyn.metrics.scoring import frames_for_scoring, score_files, still_for_scoring


def still(name: str) -> np.ndarray:
    return still_for_scoring(VIDEOS / name)


def blur(picture: np.ndarray) -> np.ndarray:
    for _ in range(4):
        picture = image._halve(picture)
    return picture.astype(np.float32)


def random_phase(picture: np.ndarray) -> np.ndarray:
    noise = np.angle(np.fft.fft2(np.random.default_rng(0).standard_normal(picture.shape[:2])))
    spectrum = np.fft.fft2(picture - picture.mean((0, 1)), axes=(0, 1)) * np.exp(1j * noise)[..., None]
    return np.clip(np.fft.ifft2(spectrum, axes=(0, 1)).real + picture.mean((0, 1)), 0, 1).astype(np.float32)


def shuffled_blocks(picture: np.ndarray, size: int = 28) -> np.ndarray:
    count = picture.shape[0] // size
    blocks = picture.reshape(count, size, count, size, 3).swapaxes(1, 2).reshape(-1, size, size, 3)
    order = np.random.default_rng(0).permutation(len(blocks))
    return np.ascontiguousarray(
        blocks[order].reshape(count, count, size, size, 3).swapaxes(1, 2).reshape(picture.shape)
    )


@pytest.fixture(scope="module")
def ladder() -> dict[str, np.ndarray]:
    """From the best to the worst that can be said of a sample of the leaves."""
    exemplar = still("leaves.png")
    noise = exemplar.reshape(-1, 3)[np.random.default_rng(0).permutation(exemplar.size // 3)].reshape(exemplar.shape)
    return {
        "exemplar": exemplar,
        "shifted": np.roll(exemplar, (60, 90), (0, 1)),
        "shuffled": shuffled_blocks(exemplar),
        "blurred": blur(exemplar),
        "noise": noise,
        "phase": random_phase(exemplar),
        "other": still("pebbles.png"),
    }


@pytest.fixture(scope="module")
def statistics(ladder) -> image.PortillaSimoncelli:
    return image.PortillaSimoncelli(ladder["exemplar"])


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


def test_seams_are_where_a_picture_does_not_wrap(ladder):
    assert image.seams(ladder["phase"]) == pytest.approx((1, 1), abs=0.15)  # made on a torus
    ramp = np.repeat(np.mgrid[:64, :64].sum(0)[..., None] / 128, 3, -1)
    assert min(image.seams(ramp)) > 30


def test_diversity_is_none_for_one_image_again_and_again(ladder):
    same, exemplar = [ladder["exemplar"]] * 3, ladder["exemplar"]
    assert image.diversity(same, exemplar) == 0
    rolled = [np.roll(exemplar, (31 * n, 77 * n), (0, 1)) for n in range(3)]
    assert image.diversity(rolled, exemplar) > 0.7
    assert math.isnan(image.diversity(same[:1], exemplar))


@pytest.fixture(scope="module")
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


@pytest.mark.parametrize(
    ("measure", "worse"),
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
def test_measures_of_motion_put_the_continuation_before_what_is_wrong(clips, measure, worse):
    held = measure(clips["held"], clips["train"])
    for name in worse:
        assert measure(clips[name], clips["train"]) > held, name


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


def test_the_card_tells_a_copy_from_a_new_texture(ladder):
    samples = [np.roll(ladder["exemplar"], (40 * n + 8, 70 * n + 3), (0, 1)) for n in range(2)]
    card = score_stills(samples, ladder["exemplar"])
    assert card.measures.keys() == STILL_MEASURES.keys()
    lines = describe(card)
    assert [line.split()[0] for line in lines] == ["faithful", "sharp", "new", "varied", "seamless"]
    assert "new       poor" in lines[2]
    assert "good" in lines[1]
    assert json.loads(json.dumps(card.to_dict()))["reference"]["diversity"] is None


def test_the_card_of_clips_compares_with_held_out_frames(clips):
    card = score_clips([clips["train"], clips["held"], clips["other"]], clips["train"], clips["held"])
    assert card.measures.keys() == card.reference.keys() == CLIP_MEASURES.keys()
    assert card.reference["near"] == pytest.approx(1)
    lines = describe(card)
    assert [line.split()[0] for line in lines] == ["faithful", "moving", "sharp", "new", "varied", "seamless"]
    assert card.measures["lsd"] == pytest.approx(card.reference["lsd"])  # the median is the held-out frames' own
    assert score_clips([clips["held"]], clips["train"]).reference == {}
    with pytest.raises(TexsynError, match="must be others"):
        score_clips([clips["held"]], clips["train"], clips["train"])
    with pytest.raises(TexsynError, match="must be as many"):
        score_clips([clips["held"]], clips["train"], clips["held"][:8])


def test_clips_that_are_all_alike_are_not_varied(clips):
    same = score_clips([clips["held"]] * 3, clips["train"])
    assert same.measures["diversity"] == pytest.approx(0, abs=1e-5)
    assert "varied    poor" in describe(same)[4]
    other = [np.roll(clips["train"], 11 * n, 0) for n in range(3)]
    assert score_clips(other, clips["train"]).measures["diversity"] > 0.7
    copies = score_clips([clips["other"]] * 3, clips["train"], clips["held"])
    assert "new       poor" in describe(copies)[3]  # nothing of the exemplar is as far from it


def test_a_long_loop_has_no_seam_though_a_piece_of_it_is_judged(clips):
    turning = np.stack([np.roll(random_phase(blur(blur(clips["train"][0]))), n, 1) for n in range(64)])
    assert score_clips([turning], clips["train"]).measures["seam"] > 1.5
    assert score_clips([turning], clips["train"], wholes=[turning]).measures["seam"] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("side", [128, 150, 200])
def test_small_stills_are_scored_by_smaller_crops(ladder, side):
    exemplar = ladder["exemplar"][:side, :side]
    card = score_stills([ladder["shifted"][:side, :side]], exemplar)
    worse = score_stills([ladder["noise"][:side, :side]], exemplar)
    assert 0 < card.measures["ps"] < worse.measures["ps"]
    assert card.reference["ps"] > 0


def test_without_the_extra_the_card_says_what_is_missing(ladder, clips, monkeypatch):
    monkeypatch.setitem(sys.modules, "plenoptic", None)
    monkeypatch.setitem(sys.modules, "scipy.ndimage", None)
    monkeypatch.setitem(sys.modules, "scipy", None)
    card = score_stills([ladder["shifted"]], ladder["exemplar"])
    assert math.isnan(card.measures["ps"])
    assert "texsyn[quality]" in describe(card)[0]
    card = score_clips([clips["held"]], clips["train"], clips["held"])
    assert card.missing.count("need the extra") == 1
    assert {name for name, value in card.measures.items() if math.isnan(value)} == {
        "flow",
        "swd",
        "coherence",
        "completeness",
        "diversity",  # of one sample
    }
    assert "texsyn[quality]" in describe(card)[1]


def test_a_large_texture_of_ours_is_judged_at_the_scale_that_was_learnt(tmp_path, ladder):
    exemplar = VIDEOS / "leaves.png"
    tiled = torch.tensor(np.tile(ladder["exemplar"], (1, 2, 1))).permute(2, 0, 1) * 2 - 1
    (ours,) = writing.write(tiled, tmp_path / "ours.png", metadata={"seed": 0})
    (bare,) = writing.write(tiled, tmp_path / "bare.png")
    found = [score_files(exemplar, [path]).measures for path in (ours, bare)]
    assert found[0]["sharp"] == pytest.approx(1, abs=0.01)
    assert found[1]["sharp"] > 1.2  # nobody knows its scale: squeezed, as published samples are
    assert found[0]["seam_x"] == pytest.approx(image.seams(np.tile(ladder["exemplar"], (1, 2, 1)))[0], abs=0.01)


def test_frames_that_are_both_learnt_and_held_out_are_refused(tmp_path, clips):
    (clip,) = writing.write(torch.tensor(clips["held"]).permute(3, 0, 1, 2) * 2 - 1, tmp_path / "short.mp4", fps=10)
    assert score_files(clip, [clip]).reference == {}
    with pytest.raises(TexsynError, match="share frames of the 32"):
        score_files(clip, [clip], held="-16:")


def test_a_glance_tells_a_texture_from_another(ladder, clips):
    near, far = (quick_metrics(ladder[name], ladder["exemplar"]) for name in ("shifted", "other"))
    assert near["swd"] < far["swd"]
    assert quick_metrics(ladder["blurred"], ladder["exemplar"])["sharp"] < 0.3
    assert quick_metrics(clips["held"], clips["train"])["lsd"] < quick_metrics(clips["other"], clips["train"])["lsd"]
    assert quick_metrics(clips["held"][:4], clips["train"]) == {}


def test_a_kept_card_is_read_again(ladder):
    card = score_stills([ladder["shifted"]], ladder["exemplar"])
    again = Card.from_dict(json.loads(json.dumps(card.to_dict())))
    assert describe(again) == describe(card)


def test_sizes_must_agree(ladder, clips):
    with pytest.raises(TexsynError, match="they must agree"):
        score_stills([ladder["shifted"][:200]], ladder["exemplar"])
    with pytest.raises(TexsynError, match="at least 128"):
        score_stills([ladder["shifted"][:64, :64]], ladder["exemplar"][:64, :64])
    with pytest.raises(TexsynError, match="32 frames"):
        score_clips([clips["train"][:20]], clips["train"])


def test_score_on_the_command_line(tmp_path, capsys, ladder):
    path = tmp_path / "sample.png"
    Image.fromarray((ladder["shuffled"] * 255).round().astype(np.uint8)).save(path)
    assert main(["score", str(VIDEOS / "leaves.png"), str(path)]) == 0
    out = capsys.readouterr().out
    assert "faithful" in out
    assert out.splitlines()[1].startswith("ps ")
    assert main(["score", str(VIDEOS / "leaves.png"), str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["measures"]["vcf"] > 0.4


# Computed by independent scripts of the same definitions, on the shipped exemplars.
GOLDEN = json.loads((Path(__file__).parent / "golden_quality.json").read_text())


@pytest.mark.parametrize("case", GOLDEN)
def test_figures_agree_with_the_definitions_to_three_digits(case):
    exemplar, *samples = (VIDEOS / name for name in re.findall(r"[\w-]+\.\w+", case))
    card = score_files(exemplar, samples).plain()
    for part in ("measures", "reference"):
        assert card[part].keys() - GOLDEN[case][part].keys() <= {"diversity"}  # of clips it is ours alone
        for name, value in GOLDEN[case][part].items():
            found = card[part][name]
            assert found is value is None or found == pytest.approx(value, rel=5e-4, abs=2e-6), name
