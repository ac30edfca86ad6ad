"""Colour transfer: the mean and covariance of colours of the exemplar, by one affine map of the channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsyn.core import ops

_MAX_GAIN = 1.5  # of contrast, along any direction of the channels


class ColourTransfer(nn.Module):
    """An affine map of the channels, the same at every position (Pitie, Kokaram 2007)."""

    matrix: Tensor
    offset: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("matrix", ops.identity(channels))
        self.register_buffer("offset", torch.zeros(channels))

    def fit(self, generated: Tensor, real: Tensor, gain: float = _MAX_GAIN) -> None:
        """Find the map of least change that gives `generated` the mean and covariance of `real` over all positions.

        generated, real: `b c *grid`, of any grids. gain: the largest stretch of any direction of the channels.
        """
        flat = [each.double().transpose(0, 1).flatten(1) for each in (generated, real)]
        mean_generated, mean_real = (each.mean(1) for each in flat)
        source, target = (torch.cov(each).reshape(len(each), len(each)) for each in flat)
        matrix = gaussian_transport(source, target, gain)
        self.matrix.copy_(matrix.float())
        self.offset.copy_((mean_real - matrix @ mean_generated).float())

    def forward(self, x: Tensor, wrapped: Sequence[bool]) -> Tensor:
        """`b c *grid` -> the same, in [-1, 1]."""
        return F.linear(x.movedim(1, -1), self.matrix, self.offset).movedim(-1, 1).clamp(-1, 1)


def gaussian_transport(source: Tensor, target: Tensor, gain: float) -> Tensor:
    """The matrix of optimal transport between Gaussians of two covariances, `... c c` (Pitie, Kokaram 2007).

    gain: the largest stretch of any direction; larger ones are limited to it.
    """
    source, target = source.double(), target.double()
    floor = 1e-10 + 1e-4 * source.diagonal(dim1=-2, dim2=-1).mean(-1)
    source = source + floor[..., None, None] * torch.eye(source.shape[-1], dtype=source.dtype, device=source.device)
    root, inverse_root = _matrix_power(source, 0.5), _matrix_power(source, -0.5)
    stretch, directions = torch.linalg.eigh(inverse_root @ _matrix_power(root @ target @ root, 0.5) @ inverse_root)
    return _compose(stretch.clamp(max=gain), directions)


def _matrix_power(matrix: Tensor, exponent: float) -> Tensor:
    values, directions = torch.linalg.eigh(matrix)
    return _compose(values.clamp(min=1e-12) ** exponent, directions)


def _compose(values: Tensor, directions: Tensor) -> Tensor:
    """The symmetric matrix with these eigenvalues and eigenvectors."""
    return (directions * values.unsqueeze(-2)) @ directions.mT
