"""The textures that initial weights are learnt from: fixed by their seeds, sound, varied and seamless."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from conftest import VIDEOS, script_of_videos
from PIL import Image

FIRST = ["ground", "cracks", "stones", "marble", "wood", "fibres", "foam", "chips", "moss", "rust", "labyrinth"]
OTHERS = ["ridges", "leather", "cloth", "knit", "tiles", "prints", "scales", "pieces", "net"]
NAMES = FIRST + OTHERS


@pytest.fixture(scope="module")
def families():
    with script_of_videos("families") as module:
        yield module


@pytest.fixture(scope="module")
def sixty(families):
    return np.stack([families.render(seed, 96) for seed in range(60)])


def lit(families, name: str, seed: int, size: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    relief = families.FAMILIES[name](random, families.FINE * size)
    return families.camera(random, families.light(random, families.weathered(random, relief)))


def scale(picture: np.ndarray) -> float:
    """Pixels of the mean wave of its brightness, weighted by power."""
    grey = picture.mean(-1) - picture.mean()
    waves = np.hypot(np.fft.fftfreq(len(grey))[:, None], np.fft.rfftfreq(len(grey))[None])
    return float(1 / np.average(waves, weights=np.abs(np.fft.rfft2(grey)) ** 2))


def test_a_seed_is_a_texture(families):
    for seed, size in ((3, 64), (4, 80)):
        first = families.render(seed, size)
        assert first.shape == (size, size, 3)
        assert first.dtype == np.uint8
        np.random.default_rng().random()
        assert first.tobytes() == families.render(seed, size).tobytes()


def test_seeds_differ(sixty):
    assert len({picture.tobytes() for picture in sixty}) == 60
    apart = [np.abs(one.astype(float) - two).mean() for one, two in pairwise(sixty)]
    assert min(apart) > 5  # grey levels


def test_these_are_the_families(families):
    assert list(families.FAMILIES) == NAMES
    shipped = {"beans", "pebbles", "leaves", "wicker", "bricks", "grass", "gravel", "stars"}
    assert not shipped & set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [90, 192])
def test_a_family_is_a_relief(families, name, n):
    for seed in range(3):
        relief = families.FAMILIES[name](np.random.default_rng(seed), n)
        assert relief.height.shape == (n, n)
        assert relief.albedo.shape == (n, n, 3)
        assert np.shape(relief.gloss) in ((), (n, n))
        assert all(np.isfinite(part).all() for part in (relief.height, relief.albedo, relief.gloss))
        assert relief.albedo.min() >= 0
        assert 0 <= np.min(relief.gloss) <= np.max(relief.gloss) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_family_is_neither_constant_nor_cut_off(families, name):
    for seed in range(4):
        picture = lit(families, name, seed, 64)
        assert picture.mean(-1).std() > 3
        assert np.isin(picture, (0, 255)).any(-1).mean() < 1 / 3


@pytest.mark.parametrize("name", NAMES)
def test_a_family_has_no_seam(families, name):
    """Steps across the border against the largest elsewhere: mean of six seeds .64 to .79; cut off torn, 1.1 to 1.8."""
    ratios = []
    for seed in range(6):
        picture = lit(families, name, seed, 64).astype(float)
        for axis in (0, 1):
            steps = np.abs(picture - np.roll(picture, 1, axis)).mean((1 - axis, 2))
            ratios.append(steps[0] / steps[1:].max())
    assert np.mean(ratios) < 0.9


def test_colours_and_light_are_varied(sixty):
    """Of four sixties: 27 to 35 the deviation of means, 114 to 168 their range, 42 to 64 the upper decile of chroma."""
    means = sixty.mean((1, 2))
    assert means.std(0).min() > 22
    assert np.ptp(means, 0).min() > 90
    chroma = np.quantile(np.ptp(means, 1), [0.1, 0.9])
    assert chroma[0] < 10  # greys
    assert chroma[1] > 32
    assert 0.5 < np.mean(means[:, 0] > means[:, 2]) < 0.9  # as in photographs, most are warm
    contrast = np.quantile(sixty.mean(-1).std((1, 2)), [0.1, 0.9])
    assert contrast[0] < 22
    assert contrast[1] > 42


def test_scales_are_varied(sixty):
    """Of four sixties at 96 pixels: 3.5 to 4.0, 5.8 to 6.8 and 10.6 to 12.5 pixels."""
    low, middle, high = np.quantile([scale(picture) for picture in sixty], [0.1, 0.5, 0.9])
    assert low < 4.6
    assert 4.8 < middle < 8
    assert high > 9
    assert high / low > 2.4


def test_no_family_is_drawn_much_more_often(families, monkeypatch):
    drawn = []
    monkeypatch.setattr(families, "FAMILIES", {name: lambda _, n, name=name: drawn.append(name) for name in NAMES})
    monkeypatch.setattr(families, "weathered", lambda _, relief: relief)
    for grown in ("mixed", "cracked", "stained", "overgrown"):
        monkeypatch.setattr(families, grown, lambda _, *reliefs: drawn.append("mixture"))
    for seed in range(2000):
        families.surface(np.random.default_rng(seed), 8)
    counts = {name: drawn.count(name) for name in NAMES}
    assert min(counts.values()) > 70  # 114 in the mean: a seventh are drawn for two
    assert max(counts.values()) < 160
    assert 0.3 < drawn.count("mixture") / 2000 < 0.38


def test_the_command_writes_what_render_gives(families, tmp_path):
    command = [sys.executable, "-B", VIDEOS / "families.py", tmp_path / "out", "--count", "2", "--first", "7"]
    subprocess.run([*command, "--size", "48", "--sheet", tmp_path / "sheet.png"], check=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["00007.png", "00008.png"]
    for seed in (7, 8):
        with Image.open(tmp_path / "out" / f"{seed:05}.png") as written:
            np.testing.assert_array_equal(np.asarray(written), families.render(seed, 48))
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (8 * 52, 52)


def test_rendering_needs_no_torch():
    code = f"import sys; sys.path.insert(0, {str(VIDEOS)!r}); import families; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-B", "-c", code], check=True)
