"""The clips that initial weights are learnt from: fixed by their seeds, sound, varied, moving and stationary."""

import subprocess
import sys
from itertools import combinations, pairwise

import av
import numpy as np
import pytest
from conftest import VIDEOS, script_of_videos
from PIL import Image

FILLING = ["clouds", "ink", "falls", "surf", "sea", "sand", "curtain", "ceiling", "shade", "puddle", "lava", "discs"]
FILLING += ["spirals", "growth"]
NAMES = [*FILLING, "plume", "snow", "rain", "bubbles", "reeds", "leaves", "embers", "lights"]
NAMES += ["swarm", "traffic"]


@pytest.fixture(scope="module")
def moving():
    with script_of_videos("moving") as module:
        yield module


@pytest.fixture(scope="module")
def filmed(moving):
    """Four clips of every family, and none of another before them."""

    def film(name: str, seed: int) -> np.ndarray:
        random = np.random.default_rng(seed)
        layer = moving.FAMILIES[name](random, moving.FINE * 32, 60)
        return moving.camera(random, moving.alone(random, layer))

    return {name: np.stack([film(name, seed) for seed in range(4)]) for name in NAMES}


@pytest.fixture(scope="module")
def forty(moving):
    return np.stack([moving.render(seed, 32, 16) for seed in range(40)])


def described(clip: np.ndarray) -> np.ndarray:
    """Shares of power by wavelength in space, lag in time, and how long along rows against columns."""
    grey = clip.mean(-1) - clip.mean()
    power = (np.abs(np.fft.rfft2(grey)) ** 2).mean(0)
    y, x = np.fft.fftfreq(grey.shape[1])[:, None], np.fft.rfftfreq(grey.shape[2])[None]
    waves = np.hypot(y, x) + 1e-9
    scale = np.average(np.log(waves), weights=power * (waves > 1e-6))
    lags = [np.corrcoef(grey[:-k].ravel(), grey[k:].ravel())[0, 1] for k in (1, 4, 12)]
    skew = (grey**3).mean() / grey.std() ** 3
    return np.array([scale, *lags, np.average((x / waves) ** 2, weights=power), np.clip(skew, -3, 3) / 3])


def test_a_seed_is_a_clip(moving):
    for seed, size, frames in ((3, 32, 12), (4, 40, 16)):
        first = moving.render(seed, size, frames)
        assert first.shape == (frames, size, size, 3)
        assert first.dtype == np.uint8
        np.random.default_rng().random()
        assert first.tobytes() == moving.render(seed, size, frames).tobytes()
    assert moving.render(5).shape == (64, 64, 64, 3)


def test_seeds_differ(forty):
    apart = [np.abs(one.astype(float) - two).mean() for one, two in pairwise(forty)]
    assert min(apart) > 5  # grey levels


def test_these_are_the_families(moving):
    assert sorted(moving.FAMILIES) == sorted(NAMES)
    assert not {"water", "fire", "meadow", "flag"} & set(NAMES)
    assert set(moving.BEFORE) < set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_family_is_a_layer(moving, name):
    for seed, n in ((0, 48), (1, 90), (2, 128)):
        layer = moving.FAMILIES[name](np.random.default_rng(seed), n, 9)
        assert layer.light.shape == (9, n, n, 3)
        assert np.shape(layer.cover) == (() if name in FILLING else (9, n, n))
        assert np.isfinite(layer.light).all()
        assert np.min(layer.cover) >= 0
        assert np.max(layer.cover) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_family_is_neither_constant_nor_cut_off(filmed, name):
    for clip in filmed[name]:
        assert clip.mean(-1).std() > 4
        assert np.isin(clip, (0, 255)).any(-1).mean() < 1 / 3


@pytest.mark.parametrize("name", NAMES)
def test_a_family_moves(filmed, name):
    """Grey levels from frame to frame, and four frames on more than to the next: motion, not flicker of the grain."""
    clips = filmed[name].astype(float).mean(-1)
    step = np.abs(np.diff(clips, axis=1)).mean((1, 2, 3))
    later = np.abs(clips[:, 4:] - clips[:, :-4]).mean((1, 2, 3))
    assert step.min() > 0.4
    assert 1.2 < step.mean() < 30
    assert (later / step).max() > 1.25


@pytest.mark.parametrize("name", NAMES)
def test_a_family_is_stationary(filmed, name):
    """The first and the last 20 frames have the same mean and spread, but for chance in single clips."""
    clips = filmed[name].astype(float).mean(-1)
    first, last = clips[:, :20], clips[:, -20:]
    drift = (last.mean((1, 2, 3)) - first.mean((1, 2, 3))) / clips.std((1, 2, 3))
    assert abs(drift.mean()) < 0.2
    assert np.abs(drift).max() < 0.7
    assert 0.8 < np.exp(np.log(last.std((1, 2, 3)) / first.std((1, 2, 3))).mean()) < 1.25


@pytest.mark.parametrize("name", NAMES)
def test_a_family_does_not_jump(filmed, name):
    """No two frames are much further apart than frames mostly are: nothing starts anew or is cut."""
    clips = filmed[name].astype(float).mean(-1)
    steps = np.abs(np.diff(clips, axis=1)).mean((2, 3))
    assert (steps.max(1) / np.median(steps, 1)).max() < 3


def test_families_differ(filmed):
    """Means of what describes a family; clips of one family differ too, so these are only not to coincide."""
    means = {name: np.mean([described(clip) for clip in clips], 0) for name, clips in filmed.items()}
    apart = {pair: np.abs(means[pair[0]] - means[pair[1]]).max() for pair in combinations(NAMES, 2)}
    assert min(apart.values()) > 0.05, min(apart, key=apart.get)


def test_colours_speeds_and_scales_are_varied(forty):
    means = forty.mean((1, 2, 3))
    assert means.std(0).min() > 22
    assert np.ptp(means, 0).min() > 90
    speed = np.quantile(np.abs(np.diff(forty.astype(float), axis=1)).mean((1, 2, 3, 4)), [0.1, 0.9])
    assert speed[1] / speed[0] > 3
    scale = np.quantile([described(clip)[0] for clip in forty], [0.1, 0.9])
    assert np.ptp(scale) > 0.6


def test_a_quarter_are_of_two_layers(moving, monkeypatch):
    drawn = []

    def make(name):
        def family(_, n, frames):
            drawn[-1].append(name)
            filling = name not in moving.BEFORE
            light = np.ones((frames, n, n, 3), np.float32)
            return moving.Layer(light, 1.0 if filling else np.full((frames, n, n), 0.5, np.float32))

        return family

    monkeypatch.setattr(moving, "FAMILIES", {name: make(name) for name in moving.FAMILIES})
    for seed in range(1500):
        drawn.append([])
        moving.scene(np.random.default_rng(seed), 8, 1)
    assert 0.2 < np.mean([len(names) == 2 for names in drawn]) < 0.3
    assert all(len(set(names)) == len(names) for names in drawn)
    counts = [sum(names[0] == name for names in drawn) for name in NAMES]
    assert min(counts) > 35  # 62 in the mean
    assert max(counts) < 95


def test_the_command_writes_what_render_gives(moving, tmp_path):
    command = [sys.executable, "-B", VIDEOS / "moving.py", tmp_path / "out", "--count", "2", "--first", "7"]
    subprocess.run([*command, "--size", "32", "--frames", "8", "--sheet", tmp_path / "sheet.png"], check=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["00007.mp4", "00008.mp4"]
    for seed in (7, 8):
        with av.open(str(tmp_path / "out" / f"{seed:05}.mp4")) as video:
            written = np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)])
        clip = moving.render(seed, 32, 8)
        assert written.shape == clip.shape
        assert np.abs(written.astype(float) - clip).mean() < 8  # the encoder's loss
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (4 * (4 * 33 + 4), 36)


def test_rendering_needs_no_torch():
    code = f"import sys; sys.path.insert(0, {str(VIDEOS)!r}); import moving; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-B", "-c", code], check=True)
