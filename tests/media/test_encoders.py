"""Encoders: what browsers play, numbered frames, flipbooks, and the bytes that imageio and Pillow write."""

import json

import av
import numpy as np
import pytest
from media.sample_files import reference, waves
from PIL import Image

from texsyn import TexsynError
from texsyn.media import writing


def test_mp4_is_what_browsers_play(tmp_path):
    path = tmp_path / "out.mp4"
    writing.write(waves(True), path, fps=20)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec.name, stream.pix_fmt, float(stream.average_rate)) == ("h264", "yuv420p", 20)
        assert stream.codec_context.colorspace == 1
    head = path.read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")


def test_frames_and_sheets(tmp_path):
    clip = waves(True)
    writing.write(clip, tmp_path / "frames", format="frames")
    names = sorted(p.name for p in (tmp_path / "frames").iterdir())
    assert names == [f"{n:05d}.png" for n in range(9)]
    np.testing.assert_array_equal(reference(tmp_path / "frames" / "00004.png"), writing.to_uint8(clip)[4])
    writing.write(clip, tmp_path / "sheet.png", format="sheet", fps=20)
    layout = json.loads((tmp_path / "sheet.json").read_text())
    assert layout == {"frames": 9, "columns": 3, "rows": 3, "width": 48, "height": 32, "fps": 20}
    sheet = reference(tmp_path / "sheet.png")
    np.testing.assert_array_equal(sheet[32:64, 48:96], writing.to_uint8(clip)[4])


def test_same_texture_same_bytes(tmp_path):
    for ending, moving in (("png", False), ("mp4", True), ("gif", True), ("webp", True)):
        one, two = tmp_path / f"one.{ending}", tmp_path / f"two.{ending}"
        writing.write(waves(moving), one, metadata={"recipe": "fast", "seed": 7})
        writing.write(waves(moving), two, metadata={"recipe": "fast", "seed": 7})
        assert one.read_bytes() == two.read_bytes()


OPTIONS = {
    "jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    "gif": {"format": "GIF", "save_all": True, "duration": 50, "loop": 0},
    "webp": {
        "format": "WEBP",
        "quality": 95,
        "method": 4,
        "save_all": True,
        "duration": 50,
        "loop": 0,
        "exif": Image.Exif(),
    },
}


@pytest.mark.parametrize("ending", OPTIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_imageio_writes_the_bytes_that_pillow_writes(tmp_path, ending, channels):
    texture = waves(ending != "jpg")[:channels]
    writing.write(texture, tmp_path / f"ours.{ending}", fps=20.0)
    frames = [Image.fromarray(frame[..., 0] if channels == 1 else frame) for frame in writing.to_uint8(texture)]
    more = {"append_images": frames[1:]} if len(frames) > 1 else {}
    frames[0].save(tmp_path / f"pillow.{ending}", **OPTIONS[ending], **more)
    assert (tmp_path / f"ours.{ending}").read_bytes() == (tmp_path / f"pillow.{ending}").read_bytes()


@pytest.mark.parametrize("ending", ["jpg", "webp", "gif", "png", "mp4"])
def test_a_disk_that_is_full_is_one_error_and_no_more(tmp_path, monkeypatch, capfd, ending):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(TexsynError, match="No space left"):
        writing.write(waves(ending in ("gif", "mp4")), tmp_path / f"out.{ending}")
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_longer_clip_that_is_overwritten_leaves_no_frames(tmp_path):
    writing.write(waves(True), tmp_path / "frames", format="frames")
    writing.write(waves(True)[:, :4], tmp_path / "frames", format="frames", force=True)
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == [f"{n:05d}.png" for n in range(4)]
