"""Sets of maps: which file is which map, however vendors name them, and what they hold."""

import numpy as np
import pytest
import torch
from conftest import VIDEOS, draw
from media.sample_maps import ALL, flipped, maps, save, write_set
from PIL import Image

import texsyn
from texsyn import TexsynError
from texsyn.core.errors import Exit
from texsyn.media import material
from texsyn.media.material import title
from texsyn.media.reader import read, read_all, read_like

VENDORS = {
    "ambientCG": (
        "Bricks075A",
        (
            *("1K-JPG_Color", "1K-JPG_NormalGL", "1K-JPG_Displacement", "1K-JPG_Roughness"),
            *("1K-JPG_AmbientOcclusion", "1K-JPG_Metalness", "1K-JPG_Opacity"),
        ),
        "_{}.png",
    ),
    "Poly Haven": ("brick_wall", ("diff", "nor_gl", "disp", "rough", "ao", "metal", "opacity"), "_{}_1k.png"),
    "Substance": (
        "Wall_Set",
        ("BaseColor", "Normal_OpenGL", "Height", "Roughness", "AmbientOcclusion", "Metallic", "Opacity"),
        "_{}.png",
    ),
    "Quixel": (
        "tkynejer_2K",
        ("Albedo", "Normal", "Displacement", "Roughness", "AO", "Metalness", "Opacity"),
        "_{}.png",
    ),
    "words alone": ("", ("color", "normal", "height", "roughness", "ao", "metallic", "alpha"), "{}.png"),
}


@pytest.mark.parametrize("vendor", VENDORS)
def test_names_of_vendors_are_understood(tmp_path, vendor):
    name, words, pattern = VENDORS[vendor]
    write_set(tmp_path / "set", {k: name + pattern.format(w) for k, w in zip(ALL, words, strict=True)})
    exemplar = read(tmp_path / "set", side=0)
    assert (exemplar.modality.name, tuple(plane.name for plane in exemplar.modality.planes)) == ("material", ALL)
    assert exemplar.pixels.shape == (11, 80, 96)
    wanted = maps()
    parts = np.split(exemplar.pixels.movedim(0, -1).numpy(), np.cumsum([3, 3, 1, 1, 1, 1]), -1)
    for kind, part in zip(ALL, parts, strict=True):
        values = wanted[kind] if wanted[kind].ndim == 3 else wanted[kind][..., None]
        assert np.abs((part + 1) / 2 - values).max() < 0.012, kind
    files = [*(tmp_path / "set").iterdir()]
    (together,) = read_all(files, side=0)
    torch.testing.assert_close(together.pixels, exemplar.pixels)


def test_words_for_maps_are_no_names_of_textures(tmp_path):
    """Rusty metal, rough stone and a colour chart are three exemplars, and frames of a clip stay frames."""
    files = [tmp_path / name for name in ("rust_metal.png", "stone_rough.png")]
    for file in files:
        draw(file, (96, 80))
    assert len(read_all(files)) == 2
    for number in range(40):
        draw(tmp_path / "frames" / f"height_{number}.png") if (tmp_path / "frames").mkdir(exist_ok=True) is None else 0
    assert read(tmp_path / "frames").modality.name == "clip"


def test_the_way_of_y_is_kept_and_found_by_the_height(tmp_path):
    known = maps()
    for name, normal, down in (
        ("a_NormalGL", known["normal"], False),
        ("b_NormalDX", flipped(known["normal"]), True),
        ("c_Normal", known["normal"], False),
        ("d_Normal", flipped(known["normal"]), True),
    ):
        folder = write_set(tmp_path / name, {"colour": f"{name[0]}_Color.png", "height": f"{name[0]}_Height.png"})
        save(folder / f"{name}.png", normal)
        exemplar = read(folder, side=0)
        plane = exemplar.modality.planes[1]
        assert (plane.flipped, plane.ending) == (down, f"_{name.partition('_')[2]}")
        assert np.abs(exemplar.pixels[3:6].movedim(0, -1).numpy() - (2 * normal - 1)).max() < 0.02


def test_the_same_normals_for_opengl_and_directx_count_once(tmp_path):
    folder = write_set(tmp_path / "set", {"colour": "r_Color.png", "normal": "r_NormalGL.png"})
    save(folder / "r_NormalDX.png", flipped(maps()["normal"]))
    assert [plane.ending for plane in read(folder).modality.planes] == ["_Color", "_NormalGL"]
    save(folder / "r_NormalDX.png", maps()["normal"][::-1])
    with pytest.raises(TexsynError, match=r"r_NormalDX.png and r_NormalGL.png are both a map of normal"):
        read(folder)


def test_packed_maps_are_taken_apart_and_files_of_their_own_come_first(tmp_path):
    folder = write_set(tmp_path / "set", {"colour": "r_diff_1k.png", "roughness": "r_rough_1k.png"})
    known = maps()
    packed = np.stack((known["occlusion"], 1 - known["roughness"], known["metal"]), -1)
    save(folder / "r_arm_1k.png", packed)
    exemplar = read(folder, side=0)
    planes = exemplar.modality.planes
    assert [(plane.name, plane.ending, plane.packed) for plane in planes] == [
        ("colour", "_diff", False),
        ("roughness", "_rough", False),
        ("occlusion", "_arm", True),
        ("metal", "_arm", True),
    ]
    for channel, kind in ((3, "roughness"), (4, "occlusion"), (5, "metal")):
        assert np.abs((exemplar.pixels[channel].numpy() + 1) / 2 - known[kind]).max() < 0.01


def test_a_picture_of_the_material_and_maps_that_are_not_learnt_are_left_out(tmp_path):
    folder = write_set(tmp_path / "set", {"colour": "Rock035_1K_Color.png", "height": "Rock035_1K_Displacement.png"})
    draw(folder / "Rock035.png", (96, 80))
    draw(folder / "Rock035_1K_Specular.png", (96, 80))
    (folder / "Rock035.mtlx").write_text("<materialx/>")
    assert [plane.name for plane in read(folder).modality.planes] == ["colour", "height"]


def test_maps_of_other_sizes_are_reduced_to_the_smallest(tmp_path):
    folder = write_set(tmp_path / "set", {"colour": "r_Color.png"}, (160, 192))
    write_set(folder, {"normal": "r_NormalGL.png"}, (80, 96))
    exemplar = read(folder, side=0)
    assert exemplar.size == (80, 96)
    assert torch.allclose(exemplar.pixels[3:6].norm(dim=0), torch.ones(80, 96), atol=1e-5)
    reduced = read(folder, side=64)
    assert torch.allclose(reduced.pixels[3:6].norm(dim=0), torch.ones(64, 77), atol=1e-5)


def test_heights_keep_sixteen_bits(tmp_path):
    folder = write_set(tmp_path / "set", {"colour": "r_Color.png"})
    save(folder / "r_Height.png", maps()["height"], bits=16)
    exemplar = read(folder, side=0)
    assert np.abs((exemplar.pixels[3].numpy() + 1) / 2 - maps()["height"]).max() < 2e-5


def test_colour_profiles_do_not_change_maps_that_are_no_colours(tmp_path):
    from PIL import ImageCms

    folder = write_set(tmp_path / "set", {"colour": "r_Color.png", "normal": "r_NormalGL.png"})
    plain = read(folder, side=0).pixels
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    Image.open(folder / "r_NormalGL.png").save(folder / "r_NormalGL.png", icc_profile=lab)
    assert torch.equal(read(folder, side=0).pixels[3:], plain[3:])


def test_maps_are_named_by_hand(tmp_path):
    folder = write_set(tmp_path, {"colour": "a.png", "height": "b,c.png", "normal": "d.png"})
    given = material.parse_maps([f"colour={folder}/a.png,height={folder}/b,c.png", f"normal-dx={folder}/d.png"])
    exemplar = read(maps=given, side=0)
    assert [(p.name, p.flipped) for p in exemplar.modality.planes] == [
        ("colour", False),
        ("normal", True),
        ("height", False),
    ]
    (same,) = read_all([], maps=given, side=0)
    assert torch.equal(same.pixels, exemplar.pixels)
    for words, why, exit in (
        (["height"], "is not MAP=FILE", Exit.USAGE),
        (["colour=a.png,colour=b.png"], "names colour twice", Exit.USAGE),
        ([f"colour={folder}/a.png,shine={folder}/d.png"], "there is no such map", Exit.USAGE),
        ([f"colour={folder}/a.png,height={folder}/none.png"], "none.png: no such file", Exit.BAD_INPUT),
        ([f"height={folder}/b,c.png,normal={folder}/d.png"], "has no map of colour", Exit.BAD_INPUT),
        ([f"colour={folder}/a.png"], "has one map, colour", Exit.BAD_INPUT),
    ):
        with pytest.raises(TexsynError, match=why) as caught:
            read(maps=material.parse_maps(words))
        assert caught.value.exit is exit
    with pytest.raises(TexsynError, match=r"a.png is one too many"):
        read_all([folder / "a.png"], maps=given)
    with pytest.raises(TexsynError, match="a material, not of a clip"):
        read(maps=given, kind="clip")


def bad_sets(folder):
    """What is wrong, and the words that say so."""
    names = {"colour": "r_Color.png", "normal": "r_Normal.png", "height": "r_Height.png"}
    return {
        "two normals": ({**names, "roughness": "r_nor.png"}, "r_Normal.png and r_nor.png are both a map of normal"),
        "no colour": ({"normal": "r_Normal.png", "height": "r_Height.png"}, "has no map of colour"),
        "unclear": ({**names, "metal": "shape.png"}, r"which map is shape.png\? Name maps with --maps"),
        "no normals": ({"colour": "r_Color.png", "metal": "r_Normal.png"}, "no vectors of length one"),
    }


@pytest.mark.parametrize("what", ["two normals", "no colour", "unclear", "no normals"])
def test_bad_sets_are_refused_in_one_line(tmp_path, what):
    names, why = bad_sets(tmp_path)[what]
    write_set(tmp_path / "set", names)
    with pytest.raises(TexsynError, match=why) as caught:
        read(tmp_path / "set")
    assert caught.value.exit is Exit.BAD_INPUT


def test_maps_of_another_shape_or_cut_short_are_refused(tmp_path):
    folder = write_set(tmp_path / "set", {"colour": "r_Color.png"})
    write_set(folder, {"height": "r_Height.png"}, (80, 80))
    with pytest.raises(TexsynError, match=r"r_Height.png is 80 x 80, but r_Color.png is 96 x 80"):
        read(folder)
    whole = (write_set(folder, {"height": "r_Height.png"}) / "r_Height.png").read_bytes()
    (folder / "r_Height.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TexsynError, match=r"r_Height.png cannot be read"):
        read(folder)


def test_two_files_are_a_material_by_what_they_hold():
    pair = VIDEOS / "pebbles.png", VIDEOS / "pebbles-normal.png"
    assert read(*pair).modality.name == "material"
    assert title(pair) == "pebbles"
    assert material.sets([*pair, VIDEOS / "beans.png"]) == dict.fromkeys(pair, pair)


def test_another_set_of_the_same_maps_is_read_alike(tmp_path):
    first = read(write_set(tmp_path / "a", {"colour": "r_Color.png", "height": "r_Height.png"}))
    other = write_set(tmp_path / "b", {"colour": "s_diff.png", "height": "s_disp.png"})
    assert read_like(first, other).pixels.shape == (4, 80, 96)
    write_set(tmp_path / "c", {"colour": "s_diff.png", "roughness": "s_rough.png"})
    for wrong, why in ((tmp_path / "c", "comes with colour, roughness"), (other / "s_diff.png", "is one file")):
        with pytest.raises(TexsynError, match=f"this run is of a material with colour, height, but .* {why}"):
            read_like(first, wrong)
    assert "read" in texsyn.__all__
