"""Image files: every mode of every format as it looks, and animations as clips."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from conftest import draw
from media.sample_files import colours, pixels, png, reference, save_animation, save_png16
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin

from texsyn import TexsynError
from texsyn.media import images, writing
from texsyn.media.decoding import read_clip, read_still, sniff
from texsyn.media.reader import read
from texsyn.metrics.scoring import still_for_scoring


@pytest.mark.parametrize("ending", ["png", "webp", "tif", "jpg", "bmp"])
def test_stills_of_every_format_are_read(tmp_path, ending):
    path = tmp_path / f"image.{ending}"
    draw(path, (80, 70))
    if ending == "bmp":
        with pytest.raises(TexsynError, match="neither an image"):
            read(path)
        return
    found = read(path)
    assert found.modality.name == "still"
    assert found.size == (70, 80)
    np.testing.assert_array_equal(pixels(path), reference(path))


@pytest.mark.parametrize("ending", ["png", "webp", "tif", "jpg"])
def test_imageio_reads_the_same(tmp_path, ending):
    path = tmp_path / f"image.{ending}"
    draw(path, (80, 70))
    np.testing.assert_array_equal(pixels(path), iio.imread(path, plugin="pillow", mode="RGB"))


def test_no_other_parser_of_pillow_sees_a_file(tmp_path):
    draw(tmp_path / "image.png")
    with images.open_image(tmp_path / "image.png", "png") as image:
        assert image.pillow.format == "PNG"
    with pytest.raises(OSError, match="initializing"), images.open_image(tmp_path / "image.png", "webp"):
        pass


def test_grey_is_one_channel(tmp_path):
    path = tmp_path / "grey.png"
    draw(path, change=lambda image: image.convert("L"))
    assert read(path).pixels.shape == (1, 64, 64)
    np.testing.assert_array_equal(pixels(path)[..., 0], np.asarray(Image.open(path)))


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "1"])
def test_modes_without_transparency_are_read_as_what_they_show(tmp_path, mode):
    path = tmp_path / "image.png"
    draw(path, change=lambda image: image.convert(mode))
    shown = np.asarray(Image.open(path).convert("RGB"))
    found = pixels(path)
    np.testing.assert_array_equal(np.broadcast_to(found, shown.shape), shown)


def test_cmyk_is_read_as_the_colours_it_shows(tmp_path):
    path = tmp_path / "image.jpg"
    draw(path, change=lambda image: image.convert("CMYK"))
    shown = reference(path)
    np.testing.assert_array_equal(pixels(path), shown)
    assert shown.std() > 30


def test_a_colour_profile_is_followed_and_a_broken_one_is_ignored(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"....").replace(b"gXYZ", b"rXYZ").replace(b"....", b"gXYZ")
    draw(tmp_path / "plain.png")
    image = Image.open(tmp_path / "plain.png")
    image.save(tmp_path / "swapped.png", icc_profile=swapped)
    image.save(tmp_path / "broken.png", icc_profile=b"broken")
    plain, red_is_green, broken = (pixels(tmp_path / f"{name}.png") for name in ("plain", "swapped", "broken"))
    np.testing.assert_array_equal(broken, plain)
    assert np.abs(red_is_green[..., [1, 0, 2]].astype(int) - plain).max() <= 3


def test_transparent_pixels_are_masked(tmp_path):
    path = tmp_path / "hole.png"

    def hole(image: Image.Image) -> Image.Image:
        image.putalpha(Image.fromarray(np.where(np.arange(64)[:, None] < 16, 0, 255).repeat(64, 1).astype(np.uint8)))
        return image

    draw(path, change=hole)
    found = read(path)
    assert found.mask is not None
    assert found.mask[0, :16].min() == 1
    assert found.mask[0, 16:].max() == 0
    assert found.facts["masked"] == 0.25
    with pytest.raises(TexsynError, match=r"transparent pixels \(25.0 %\)"):
        still_for_scoring(path)


def test_sixteen_bit_grey_keeps_its_bits(tmp_path):
    values = np.linspace(0, 65535, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    for ending in ("png", "tif"):
        Image.fromarray(values).save(tmp_path / f"deep.{ending}")
        found = read(tmp_path / f"deep.{ending}").pixels[0]
        torch.testing.assert_close((found + 1) * 32767.5, torch.from_numpy(values.astype(np.float32)), atol=0.1, rtol=0)


def test_sixteen_bit_colour_keeps_its_bits(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (64, 66, 3)).astype(np.uint16)
    save_png16(tmp_path / "deep.png", values)
    found = (read(tmp_path / "deep.png").pixels.permute(1, 2, 0) + 1) * 32767.5
    assert np.abs(found.numpy() - values).max() < 0.1


def test_sixteen_bit_colour_may_be_transparent(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (64, 66, 4)).astype(np.uint16)
    values[..., 3] = 65535
    values[:16, :, 3] = 0
    save_png16(tmp_path / "deep.png", values)
    assert read(tmp_path / "deep.png").facts["masked"] == 0.25


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_followed(tmp_path, orientation):
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    y, x = np.mgrid[:64, :96]
    Image.fromarray(np.stack([2 * x, 3 * y, 0 * x], -1).astype(np.uint8)).save(path, exif=exif, quality=95)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    np.testing.assert_array_equal(pixels(path), upright)
    turned = images.orient(np.asarray(Image.open(path))[None], orientation)[0]
    assert np.abs(turned.astype(int) - upright).max() == 0


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "I;16", "F"])
def test_a_tiff_is_turned_once_as_exif_says(tmp_path, mode, compression):
    y, x = np.mgrid[:64, :96]
    if mode in ("I;16", "F"):
        image = Image.fromarray((600 * x).astype(np.uint16) if mode == "I;16" else (x / 96).astype(np.float32))
    else:
        image = Image.fromarray(np.stack([2 * x, 3 * y, 0 * x], -1).astype(np.uint8)).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "plain.tif", compression=compression)
    image.save(tmp_path / "turned.tif", compression=compression, exif=exif)
    plain, turned = (read(tmp_path / f"{name}.tif").pixels for name in ("plain", "turned"))
    assert torch.equal(turned, torch.rot90(plain, -1, (1, 2)))


def test_grey_floats_are_taken_between_zero_and_one_only(tmp_path):
    path = tmp_path / "float.tif"
    values = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    Image.fromarray(values).save(path, tiffinfo=TiffImagePlugin.ImageFileDirectory_v2())
    torch.testing.assert_close((read(path).pixels[0] + 1) / 2, torch.from_numpy(values), atol=1e-6, rtol=0)
    Image.fromarray(values * 300).save(path)
    with pytest.raises(TexsynError, match="outside 0 to 1"):
        read(path)


def test_huge_images_are_refused_before_they_are_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(60_000, 60_000, 8, 2, b"\0" * 1000))
    with pytest.raises(TexsynError, match=r"60000 x 60000|cannot be read"):
        read(path)
    path.write_bytes(png(9_000, 9_000, 8, 2, b"\0" * 1000))
    with pytest.raises(TexsynError, match="9000 x 9000, more than the 64 million pixels allowed"):
        read(path)


def test_a_palette_that_is_not_there_is_one_line(tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(png(64, 64, 8, 3, (b"\0" + bytes(64)) * 64))
    with pytest.raises(TexsynError, match=r"broken\.png cannot be read as a PNG image: it is damaged"):
        read(path)


def test_a_tiff_of_several_pages_is_refused(tmp_path):
    images_ = colours(3)
    images_[0].save(tmp_path / "pages.tif", save_all=True, append_images=images_[1:])
    with pytest.raises(TexsynError, match=r"pages\.tif has several pages"):
        read(tmp_path / "pages.tif")


# ------------------------------------------------------------ animations


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_animations_are_clips_with_their_own_rate(tmp_path, ending):
    path = tmp_path / f"clip.{ending}"
    save_animation(path, colours(40), duration=50, **({"lossless": True} if ending == "webp" else {}))
    assert sniff(path) == "clip"
    found = read(path)
    assert (found.modality.name, found.fps, found.size) == ("clip", 20.0, (40, 64, 64))
    assert pixels(path)[:, 0, 0, 0].tolist() == [5 * n for n in range(40)]
    with pytest.raises(TexsynError, match="is a clip, not a still"):
        read(path, kind="still")


def test_an_animation_that_texsyn_wrote_is_read_as_its_clip(tmp_path):
    waves = torch.sin(torch.arange(40).view(1, 40, 1, 1) / 6 + torch.arange(64) / 9).expand(3, 40, 64, 64)
    writing.write(waves, tmp_path / "clip.webp", fps=20.0)
    found = read(tmp_path / "clip.webp", side=0)
    assert (found.fps, found.size) == (20.0, (40, 64, 64))
    assert (found.pixels - waves).abs().mean() < 0.05
    assert (found.pixels.flip(1) - waves).abs().mean() > 0.2


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_animations_at_a_variable_rate_repeat_what_is_on_screen(tmp_path, ending):
    delays = [50] * 40
    delays[10] = 250
    path = tmp_path / f"clip.{ending}"
    save_animation(path, colours(40), duration=delays, **({"lossless": True} if ending == "webp" else {}))
    levels = pixels(path)[:, 0, 0, 0]
    assert len(levels) == 44
    assert (levels == levels[10]).sum() == 5


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_transparent_pixels_of_animations_are_masked(tmp_path, ending):
    frames = [image.convert("RGBA") for image in colours(34)]
    for frame in frames:
        frame.paste((0, 0, 0, 0), (0, 0, 64, 16))
    path = tmp_path / f"clip.{ending}"
    save_animation(path, frames, duration=40, disposal=1, **({"lossless": True} if ending == "webp" else {}))
    found = read(path)
    assert found.mask[:, :, :16].min() == 1
    assert found.mask[:, :, 16:].max() == 0


def test_a_png_for_viewers_that_do_not_animate_keeps_that_image_out(tmp_path):
    path = tmp_path / "clip.png"
    save_animation(path, [Image.new("RGB", (64, 64), "white"), *colours(33)], duration=40, default_image=True)
    assert pixels(path)[:, 0, 0, 0].tolist() == [5 * n for n in range(33)]


def test_an_animation_of_one_frame_is_a_still(tmp_path):
    colours(1)[0].save(tmp_path / "one.webp", save_all=True)
    assert sniff(tmp_path / "one.webp") == "still"
    assert read_still(tmp_path / "one.webp").size == (1, 64, 64)
    with pytest.raises(TexsynError, match="single image, not a clip"):
        read_clip(tmp_path / "one.webp")


def test_long_animations_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "clip.png"
    save_animation(path, colours(40), duration=4000)
    with pytest.raises(TexsynError, match="longer than the 120 seconds allowed"):
        read(path)
    monkeypatch.setattr("texsyn.media.detection.MAX_FRAMES", 39)
    with pytest.raises(TexsynError, match="has 40 frames, more than the 39 allowed"):
        read(path)


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_a_damaged_animation_is_one_line(tmp_path, ending):
    path: Path = tmp_path / f"clip.{ending}"
    random = np.random.default_rng(0)
    noise = [Image.fromarray(random.integers(0, 255, (64, 64, 3), np.uint8)) for _ in range(34)]
    save_animation(path, noise, duration=40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(TexsynError, match="cannot be read as") as caught:
        read(path)
    assert str(tmp_path) not in str(caught.value)
