"""Runs of several exemplars, and morphs, on the command line."""

import numpy as np
import pytest
from conftest import SMALL, draw
from PIL import Image

from texsyn import Run
from texsyn.cli.entry import main


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    draw(folder / "waves.png")
    draw(folder / "dark.png", (80, 64), lambda image: image.point(lambda v: v // 3))
    small = [*SMALL, "--steps", "2", "--set", "batch_size=2", "--quiet"]
    arguments = ["fit", str(folder / "waves.png"), str(folder / "dark.png"), "--out", str(folder / "run"), *small]
    assert main(arguments) == 0
    return folder / "run"


def test_a_run_of_two_is_sampled_by_name_and_resumed(two, tmp_path, run):
    assert Run.open(two).names() == ["waves", "dark"]
    for name in ("waves", "dark"):
        assert run("sample", two, "--exemplar", name, "-o", tmp_path / f"{name}.png")[0] == 0
    means = [np.array(Image.open(tmp_path / f"{name}.png")).mean() for name in ("waves", "dark")]
    assert means[1] < means[0]
    assert run("fit", "--resume", two, "--steps", 3, "--quiet")[0] == 0
    info = run("info", two)[1]
    assert any("waves" in line for line in info)


def test_morphs_and_blends_are_written(two, tmp_path, run):
    out = tmp_path / "m.gif"
    assert run("morph", two, "--from", "waves", "--to", "dark:4", "--frames", 6, "-o", out)[:2] == (
        0,
        [str(out)],
    )
    with Image.open(out) as image:
        assert image.n_frames == 6
    out = tmp_path / "a.png"
    assert run("morph", two, "--from", 1, "--to", "dark", "--across", "--size", "128x64", "-o", out)[0] == 0
    with Image.open(out) as image:
        assert image.size == (128, 64)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["morph", "{two}", "--from", "1", "--to", "1"], 2, "the same"),
        (["morph", "{two}", "--from", "1", "--to", "light"], 2, "none of waves, dark"),
        (["morph", "{two}", "--from", "1", "--to", "2", "--frames", "1"], 2, "at least 2 frames"),
        (["morph", "{two}", "--from", "1", "--to", "2", "--across", "--tile", "xy"], 2, "cannot tile along x"),
        (["sample", "{two}", "--exemplar", "light"], 2, "trained on waves, dark, but not on light"),
        (["sample", "{two}", "--size", "900000x900000"], 5, "GB would be written"),
    ],
)
def test_bad_morphs_are_one_line(two, tmp_path, monkeypatch, run, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    result, out, err = run(*(a.format(two=two) for a in arguments))
    assert (result, out) == (code, [])
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())
