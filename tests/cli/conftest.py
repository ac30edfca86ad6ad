"""Tiny runs of every kind, and the command line as a person uses it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL, VIDEOS
from PIL import Image

from texsyn.cli.entry import main

QUIET = [*SMALL, "--quiet"]
Run = Callable[..., tuple[int, list[str], str]]


@pytest.fixture(scope="session")
def still(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("still")
    y, x = np.mgrid[:64, :64]
    Image.fromarray(np.stack([4 * x, 4 * y, 0 * x + 90], -1).astype(np.uint8)).save(path / "ramp.png")
    assert main(["fit", str(path / "ramp.png"), "--out", str(path / "run"), "--steps", "2", *QUIET]) == 0
    return path / "run"


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clip")
    assert main(["fit", str(VIDEOS / "fire.mp4"), "--out", str(path / "run"), "--steps", "1", *QUIET]) == 0
    return path / "run"


@pytest.fixture(scope="session")
def material(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("material")
    maps = [str(VIDEOS / "pebbles.png"), str(VIDEOS / "pebbles-normal.png")]
    assert main(["fit", *maps, "--side", "64", "--out", str(path / "run"), "--steps", "1", *QUIET]) == 0
    return path / "run"


@pytest.fixture
def run(capsys) -> Run:
    """Run a command; returns its exit code, the lines of stdout, and stderr."""

    def run(*words: object) -> tuple[int, list[str], str]:
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err

    return run


@pytest.fixture
def check_refused(still, picture, tmp_path, monkeypatch, run) -> Callable[..., None]:
    """Check that a command says in one line what is wrong, and changes nothing."""
    monkeypatch.chdir(tmp_path)

    def check(words: list[str], code: int, message: str) -> None:
        before = picture.read_bytes()
        found, out, err = run(*(word.format(picture=picture, still=still) for word in words))
        assert (found, out) == (code, [])
        assert message in err
        assert err.count("\n") == 1
        assert picture.read_bytes() == before
        assert not (tmp_path / "runs").exists()

    return check


@pytest.fixture
def size_of() -> Callable[[str | Path], tuple[int, int]]:
    """The width and height of an image file."""

    def size_of(path: str | Path) -> tuple[int, int]:
        with Image.open(path) as image:
            return image.size

    return size_of
