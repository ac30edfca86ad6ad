"""Exemplars: several are brought to one kind, one window and the same channels; remarks say what is hard."""

import numpy as np
import pytest
import torch
from conftest import VIDEOS, draw
from PIL import Image

from texsyn import TexsynError
from texsyn.media.exemplar import remarks, together
from texsyn.media.reader import read, read_all


def test_exemplars_are_brought_together():
    small, large = read(VIDEOS / "gravel.png", side=96), read(VIDEOS / "beans.png")
    found = together(small, large)
    assert {each.modality.window for each in found} == {(96, 96)}
    assert {each.pixels.shape[0] for each in found} == {3}
    with pytest.raises(TexsynError, match="one model is trained on one kind"):
        together(small, read(VIDEOS / "fire.mp4"))


def test_grey_joins_colour(tmp_path):
    draw(tmp_path / "colour.png")
    draw(tmp_path / "grey.png", change=lambda image: image.convert("L"))
    found = read_all([tmp_path / "grey.png", tmp_path / "colour.png"])
    assert [each.pixels.shape[0] for each in found] == [3, 3]
    assert torch.equal(found[0].pixels[0], found[0].pixels[2])


def test_what_makes_an_exemplar_hard_is_said(tmp_path):
    assert remarks(read(VIDEOS / "beans.png")) == []
    ramp = np.linspace(0, 255, 128).astype(np.uint8)[None].repeat(128, 0)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    assert any("Brightness changes" in remark for remark in remarks(read(tmp_path / "ramp.png")))
    (tmp_path / "still").mkdir()
    draw(tmp_path / "frame.png")
    for n in range(32):
        (tmp_path / "still" / f"{n}.png").write_bytes((tmp_path / "frame.png").read_bytes())
    assert any("moves" in remark for remark in remarks(read(tmp_path / "still")))
    Image.fromarray(np.full((64, 64), 99, np.uint8)).save(tmp_path / "flat.png")
    assert any("contrast" in remark for remark in remarks(read(tmp_path / "flat.png")))
