"""Colours as posterior, energy and reconstruction see them: with the contrast of the fainter ones raised.

Beans lie beside each other in shades that differ less than light and shadow on one of them do. By squared errors of
pixels, and for an energy whose gradient by pixels is bounded, such shades hardly exist: they are learnt last, and beans
run together. So the principal colours of an exemplar get a more even contrast wherever textures are compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from texsyn.core import ops
from texsyn.core.maps import channels_of
from texsyn.core.modality import Modality
from texsyn.models.colour_frame import principal_colours

_LEAST_CONTRAST = 1e-3  # of a principal colour, in [-1, 1]


class ColourBalance(nn.Module):
    """`b channels *grid` -> the same, with colours in balance, and the maps of a material in balance with them."""

    matrix: Tensor  # `channels channels`, symmetric, between channels of one map only
    mean: Tensor  # `channels`: of the exemplars, which stays where it is

    def __init__(self, modality: Modality) -> None:
        super().__init__()
        self.parts = channels_of(modality.planes)
        self.register_buffer("matrix", ops.identity(modality.channels))
        self.register_buffer("mean", torch.zeros(modality.channels))

    def fit(self, pixels: Sequence[Tensor], most: float) -> None:
        """Bring principal colours of exemplars, `channels *axes` each, and of their maps, to the contrast of the first.

        By a factor of at most `most`: beyond that the faintest ones are noise. A map of more contrast than the colours
        is lowered, so that it does not drown them.
        """
        first: Tensor | None = None
        for part in self.parts:
            mean, _centred, variances, axes = principal_colours([each[part] for each in pixels])
            contrasts = variances.clamp(min=_LEAST_CONTRAST**2).sqrt()
            first = contrasts[-1] if first is None else first
            gains = (first / contrasts).clamp(1 / most, most)
            self.matrix[part, part] = (axes * gains @ axes.T).to(self.matrix)
            self.mean[part] = mean.to(self.mean)

    def forward(self, x: Tensor) -> Tensor:
        shape, out = (-1, *(1,) * (x.dim() - 2)), []
        for part in self.parts:
            matrix, mean = self.matrix[part, part], self.mean[part]
            # One channel after the other, since a product would be rounded by autocast, and differences are small.
            balanced = (mean - (matrix * mean).sum(1)).view(shape).to(x.dtype)
            for column, channel in zip(matrix.T, torch.split(x[:, part], 1, 1), strict=True):
                balanced = balanced + column.view(shape) * channel
            out.append(balanced)
        return torch.cat(out, 1) if len(out) > 1 else out[0]
