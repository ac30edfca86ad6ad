"""A graph in ONNX, node by node: values are names of nodes' outputs, and operations on grids return such names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from texsyn.core.errors import TexsynError

_OPSET, _IR = 17, 8  # old enough for the engines of the last years


class Graph:
    """Nodes and constants in the order in which they are added. half: weights are stored in 16 bits."""

    def __init__(self, rank: int, half: bool) -> None:
        """rank: axes of the grids, without batch and channels. Raises TexsynError (exit 3) where onnx is missing."""
        try:
            import onnx
        except ImportError as error:
            raise TexsynError("export needs the extra texsyn[export]: pip install 'texsyn[export]'") from error
        self._onnx, self._half = onnx, half
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self.rank = rank
        self.axes = range(2, 2 + rank)

    def to_bytes(self, inputs: Sequence[Any], outputs: Sequence[Any], metadata: dict[str, str]) -> bytes:
        """The checked and serialised model. inputs, outputs: from `value`."""
        helper = self._onnx.helper
        graph = helper.make_graph(self._nodes, "texsyn", inputs, outputs, self._constants)
        opsets = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, producer_name="texsyn", opset_imports=opsets, ir_version=_IR)
        helper.set_model_props(model, metadata)
        self._onnx.checker.check_model(model, full_check=True)
        blob: bytes = model.SerializeToString()
        return blob

    def value(self, name: str, shape: Sequence[int | str | None]) -> Any:
        """An input or output in float32; named and unknown sizes are dynamic."""
        return self._onnx.helper.make_tensor_value_info(name, self._onnx.TensorProto.FLOAT, shape)

    def add(self, operator: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """One node; returns the name of its output."""
        out = out or f"v{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(operator, inputs, [out], **attributes))
        return out

    # ------------------------------------------------------------ constants

    def _constant(self, array: np.ndarray) -> str:
        name = f"w{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def weight(self, values: Tensor) -> str:
        """Values of the networks in float32, stored in 16 bits where the graph is to be half the size."""
        array = values.detach().float().cpu().contiguous().numpy()
        if not self._half:
            return self._constant(array)
        return self.add("Cast", self._constant(array.astype(np.float16)), to=self._onnx.TensorProto.FLOAT)

    def weight_per_channel(self, values: Tensor) -> str:
        return self.weight(values.reshape(1, -1, *(1,) * self.rank))

    def floats(self, values: float | Sequence[float]) -> str:
        return self._constant(np.array(values, np.float32))

    def integers(self, values: Sequence[int] | np.ndarray) -> str:
        return self._constant(np.array(values, np.int64))

    # ------------------------------------------------------------ operations on grids, `b c *grid`

    def slice(self, x: str, axis: int, start: int, stop: int | None = None) -> str:
        """`stop` None is the end of the axis."""
        return self._slice(x, start, 2**31 if stop is None else stop, axis, 1)

    def flip(self, x: str, axis: int) -> str:
        return self._slice(x, -1, -(2**31), axis, -1)

    def _slice(self, x: str, *start_stop_axis_step: int) -> str:
        return self.add("Slice", x, *(self.integers([n]) for n in start_stop_axis_step))

    def clip(self, x: str, low: float, high: float) -> str:
        return self.add("Clip", x, self.floats(low), self.floats(high))

    def pad(self, x: str, axis: int, margin: int, wrapped: bool) -> str:
        """As `core.ops.pad` along one axis: circular, or with replicated ends."""
        if not margin:
            return x
        if wrapped:
            return self.add("Concat", self.slice(x, axis, -margin), x, self.slice(x, axis, 0, margin), axis=axis)
        first, last = self.slice(x, axis, 0, 1), self.slice(x, axis, -1)
        return self.add("Concat", *[first] * margin, x, *[last] * margin, axis=axis)

    def depth_to_space(self, x: str, grid: Sequence[int]) -> str:
        """As `core.ops.depth_to_space`."""
        rank, shape = self.rank, self.add("Shape", x)
        batch, sizes = self.slice(shape, 0, 0, 1), self.slice(shape, 0, 2)
        split = self.add("Concat", batch, self.integers([-1, *grid]), sizes, axis=0)
        order = [0, 1, *(part for axis in range(rank) for part in (2 + rank + axis, 2 + axis))]
        blocks = self.add("Transpose", self.add("Reshape", x, split), perm=order)
        larger = self.add("Mul", sizes, self.integers(list(grid)))
        return self.add("Reshape", blocks, self.add("Concat", batch, self.integers([-1]), larger, axis=0))

    def expand_like(self, values: Tensor, x: str) -> str:
        """`1 c *grid` with sizes of 1, repeated to the batch and grid of `x`."""
        weight, shape = self.weight(values), self.add("Shape", x)
        parts = self.slice(shape, 0, 0, 1), self.integers([values.shape[1]]), self.slice(shape, 0, 2)
        return self.add("Expand", weight, self.add("Concat", *parts, axis=0))

    def upsample(self, x: str, factor: Sequence[int], wrapped: Sequence[bool]) -> str:
        """As `core.ops.upsample`: linear, round a torus on wrapped axes."""
        for axis, around in zip(self.axes, wrapped, strict=True):
            x = self.pad(x, axis, 1, around)
        x = self.add("Resize", x, "", self.floats([1, 1, *factor]), mode="linear")
        for axis, n in zip(self.axes, factor, strict=True):
            x = self.slice(x, axis, n, -n)
        return x

    def gather(self, table: str, indices: str) -> str:
        return self.add("Gather", table, indices)

    def to_integers(self, x: str) -> str:
        return self.add("Cast", x, to=self._onnx.TensorProto.INT64)
