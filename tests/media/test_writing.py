"""Writing: what is read back is what was written, whole or in bands, or nothing at all."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from media.sample_files import reference, waves
from PIL import Image

from texsyn import TexsynError
from texsyn.core.errors import Exit
from texsyn.core.maps import Plane, packed
from texsyn.media import writing
from texsyn.media.decoding import read_map
from texsyn.media.metadata import read_metadata

MADE_BY = {"recipe": "fast", "seed": 7}


@pytest.mark.parametrize(("ending", "tolerance"), [("png", 0), ("jpg", 12), ("webp", 0)])
def test_stills_are_written_and_carry_what_made_them(tmp_path, ending, tolerance):
    path = tmp_path / f"out.{ending}"
    assert writing.write(waves(False), path, metadata=MADE_BY) == [path]
    assert np.abs(reference(path).astype(int) - writing.to_uint8(waves(False))[0]).max() <= tolerance
    assert read_metadata(path) == MADE_BY


@pytest.mark.parametrize("ending", ["mp4", "gif", "webp"])
@pytest.mark.parametrize("size", [(32, 48), (31, 47)])
def test_clips_are_written_and_carry_what_made_them(tmp_path, ending, size):
    path = tmp_path / f"out.{ending}"
    clip = waves(True, size)
    writing.write(clip, path, fps=20, metadata=MADE_BY)
    assert read_metadata(path) == MADE_BY
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


def test_materials_are_written_one_file_a_map_with_unit_normals(tmp_path):
    maps = torch.cat([waves(False), 0.5 * waves(False).flip(0)])
    files = writing.write(maps, tmp_path / "out.png", planes=(Plane("colour"), Plane("normal")))
    assert [f.name for f in files] == ["out-colour.png", "out-normal.png"]
    vectors = reference(files[1]) / 127.5 - 1
    assert np.abs(np.linalg.norm(vectors, axis=-1) - 1).max() < 0.02


def test_heights_and_normals_are_written_in_sixteen_bits(tmp_path):
    planes = (Plane("colour", ending="_Color"), Plane("normal", ending="_NormalGL"), Plane("height", 1))
    maps = torch.cat([waves(False), 0.5 * waves(False).flip(0), waves(False)[:1]])
    for bands in ([maps], maps.split(7, 1)):
        files = writing.write_bands(bands, maps.shape, tmp_path / "out.png", planes=planes, force=True)
        assert [f.name for f in files] == ["out_Color.png", "out_NormalGL.png", "out-height.png"]
        height = np.asarray(Image.open(files[2])).astype(float)
        assert np.abs(height / 32767.5 - 1 - maps[6].numpy()).max() < 2e-5
        normal = read_map(files[1]).colours[0] * 2 - 1
        expected = torch.nn.functional.normalize(maps[3:6], dim=0).movedim(0, -1).numpy()
        assert np.abs(normal - expected).max() < 4e-5
        assert np.array_equal(np.asarray(Image.open(files[0])), writing.to_uint8(maps[:3])[0])


def test_occlusion_roughness_and_metal_are_packed_into_one_file(tmp_path):
    planes = (Plane("colour", ending="_Color"), Plane("roughness", 1, "_Roughness"), Plane("metal", 1, "_Metalness"))
    maps = torch.cat([waves(False), waves(False)[:2]])
    files = writing.write(maps, tmp_path / "out.png", planes=packed(planes))
    assert [f.name for f in files] == ["out_Color.png", "out_ORM.png"]
    red, green, blue = np.asarray(Image.open(files[1])).transpose(2, 0, 1)
    assert (red == 255).all()  # what is not known to be hidden is not
    expected = writing.to_uint8(maps)[0]
    assert np.array_equal(green, expected[..., 3])
    assert np.array_equal(blue, expected[..., 4])
    assert [plane.ending for plane in packed((Plane("colour"), Plane("occlusion", 1)))] == ["", "-orm"]


def test_nothing_is_overwritten_unless_told(tmp_path):
    path = tmp_path / "out.png"
    writing.write(waves(False), path)
    before = path.read_bytes()
    with pytest.raises(TexsynError, match="exists already") as caught:
        writing.write(-waves(False), path)
    assert caught.value.exit is Exit.USAGE
    assert path.read_bytes() == before
    writing.write(-waves(False), path, force=True)
    assert path.read_bytes() != before


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(TexsynError, match="No space left") as caught:
        writing.write(waves(False), tmp_path / "out.png")
    assert caught.value.exit is Exit.DISK
    assert list(tmp_path.iterdir()) == []


def test_endings_that_cannot_hold_it_are_refused(tmp_path):
    for moving, name in ((False, "out.mp4"), (True, "out.png"), (False, "out")):
        with pytest.raises(TexsynError, match="is written to"):
            writing.write(waves(moving), tmp_path / name)


@pytest.mark.parametrize(("name", "moving"), [("out.png", False), ("out.mp4", True), ("out.gif", True), ("out", True)])
def test_what_comes_in_bands_is_written_as_what_comes_whole(tmp_path, name, moving):
    whole = waves(moving, (37, 48))
    shape = tuple(whole.shape)
    how = {"format": "frames"} if name == "out" else {}
    writing.write(whole, tmp_path / "whole" / name, metadata=MADE_BY, **how)
    given = iter(whole.split(4, 1))
    writing.write_bands(given, shape, tmp_path / "bands" / name, metadata=MADE_BY, **how)
    for one in (tmp_path / "whole").rglob("*.*"):
        other = tmp_path / "bands" / one.relative_to(tmp_path / "whole")
        if name == "out.png":  # compressed in other portions
            np.testing.assert_array_equal(reference(other), reference(one))
            assert read_metadata(other) == MADE_BY
        else:
            assert other.read_bytes() == one.read_bytes()
    assert list((tmp_path / "whole").rglob("*.*"))


def test_bands_that_fail_leave_nothing_behind(tmp_path):
    def failing():
        yield waves(False)[:, :10]
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
