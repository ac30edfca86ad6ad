"""All latent fields of a design as the channels of one grid, and back.

Every design stores its fields packed: brought to the grid of the coarsest one by `ops.space_to_depth`. A network that
models the fields wants positions that are alike: here each position of the finest field has the values of all fields
there, coarser ones repeated. Positions on fixed axes differ by their place, so they are channels.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from texsyn.core import ops
from texsyn.core.architecture import Design, LatentField
from texsyn.core.modality import Modality


class FieldLayout:
    """Where the values of packed latent fields, `b latent_channels *latent_grid`, lie on the finest grid."""

    def __init__(self, modality: Modality, design: Design) -> None:
        self.fields = design.fields
        self.stationary = modality.stationary
        axes = range(len(design.stride))
        # Per axis: positions of the finest grid for each position of the coarsest, and positions that become channels.
        self.finest = tuple(max(f.grid[a] for f in self.fields) if self.stationary[a] else 1 for a in axes)
        self.folded = tuple(1 if self.stationary[a] else modality.window[a] // design.stride[a] for a in axes)
        self.widths = [each.channels * prod(self._places(each)) for each in self.fields]
        self.channels = sum(self.widths)

    def unpack(self, z: Tensor) -> Tensor:
        """`b latent_channels *latent_grid` -> `b channels *finest_grid`."""
        packed = torch.split(z, [each.packed for each in self.fields], 1)
        return torch.cat([self._unpack(part, field) for part, field in zip(packed, self.fields, strict=True)], 1)

    def pack(self, x: Tensor) -> Tensor:
        """`b channels *finest_grid` -> `b latent_channels *latent_grid`: coarser fields are means."""
        parts = torch.split(x, self.widths, 1)
        return torch.cat([self._pack(part, field) for part, field in zip(parts, self.fields, strict=True)], 1)

    def project(self, x: Tensor) -> Tensor:
        """`unpack(pack(x))`: coarser fields repeated."""
        parts = torch.split(x, self.widths, 1)
        means = [
            ops.repeat(ops.block_mean(part, self._repeats(field)), self._repeats(field))
            for part, field in zip(parts, self.fields, strict=True)
        ]
        return torch.cat(means, 1)

    def unpack_labels(self, labels: Tensor) -> Tensor:
        """`b labels *latent_grid` -> `b labels *finest_grid`; on fixed axes labels are constant."""
        for axis, same in enumerate(self.stationary, start=2):
            labels = labels if same else labels.narrow(axis, 0, 1)
        return ops.repeat(labels, self.finest)

    def phases(self, like: Tensor) -> Tensor:
        """`1 n *grid` for values on the finest grid: one-hot, the place of each position within one of the coarsest."""
        count = prod(self.finest)
        one_hot = torch.eye(count, device=like.device, dtype=like.dtype).view(1, -1, *(1,) * len(self.finest))
        repeats = (size // n for size, n in zip(like.shape[2:], self.finest, strict=True))
        return ops.depth_to_space(one_hot, self.finest).repeat(1, 1, *repeats)

    def _unpack(self, z: Tensor, field: LatentField) -> Tensor:
        if field.shared:
            for axis, same in enumerate(self.stationary, start=2):
                z = z if same else z.narrow(axis, 0, 1)
        places = ops.space_to_depth(ops.depth_to_space(z, field.grid), self._places(field))
        return ops.repeat(places, self._repeats(field))

    def _pack(self, x: Tensor, field: LatentField) -> Tensor:
        z = ops.depth_to_space(ops.block_mean(x, self._repeats(field)), self._places(field))
        z = ops.space_to_depth(z, field.grid)
        return ops.repeat(z, self.folded) if field.shared else z

    def _places(self, field: LatentField) -> tuple[int, ...]:
        """Per axis: positions of a field that become channels."""
        whole = (n * g for n, g in zip(self.folded, field.grid, strict=True))
        return tuple(1 if same or field.shared else n for same, n in zip(self.stationary, whole, strict=True))

    def _repeats(self, field: LatentField) -> tuple[int, ...]:
        """Per axis: positions of the finest grid for each position of a field."""
        pairs = zip(self.stationary, self.finest, field.grid, strict=True)
        return tuple(n // g if same else 1 for same, n, g in pairs)
