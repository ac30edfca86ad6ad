"""Files to exemplars: rightly, or refused in one line."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import VIDEOS, draw
from media.sample_files import film
from PIL import Image

from texsyn import TexsynError
from texsyn.core.errors import Exit
from texsyn.core.modality import MATERIAL, MODALITIES
from texsyn.media.reader import read, read_all, read_like
from texsyn.media.writing import write


def test_large_stills_are_reduced_unless_told_otherwise(tmp_path):
    path = tmp_path / "large.png"
    draw(path, (600, 450))
    assert read(path, levels=0).size == (224, 299)
    assert read(path).size == read(path, side=0).size == (450, 600)
    assert read(path, side=64).size == (64, 85)


def test_levels_keep_a_stills_size_as_far_as_it_is_large_enough(tmp_path):
    draw(tmp_path / "large.png", (803, 700))
    found = read(tmp_path / "large.png", levels=1)
    assert (found.size, found.modality.factors) == ((700, 800), (4,))  # in whole blocks
    assert found.modality.size == (640, 768)  # in whole cells of the base
    assert found.modality.window == (128, 128)
    two = read(tmp_path / "large.png", levels=2)
    assert (two.modality.factors, two.modality.enlargement) == ((4,), 4)
    assert read(tmp_path / "large.png", levels=1, side=400).modality.factors == (2,)
    small = read(tmp_path / "large.png", levels=1, side=224)
    assert (small.modality.factors, small.size) == ((), (224, 257))
    with pytest.raises(TexsynError, match="--levels is for stills and materials, not for a clip") as refused:
        read(VIDEOS / "fire.mp4", levels=1)
    assert refused.value.exit is Exit.USAGE


def test_frames_are_chosen_as_in_python(tmp_path):
    path = tmp_path / "clip.mp4"
    film(path, 80)
    assert read(path, frames="0:-32").size[0] == 48
    assert read(path, frames="40:").size[0] == 40
    for wrong, said in (("5", "A:B"), ("90:", "selects none"), ("0:20", "20 frame")):
        with pytest.raises(TexsynError, match=said):
            read(path, frames=wrong)


def test_materials_are_two_files_that_agree(tmp_path):
    found = read(VIDEOS / "pebbles.png", VIDEOS / "pebbles-normal.png")
    assert found.modality.name == "material"
    assert found.pixels.shape == (6, 224, 224)
    draw(tmp_path / "small.png")
    with pytest.raises(TexsynError, match=r"small\.png is no map of normals"):
        read(VIDEOS / "pebbles.png", tmp_path / "small.png")


def test_a_map_of_normals_makes_a_material_and_nothing_else_does():
    (material,) = read_all([VIDEOS / "pebbles.png", VIDEOS / "pebbles-normal.png"])
    assert material.modality.name == "material"
    assert [each.name for each in read_all([VIDEOS / "pebbles.png", VIDEOS / "gravel.png"])] == [
        "pebbles",
        "gravel",
    ]


def test_a_new_kind_with_several_planes_is_one_exemplar(tmp_path, monkeypatch):
    monkeypatch.setitem(MODALITIES, "relief", replace(MATERIAL, name="relief"))
    files = [tmp_path / "colour.png", tmp_path / "height.png"]
    for file in files:
        draw(file, (96, 80))
    (relief,) = read_all(files, kind="relief")
    assert (relief.modality.name, relief.pixels.shape) == ("relief", (6, 80, 96))
    assert len(read_all(files, kind="still")) == 2
    with pytest.raises(TexsynError, match="'sound' is not a kind of texture"):
        read_all(files, kind="sound")


def test_a_part_of_an_image_or_a_clip_is_read(tmp_path):
    draw(tmp_path / "wide.png", (160, 100))
    whole, part = (
        read(tmp_path / "wide.png", side=0),
        read(tmp_path / "wide.png", side=0, crop=(40, 10, 80, 64)),
    )
    assert torch.equal(part.pixels, whole.pixels[:, 10:74, 40:120])
    assert (part.facts["width"], part.facts["height"]) == (80, 64)
    assert read(VIDEOS / "fire.mp4", crop=(32, 32, 64, 64)).size[1:] == (64, 64)
    with pytest.raises(TexsynError, match=r"--crop 80x64\+100\+10 does not lie within 160 x 100 pixels"):
        read(tmp_path / "wide.png", crop=(100, 10, 80, 64))


def broken(tmp_path: Path) -> dict[str, tuple[Path, str]]:
    """Files that must be refused, and what must be said of them."""
    good = tmp_path / "good.png"
    draw(good)
    clip = tmp_path / "good.mp4"
    film(clip)
    cases = {
        "missing": (None, "no such file"),
        "empty": (b"", "is empty"),
        "text": (b"hello, I am no image at all", "neither an image"),
        "truncated": (good.read_bytes()[:200], "cannot be read as a PNG"),
        "cut-clip": (clip.read_bytes()[:900], "is damaged or incomplete"),
        "playlist": (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ngood.mp4\n", "neither an image"),
        "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "neither an image"),
    }
    files = {}
    for name, (content, said) in cases.items():
        path = tmp_path / f"{name}.png"
        if content is not None:
            path.write_bytes(content)
        files[name] = (path, said)
    draw(tmp_path / "small.png", (63, 90))
    files["small"] = (tmp_path / "small.png", "63 x 90, but a still needs at least 64 x 64")
    film(tmp_path / "short.mp4", 31)
    files["short"] = (tmp_path / "short.mp4", "31 frame.* but a clip needs 32")
    film(tmp_path / "tiny.mp4", size=(48, 40))
    files["tiny"] = (tmp_path / "tiny.mp4", "48 x 40|40 x 40")
    Image.new("RGB", (64, 64)).save(tmp_path / "one.gif")
    files["one"] = (tmp_path / "one.gif", "1 frame")
    (tmp_path / "folder").mkdir()
    files["folder"] = (tmp_path / "folder", "holds no frames")
    return files


NAMES = (
    "missing",
    "empty",
    "text",
    "truncated",
    "cut-clip",
    "playlist",
    "svg",
    "small",
    "short",
    "tiny",
    "one",
    "folder",
)


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, name):
    path, said = broken(tmp_path)[name]
    with pytest.raises(TexsynError, match=said) as caught:
        read(path)
    assert caught.value.exit is Exit.BAD_INPUT
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


# ------------------------------------------------------------ like an exemplar


def test_another_image_is_read_at_the_scale_of_the_first(tmp_path):
    draw(tmp_path / "first.png", (448, 600))
    draw(tmp_path / "second.png", (300, 100))
    first = read(tmp_path / "first.png", levels=0)
    assert first.size == (300, 224)
    assert read_like(first, tmp_path / "second.png").size == (50, 150)
    made = {"exemplar_sha256": first.facts["sha256"]}
    for hashes, size in ((made, (120, 80)), ({"exemplar_sha256": ["0", *made.values()]}, (120, 80)), ({}, (60, 40))):
        write(torch.zeros(3, 120, 80), tmp_path / "made.png", metadata={"seed": 0, **hashes}, force=True)
        assert read_like(first, tmp_path / "made.png").size == size  # what texsyn made has the scale already
    clip = read(VIDEOS / "fire.mp4")
    assert read_like(clip, VIDEOS / "water.mp4", frames="0:10").size == (10, 64, 64)


def test_what_is_unlike_the_first_is_refused(tmp_path):
    draw(tmp_path / "colour.png")
    draw(tmp_path / "grey.png", change=lambda image: image.convert("L"))
    colour, grey = read(tmp_path / "colour.png"), read(tmp_path / "grey.png")
    assert read_like(colour, tmp_path / "grey.png").pixels.shape == (3, 64, 64)
    with pytest.raises(TexsynError, match=r"colour\.png is in colour, but this run is of a grey still"):
        read_like(grey, tmp_path / "colour.png")
    with pytest.raises(TexsynError, match=r"fire\.mp4 is a clip in 1 file\(s\), but this run is of a still"):
        read_like(colour, VIDEOS / "fire.mp4")
