"""Images of a collection in a file: read when they are drawn, each once a round, gone with what refers to them."""

import gc

import numpy as np
import pytest
import torch

from texsyn import TexsynError
from texsyn.media.pictures import PictureFile

SIDE, COUNT = 4, 30


def kept(folder, classes=None):
    """Images whose values are their number."""
    file = PictureFile(folder, SIDE, 3)
    for number in range(COUNT):
        file.append(np.full((SIDE, SIDE, 3), number, np.uint8))
    file.close()
    return file.pictures(classes)


def numbers(images: torch.Tensor) -> list[int]:
    assert images.shape[1:] == (3, SIDE, SIDE)
    return ((images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def test_images_are_read_by_their_indices(tmp_path):
    pictures = kept(tmp_path)
    assert len(pictures) == COUNT
    assert numbers(pictures.read([7, 0, 29])) == [7, 0, 29]
    learnt, held = pictures.split(5, seed=3)
    assert sorted(numbers(learnt.read(range(25))) + numbers(held.read(range(5)))) == list(range(COUNT))
    assert numbers(pictures.split(5, seed=4)[1].read(range(5))) != numbers(held.read(range(5)))


def test_each_is_drawn_once_before_any_is_drawn_again(tmp_path):
    pictures = kept(tmp_path)
    drawn = pictures.drawn(0, 2 * COUNT, seed=1)
    assert sorted(drawn[:COUNT]) == sorted(drawn[COUNT:]) == list(range(COUNT))
    assert list(drawn[:COUNT]) != list(drawn[COUNT:])
    assert list(pictures.drawn(17, 20, seed=1)) == list(drawn[17:37])  # as a resumed fit draws
    assert list(pictures.drawn(0, COUNT, seed=2)) != list(drawn[:COUNT])


def test_classes_follow_the_images(tmp_path):
    pictures = kept(tmp_path, classes=[n % 3 for n in range(COUNT)])
    learnt, _held = pictures.split(5, seed=0)
    of_two = learnt.of_class(2)
    assert {n % 3 for n in numbers(of_two.read(range(len(of_two))))} == {2}
    assert learnt.classes_of([0, 1]) == [n % 3 for n in numbers(learnt.read([0, 1]))]
    assert kept(tmp_path).classes_of([0, 1]) == [0, 0]


def test_the_file_lives_as_long_as_its_images(tmp_path):
    pictures = kept(tmp_path)
    part = pictures.split(3, seed=0)[1]
    del pictures
    gc.collect()
    assert numbers(part.read([0]))
    assert len(list(tmp_path.iterdir())) == 1
    part.store(tmp_path / "stored.u8")
    del part
    gc.collect()
    assert [each.name for each in tmp_path.iterdir()] == ["stored.u8"]


def test_a_lost_file_is_one_line(tmp_path):
    pictures = kept(tmp_path)
    pictures.file.write_bytes(b"x")
    with pytest.raises(TexsynError, match="cannot be read"):
        pictures.read([0])
