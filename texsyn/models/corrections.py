"""What follows the generator and brings its samples nearer to one exemplar: spectrum, colour, flicker, detail.

Buffers, no weights: `training.calibration` fits them on the finished generator.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsyn.core import ops
from texsyn.core.architecture import Design
from texsyn.core.modality import Modality

KNOTS = 32  # steps of a table of gains, each a square of equal ones: most detail is slight
_SIZES = 300_000  # coefficients that are looked at
_IN_TIME, _IN_SPACE = 6, 16  # bands along time, and along each axis of space
_LEAST = 0.5  # share of the mean that a filter must pass to be scaled up to all of it


def equaliser(
    made: Tensor, real: Tensor, axes: Sequence[str], size: Sequence[int], gain: float
) -> tuple[Tensor, Tensor]:
    """The filter of least squares that gives `made`, in each band, the covariance of channels that `real` has there.

    made, real: `b c *grid` of one grid. Returns a kernel, `c c *size` (to, from), and an offset, `c`. In no band is a
    direction of the channels stretched by more than `gain`; then the filter as a whole is scaled so that it leaves the
    mean as it is, and with it the contrast of what is largest. Up-sampling leaves a floor of noise in bands where
    smooth textures have next to nothing, too weak for the energy to notice; a filter takes it away and has no structure
    of its own to add. Channel by channel it would see brightness only as the mean of what each of them needs.
    """
    index = bands(axes, made.shape[2:], made.device)
    wanted = _transport(band_covariance(made, index), band_covariance(real, index), gain).float()
    over = tuple(range(2, 2 + len(axes)))
    kernel: Tensor = torch.fft.fftshift(torch.fft.ifftn(wanted[index].movedim((-2, -1), (0, 1)), dim=over).real, over)
    for axis, width in zip(over, size, strict=True):
        kernel = kernel.narrow(axis, kernel.shape[axis] // 2 - width // 2, width)
    passed, directions = torch.linalg.eigh(kernel.sum(over))
    # Not where next to nothing passes: a colour that the exemplar has not.
    kernel = torch.einsum("ij,j...->i...", (directions / passed.clamp(min=_LEAST)) @ directions.T, kernel)
    mean = made.float().mean((0, *over))
    return kernel, mean - kernel.sum(over) @ mean


def tone(made: Tensor, real: Tensor, gain: float) -> tuple[Tensor, Tensor]:
    """The affine map of least change that gives `made` the mean and covariance of `real` over all positions.

    made, real: `b c *grid`, of any grids. Returns `c c` and `c`; no direction is stretched by more than `gain`.
    """
    flat = [each.double().transpose(0, 1).flatten(1) for each in (made, real)]
    mean_made, mean_real = (each.mean(1) for each in flat)
    spread, wanted = (torch.cov(each).reshape(len(each), len(each)) for each in flat)
    matrix = _transport(spread, wanted, gain)
    return matrix.float(), (mean_real - matrix @ mean_made).float()


def _transport(spread: Tensor, wanted: Tensor, gain: float) -> Tensor:
    """`... c c`: optimal transport between Gaussians of two covariances (Pitie, Kokaram 2007), bounded by `gain`."""
    spread, wanted = spread.double(), wanted.double()
    least = 1e-10 + 1e-4 * spread.diagonal(dim1=-2, dim2=-1).mean(-1)
    spread = spread + least[..., None, None] * torch.eye(spread.shape[-1], dtype=spread.dtype, device=spread.device)
    root, inverse = _power(spread, 0.5), _power(spread, -0.5)
    stretch, directions = torch.linalg.eigh(inverse @ _power(root @ wanted @ root, 0.5) @ inverse)
    return _composed(stretch.clamp(max=gain), directions)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, directions = torch.linalg.eigh(matrix)
    return _composed(values.clamp(min=1e-12) ** exponent, directions)


def _composed(values: Tensor, directions: Tensor) -> Tensor:
    return (directions * values.unsqueeze(-2)) @ directions.mT


def stillness(made: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The means over time of `made` and `real`, and where `made` moves more than `real`: the ratio, at most 1.

    made, real: `b c t *grid`, of any number of frames. Returns `1 c 1 *grid` twice and `1 1 1 *grid`. What rests in a
    video rests exactly, frame after frame, and the eye sees the least flicker there.
    """
    moves = [(each[:, :, 1:] - each[:, :, :-1]).square().mean((0, 1, 2), keepdim=True).sqrt() for each in (made, real)]
    gain = (moves[1] / moves[0].clamp(min=1e-6)).clamp(max=1)
    return made.mean((0, 2), keepdim=True), real.mean((0, 2), keepdim=True), gain


def coring(made: Tensor, real: Tensor, levels: int, axes: Sequence[int], most: float) -> tuple[Tensor, Tensor]:
    """Gains, of `most` at most, by which the coefficients of a pyramid along `axes` have the sizes they have in `real`.

    made, real: `b c *grid`, of any grids. Returns what `corrections.Coring` takes: `levels c`, the size from which on
    the last gain holds, and `levels c KNOTS+1`. After the histogram matching of pyramids by Heeger and Bergen (1995),
    for sizes alone and in one pass.
    """
    sizes = [[_sizes(band) for band in pyramid(each, levels, axes)[:-1]] for each in (made, real)]
    tops, gains = [], []
    for ours, theirs in zip(*sizes, strict=True):
        top = torch.stack([each[-1] for each in ours]).clamp(min=1e-4)
        steps = torch.linspace(0, 1, KNOTS + 1, device=made.device).square()
        found = []
        for own, other, largest in zip(ours, theirs, top, strict=True):
            knots = steps * largest
            rank = torch.searchsorted(own, knots) / len(own)
            found.append(other[(rank * (len(other) - 1)).long()] / knots.clamp(min=1e-6))
            found[-1][0] = found[-1][1]  # of no detail at all
        tops.append(top)
        gains.append(torch.stack(found).clamp(max=most))
    return torch.stack(tops), torch.stack(gains)


def pyramid(x: Tensor, levels: int, axes: Sequence[int]) -> list[Tensor]:
    """`b c *grid` -> `levels` bands of detail along `axes`, the finest first, and what is left; their sum is x.

    All lack the `2 ** levels - 1` positions at both ends of these axes that the pyramid's filters reach.
    """
    bands, reach = [], 2**levels - 1
    for level in range(levels):
        step = 2**level
        low = x
        for axis in axes:
            size = low.shape[axis] - 2 * step
            ends = low.narrow(axis, 0, size) + low.narrow(axis, 2 * step, size)
            low = ends / 4 + low.narrow(axis, step, size) / 2
        left = reach - (2 * step - 1)  # positions that coarser bands still take off each end
        bands.append(_inside(_inside(x, axes, step) - low, axes, left))
        x = low
    return [*bands, x]


def _inside(x: Tensor, axes: Sequence[int], margin: int) -> Tensor:
    for axis in axes:
        x = x.narrow(axis, margin, x.shape[axis] - 2 * margin)
    return x


def _sizes(band: Tensor) -> list[Tensor]:
    """Of a band's coefficients, for each channel, in order, without the largest thousandth."""
    flat = band.transpose(0, 1).flatten(1).abs()
    flat = flat[:, :: max(1, flat.shape[1] // _SIZES)].sort().values
    return list(flat[:, : max(1, flat.shape[1] * 999 // 1000)].contiguous())


def bands(axes: Sequence[str], grid: Sequence[int], device: torch.device) -> Tensor:
    """`*grid` -> the index of each frequency's band: a box of frequencies along every axis, whatever their sign.

    Boxes, not rings: what strides leave lies along the axes, and rings would average it with what lies between them.
    """
    band = torch.zeros((), dtype=torch.long, device=device)
    for index, (axis, size) in enumerate(zip(axes, grid, strict=True)):
        count = _IN_TIME if axis == "t" else _IN_SPACE
        frequency = torch.fft.fftfreq(size, device=device).abs().view(-1, *(1,) * (len(axes) - 1 - index))
        band = band * count + (frequency * 2 * count).long().clamp(max=count - 1)
    return band


def band_covariance(textures: Tensor, index: Tensor) -> Tensor:
    """`b c *grid` -> `bands c c`: the covariance of the windowed textures' channels in each band of `index`."""
    axes = tuple(range(2, textures.dim()))
    centred = textures.float() - textures.float().mean((0, *axes), keepdim=True)
    for axis in axes:
        size = textures.shape[axis]
        window = torch.hann_window(size, periodic=False, device=textures.device)
        centred = centred * window.view(-1, *(1,) * (textures.dim() - 1 - axis))
    found = torch.fft.fftn(centred, dim=axes).flatten(2)
    power = torch.einsum("bin,bjn->nij", found, found.conj()).real / (len(found) * index.numel())
    flat, count = index.flatten(), int(index.max()) + 1
    total = torch.zeros(count, *power.shape[1:], device=power.device).index_add_(0, flat, power)
    return total / torch.bincount(flat, minlength=count).clamp(min=1)[:, None, None]


class Correction(nn.Module):
    """What makes textures more like one exemplar: its spectrum, its colours, what rests in it, sizes of its detail."""

    def __init__(self, modality: Modality, design: Design) -> None:
        super().__init__()
        fixed = [1 if same else n for same, n in zip(modality.stationary, modality.window, strict=True)]
        self.equaliser = Equaliser(modality.channels, design.equaliser) if design.equaliser else None
        self.colour_transfer = ColourTransfer(modality.channels) if design.colour_transfer else None
        self.deflicker = Deflicker(modality.channels, fixed) if design.deflicker else None
        axes = (2,) if modality.moving else (2, 3)  # of a clip time alone
        self.subband_matching = (
            SubbandMatching(modality.channels, design.subband_matching, axes) if design.subband_matching else None
        )

    def forward(self, made: Tensor, wrapped: Sequence[bool]) -> Tensor:
        made = self.apply_deflicker(self.apply_colour_transfer(self.apply_equaliser(made, wrapped)))
        return made if self.subband_matching is None else self.subband_matching(made, wrapped).clamp(-1, 1)

    def apply_equaliser(self, made: Tensor, wrapped: Sequence[bool]) -> Tensor:
        return made if self.equaliser is None else self.equaliser(made, wrapped).clamp(-1, 1)

    def apply_colour_transfer(self, made: Tensor) -> Tensor:
        return made if self.colour_transfer is None else self.colour_transfer(made).clamp(-1, 1)

    def apply_deflicker(self, made: Tensor) -> Tensor:
        return made if self.deflicker is None else self.deflicker(made).clamp(-1, 1)


class Equaliser(nn.Module):
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
            total.addcmul_(torch.fft.rfftn(ops.pad(channel, margins, wrapped), sizes, axes), column)
        for channel, offset in zip(torch.split(total, 1, 1), self.offset.to(x.dtype), strict=True):
            out: Tensor = torch.fft.irfftn(channel, sizes, axes)
            for axis, size, width in zip(axes, whole, kernel.shape[2:], strict=True):
                out = out.narrow(axis, width - 1, size - width + 1)
            done.append(out + offset)
        return torch.cat(done, 1)


def _quick(least: int) -> int:
    """The least size from `least` on that 2, 3 and 5 alone divide: its transforms are quick."""
    return next(n for n in itertools.count(least) if 30**64 % n == 0)


class ColourTransfer(nn.Module):
    """An affine map of the channels, the same everywhere."""

    matrix: Tensor
    offset: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.eye(channels))
        self.register_buffer("offset", torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.movedim(1, -1), self.matrix, self.offset).movedim(-1, 1)


class Deflicker(nn.Module):
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


class SubbandMatching(nn.Module):
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
        wide = ops.pad(x, [reach if axis in self.axes else 0 for axis in range(2, x.dim())], wrapped)
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
