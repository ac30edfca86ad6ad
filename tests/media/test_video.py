"""Videos and GIFs: upright, at a constant rate."""

import struct

import numpy as np
import pytest
from media.sample_files import film, pixels
from PIL import Image

from texsyn import TexsynError
from texsyn.media import writing
from texsyn.media.reader import read


@pytest.mark.parametrize(
    ("ending", "codec"), [("mp4", "libx264"), ("mov", "libx264"), ("avi", "mpeg4"), ("webm", "libvpx-vp9")]
)
def test_clips_of_every_format_are_read(tmp_path, ending, codec):
    path = tmp_path / f"clip.{ending}"
    shown = film(path, codec=codec)
    found = read(path)
    assert (found.modality.name, found.fps, found.size) == ("clip", 25.0, (40, 64, 64))
    assert (found.facts["width"], found.facts["height"], found.facts["frames"]) == (80, 64, 40)
    levels = pixels(path)[:, 40:].mean((1, 2, 3))
    assert np.abs(levels - shown[:, 40:].mean((1, 2, 3))).max() < 5


def test_gifs_are_clips_with_their_own_rate(tmp_path):
    path = tmp_path / "clip.gif"
    images = [Image.new("RGB", (64, 64), (5 * n, 40, 80)) for n in range(40)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=50, loop=0)
    found = read(path)
    assert found.size == (40, 64, 64)
    assert found.fps == pytest.approx(20, rel=0.05)


def test_a_variable_rate_shows_at_each_tick_what_was_on_screen(tmp_path):
    path = tmp_path / "clip.gif"
    images = [Image.new("RGB", (64, 64), (4 * n, 40, 80)) for n in range(40)]
    delays = [50] * 40
    delays[10] = 250
    images[0].save(path, save_all=True, append_images=images[1:], duration=delays, loop=0)
    levels = pixels(path)[:, 0, 0, 0]
    assert len(levels) == 44
    assert (levels == levels[10]).sum() == 5


def test_a_rotated_video_is_turned_upright(tmp_path):
    path = tmp_path / "clip.mp4"
    film(path)
    turned = rotate(path.read_bytes())
    path.write_bytes(turned)
    found = read(path)
    assert (found.facts["width"], found.facts["height"]) == (64, 80)
    frame = writing.to_uint8(found.pixels)[20].astype(float)
    rows, columns = frame.mean((1, 2)), frame.mean((0, 2))
    assert abs(columns[:8].mean() - columns[-8:].mean()) > 20  # the dark band along the top is now along a side
    assert abs(rows[:8].mean() - rows[-8:].mean()) < 5


def rotate(mp4: bytes) -> bytes:
    """Write a rotation by 90 degrees into the track header's matrix."""
    at = mp4.index(b"tkhd") + 4 + 40
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    assert mp4[at : at + 36] == identity
    return mp4[:at] + struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 64 << 16, 0, 1 << 30) + mp4[at + 36 :]


@pytest.mark.parametrize("ending", ["mp4", "mov"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_cut_video_is_damaged_in_words(tmp_path, ending, share):
    path = tmp_path / f"cut.{ending}"
    film(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(
        TexsynError, match=rf"^cut\.{ending} (is|holds no video: it may be) damaged or incomplete"
    ) as caught:
        read(path)
    assert "Errno" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_long_videos_are_refused(tmp_path, monkeypatch):
    film(tmp_path / "clip.mp4")
    monkeypatch.setattr("texsyn.media.detection.MAX_SECONDS", 1.0)
    with pytest.raises(TexsynError, match="longer than the 1 seconds allowed"):
        read(tmp_path / "clip.mp4")
