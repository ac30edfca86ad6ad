"""The generator as an ONNX file: textures in a game engine or a web page, without texsyn and without torch.

Input `z`, `n latent_channels+labels *latent_grid`, standard normal (with several exemplars, the share of each as the
last channels); output `texture`, `n channels *grid` in [-1, 1]. The grid is dynamic, at least two positions on each
wrapped axis; batch norm is folded into the weights; wrapping and corrections are part of the graph.

This is a second forward pass, kept equal to the first by tests: `torch.onnx.export` needs onnxscript, or, without it,
drops in-place additions of custom autograd functions and knows no Fourier transform.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import refuse_overwrite, replacing
from texsyn.models import layers
from texsyn.models.corrections import Correction
from texsyn.models.networks import Generator
from texsyn.models.subband_matching import KNOTS, SubbandMatching
from texsyn.models.triangle import Triangle
from texsyn.synthesis.onnx_graph import Graph


def export(
    triangle: Triangle,
    path: str | Path,
    *,
    half: bool = False,
    made_by: dict[str, Any] | None = None,
    force: bool = False,
) -> None:
    """Write what `triangle.synthesize` computes on a torus. half: weights stored in 16 bits; computed in 32.

    made_by: JSON that is stored with the graph. Raises TexsynError: exit 2 for an existing file or another ending,
    exit 3 without the extra texsyn[export], exit 5 when the disk refuses.
    """
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        raise TexsynError(f"{path.name}: an exported generator is written to .onnx", Exit.USAGE)
    refuse_overwrite(path, force)
    blob = _serialise(triangle.eval(), half, made_by or {})
    with replacing(path) as temporary:
        temporary.write_bytes(blob)


def _serialise(triangle: Triangle, half: bool, made_by: dict[str, Any]) -> bytes:
    """The graph in the order of `Triangle.synthesize`."""
    modality, stride = triangle.modality, triangle.stride
    graph = Graph(len(modality.axes), half)
    wrapped = modality.stationary
    generated = _generator(graph, "z", triangle.generator_ema, triangle.design.labels)
    graph.add("Identity", _corrections(graph, "z", generated, triangle), out="texture")
    axes = list(zip(modality.axes, wrapped, modality.window, stride, strict=True))
    latent_grid = [axis if same else size // factor for axis, same, size, factor in axes]
    grid = [None if same else size // factor * factor for _axis, same, size, factor in axes]
    channels = triangle.design.latent_channels + triangle.design.labels
    facts = {**made_by, "factor": list(stride), "axes": list(modality.axes)}
    return graph.to_bytes(
        [graph.value("z", ["n", channels, *latent_grid])],
        [graph.value("texture", ["n", modality.channels, *grid])],
        {"texsyn": json.dumps(facts, sort_keys=True)},
    )


# ------------------------------------------------------------ the generator


def _generator(graph: Graph, z: str, generator: Generator, labels: int) -> str:
    """`Generator.forward`, with batch norm in the weights."""
    coarsest, *others, label_maps = _split_latents(graph, z, generator, labels)
    inputs = [*coarsest, *label_maps]
    if generator.constants is not None:
        inputs.append(graph.expand_like(generator.constants, z))
    x = graph.add("Concat", *inputs, axis=1) if len(inputs) > 1 else inputs[0]
    ups: list[Any] = list(generator.ups)
    for index, (up, norm) in enumerate(zip(ups, generator.norms, strict=True)):
        scale, offset = _scale_and_offset(norm, up)
        x = _conv_transpose(graph, x, up, scale, generator.stationary)
        for join, field in _joined_fields(graph, generator, index, *others):
            x = graph.add("Add", x, graph.add("Conv", field, graph.weight(_scaled(join.weight, scale, 0))))
            offset = offset + join.bias * scale
        x = graph.add("Relu", graph.add("Add", x, graph.weight_per_channel(offset)))
    last = generator.last
    x = _conv_transpose(graph, x, last, last.weight.new_ones(last.weight.shape[1]), generator.stationary)
    assert last.bias is not None
    return graph.add("Tanh", graph.add("Add", x, graph.weight_per_channel(last.bias)))


def _split_latents(graph: Graph, z: str, generator: Generator, labels: int) -> tuple[list[str], ...]:
    """The coarsest latent field, finer ones, those that frames share, and the labels (none for one exemplar)."""
    starts, ends = [0, *generator.splits], [*generator.splits, generator.splits[-1] + labels]
    parts = [graph.slice(z, 1, start, end) for start, end in zip(starts, ends, strict=True) if end > start]
    fields, finer = len(generator.splits), len(generator.joins)
    return parts[:1], parts[1 : 1 + finer], parts[1 + finer : fields], parts[fields:]


def _joined_fields(
    graph: Graph, generator: Generator, index: int, finer: list[str], frames: list[str]
) -> list[tuple[Any, str]]:
    """What is added to the output of a hidden layer: 1 x 1 layers, and the latent fields that they take."""
    joined: list[tuple[Any, str]] = []
    if index < len(finer):
        field = graph.depth_to_space(finer[index], generator.latent_grids[index + 1])
        joined.append((generator.joins[index], field))
    if index < len(frames):
        shared = frames[index]
        for axis, same in zip(graph.axes, generator.stationary, strict=True):
            shared = shared if same else graph.slice(shared, axis, 0, 1)
        field = graph.depth_to_space(shared, generator.frame_latent_grids[index])
        joined.append((generator.frames[index], field))
    return joined


def _conv_transpose(graph: Graph, x: str, layer: layers.ConvTranspose, scale: Tensor, wrapped: tuple[bool, ...]) -> str:
    """`ConvTranspose.forward` without its bias, times `scale` for each channel."""
    weight = graph.weight(_scaled(layer.blurred_weight(), scale, 1))
    x = graph.add("ConvTranspose", x, weight, strides=list(layer.stride))
    if layer.stride == tuple(layer.weight.shape[2:]):
        return x
    for axis, margins in zip(graph.axes, layer.overlap_modes(wrapped), strict=True):
        x = _overlap_add(graph, x, axis, *margins)
    return x


def _overlap_add(graph: Graph, x: str, axis: int, before: int, after: int, mode: str) -> str:
    """`overlap_add` along one axis."""
    left, right = graph.slice(x, axis, 0, before), graph.slice(x, axis, -after)
    inside = graph.slice(x, axis, before, -after if after else None)
    if mode == "crop":
        return inside
    # What is added to so many of the first positions, and to so many of the last.
    if mode == "circular":
        first, last, to_first, to_last = after, before, right, left
    else:
        first, last, to_first, to_last = before, after, graph.flip(left, axis), graph.flip(right, axis)
    pieces = []
    if first:
        pieces.append(graph.add("Add", graph.slice(inside, axis, 0, first), to_first))
    pieces.append(graph.slice(inside, axis, first, -last if last else None))
    if last:
        pieces.append(graph.add("Add", graph.slice(inside, axis, -last), to_last))
    return graph.add("Concat", *pieces, axis=axis)


def _scale_and_offset(norm: nn.Module, layer: layers.ConvTranspose) -> tuple[Tensor, Tensor]:
    """Scale and offset for each channel that are equivalent to a layer's bias and the norm after it."""
    bias = layer.weight.new_zeros(layer.weight.shape[1]) if layer.bias is None else layer.bias
    if not isinstance(norm, layers.BatchNorm):
        return bias.new_ones(len(bias)), bias
    scale, offset = norm.scale_and_offset()
    return scale, offset + bias * scale


def _scaled(weight: Tensor, scale: Tensor, axis: int) -> Tensor:
    shape = [1] * weight.dim()
    shape[axis] = -1
    return weight * scale.reshape(shape)


# ------------------------------------------------------------ corrections


def _corrections(graph: Graph, z: str, x: str, triangle: Triangle) -> str:
    """`Triangle.synthesize` after the generator."""
    wrapped = triangle.modality.stationary
    corrections = [each for each in triangle.corrections if isinstance(each, Correction)]
    if len(corrections) < 2:
        return _correction(graph, x, corrections[0], wrapped) if corrections else x
    shares = graph.upsample(graph.slice(z, 1, -triangle.design.labels), triangle.stride, wrapped)
    parts = [
        graph.add("Mul", graph.slice(shares, 1, n, n + 1), _correction(graph, x, each, wrapped))
        for n, each in enumerate(corrections)
    ]
    return graph.add("Sum", *parts)


def _correction(graph: Graph, x: str, correction: Correction, wrapped: tuple[bool, ...]) -> str:
    """`Correction.forward`."""
    if correction.equaliser is not None:
        kernel = correction.equaliser.kernel
        for axis, size, around in zip(graph.axes, kernel.shape[2:], wrapped, strict=True):
            x = graph.pad(x, axis, size // 2, around)
        x = graph.add("Conv", x, graph.weight(kernel), graph.weight(correction.equaliser.offset))
        x = graph.clip(x, -1, 1)
    if correction.colour_transfer is not None:
        matrix = correction.colour_transfer.matrix
        pointwise = matrix.reshape(*matrix.shape, *(1,) * graph.rank)
        x = graph.add("Conv", x, graph.weight(pointwise), graph.weight(correction.colour_transfer.offset))
        x = graph.clip(x, -1, 1)
    if correction.deflicker is not None:
        deflicker = correction.deflicker
        deviation = graph.add("Sub", x, graph.weight(deflicker.mean_generated))
        scaled = graph.add("Mul", deviation, graph.weight(deflicker.gain))
        x = graph.clip(graph.add("Add", scaled, graph.weight(deflicker.mean_real)), -1, 1)
    if correction.subband_matching is not None:
        x = graph.clip(_subband_matching(graph, x, correction.subband_matching, wrapped), -1, 1)
    return x


def _subband_matching(graph: Graph, x: str, matching: SubbandMatching, wrapped: tuple[bool, ...]) -> str:
    """`SubbandMatching.forward` without its clamp."""
    levels = len(matching.top)
    for axis in matching.axes:
        x = graph.pad(x, axis, 2**levels - 1, wrapped[axis - 2])
    parts = []
    for level in range(levels):
        band, x = _split_band(graph, x, matching.axes, level, levels)
        parts.append(graph.add("Mul", band, _gains(graph, band, matching.top[level], matching.gain[level])))
    return graph.add("Sum", x, *parts)


def _split_band(graph: Graph, x: str, axes: tuple[int, ...], level: int, levels: int) -> tuple[str, str]:
    """A level of `subband_matching.pyramid`: its band, without the margins that coarser bands need, and the rest."""
    step, low, inside = 2**level, x, x
    for axis in axes:
        ends = graph.add("Add", graph.slice(low, axis, 0, -2 * step), graph.slice(low, axis, 2 * step))
        middle = graph.add("Mul", graph.slice(low, axis, step, -step), graph.floats(0.5))
        low = graph.add("Add", graph.add("Mul", ends, graph.floats(0.25)), middle)
        inside = graph.slice(inside, axis, step, -step)
    band, margin = graph.add("Sub", inside, low), 2**levels - 2 * step
    for axis in axes if margin else ():
        band = graph.slice(band, axis, margin, -margin)
    return band, low


def _gains(graph: Graph, band: str, top: Tensor, table: Tensor) -> str:
    """`subband_matching._look_up` for all channels, whose tables lie in one row."""
    channels, knots = table.shape
    per_channel = (1, channels, *(1,) * graph.rank)
    share = graph.add("Sqrt", graph.add("Div", graph.add("Abs", band), graph.weight(top.view(per_channel))))
    place = graph.add("Mul", graph.clip(share, 0, 1), graph.floats(KNOTS))
    below = graph.clip(graph.add("Floor", place), 0, KNOTS - 1)
    starts = graph.integers((knots * np.arange(channels)).reshape(per_channel))
    index = graph.add("Add", graph.to_integers(below), starts)
    row = graph.weight(table.flatten())
    after = graph.gather(row, graph.add("Add", index, graph.integers([1])))
    before = graph.gather(row, index)
    slope = graph.add("Mul", graph.add("Sub", after, before), graph.add("Sub", place, below))
    return graph.add("Add", before, slope)
