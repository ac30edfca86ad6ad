"""The exported generator gives the same pixels without torch, for every kind and any size."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import draw, lively

from texsyn import TexsynError
from texsyn.cli.entry import main
from texsyn.core.errors import Exit
from texsyn.core.modality import MODALITIES
from texsyn.models import layers
from texsyn.models.triangle import Triangle
from texsyn.synthesis.onnx_export import export

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def unsettled(triangle: Triangle) -> Triangle:
    """With random statistics in batch norms."""
    random = torch.Generator().manual_seed(2)
    for norm in triangle.generator_ema.modules():
        if isinstance(norm, layers.BatchNorm):
            norm.running_mean.normal_(0, 0.3, generator=random)
            norm.running_var.uniform_(0.5, 2, generator=random)
    return triangle.eval()


def field(triangle: Triangle, count: int, positions: int) -> torch.Tensor:
    modality, random = triangle.modality, torch.Generator().manual_seed(4)
    sizes = [
        positions + axis if same else n // f
        for axis, (same, n, f) in enumerate(zip(modality.stationary, modality.window, triangle.stride, strict=True))
    ]
    z = torch.randn(count, triangle.design.latent_channels, *sizes, generator=random)
    shares = torch.rand(count, triangle.design.labels, *sizes, generator=random)
    return torch.cat((z, shares), 1)


def compare(triangle: Triangle, path, half: bool, positions: int) -> float:
    z = field(triangle, 2, positions)
    export(triangle, path, half=half, force=True)
    (found,) = onnxruntime.InferenceSession(path).run(None, {"z": z.numpy()})
    with torch.no_grad():
        expected = triangle.synthesize(z).numpy()
    assert found.shape == expected.shape
    assert expected.std() > 0.02
    return float(np.abs(found - expected).max())


@pytest.mark.parametrize("exemplars", [1, 2])
def test_every_kind_gives_the_same_pixels(tmp_path, modality, exemplars):
    design = replace(modality.designs["local"], exemplars=exemplars)
    triangle = unsettled(lively(Triangle(modality, design, seed=1)))
    for positions in (2, 5):
        assert compare(triangle, tmp_path / "model.onnx", False, positions) < 1e-5
    assert compare(triangle, tmp_path / "half.onnx", True, 3) < 5e-3


@pytest.mark.parametrize("name", ["still", "clip", "surface"])
def test_the_real_networks_give_the_same_pixels(tmp_path, name):
    modality = MODALITIES[name]
    triangle = unsettled(lively(Triangle(modality, modality.designs["local"], seed=1)))
    assert compare(triangle, tmp_path / "model.onnx", False, 2) < 1e-4


def test_half_is_half_the_size_and_the_graph_names_no_one(tmp_path):
    modality = MODALITIES["still"]
    triangle = Triangle(modality, modality.designs["local"], seed=1)
    for half in (False, True):
        export(triangle, tmp_path / f"{half}.onnx", half=half, made_by={"recipe": "fast"})
    sizes = [(tmp_path / f"{half}.onnx").stat().st_size for half in (True, False)]
    assert 0.49 < sizes[0] / sizes[1] < 0.52
    model = onnx.load(tmp_path / "False.onnx")
    facts = json.loads(model.metadata_props[0].value)
    assert facts == {"axes": ["y", "x"], "factor": [32, 32], "recipe": "fast"}
    assert str(tmp_path) not in str(model)


def test_what_cannot_be_written_is_refused(tmp_path, monkeypatch):
    triangle = Triangle(MODALITIES["still"], MODALITIES["still"].designs["local"])
    with pytest.raises(TexsynError, match=r"written to \.onnx") as caught:
        export(triangle, tmp_path / "model.pt")
    assert caught.value.exit is Exit.USAGE
    (tmp_path / "model.onnx").write_text("mine")
    with pytest.raises(TexsynError, match="exists already"):
        export(triangle, tmp_path / "model.onnx")
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(TexsynError, match=r"texsyn\[export\]"):
        export(triangle, tmp_path / "other.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.onnx"]


def test_export_on_the_command_line(tmp_path, capsys):
    draw(tmp_path / "waves.png")
    small = ["--steps", "1", "--set", "width_multiplier=0.1", "--set", "batch_size=1", "--no-card", "--quiet"]
    assert main(["fit", str(tmp_path / "waves.png"), "--out", str(tmp_path / "run"), *small]) == 0
    assert main(["export", str(tmp_path / "run"), "-o", str(tmp_path / "waves.onnx"), "--half"]) == 0
    session = onnxruntime.InferenceSession(tmp_path / "waves.onnx")
    (made,) = session.run(None, {"z": np.zeros((1, session.get_inputs()[0].shape[1], 3, 4), np.float32)})
    assert made.shape[2:] == (96, 128)
