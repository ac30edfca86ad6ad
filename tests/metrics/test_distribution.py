"""Distances between distributions where the answer is known, and networks of features."""

import numpy as np
import pytest
import torch

from texsyn import TexsynError
from texsyn.metrics import distribution, features

pytest.importorskip("torchmetrics")


def cloud(seed: int, shift: float = 0.0, count: int = 400) -> torch.Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)) + shift


def test_distances_of_the_same_and_of_shifted_distributions():
    same, shifted = (distribution.distances(cloud(1, shift), cloud(2)) for shift in (0.0, 2.0))
    assert same.frechet < 0.5
    assert shifted.frechet == pytest.approx(8 * 2.0**2, rel=0.1)  # between Gaussians of one covariance: |shift|^2
    assert abs(same.kernel) < 0.05 * shifted.kernel
    assert same.precision > 0.8
    assert same.recall > 0.8
    assert shifted.precision < 0.05


def test_precision_and_recall_tell_what_is_missing_from_what_is_wrong():
    both = torch.cat((cloud(1, -4), cloud(2, 4)))
    half = distribution.distances(cloud(3, 4), both)
    assert half.precision > 0.8
    assert 0.4 < half.recall < 0.55


def test_the_score_of_classes():
    sure = 50 * torch.eye(4).repeat(400, 1)
    assert distribution.classes_score(sure) == pytest.approx(4, rel=0.05)
    assert distribution.classes_score(torch.zeros(80, 4)) == pytest.approx(1)
    assert distribution.classes_score(sure[::4]) == pytest.approx(1, rel=1e-3)  # of one class only


def test_one_image_is_no_distribution():
    with pytest.raises(TexsynError, match="from 2 images on"):
        distribution.distances(cloud(1, count=1), cloud(2))


def test_a_classifier_learns_classes():
    images = torch.rand(40, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    classes = torch.arange(40) % 2
    images[classes == 1] = images[classes == 1] * 0.3 + 0.5
    network = features.learnt(lambda step: (images, classes), channels=1, classes=2, steps=30)
    found, logits = network(images)
    assert (logits.argmax(1) == classes).float().mean() == 1
    assert found.shape == (40, 128)
    again = features.learnt(lambda step: (images, classes), channels=1, classes=2, steps=30)
    assert torch.equal(again(images)[1], logits)


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    """The mean of each channel of 8-bit images of 6 x 6 with three channels, and two logits."""
    onnx = pytest.importorskip("onnx")
    make = onnx.helper
    graph = make.make_graph(
        [
            make.make_node("Cast", ["image"], ["values"], to=onnx.TensorProto.FLOAT),
            make.make_node("ReduceMean", ["values", "axes"], ["features"], keepdims=0),
            make.make_node("Gather", ["features", "which"], ["logits"], axis=1),
        ],
        "means",
        [make.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["n", 3, 6, 6])],
        [make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("features", "logits")],
        [
            onnx.numpy_helper.from_array(np.array([2, 3], np.int64), "axes"),
            onnx.numpy_helper.from_array(np.array([0, 1], np.int64), "which"),
        ],
    )
    path = tmp_path_factory.mktemp("networks") / "means.onnx"
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_a_network_from_a_file(onnx_file):
    network = features.from_onnx(onnx_file)
    images = torch.zeros(70, 1, 12, 12)
    images[1:] = 1
    found, logits = network(images)
    assert found.shape == (70, 3)
    assert found[0].tolist() == [128, 128, 128]  # 127.5, rounded
    assert found[1].tolist() == [255, 255, 255]
    assert logits.shape == (70, 2)
    assert "means.onnx, SHA-256 " in network.name


def test_other_files_are_one_line(tmp_path, onnx_file):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(onnx_file.read_bytes()[:40])
    with pytest.raises(TexsynError, match="cannot be read as an ONNX network"):
        features.from_onnx(bad)
    with pytest.raises(TexsynError, match="no such file"):
        features.from_onnx(tmp_path / "none.onnx")
