"""Writing: what is read back is what was written, whole or in bands, or nothing at all."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from texsyn import TexsynError
from texsyn.core.errors import Exit
from texsyn.core.modality import Plane
from texsyn.media import writing


def reference(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def texture(moving: bool, size: tuple[int, int] = (32, 48), frames: int = 9) -> torch.Tensor:
    axes = torch.meshgrid(
        torch.arange(frames if moving else 1), torch.arange(size[0]), torch.arange(size[1]), indexing="ij"
    )
    waves = [torch.sin(0.2 * axes[2] + 0.15 * axes[1] + 0.6 * axes[0] + phase) for phase in (0, 2, 4)]
    out = 0.9 * torch.stack(waves)
    return out if moving else out[:, 0]


MADE_BY = {"recipe": "fast", "seed": 7}


@pytest.mark.parametrize(("ending", "tolerance"), [("png", 0), ("jpg", 12), ("webp", 0)])
def test_stills_are_written_and_carry_what_made_them(tmp_path, ending, tolerance):
    path = tmp_path / f"out.{ending}"
    assert writing.write(texture(False), path, metadata=MADE_BY) == [path]
    assert np.abs(reference(path).astype(int) - writing.to_uint8(texture(False))[0]).max() <= tolerance
    assert writing.read_metadata(path) == MADE_BY


@pytest.mark.parametrize("ending", ["mp4", "gif", "webp"])
@pytest.mark.parametrize("size", [(32, 48), (31, 47)])
def test_clips_are_written_and_carry_what_made_them(tmp_path, ending, size):
    path = tmp_path / f"out.{ending}"
    clip = texture(True, size)
    writing.write(clip, path, fps=20, metadata=MADE_BY)
    assert writing.read_metadata(path) == MADE_BY
    found = decode(path)[:, : size[0], : size[1]]
    assert found.shape[0] == 9
    difference = np.abs(found.astype(int) - writing.to_uint8(clip))
    assert difference.mean() < 13
    shuffled = np.abs(found.astype(int) - writing.to_uint8(clip)[::-1])
    assert difference.mean() < 0.5 * shuffled.mean()


def decode(path: Path) -> np.ndarray:
    if path.suffix == ".webp":
        image = Image.open(path)
        return np.stack([np.asarray((image.seek(n), image.convert("RGB"))[1]) for n in range(image.n_frames)])
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_mp4_is_what_browsers_play(tmp_path):
    path = tmp_path / "out.mp4"
    writing.write(texture(True), path, fps=20)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec.name, stream.pix_fmt, float(stream.average_rate)) == ("h264", "yuv420p", 20)
        assert stream.codec_context.colorspace == 1
    head = path.read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")


def test_frames_and_sheets(tmp_path):
    clip = texture(True)
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
        writing.write(texture(moving), one, metadata=MADE_BY)
        writing.write(texture(moving), two, metadata=MADE_BY)
        assert one.read_bytes() == two.read_bytes()


def test_materials_are_written_one_file_a_map_with_unit_normals(tmp_path):
    maps = torch.cat([texture(False), 0.5 * texture(False).flip(0)])
    files = writing.write(maps, tmp_path / "out.png", planes=(Plane("colour"), Plane("normal")))
    assert [f.name for f in files] == ["out-colour.png", "out-normal.png"]
    vectors = reference(files[1]) / 127.5 - 1
    assert np.abs(np.linalg.norm(vectors, axis=-1) - 1).max() < 0.02


def test_nothing_is_overwritten_unless_told(tmp_path):
    path = tmp_path / "out.png"
    writing.write(texture(False), path)
    before = path.read_bytes()
    with pytest.raises(TexsynError, match="exists already") as caught:
        writing.write(-texture(False), path)
    assert caught.value.exit is Exit.USAGE
    assert path.read_bytes() == before
    writing.write(-texture(False), path, force=True)
    assert path.read_bytes() != before


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(TexsynError, match="No space left") as caught:
        writing.write(texture(False), tmp_path / "out.png")
    assert caught.value.exit is Exit.DISK
    assert list(tmp_path.iterdir()) == []


def test_endings_that_cannot_hold_it_are_refused(tmp_path):
    for moving, name in ((False, "out.mp4"), (True, "out.png"), (False, "out")):
        with pytest.raises(TexsynError, match="is written to"):
            writing.write(texture(moving), tmp_path / name)


@pytest.mark.parametrize(("name", "moving"), [("out.png", False), ("out.mp4", True), ("out.gif", True), ("out", True)])
def test_what_comes_in_bands_is_written_as_what_comes_whole(tmp_path, name, moving):
    whole = texture(moving, (37, 48))
    shape = tuple(whole.shape)
    how = {"format": "frames"} if name == "out" else {}
    writing.write(whole, tmp_path / "whole" / name, metadata=MADE_BY, **how)
    given = iter(whole.split(4, 1))
    writing.write_bands(given, shape, tmp_path / "bands" / name, metadata=MADE_BY, **how)
    for one in (tmp_path / "whole").rglob("*.*"):
        other = tmp_path / "bands" / one.relative_to(tmp_path / "whole")
        if name == "out.png":  # compressed in other portions
            np.testing.assert_array_equal(reference(other), reference(one))
            assert writing.read_metadata(other) == MADE_BY
        else:
            assert other.read_bytes() == one.read_bytes()
    assert list((tmp_path / "whole").rglob("*.*"))


def test_every_filter_of_png_is_read_back(tmp_path):
    random = torch.Generator().manual_seed(0)
    ramp = torch.linspace(-1, 1, 40)
    rows = [ramp.expand(1, 40), torch.rand(8, 40, generator=random) * 2 - 1, ramp.view(40, 1) + 0.5 * ramp.view(1, 40)]
    for channels in (1, 3):
        picture = torch.cat(rows).clamp(-1, 1).expand(channels, -1, -1)
        path = tmp_path / f"{channels}.png"
        writing.write(picture, path)
        image = Image.open(path)
        assert image.mode == {1: "L", 3: "RGB"}[channels]
        expected = writing.to_uint8(picture)[0]
        np.testing.assert_array_equal(np.asarray(image).reshape(expected.shape), expected)


def test_bands_that_fail_leave_nothing_behind(tmp_path):
    def failing():
        yield texture(False)[:, :10]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        writing.write_bands(failing(), (3, 32, 48), tmp_path / "out.png")
    assert list(tmp_path.iterdir()) == []


def test_what_the_disk_or_the_format_cannot_hold_is_refused(tmp_path):
    with pytest.raises(TexsynError, match="GB would be written, and the disk has") as caught:
        writing.refuse_full(tmp_path / "not" / "yet" / "there.png", "png", 10**18)
    assert caught.value.exit is Exit.DISK
    writing.refuse_full(tmp_path / "small.png", "png", 1000)
    with pytest.raises(TexsynError, match="webp holds at most 16383"):
        writing.write_bands([], (3, 8, 20_000), tmp_path / "wide.webp")
    assert list(tmp_path.iterdir()) == []
