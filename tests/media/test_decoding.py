"""Files and folders to frames."""

import pytest
from conftest import draw
from media.sample_files import film, pixels
from PIL import Image

from texsyn import TexsynError
from texsyn.media.decoding import read_clip, read_frames, read_still, sniff


def test_a_folder_of_frames_is_a_clip_in_natural_order(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for n in range(34):
        Image.new("RGB", (64, 64), (7 * n, 0, 0)).save(folder / f"f{n}.png")
    assert pixels(folder)[:, 0, 0, 0].tolist() == [7 * n for n in range(34)]


def test_stills_and_clips_are_told_apart(tmp_path):
    draw(tmp_path / "still.mp4.png", (80, 64))
    film(tmp_path / "clip.mp4")
    (tmp_path / "clip.mp4").rename(tmp_path / "clip.png")
    assert [sniff(tmp_path / name) for name in ("still.mp4.png", "clip.png", ".")] == ["still", "clip", "clip"]
    assert read_frames(tmp_path / "still.mp4.png").size == (1, 64, 80)
    assert read_frames(tmp_path / "clip.png").size == (40, 64, 80)
    with pytest.raises(TexsynError, match="single image, not a clip"):
        read_clip(tmp_path / "still.mp4.png")
    with pytest.raises(TexsynError, match="is a clip, not a still"):
        read_still(tmp_path / "clip.png")


def test_frames_of_a_folder_agree_in_size(tmp_path):
    draw(tmp_path / "1.png")
    draw(tmp_path / "2.png", (65, 64))
    with pytest.raises(TexsynError, match=r"2\.png is 65 x 64, but 1\.png is 64 x 64"):
        read_clip(tmp_path)
