"""The generator as an ONNX file: textures in a game engine or a web page, without texsyn and without torch.

Input `z`, `n latent_channels+labels *latent_grid`, standard normal (with several exemplars, the share of each as the
last channels; with levels of detail their noise after that of the base, the positions of a block as channels); output
`texture`, `n channels *grid` in [-1, 1]. Batch and stationary axes are dynamic, at least two positions on each; the
mixture prior, wrapping and corrections are part of the graph.

`torch.onnx.export` traces the networks themselves. Where these choose by values or sizes, which a graph cannot, they
ask `torch.compiler.is_exporting()`.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from texsyn.core import ops
from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import refuse_overwrite, replacing
from texsyn.models.triangle import Triangle

_OPSET = 18  # the lowest that the exporter writes
_LARGE = 256  # values from which on a constant is stored in 16 bits: smaller ones save nothing
_FOLDED = 2048  # values of a constant that is computed beforehand: larger ones are computed from fewer


def export(
    triangle: Triangle,
    path: str | Path,
    *,
    half: bool = False,
    made_by: dict[str, Any] | None = None,
    force: bool = False,
) -> None:
    """Write what `triangle` makes of noise on a torus. half: weights stored in 16 bits; computed in 32.

    made_by: JSON that is stored with the graph. Raises TexsynError: exit 2 for an existing file or another ending,
    exit 3 without the extra texsyn[export], exit 5 when the disk refuses.
    """
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        raise TexsynError(f"{path.name}: an exported generator is written to .onnx", Exit.USAGE)
    refuse_overwrite(path, force)
    if not (_is_installed("onnx") and _is_installed("onnxscript")):
        raise TexsynError("export needs the extra texsyn[export]: pip install 'texsyn[export]'")
    blob = _serialise(triangle, half, made_by or {})
    with replacing(path) as temporary:
        temporary.write_bytes(blob)


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # its import is blocked
        return False


def _serialise(triangle: Triangle, half: bool, made_by: dict[str, Any]) -> bytes:
    """The checked model."""
    import onnx

    with _quiet():
        model = _graph(triangle)
    if half:
        _halve(model)
    model.producer_name = "texsyn"
    facts = {**made_by, "factor": list(triangle.texture_stride), "axes": list(triangle.modality.axes)}
    if triangle.modality.period:
        facts |= {"phases": list(triangle.phases), "scale": list(triangle.modality.scale)}
    onnx.helper.set_model_props(model, {"texsyn": json.dumps(facts, sort_keys=True)})
    onnx.checker.check_model(model, full_check=True)
    blob: bytes = model.SerializeToString()
    return blob


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings, none of which is for a user."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


class _Synthesis(nn.Module):
    """Noise -> textures."""

    def __init__(self, triangle: Triangle) -> None:
        super().__init__()
        self.triangle, self.grids = triangle, _level_grids(triangle)

    def forward(self, z: Tensor) -> Tensor:
        if not self.grids:
            return self.triangle.synthesize(self.triangle.draw_latents(z))
        counts = _channels(self.triangle)
        base, *packed, labels = torch.split(z, [*counts, z.shape[1] - sum(counts)], 1)
        latents, sources = self.triangle.trace_latents(torch.cat((base, labels), 1))
        noises = [ops.depth_to_space(each, grid) for each, grid in zip(packed, self.grids, strict=True)]
        return self.triangle.cascade(latents, sources, noises)


def _level_grids(triangle: Triangle) -> list[list[int]]:
    """Of each level: positions of its latents for each of the base's, per axis."""
    factors = triangle.modality.factors
    return [[n * math.prod(factors[:level]) for n in triangle.stride] for level in range(len(factors))]


def _channels(triangle: Triangle) -> list[int]:
    """Channels of noise for the base and for each level, whose positions become channels of the base's grid."""
    of_levels = zip(triangle.detail, _level_grids(triangle), strict=True)
    above = [level.design.latent_channels * math.prod(grid) for level, grid in of_levels]
    return [triangle.design.latent_channels, *above]


def _graph(triangle: Triangle) -> Any:
    """The model as onnx.ModelProto, with weights in float32."""
    modality = triangle.modality
    stationary = [axis for axis, same in enumerate(modality.stationary) if same]
    names = {0: "n", **{2 + axis: modality.axes[axis] for axis in stationary}}
    with torch.no_grad():
        program = torch.onnx.export(
            _Synthesis(copy.deepcopy(triangle).cpu()).eval(),
            (_example(triangle),),
            dynamo=True,
            dynamic_shapes={"z": names},
            input_names=["z"],
            output_names=["texture"],
            opset_version=_OPSET,
            optimize=False,
            verbose=False,
        )
    assert program is not None
    _tidy(program.model)
    return program.model_proto


def _example(triangle: Triangle) -> Tensor:
    """A field of noise to trace with. Dynamic sizes all differ, and none is 1, which would be taken for a constant."""
    modality = triangle.modality
    axes = enumerate(zip(modality.stationary, modality.window, triangle.stride, strict=True))
    sizes = [9 + 2 * axis if same else size // factor for axis, (same, size, factor) in axes]
    return torch.zeros(3, sum(_channels(triangle)) + triangle.design.labels, *sizes)


def _tidy(model: Any) -> None:
    """Fold constants, and remove what is unused or twice there, and paths of this machine; `model` is onnx_ir's.

    The exporter's own optimisation takes twenty times as long and leaves hardly fewer nodes.
    """
    import onnxscript.optimizer
    from onnx_ir.passes import common

    common.InlinePass()(model)
    onnxscript.optimizer.fold_constants(model, output_size_limit=_FOLDED)
    for step in (
        common.RemoveUnusedNodesPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.ClearMetadataAndDocStringPass(),
    ):
        step(model)


def _halve(model: Any) -> None:
    """Store the large constants in 16 bits, cast to 32 before they are used."""
    import onnx

    graph, casts = model.graph, []
    for weight in graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT and math.prod(weight.dims) >= _LARGE:
            name, stored = weight.name, weight.name + "_half"
            values = onnx.numpy_helper.to_array(weight).astype(np.float16)
            weight.CopyFrom(onnx.numpy_helper.from_array(values, stored))
            casts.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
