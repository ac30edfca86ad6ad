"""What comes after the generator and makes its textures more like one exemplar: spectrum, colours, rest, detail.

Buffers, no weights: `settling.settle` estimates them on the finished generator.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsyn.grids import extend
from texsyn.modality import Design, Modality
from texsyn.spectrum import KNOTS, pyramid


class Correction(nn.Module):
    """What makes textures more like one exemplar: its spectrum, its colours, what rests in it, sizes of its detail."""

    def __init__(self, modality: Modality, design: Design) -> None:
        super().__init__()
        fixed = [1 if same else n for same, n in zip(modality.stationary, modality.window, strict=True)]
        self.equaliser = Filter(modality.channels, design.equaliser) if design.equaliser else None
        self.tone = Tone(modality.channels) if design.toned else None
        self.steady = Steady(modality.channels, fixed) if design.steadied else None
        axes = (2,) if modality.moving else (2, 3)  # of a clip time alone
        self.coring = Coring(modality.channels, design.coring, axes) if design.coring else None

    def forward(self, made: Tensor, wrapped: Sequence[bool]) -> Tensor:
        made = self.steadied(self.toned(self.equalised(made, wrapped)))
        return made if self.coring is None else self.coring(made, wrapped).clamp(-1, 1)

    def equalised(self, made: Tensor, wrapped: Sequence[bool]) -> Tensor:
        return made if self.equaliser is None else self.equaliser(made, wrapped).clamp(-1, 1)

    def toned(self, made: Tensor) -> Tensor:
        return made if self.tone is None else self.tone(made).clamp(-1, 1)

    def steadied(self, made: Tensor) -> Tensor:
        return made if self.steady is None else self.steady(made).clamp(-1, 1)


class Filter(nn.Module):
    """A linear filter from channels to channels, round a torus on wrapped axes and continued by the rim elsewhere."""

    kernel: Tensor
    offset: Tensor

    def __init__(self, channels: int, size: Sequence[int]) -> None:
        super().__init__()
        identity = torch.zeros(channels, channels, *size)
        centre: Any = (slice(None), slice(None), *(n // 2 for n in size))
        identity[centre] = torch.eye(channels)
        self.register_buffer("kernel", identity)
        self.register_buffer("offset", torch.zeros(channels))

    def forward(self, x: Tensor, wrapped: Sequence[bool]) -> Tensor:
        """By Fourier transforms: convolutions with kernels so large take nine to thirty times as long."""
        axes, kernel = tuple(range(2, x.dim())), self.kernel.to(x.dtype)
        margins = [n // 2 for n in kernel.shape[2:]]
        whole = [n + 2 * margin for n, margin in zip(x.shape[2:], margins, strict=True)]
        sizes = [_quick(n) for n in whole]
        response = torch.fft.rfftn(kernel.flip(axes), sizes, axes)
        done, total = [], response.new_zeros(len(x), *response.shape[1:])
        # One channel at a time: of a large band, the transforms of all take a tenth of a gigabyte more.
        for channel, column in zip(torch.split(x, 1, 1), response.unbind(1), strict=True):
            total.addcmul_(torch.fft.rfftn(extend(channel, margins, wrapped), sizes, axes), column)
        for channel, offset in zip(torch.split(total, 1, 1), self.offset.to(x.dtype), strict=True):
            out: Tensor = torch.fft.irfftn(channel, sizes, axes)
            for axis, size, width in zip(axes, whole, kernel.shape[2:], strict=True):
                out = out.narrow(axis, width - 1, size - width + 1)
            done.append(out + offset)
        return torch.cat(done, 1)


def _quick(least: int) -> int:
    """The least size from `least` on that 2, 3 and 5 alone divide: its transforms are quick."""
    return next(n for n in itertools.count(least) if 30**64 % n == 0)


class Tone(nn.Module):
    """An affine map of the channels, the same everywhere."""

    matrix: Tensor
    offset: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.eye(channels))
        self.register_buffer("offset", torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.movedim(1, -1), self.matrix, self.offset).movedim(-1, 1)


class Steady(nn.Module):
    """Takes motion back at places of a fixed grid: there, samples swing round the exemplar's mean by `gain`."""

    mean_made: Tensor
    mean_real: Tensor
    gain: Tensor

    def __init__(self, channels: int, grid: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("mean_made", torch.zeros(1, channels, *grid))
        self.register_buffer("mean_real", torch.zeros(1, channels, *grid))
        self.register_buffer("gain", torch.ones(1, 1, *grid))

    def forward(self, x: Tensor) -> Tensor:
        return self.mean_real + self.gain * (x - self.mean_made)


class Coring(nn.Module):
    """Gains for detail by its size: an undecimated pyramid along `axes`, coefficient by coefficient.

    A linear filter cannot tell the slight tremor, or weave, of what is smooth from the seldom strong detail of what is
    not.
    """

    top: Tensor
    gain: Tensor

    def __init__(self, channels: int, levels: int, axes: Sequence[int]) -> None:
        super().__init__()
        self.axes = tuple(axes)
        self.register_buffer("top", torch.ones(levels, channels))  # size from which on the last gain holds
        self.register_buffer("gain", torch.ones(levels, channels, KNOTS + 1))

    def forward(self, x: Tensor, wrapped: Sequence[bool]) -> Tensor:
        reach = 2 ** len(self.top) - 1
        wide = extend(x, [reach if axis in self.axes else 0 for axis in range(2, x.dim())], wrapped)
        *found, total = pyramid(wide, len(self.top), self.axes)
        for band, top, gain in zip(found, self.top.to(x.dtype), self.gain.to(x.dtype), strict=True):
            gains = [_looked_up(*each) for each in zip(band.unbind(1), top, gain, strict=True)]
            total = total + band * torch.stack(gains, 1)
        return total


@torch.no_grad()  # gains count as constants: at 0 the square root has no slope
def _looked_up(band: Tensor, top: Tensor, gain: Tensor) -> Tensor:
    """The gains of a channel's coefficients, from its table."""
    place = (band.abs() / top).sqrt_().clamp_(max=1).mul_(KNOTS)
    below = place.floor().clamp_(max=KNOTS - 1)
    first = below.int().flatten()
    slope = gain.diff(append=gain[-1:]).index_select(0, first).view_as(place)
    return slope.mul_(place.sub_(below)).add_(gain.index_select(0, first).view_as(place))
