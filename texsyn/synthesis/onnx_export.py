"""The generator alone, as an ONNX file: textures in a game engine or a web page, without texsyn and without torch.

Input `z`, `n latent_channels+labels *latent_grid`, standard normal (and, where a run learnt several exemplars, the
share of each as the last channels); output `texture`, `n channels *grid` in [-1, 1]. The grid is dynamic, at least two
positions on each axis that wraps; batch norm is folded into the weights; wraps and corrections are inside the graph.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import refuse_overwrite, replacing
from texsyn.models import layers
from texsyn.models.corrections import KNOTS, Correction, SubbandMatching
from texsyn.models.triangle import Triangle

_OPSET, _IR = 17, 8  # old enough for engines of the last years


def export(
    triangle: Triangle,
    path: str | Path,
    *,
    half: bool = False,
    made_by: dict[str, Any] | None = None,
    force: bool = False,
) -> None:
    """Write what `triangle.texture` computes on a torus. half: weights in 16 bits, computed in 32.

    Raises TexsynError: exit 2 for a file that is there already or another ending, exit 3 without the extra
    texsyn[export], exit 5 when the disk refuses.
    """
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        raise TexsynError(f"{path.name}: an exported generator is written to .onnx", Exit.USAGE)
    refuse_overwrite(path, force)
    blob = _Graph(triangle.eval(), half).serialised(made_by or {})
    with replacing(path) as temporary:
        temporary.write_bytes(blob)


class _Graph:
    """Nodes and weights, in the order of `Generator.forward` and `Triangle.texture`."""

    def __init__(self, triangle: Triangle, half: bool) -> None:
        try:
            import onnx
        except ImportError as error:
            raise TexsynError("export needs the extra texsyn[export]: pip install 'texsyn[export]'") from error
        self.onnx, self.half, self.triangle = onnx, half, triangle
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.rank = len(triangle.modality.axes)
        self.wrapped = triangle.modality.stationary
        self.axes = range(2, 2 + self.rank)

    def serialised(self, made_by: dict[str, Any]) -> bytes:
        helper, triangle = self.onnx.helper, self.triangle
        channels = triangle.design.latent_channels + triangle.design.labels
        sizes = [
            axis if same else size // factor
            for axis, same, size, factor in zip(
                triangle.modality.axes, self.wrapped, triangle.modality.window, triangle.stride, strict=True
            )
        ]
        self.op("Identity", self.corrected(self.generated("z")), out="texture")
        kind = self.onnx.TensorProto.FLOAT
        made = [None if isinstance(n, str) else n * f for n, f in zip(sizes, triangle.stride, strict=True)]
        graph = helper.make_graph(
            self.nodes,
            "texsyn",
            [helper.make_tensor_value_info("z", kind, ["n", channels, *sizes])],
            [helper.make_tensor_value_info("texture", kind, ["n", triangle.modality.channels, *made])],
            self.weights,
        )
        opsets = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, producer_name="texsyn", opset_imports=opsets, ir_version=_IR)
        facts = {**made_by, "factor": list(triangle.stride), "axes": list(triangle.modality.axes)}
        helper.set_model_props(model, {"texsyn": json.dumps(facts, sort_keys=True)})
        self.onnx.checker.check_model(model, full_check=True)
        blob: bytes = model.SerializeToString()
        return blob

    def op(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        out = out or f"v{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [out], **attributes))
        return out

    def weight(self, values: Tensor | np.ndarray) -> str:
        """A tensor of the network, in 16 bits where that is asked for."""
        array = values.detach().float().cpu().contiguous().numpy() if isinstance(values, Tensor) else values
        name = f"w{len(self.weights)}"
        stored = array.astype(np.float16) if self.half else array
        self.weights.append(self.onnx.numpy_helper.from_array(stored, name))
        return self.op("Cast", name, to=self.onnx.TensorProto.FLOAT) if self.half else name

    def integers(self, values: Sequence[int] | np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(self.onnx.numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def cut(self, x: str, axis: int, start: int, stop: int | None, step: int = 1) -> str:
        """A slice of one axis; `stop` None is its end (its start, backwards)."""
        end = stop if stop is not None else 2**31 if step > 0 else -(2**31)
        return self.op("Slice", x, *(self.integers([n]) for n in (start, end, axis, step)))

    def per_channel(self, values: Tensor) -> str:
        return self.weight(values.reshape(1, -1, *(1,) * self.rank))

    def generated(self, z: str) -> str:
        """`Generator.forward`."""
        g = self.triangle.generator_ema
        ends = [*g.starts, g.starts[-1] + self.triangle.design.labels]
        parts = [self.cut(z, 1, a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True) if b > a]
        others = parts[1 : len(g.starts)]
        joined = [parts[0], *parts[len(g.starts) :]]
        if g.constants is not None:
            joined.append(self.op("Expand", self.weight(g.constants), self.shape_like(z, g.constants.shape[1])))
        x = self.op("Concat", *joined, axis=1) if len(joined) > 1 else joined[0]
        ups: list[Any] = list(g.ups)
        joins: list[Any] = list(g.joins)
        shares: list[Any] = list(g.frames)
        for index, (up, norm) in enumerate(zip(ups, g.norms, strict=True)):
            scale, offset = _folded(norm, up)
            made = self.raised(x, up, scale)
            fields = []
            if index < len(joins):
                fields.append((joins[index], self.unfolded(others[index], g.grids[index + 1])))
            if index < len(shares):
                shared = others[len(joins) + index]
                for axis, same in zip(self.axes, self.wrapped, strict=True):
                    shared = shared if same else self.cut(shared, axis, 0, 1)
                fields.append((shares[index], self.unfolded(shared, g.frame_grids[index])))
            for join, field in fields:
                made = self.op("Add", made, self.op("Conv", field, self.weight(_scaled(join.weight, scale, 0))))
                offset = offset + join.bias * scale
            x = self.op("Relu", self.op("Add", made, self.per_channel(offset)))
        made = self.raised(x, g.last, g.last.weight.new_ones(g.last.weight.shape[1]))
        assert g.last.bias is not None
        return self.op("Tanh", self.op("Add", made, self.per_channel(g.last.bias)))

    def raised(self, x: str, up: layers.ConvTranspose, scale: Tensor) -> str:
        """`Up.forward` without its bias, times `scale` for each channel."""
        out = self.op("ConvTranspose", x, self.weight(_scaled(up.filter(), scale, 1)), strides=list(up.stride))
        if up.stride == tuple(up.weight.shape[2:]):
            return out
        for axis, (before, after, how) in zip(self.axes, up.rims_for(self.wrapped), strict=True):
            left, right = self.cut(out, axis, 0, before), self.cut(out, axis, -after, None)
            inside = self.cut(out, axis, before, -after if after else None)
            if how == "drop":
                out = inside
                continue
            # What is added to the first positions, and to the last.
            first, last = (after, before) if how == "wrap" else (before, after)
            if how == "mirror":
                left, right = self.cut(left, axis, -1, None, -1), self.cut(right, axis, -1, None, -1)
            start, end = (right, left) if how == "wrap" else (left, right)
            pieces = []
            if first:
                pieces.append(self.op("Add", self.cut(inside, axis, 0, first), start))
            pieces.append(self.cut(inside, axis, first, -last if last else None))
            if last:
                pieces.append(self.op("Add", self.cut(inside, axis, -last, None), end))
            out = self.op("Concat", *pieces, axis=axis)
        return out

    def shape_like(self, z: str, channels: int) -> str:
        shape = self.op("Shape", z)
        return self.op(
            "Concat", self.cut(shape, 0, 0, 1), self.integers([channels]), self.cut(shape, 0, 2, None), axis=0
        )

    def unfolded(self, x: str, grid: Sequence[int]) -> str:
        """`grids.unfold`."""
        rank, shape = self.rank, self.op("Shape", x)
        count, sizes = self.cut(shape, 0, 0, 1), self.cut(shape, 0, 2, None)
        split = self.op("Concat", count, self.integers([-1, *grid]), sizes, axis=0)
        order = [0, 1, *(part for axis in range(rank) for part in (2 + rank + axis, 2 + axis))]
        blocks = self.op("Transpose", self.op("Reshape", x, split), perm=order)
        larger = self.op("Mul", sizes, self.integers(list(grid)))
        return self.op("Reshape", blocks, self.op("Concat", count, self.integers([-1]), larger, axis=0))

    def corrected(self, made: str) -> str:
        """`Triangle.texture` after the generator."""
        corrections = list(self.triangle.corrections)
        if len(corrections) < 2:
            for correction in corrections:
                made = self.correction(made, correction)
            return made
        labels = self.triangle.design.labels
        shares = self.cut("z", 1, -labels, None)
        for axis, around in zip(self.axes, self.wrapped, strict=True):
            shares = self.extended(shares, axis, 1, around)
        scales = np.array([1, 1, *self.triangle.stride], np.float32)
        name = f"w{len(self.weights)}"
        self.weights.append(self.onnx.numpy_helper.from_array(scales, name))
        shares = self.op("Resize", shares, "", name, mode="linear")
        for axis, factor in zip(self.axes, self.triangle.stride, strict=True):
            shares = self.cut(shares, axis, factor, -factor)
        parts = [
            self.op("Mul", self.cut(shares, 1, n, n + 1), self.correction(made, each))
            for n, each in enumerate(corrections)
        ]
        return self.op("Sum", *parts)

    def correction(self, x: str, correction: Any) -> str:
        assert isinstance(correction, Correction)
        channels = self.triangle.modality.channels
        if correction.equaliser is not None:
            kernel = correction.equaliser.kernel
            for axis, size, around in zip(self.axes, kernel.shape[2:], self.wrapped, strict=True):
                x = self.extended(x, axis, size // 2, around)
            x = self.clipped(self.op("Conv", x, self.weight(kernel), self.weight(correction.equaliser.offset)))
        if correction.colour_transfer is not None:
            matrix = correction.colour_transfer.matrix.reshape(channels, channels, *(1,) * self.rank)
            x = self.op("Conv", x, self.weight(matrix), self.weight(correction.colour_transfer.offset))
            x = self.clipped(x)
        if correction.deflicker is not None:
            still = correction.deflicker
            moved = self.op("Sub", x, self.weight(still.mean_made))
            x = self.clipped(
                self.op("Add", self.op("Mul", moved, self.weight(still.gain)), self.weight(still.mean_real))
            )
        if correction.subband_matching is not None:
            x = self.clipped(self.cored(x, correction.subband_matching))
        return x

    def cored(self, x: str, coring: SubbandMatching) -> str:
        """`Coring.forward`."""
        levels, channels = coring.top.shape
        each = (1, channels, *(1,) * self.rank)
        for axis in coring.axes:
            x = self.extended(x, axis, 2**levels - 1, self.wrapped[axis - 2])
        parts = []
        for level in range(levels):
            step = 2**level
            low, inside = x, x
            for axis in coring.axes:
                ends = self.op("Add", self.cut(low, axis, 0, -2 * step), self.cut(low, axis, 2 * step, None))
                middle = self.op("Mul", self.cut(low, axis, step, -step), self.scalar(0.5))
                low = self.op("Add", self.op("Mul", ends, self.scalar(0.25)), middle)
                inside = self.cut(inside, axis, step, -step)
            band, left = self.op("Sub", inside, low), 2**levels - 2 * step
            for axis in coring.axes if left else ():
                band = self.cut(band, axis, left, -left)
            share = self.op("Sqrt", self.op("Div", self.op("Abs", band), self.weight(coring.top[level].view(each))))
            place = self.op("Mul", self.op("Clip", share, self.scalar(0), self.scalar(1)), self.scalar(KNOTS))
            below = self.op("Clip", self.op("Floor", place), self.scalar(0), self.scalar(KNOTS - 1))
            rows = self.integers(((KNOTS + 1) * np.arange(channels)).reshape(each))
            first = self.op("Add", self.op("Cast", below, to=self.onnx.TensorProto.INT64), rows)
            table = self.weight(coring.gain[level].flatten())
            after = self.op("Gather", table, self.op("Add", first, self.integers([1])))
            before = self.op("Gather", table, first)
            more = self.op("Mul", self.op("Sub", after, before), self.op("Sub", place, below))
            parts.append(self.op("Mul", band, self.op("Add", before, more)))
            x = low
        return self.op("Sum", x, *parts)

    def clipped(self, x: str) -> str:
        return self.op("Clip", x, self.scalar(-1), self.scalar(1))

    def scalar(self, value: float) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(self.onnx.numpy_helper.from_array(np.array(value, np.float32), name))
        return name

    def extended(self, x: str, axis: int, margin: int, around: bool) -> str:
        """`grids.extend` along one axis."""
        if not margin:
            return x
        if around:
            return self.op("Concat", self.cut(x, axis, -margin, None), x, self.cut(x, axis, 0, margin), axis=axis)
        rims = [self.cut(x, axis, 0, 1), self.cut(x, axis, -1, None)]
        return self.op("Concat", *[rims[0]] * margin, x, *[rims[1]] * margin, axis=axis)


def _folded(norm: nn.Module, up: layers.ConvTranspose) -> tuple[Tensor, Tensor]:
    """Scale and offset for each channel that stand for a norm (in evaluation mode) after a layer's bias."""
    bias = up.weight.new_zeros(up.weight.shape[1]) if up.bias is None else up.bias
    if not isinstance(norm, layers.BatchNorm):
        return bias.new_ones(len(bias)), bias
    scale, offset = norm.folded()
    return scale, offset + bias * scale


def _scaled(weight: Tensor, scale: Tensor, axis: int) -> Tensor:
    shape = [1] * weight.dim()
    shape[axis] = -1
    return weight * scale.reshape(shape)
