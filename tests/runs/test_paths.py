"""Where new runs are laid out."""

import pytest
import torch

from texsyn import Run, TexsynError
from texsyn.runs.paths import default_path


def test_default_names_count_up(tmp_path):
    first = default_path("a b?", tmp_path)
    assert first.name == "a-b--1"
    first.mkdir(parents=True)
    assert default_path("a b?", tmp_path).name == "a-b--2"


def test_a_run_half_laid_out_is_laid_out_anew(tmp_path, exemplar, recipe):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    for name in ("exemplar", "previews", ".exemplar.12.part"):
        (tmp_path / "run" / name).mkdir()
    (tmp_path / "run" / ".texsyn-0123.json").touch()
    run = Run.create(tmp_path / "run", exemplar, recipe)
    assert torch.equal(run.exemplars()[0].pixels, exemplar.pixels)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter.txt").write_text("mine")
    with pytest.raises(TexsynError, match="names another folder"):
        Run.create(tmp_path / "used", exemplar, recipe)
