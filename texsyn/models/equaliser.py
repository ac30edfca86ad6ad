"""The equaliser: a linear filter that gives samples the exemplar's spectrum.

Upsampling leaves weak noise in frequency bands where smooth textures have almost no power, too weak for the energy to
notice. A linear filter removes it and cannot add structure of its own. It maps channels to channels: a filter for each
channel alone would change the brightness in a band by a mean of what the channels need.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from texsyn.core import ops
from texsyn.models import fourier
from texsyn.models.colour_transfer import gaussian_transport

_BANDS_TIME, _BANDS_SPACE = 6, 16  # frequency bands along time, and along each axis of space
_MIN_PASSED = 0.5  # share of the mean that the filter must pass for it to be scaled up to all of it


class Equaliser(nn.Module):
    """A linear filter from channels to channels, then an offset."""

    kernel: Tensor
    offset: Tensor

    def __init__(self, channels: int, size: Sequence[int], axes: Sequence[str]) -> None:
        """axes: of "t", "y", "x", along which the kernel has these sizes."""
        super().__init__()
        self.axes = tuple(axes)
        identity = torch.zeros(channels, channels, *size)
        centre: Any = (slice(None), slice(None), *(n // 2 for n in size))
        identity[centre] = ops.identity(channels)
        self.register_buffer("kernel", identity)  # to, from, *size
        self.register_buffer("offset", torch.zeros(channels))

    def fit(self, generated: Tensor, real: Tensor, gain: float) -> None:
        """Find the filter that gives `generated`, in each band, the covariance of channels of `real`.

        generated, real: `b c *grid` of one grid. gain: the largest stretch of any direction of the channels in any
        band. The filter is then scaled to leave the mean as it is, and with it the contrast of the largest structures.
        """
        bands = frequency_bands(self.axes, generated.shape[2:], generated.device)
        response = gaussian_transport(band_covariance(generated, bands), band_covariance(real, bands), gain).float()
        over = tuple(range(2, generated.dim()))
        kernel: Tensor = torch.fft.ifftn(response[bands].movedim((-2, -1), (0, 1)), dim=over).real
        kernel = torch.fft.fftshift(kernel, over)
        for axis, width in zip(over, self.kernel.shape[2:], strict=True):
            kernel = kernel.narrow(axis, kernel.shape[axis] // 2 - width // 2, width)
        passed, directions = torch.linalg.eigh(kernel.sum(over))
        # A direction that hardly passes is a colour that the exemplar does not have: it is not scaled up.
        kernel = torch.einsum("ij,j...->i...", (directions / passed.clamp(min=_MIN_PASSED)) @ directions.T, kernel)
        mean = generated.float().mean((0, *over))
        self.kernel.copy_(kernel)
        self.offset.copy_(mean - kernel.sum(over) @ mean)

    def forward(self, x: Tensor, wrapped: Sequence[bool]) -> Tensor:
        """`b c *grid` -> the same, in [-1, 1]; circular on wrapped axes, with replicated ends on others."""
        offset = self.offset.to(x).view(-1, *(1,) * (x.dim() - 2))
        return (fourier.convolve(x, self.kernel, wrapped) + offset).clamp(-1, 1)


def frequency_bands(axes: Sequence[str], grid: Sequence[int], device: torch.device) -> Tensor:
    """`*grid` -> the index of each frequency's band: a box of absolute frequencies along every axis.

    Boxes, not rings: the artefacts of strides lie along the axes, and rings would average them with what lies between.
    """
    band = torch.zeros((), dtype=torch.long, device=device)
    for index, (axis, size) in enumerate(zip(axes, grid, strict=True)):
        count = _BANDS_TIME if axis == "t" else _BANDS_SPACE
        frequency = torch.fft.fftfreq(size, device=device).abs().view(-1, *(1,) * (len(axes) - 1 - index))
        band = band * count + (frequency * 2 * count).long().clamp(max=count - 1)
    return band


def band_covariance(textures: Tensor, bands: Tensor) -> Tensor:
    """`b c *grid` -> `n c c`: the covariance of the Hann-windowed textures' channels in each of the n bands."""
    axes = tuple(range(2, textures.dim()))
    centred = textures.float() - textures.float().mean((0, *axes), keepdim=True)
    for axis in axes:
        size = textures.shape[axis]
        window = torch.hann_window(size, periodic=False, device=textures.device)
        centred = centred * window.view(-1, *(1,) * (textures.dim() - 1 - axis))
    spectrum = torch.fft.fftn(centred, dim=axes).flatten(2)
    power = torch.einsum("bin,bjn->nij", spectrum, spectrum.conj()).real / (len(spectrum) * bands.numel())
    flat, count = bands.flatten(), int(bands.max()) + 1
    total = torch.zeros(count, *power.shape[1:], device=power.device).index_add_(0, flat, power)
    return total / torch.bincount(flat, minlength=count).clamp(min=1)[:, None, None]
