"""Reading: rightly, or refused in one line."""

import struct
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from conftest import VIDEOS, draw
from PIL import Image, TiffImagePlugin

from texsyn import TexsynError
from texsyn.core.errors import Exit
from texsyn.media import decoding, writing
from texsyn.media.exemplar import remarks
from texsyn.media.reader import read
from texsyn.metrics.scoring import still_for_scoring


def pixels(path: Path, **more) -> np.ndarray:
    """What is read, `h w c` or `t h w c`, in 0 to 255."""
    exemplar = read(path, **more)
    out = writing.to_uint8(exemplar.pixels)
    return out if exemplar.modality.moving else out[0]


def reference(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.mark.parametrize("ending", ["png", "webp", "tif", "jpg", "bmp"])
def test_stills_of_every_format_are_read(tmp_path, ending):
    path = tmp_path / f"picture.{ending}"
    draw(path, (80, 70))
    if ending == "bmp":
        with pytest.raises(TexsynError, match="neither a picture"):
            read(path)
        return
    found = read(path)
    assert found.modality.name == "still"
    assert found.size == (70, 80)
    np.testing.assert_array_equal(pixels(path), reference(path))


def test_the_name_does_not_matter_but_the_content_does(tmp_path):
    path = tmp_path / "picture.mp4"
    draw(tmp_path / "picture.png")
    (tmp_path / "picture.png").rename(path)
    assert read(path).modality.name == "still"


def test_grey_is_one_channel(tmp_path):
    path = tmp_path / "grey.png"
    draw(path, change=lambda image: image.convert("L"))
    assert read(path).pixels.shape == (1, 64, 64)
    np.testing.assert_array_equal(pixels(path)[..., 0], np.asarray(Image.open(path)))


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "1"])
def test_modes_without_transparency_are_read_as_what_they_show(tmp_path, mode):
    path = tmp_path / "picture.png"
    draw(path, change=lambda image: image.convert(mode))
    shown = np.asarray(Image.open(path).convert("RGB"))
    found = pixels(path)
    np.testing.assert_array_equal(np.broadcast_to(found, shown.shape), shown)


def test_cmyk_is_read_as_the_colours_it_shows(tmp_path):
    path = tmp_path / "picture.jpg"
    draw(path, change=lambda image: image.convert("CMYK"))
    shown = reference(path)
    np.testing.assert_array_equal(pixels(path), shown)
    assert shown.std() > 30


def test_transparent_pixels_are_missing(tmp_path):
    path = tmp_path / "hole.png"

    def hole(image: Image.Image) -> Image.Image:
        image.putalpha(Image.fromarray(np.where(np.arange(64)[:, None] < 16, 0, 255).repeat(64, 1).astype(np.uint8)))
        return image

    draw(path, change=hole)
    found = read(path)
    assert found.mask is not None
    assert found.mask[0, :16].min() == 1
    assert found.mask[0, 16:].max() == 0
    assert found.facts["missing"] == 0.25
    with pytest.raises(TexsynError, match=r"transparent pixels \(25.0 %\)"):
        still_for_scoring(path)


def test_sixteen_bit_grey_keeps_its_bits(tmp_path):
    values = np.linspace(0, 65535, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    for ending in ("png", "tif"):
        Image.fromarray(values).save(tmp_path / f"deep.{ending}")
        found = read(tmp_path / f"deep.{ending}").pixels[0]
        torch.testing.assert_close((found + 1) * 32767.5, torch.from_numpy(values.astype(np.float32)), atol=0.1, rtol=0)


def png16(path: Path, values: np.ndarray) -> None:
    """A 16-bit RGB PNG, which Pillow cannot write."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_sixteen_bit_colour_keeps_its_bits(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (64, 66, 3)).astype(np.uint16)
    png16(tmp_path / "deep.png", values)
    found = (read(tmp_path / "deep.png").pixels.permute(1, 2, 0) + 1) * 32767.5
    assert np.abs(found.numpy() - values).max() < 0.1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_followed(tmp_path, orientation):
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    y, x = np.mgrid[:64, :96]
    Image.fromarray(np.stack([2 * x, 3 * y, 0 * x], -1).astype(np.uint8)).save(path, exif=exif, quality=95)
    from PIL import ImageOps

    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    np.testing.assert_array_equal(pixels(path), upright)
    assert np.abs(decoding._orient(np.asarray(Image.open(path)), orientation).astype(int) - upright).max() == 0


def test_large_stills_are_reduced_unless_told_otherwise(tmp_path):
    path = tmp_path / "large.png"
    draw(path, (600, 450))
    assert read(path).size == (224, 299)
    assert read(path, side=0).size == (450, 600)
    assert read(path, side=64).size == (64, 85)


def film(
    path: Path, frames: int = 40, size: tuple[int, int] = (80, 64), rate: int = 25, codec: str = "libx264"
) -> np.ndarray:
    """A clip whose frame number can be seen: the whole picture brightens from frame to frame."""
    shown = []
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            picture = np.full((size[1], size[0], 3), 20 + 2 * index, np.uint8)
            picture[: size[1] // 4] //= 2
            shown.append(picture)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return np.stack(shown)


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


def test_frames_are_chosen_as_in_python(tmp_path):
    path = tmp_path / "clip.mp4"
    film(path, 80)
    assert read(path, frames="0:-32").size[0] == 48
    assert read(path, frames="40:").size[0] == 40
    for wrong, said in (("5", "A:B"), ("90:", "leaves nothing"), ("0:20", "20 frame")):
        with pytest.raises(TexsynError, match=said):
            read(path, frames=wrong)


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


def test_a_folder_of_frames_is_a_clip_in_natural_order(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for n in range(34):
        Image.new("RGB", (64, 64), (7 * n, 0, 0)).save(folder / f"f{n}.png")
    assert pixels(folder)[:, 0, 0, 0].tolist() == [7 * n for n in range(34)]


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


def test_materials_are_two_files_that_agree(tmp_path):
    found = read(VIDEOS / "pebbles.png", VIDEOS / "pebbles-normal.png")
    assert found.modality.name == "material"
    assert found.pixels.shape == (6, 224, 224)
    draw(tmp_path / "small.png")
    with pytest.raises(TexsynError, match=r"small\.png is 64 x 64, but pebbles\.png is 256 x 256"):
        read(VIDEOS / "pebbles.png", tmp_path / "small.png")


def broken(tmp_path: Path) -> dict[str, tuple[Path, str]]:
    """Files that must be refused, and what must be said of them."""
    good = tmp_path / "good.png"
    draw(good)
    clip = tmp_path / "good.mp4"
    film(clip)
    cases = {
        "missing": (None, "no such file"),
        "empty": (b"", "is empty"),
        "text": (b"hello, I am no picture at all", "neither a picture"),
        "truncated": (good.read_bytes()[:200], "cannot be read as a PNG"),
        "cut-clip": (clip.read_bytes()[:900], "cannot be read as a clip|no pictures|no frames"),
        "playlist": (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ngood.mp4\n", "neither a picture"),
        "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "neither a picture"),
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


def test_huge_pictures_are_refused_before_they_are_opened(tmp_path):
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)))
    with pytest.raises(TexsynError, match=r"60000 x 60000|cannot be read"):
        read(path)


def test_grey_floats_are_taken_between_zero_and_one_only(tmp_path):
    path = tmp_path / "float.tif"
    values = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    Image.fromarray(values).save(path, tiffinfo=TiffImagePlugin.ImageFileDirectory_v2())
    torch.testing.assert_close((read(path).pixels[0] + 1) / 2, torch.from_numpy(values), atol=1e-6, rtol=0)
    Image.fromarray(values * 300).save(path)
    with pytest.raises(TexsynError, match="outside 0 to 1"):
        read(path)


def test_a_part_of_a_picture_or_a_clip_is_learnt(tmp_path):
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


def test_what_makes_an_exemplar_hard_is_said(tmp_path):
    assert remarks(read(VIDEOS / "beans.png")) == []
    ramp = np.linspace(0, 255, 128).astype(np.uint8)[None].repeat(128, 0)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    assert any("Brightness changes" in remark for remark in remarks(read(tmp_path / "ramp.png")))
    (tmp_path / "still").mkdir()
    draw(tmp_path / "frame.png")
    for n in range(32):
        (tmp_path / "still" / f"{n}.png").write_bytes((tmp_path / "frame.png").read_bytes())
    assert any("moves" in remark for remark in remarks(read(tmp_path / "still")))
    Image.fromarray(np.full((64, 64), 99, np.uint8)).save(tmp_path / "flat.png")
    assert any("contrast" in remark for remark in remarks(read(tmp_path / "flat.png")))
