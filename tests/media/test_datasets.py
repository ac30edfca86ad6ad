"""The standard files of MNIST and CIFAR-10."""

import gzip

import numpy as np
import pytest
import torch
from media.sample_files import cifar, digits, idx

import texsyn
from texsyn.cli.entry import main
from texsyn.media.collection import images_of


def test_standard_files_are_read(tmp_path):
    pictures = digits(30)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(pictures))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pictures)))
    plain, packed = (texsyn.read_collection(path) for path in sorted(tmp_path.iterdir()))
    assert torch.equal(plain.pixels, packed.pixels)
    assert plain.modality.name == "objects28"
    for number in (1, 2):
        (tmp_path / f"data_batch_{number}.bin").write_bytes(cifar(20))
    colour = texsyn.read_collection(tmp_path / "data_batch_1.bin", tmp_path / "data_batch_2.bin")
    assert (colour.modality.name, colour.modality.channels, colour.facts["pictures"]) == ("objects32", 3, 40)
    red = np.frombuffer(cifar(20), np.uint8).reshape(20, 3073)[:, 1:1025]
    pieces = images_of(torch.cat((colour.pixels,), -1), 32)
    assert {(((p[0] + 1) * 127.5).round().to(torch.uint8).numpy()).tobytes() for p in pieces} <= {
        r.tobytes() for r in red
    }


@pytest.mark.parametrize(
    ("name", "blob", "said"),
    [
        ("images-idx3-ubyte", idx(digits(30))[:-5], "is damaged"),
        ("images-idx3-ubyte", b"\0\0\x08\x03" + b"\xff" * 12, "too many, or none"),
        ("labels-idx1-ubyte", b"\0\0\x08\x01" + bytes(40), "holds classes"),
        ("data_batch_1.bin", cifar(25)[:-1], "no multiple of 3073"),
        ("data_batch_1.bin", b"", "no multiple of 3073"),
        ("images.gz", gzip.compress(idx(digits(30)))[:-20], "cannot be read"),
        ("notes.txt", b"hello", "is neither a folder, nor"),
        ("few", idx(digits(5)), "has at least 20 images"),
    ],
)
def test_bad_files_are_one_line(tmp_path, capsys, name, blob, said):
    (tmp_path / name).write_bytes(blob)
    code = main(["fit", str(tmp_path / name), "--kind", "objects", "--out", str(tmp_path / "run"), "--quiet"])
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert said in err
    assert not (tmp_path / "run").exists()
