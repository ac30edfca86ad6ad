"""Subband matching: the details of samples are as often slight, and as seldom strong, as the exemplar's.

After the histogram matching of pyramids by Heeger and Bergen (1995), for the magnitudes of coefficients and in one
pass. A linear filter cannot tell the slight noise of smooth regions from the rare strong detail of others.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from texsyn.core import ops

KNOTS = 32  # intervals of a table of gains; their width grows with the magnitude, because most detail is slight
_MAX_COEFFICIENTS = 300_000  # of a band, of which magnitudes are taken


class SubbandMatching(nn.Module):
    """Gains for the coefficients of an undecimated pyramid, by band, channel and magnitude.

    Knot k of a table holds for magnitude `top * (k / KNOTS) ** 2`; larger magnitudes have the last gain.
    """

    top: Tensor
    gain: Tensor

    def __init__(self, channels: int, levels: int, axes: Sequence[int]) -> None:
        """axes: of `b c *grid`, along which the pyramid filters."""
        super().__init__()
        self.axes = tuple(axes)
        self.register_buffer("top", torch.ones(levels, channels))
        self.register_buffer("gain", torch.ones(levels, channels, KNOTS + 1))

    def fit(self, generated: Tensor, real: Tensor, gain: float) -> None:
        """Find gains, at most `gain`, that give coefficients of `generated` the magnitudes they have in `real`.

        generated, real: `b c *grid`, of any grids.
        """
        magnitudes = [
            [_sorted_magnitudes(band) for band in pyramid(each, len(self.top), self.axes)[:-1]]
            for each in (generated, real)
        ]
        for level, (sources, targets) in enumerate(zip(*magnitudes, strict=True)):
            top = torch.stack([each[-1] for each in sources]).clamp(min=1e-4)
            tables = [_gains(*each) for each in zip(sources, targets, top, strict=True)]
            self.top[level].copy_(top)
            self.gain[level].copy_(torch.stack(tables).clamp(max=gain))

    def forward(self, x: Tensor, wrapped: Sequence[bool]) -> Tensor:
        """`b c *grid` -> the same, in [-1, 1]; circular on wrapped axes, with replicated ends on others."""
        reach = 2 ** len(self.top) - 1
        padded = ops.pad(x, [reach if axis in self.axes else 0 for axis in range(2, x.dim())], wrapped)
        *bands, total = pyramid(padded, len(self.top), self.axes)
        for band, top, table in zip(bands, self.top.to(x.dtype), self.gain.to(x.dtype), strict=True):
            gains = [_look_up(*each) for each in zip(band.unbind(1), top, table, strict=True)]
            total = total + band * torch.stack(gains, 1)
        return total.clamp(-1, 1)


def pyramid(x: Tensor, levels: int, axes: Sequence[int]) -> list[Tensor]:
    """`b c *grid` -> `levels` bands of detail along `axes`, the finest first, and the rest; their sum is x.

    All lack the `2 ** levels - 1` positions at both ends of these axes that the pyramid's filters need.
    """
    bands, reach = [], 2**levels - 1
    for level in range(levels):
        step = 2**level
        low = x
        for axis in axes:
            size = low.shape[axis] - 2 * step
            ends = low.narrow(axis, 0, size) + low.narrow(axis, 2 * step, size)
            low = ends / 4 + low.narrow(axis, step, size) / 2
        margin = reach - (2 * step - 1)  # positions that coarser bands take off each end
        bands.append(_crop(_crop(x, axes, step) - low, axes, margin))
        x = low
    return [*bands, x]


def _crop(x: Tensor, axes: Sequence[int], margin: int) -> Tensor:
    for axis in axes:
        x = x.narrow(axis, margin, x.shape[axis] - 2 * margin)
    return x


def _sorted_magnitudes(band: Tensor) -> list[Tensor]:
    """For each channel: its coefficients' magnitudes in order, without the largest thousandth."""
    flat = band.transpose(0, 1).flatten(1).abs()
    flat = flat[:, :: max(1, flat.shape[1] // _MAX_COEFFICIENTS)].sort().values
    return list(flat[:, : max(1, flat.shape[1] * 999 // 1000)].contiguous())


def _gains(source: Tensor, target: Tensor, top: Tensor) -> Tensor:
    """The table of a channel: at each knot, the magnitude of the same rank in `target` over the knot's."""
    knots = torch.linspace(0, 1, KNOTS + 1, device=source.device).square() * top
    rank = torch.searchsorted(source, knots) / len(source)
    gains = target[(rank * (len(target) - 1)).long()] / knots.clamp(min=1e-6)
    gains[0] = gains[1]  # the knot at magnitude 0 has no ratio
    return gains


@torch.no_grad()  # gains count as constants: at 0 the square root has no slope
def _look_up(band: Tensor, top: Tensor, table: Tensor) -> Tensor:
    """The gains of a channel's coefficients, linearly between the knots of its table."""
    place = (band.abs() / top).sqrt_().clamp_(max=1).mul_(KNOTS)
    below = place.floor().clamp_(max=KNOTS - 1)
    index = below.int().flatten()
    slope = table.diff(append=table[-1:]).index_select(0, index).view_as(place)
    return slope.mul_(place.sub_(below)).add_(table.index_select(0, index).view_as(place))
