"""Masks of exemplars."""

import numpy as np
import pytest
import torch
from conftest import draw
from PIL import Image

from texsyn import TexsynError
from texsyn.media.masks import read_mask
from texsyn.media.reader import read


def test_white_pixels_are_masked_and_do_not_matter(tmp_path):
    draw(tmp_path / "a.png", (96, 64))
    mask = np.zeros((64, 96), np.uint8)
    mask[10:30, 40:70] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    spoilt = np.array(Image.open(tmp_path / "a.png"))
    spoilt[mask > 0] = (255, 0, 255)
    Image.fromarray(spoilt).save(tmp_path / "b.png")
    one, other = (read(tmp_path / f"{name}.png", mask=tmp_path / "mask.png", side=48) for name in "ab")
    assert torch.equal(one.pixels, other.pixels)
    assert one.mask.shape == (1, *one.size)
    assert float(one.mask.mean()) == pytest.approx(20 * 30 / 64 / 96, rel=0.1)


def test_a_grey_image_stays_grey_whatever_is_masked(tmp_path):
    grey = np.repeat(np.random.default_rng(0).integers(0, 255, (64, 64, 1), np.uint8), 3, 2)
    grey[:8] = (255, 0, 0)
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(np.where(np.arange(64)[:, None] < 8, 255, 0).repeat(64, 1).astype(np.uint8)).save(
        tmp_path / "m.png"
    )
    assert read(tmp_path / "a.png", mask=tmp_path / "m.png").pixels.shape[0] == 1


def test_masks_of_clips_are_an_image_or_a_clip(tmp_path):
    random = np.random.default_rng(0)
    for name in ("clip", "masks"):
        (tmp_path / name).mkdir()
    for n in range(32):
        Image.fromarray(random.integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "clip" / f"{n}.png")
        Image.fromarray(np.full((64, 64), 255 * (n % 2), np.uint8)).save(tmp_path / "masks" / f"{n}.png")
    half = read(tmp_path / "clip", mask=tmp_path / "masks")
    assert half.mask[:, 1::2].min() == 1
    assert half.mask[:, ::2].max() == 0
    region = np.zeros((64, 64), np.uint8)
    region[:16] = 255
    Image.fromarray(region).save(tmp_path / "region.png")
    assert read(tmp_path / "clip", mask=tmp_path / "region.png").facts["masked"] == 0.25


def test_transparent_pixels_and_a_mask_add_up(tmp_path):
    top, left = (np.full((64, 64), 255, np.uint8) for _ in range(2))
    top[:16], left[:, :16] = 0, 0
    draw(tmp_path / "image.png", change=lambda image: (image.putalpha(Image.fromarray(top)), image)[1])
    Image.fromarray(255 - left).save(tmp_path / "mask.png")
    found = read(tmp_path / "image.png", mask=tmp_path / "mask.png").mask[0].numpy()
    np.testing.assert_array_equal(found, (top == 0) | (left == 0))


def test_masks_that_cannot_be_are_refused(tmp_path):
    for value, said in ((255, "masks everything"), (0, "masks nothing")):
        draw(tmp_path / "image.png")
        Image.fromarray(np.full((64, 64), value, np.uint8)).save(tmp_path / "mask.png")
        with pytest.raises(TexsynError, match=rf"mask\.png {said}"):
            read(tmp_path / "image.png", mask=tmp_path / "mask.png")
    with pytest.raises(TexsynError, match=r"mask\.png is 64 x 64, but it is 32 x 64: they must agree"):
        read_mask(tmp_path / "mask.png", (1, 64, 32), "it")
    (tmp_path / "masks").mkdir()
    for number in range(2):
        draw(tmp_path / "masks" / f"{number}.png")
    with pytest.raises(TexsynError, match="masks has 2 frames, but it has 3"):
        read_mask(tmp_path / "masks", (3, 64, 64), "it")
    draw(tmp_path / "clear.png", change=lambda image: (image.putalpha(3), image)[1])
    with pytest.raises(TexsynError, match=r"clear\.png has transparent pixels"):
        read_mask(tmp_path / "clear.png", (1, 64, 64), "it")
