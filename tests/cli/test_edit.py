"""`texsyn reconstruct` and `texsyn complete`."""

import json

import pytest
from PIL import Image


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["complete", "{still}"], 3, "no pixels of the run's exemplar are masked: name an IMAGE"),
        (["complete", "{still}", "{picture}"], 3, "no pixels of this image are masked: --mask marks them"),
        (["complete", "{still}", "--mask", "{picture}"], 2, "--mask goes with an IMAGE"),
        (["reconstruct", "{still}", "--refine", "-1"], 2, "--refine must lie in"),
    ],
)
def test_bad_input_is_one_line_and_its_exit_code(check_refused, words, code, message):
    check_refused(words, code, message)


def test_an_image_is_reconstructed_and_completed(still, picture, tmp_path, run, size_of):
    code, out, _ = run("reconstruct", still, picture, "-o", tmp_path / "again.png", "--json")
    assert (code, size_of(tmp_path / "again.png")) == (0, (64, 64))
    assert json.loads(out[0])["squared_error"] > 0
    Image.new("L", (64, 64)).save(tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as mask:
        mask.paste(255, (0, 0, 16, 16))
        mask.save(tmp_path / "mask.png")
    how = ["--mask", tmp_path / "mask.png", "--refine", 2, "-o", tmp_path / "whole.png", "--json"]
    code, out, _ = run("complete", still, picture, *how)
    assert (code, size_of(tmp_path / "whole.png")) == (0, (64, 64))
    assert json.loads(out[0])["missing"] == 1 / 16
