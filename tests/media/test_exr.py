"""EXR files: what is written is read again, and what is broken is refused."""

import numpy as np
import OpenEXR
import pytest
import torch
from media.sample_maps import maps, save, write_set

from texsyn import TexsynError
from texsyn.media import decoding, exr, writing
from texsyn.media.metadata import read_metadata
from texsyn.media.reader import read


def store(path, channels):
    """An EXR file as other programs write it."""
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, channels) as file:
        file.write(str(path))


def test_colours_are_linear_in_the_file_and_come_back(tmp_path):
    texture = torch.rand(3, 20, 30) * 2 - 1
    (path,) = writing.write(texture, tmp_path / "a.exr", metadata={"seed": 3})
    stored = OpenEXR.File(str(path)).channels()["RGB"].pixels
    colours = (texture.movedim(0, -1).numpy() + 1) / 2
    assert np.abs(stored - exr.to_linear(colours)).max() < 1e-3
    assert np.abs(decoding.read_still(path).colours[0] - colours).max() < 3e-3
    assert read_metadata(path) == {"seed": 3}


def test_srgb_is_inverted():
    values = np.linspace(0, 1, 300, dtype=np.float32)
    np.testing.assert_allclose(exr.to_srgb(exr.to_linear(values)), values, atol=1e-6)


def test_heights_in_metres_are_learnt_and_written_in_metres(tmp_path):
    folder = write_set(tmp_path / "set", {"colour": "r_Color.png"})
    metres = (0.8 * maps()["height"] - 0.3).astype(np.float32)
    store(folder / "r_Displacement.exr", {"Y": metres})
    exemplar = read(folder, side=0)
    plane = exemplar.modality.planes[1]
    assert (plane.low, plane.high) == (pytest.approx(metres.min()), pytest.approx(metres.max()))
    files = writing.write(exemplar.pixels, tmp_path / "out.exr", planes=exemplar.modality.planes)
    assert [file.name for file in files] == ["out_Color.exr", "out_Displacement.exr"]
    written = OpenEXR.File(str(files[1])).channels()["Y"].pixels
    np.testing.assert_allclose(written, metres, atol=1e-6)


def test_normals_may_be_vectors_themselves(tmp_path):
    folder = write_set(tmp_path / "set", {"colour": "r_Color.png"})
    vectors = (2 * maps()["normal"] - 1).astype(np.float32)
    store(folder / "r_nor_gl.exr", {"RGB": vectors})
    assert np.abs(read(folder, side=0).pixels[3:].movedim(0, -1).numpy() - vectors).max() < 1e-5


def test_broken_and_strange_files_are_refused(tmp_path, monkeypatch):
    good = writing.write(torch.zeros(3, 64, 64), tmp_path / "a.exr")[0].read_bytes()
    (tmp_path / "cut.exr").write_bytes(good[: len(good) // 2])
    (tmp_path / "noise.exr").write_bytes(good[:8] + bytes(range(256)) * 4)
    for name, channels in (
        ("nan.exr", {"Y": np.full((64, 64), np.nan, np.float32)}),
        ("depth.exr", {"Z": np.zeros((64, 64), np.float32), "id": np.zeros((64, 64), np.float32)}),
    ):
        store(tmp_path / name, channels)
    for name, why in (
        ("cut.exr", "cannot be read as an EXR image"),
        ("noise.exr", "cannot be read as an EXR image"),
        ("nan.exr", "no finite numbers"),
        ("depth.exr", "not RGB or a single one"),
    ):
        with pytest.raises(TexsynError, match=why):
            decoding.read_still(tmp_path / name)
    monkeypatch.setattr("texsyn.media.detection.MAX_PIXELS", 100)
    with pytest.raises(TexsynError, match="64 x 64, more than"):
        decoding.read_still(tmp_path / "a.exr")


def test_without_the_package_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "OpenEXR", None)
    with pytest.raises(TexsynError, match=r"pip install 'texsyn\[materials\]'"):
        writing.write(torch.zeros(3, 64, 64), tmp_path / "a.exr")
    assert list(tmp_path.iterdir()) == []
    save(tmp_path / "a.png", maps()["colour"])
