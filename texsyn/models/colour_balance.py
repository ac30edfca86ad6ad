"""Colours as posterior, energy and reconstruction see them: with the contrast of the fainter ones raised.

Beans lie beside each other in shades that differ less than light and shadow on one of them do. By squared errors of
pixels, and for an energy whose gradient by pixels is bounded, such shades hardly exist: they are learnt last, and beans
run together. So the principal colours of an exemplar get a more even contrast wherever textures are compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from texsyn.core.modality import Modality
from texsyn.models.colour_frame import principal_colours

_LEAST_CONTRAST = 1e-3  # of a principal colour, in [-1, 1]


class ColourBalance(nn.Module):
    """`b channels *grid` -> the same, with colours in balance. Maps after the colours stay as they are."""

    matrix: Tensor  # `colours colours`, symmetric
    mean: Tensor  # `colours`: of the exemplars, which stays where it is

    def __init__(self, modality: Modality) -> None:
        super().__init__()
        colours = modality.planes[0].channels
        self.register_buffer("matrix", torch.eye(colours))
        self.register_buffer("mean", torch.zeros(colours))

    def fit(self, pixels: Sequence[Tensor], most: float) -> None:
        """Raise the contrast of principal colours of exemplars, `channels *axes` each, to that of the first.

        At most `most` times: beyond that the faintest ones are noise.
        """
        mean, _centred, variances, axes = principal_colours([each[: len(self.mean)] for each in pixels])
        contrasts = variances.clamp(min=_LEAST_CONTRAST**2).sqrt()
        gains = (contrasts[-1] / contrasts).clamp(max=most)
        self.matrix.copy_(axes * gains @ axes.T)
        self.mean.copy_(mean)

    def forward(self, x: Tensor) -> Tensor:
        colours, others = x.tensor_split([len(self.mean)], 1)
        shape = (-1, *(1,) * (x.dim() - 2))
        # One colour after the other, since a product would be rounded by autocast, and differences are small.
        balanced = (self.mean - self.matrix @ self.mean).view(shape).to(x.dtype)
        for column, colour in zip(self.matrix.T, colours.chunk(len(self.mean), 1), strict=True):
            balanced = balanced + column.view(shape) * colour
        return torch.cat((balanced, others), 1) if others.shape[1] else balanced
