"""The exported generator gives the same pixels without torch, at any size. An export takes long: tests share them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import KINDS, draw, levelled, lively

import texsyn
from texsyn import TexsynError
from texsyn.cli.entry import main
from texsyn.core import ops
from texsyn.core.architecture import Layer
from texsyn.core.errors import Exit
from texsyn.core.modality import MODALITIES
from texsyn.models import layers
from texsyn.models.triangle import Triangle
from texsyn.synthesis import onnx_export

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

SIX, FOUR, TWO = (6, 6, 6), (4, 4, 4), (2, 2, 2)
# In torch the first is a matrix product where positions are few, and the second has the sub-pixel form: not in a graph.
OTHER_FORMS = {"generator": (Layer(24, SIX, TWO), Layer(0, FOUR, TWO))}
# The first is of a regular pattern, with a level of detail; its samples are in bfloat16: graphs never are.
CASES = {
    "levels": {"latent_prior": "mixture", "exemplars": 2, "precision": "bfloat16"},
    "clip": {"latent_prior": "mixture"},
    "flipbook": OTHER_FORMS,
}


def unsettled(triangle: Triangle) -> Triangle:
    """With random statistics in batch norms."""
    random = torch.Generator().manual_seed(2)
    for norm in triangle.generator_ema.modules():
        if isinstance(norm, layers.BatchNorm):
            norm.running_mean.normal_(0, 0.3, generator=random)
            norm.running_var.uniform_(0.5, 2, generator=random)
    return triangle


def untrained(case: str) -> Triangle:
    if case == "levels":
        return levelled((2,), kind="regular", **CASES[case])
    return lively(Triangle(KINDS[case], replace(KINDS[case].designs["local"], **CASES[case]), seed=1))


def channels(triangle: Triangle) -> list[int]:
    """Of noise, for the base and for each level."""
    return [triangle.design.latent_channels, *(2 * 4 * 4 for _ in triangle.detail)]


def noise(triangle: Triangle, count: int, positions: int) -> torch.Tensor:
    """Noise of all levels; the positions of a block of those above the base are channels."""
    modality, random = triangle.modality, torch.Generator().manual_seed(4)
    sizes = [
        positions + axis if same else n // f
        for axis, (same, n, f) in enumerate(zip(modality.stationary, modality.window, triangle.stride, strict=True))
    ]
    z = torch.randn(count, sum(channels(triangle)), *sizes, generator=random)
    shares = torch.rand(count, triangle.design.labels, *sizes, generator=random)
    return torch.cat((z, shares), 1)


def difference(triangle: Triangle, model: bytes, count: int, positions: int, share: float = 1.0) -> float:
    """Between onnxruntime and torch: what so many of the values do not exceed."""
    z = noise(triangle, count, positions)
    (found,) = onnxruntime.InferenceSession(model).run(None, {"z": z.numpy()})
    base, *packed, labels = z.split([*channels(triangle), triangle.design.labels], 1)
    with torch.no_grad():
        drawn = torch.cat((base, labels), 1)
        latents, sources = triangle.trace_latents(drawn) if packed else (triangle.draw_latents(drawn), None)
        expected = triangle.cascade(latents, sources, [ops.depth_to_space(each, (4, 4)) for each in packed]).numpy()
    assert found.shape == expected.shape
    assert expected.std() > 0.02
    return float(np.quantile(np.abs(found - expected), share))


@pytest.fixture(scope="module", params=CASES)
def exported(request, tmp_path_factory, quick_draws):
    """A triangle in float32 and evaluation mode, and the file's model."""
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    triangle = unsettled(untrained(request.param))
    design = triangle.design
    onnx_export.export(triangle, path, made_by={"recipe": "fast"})
    assert triangle.training
    assert triangle.design == design
    assert [each.name for each in path.parent.iterdir()] == ["model.onnx"]
    triangle.design = replace(design, precision="float32")
    return triangle.eval(), onnx.load(path)


def test_one_file_gives_the_same_pixels_at_every_size_and_batch(exported):
    triangle, model = exported
    for count, positions in ((1, 2), (2, 3), (1, 6)):
        assert difference(triangle, model.SerializeToString(), count, positions) < 1e-4


def test_the_graph_says_what_it_takes_and_names_no_one(exported):
    triangle, model = exported
    modality = triangle.modality
    axes = zip(modality.axes, modality.stationary, modality.window, triangle.stride, strict=True)
    grid = [axis if same else n // f for axis, same, n, f in axes]
    shape = model.graph.input[0].type.tensor_type.shape.dim
    count = sum(channels(triangle)) + triangle.design.labels
    assert [each.dim_param or each.dim_value for each in shape] == ["n", count, *grid]
    assert [each.name for each in (*model.graph.input, *model.graph.output)] == ["z", "texture"]
    facts = json.loads(model.metadata_props[0].value)
    pattern = {"phases": [3, 1], "scale": list(modality.scale)} if modality.period else {}
    assert facts == {"axes": list(modality.axes), "factor": list(triangle.texture_stride), "recipe": "fast", **pattern}
    assert {each.domain for each in model.opset_import} == {""}
    assert texsyn.__file__.removesuffix("__init__.py") not in str(model)


def test_half_stores_large_weights_in_16_bits(exported):
    triangle, model = exported
    half = onnx.ModelProto()
    half.CopyFrom(model)
    onnx_export._halve(half)
    onnx.checker.check_model(half, full_check=True)
    kinds = {each.data_type for each in half.graph.initializer if np.prod(each.dims) >= onnx_export._LARGE}
    assert onnx.TensorProto.FLOAT16 in kinds
    assert onnx.TensorProto.FLOAT not in kinds
    # Where two places of the bank are as likely, rounding decides between them, and all levels follow.
    share = 0.5 if triangle.detail else 1.0
    assert difference(triangle, half.SerializeToString(), 2, 3, share) < 2 / 255


def test_what_cannot_be_written_is_refused(tmp_path, monkeypatch):
    triangle = Triangle(MODALITIES["still"], MODALITIES["still"].designs["local"])
    with pytest.raises(TexsynError, match=r"written to \.onnx") as caught:
        onnx_export.export(triangle, tmp_path / "model.pt")
    assert caught.value.exit is Exit.USAGE
    (tmp_path / "model.onnx").write_text("mine")
    with pytest.raises(TexsynError, match="exists already"):
        onnx_export.export(triangle, tmp_path / "model.onnx")
    for package in ("onnx", "onnxscript"):
        with monkeypatch.context() as patch:
            patch.setitem(__import__("sys").modules, package, None)
            with pytest.raises(TexsynError, match=r"texsyn\[export\]"):
                onnx_export.export(triangle, tmp_path / "other.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.onnx"]


def test_export_on_the_command_line_is_quiet_and_half_the_size(tmp_path, capfd):
    draw(tmp_path / "waves.png")
    small = ["--set", "width_multiplier=0.5", "--set", "batch_size=1", "--set", "latent_prior=normal", "--no-card"]
    run, path = tmp_path / "run", tmp_path / "waves.onnx"
    assert main(["fit", str(tmp_path / "waves.png"), "--out", str(run), "--steps", "1", *small, "--quiet"]) == 0
    capfd.readouterr()
    assert main(["export", str(run), "-o", str(path), "--half"]) == 0
    assert capfd.readouterr() == (f"{path}\n", "")
    triangle = texsyn.load(run)
    triangle.design = replace(triangle.design, precision="float32")
    weights = sum(each.numel() for each in triangle.generator_ema.parameters())
    assert 2 * weights < path.stat().st_size < 2 * weights + 400_000  # bytes of the graph itself
    (made,) = onnxruntime.InferenceSession(path).run(None, {"z": noise(triangle, 1, 3).numpy()})
    with torch.no_grad():
        expected = triangle.synthesize(triangle.draw_latents(noise(triangle, 1, 3))).numpy()
    assert made.shape == (1, 3, 96, 128)
    assert np.abs(made - expected).max() < 2 / 255
