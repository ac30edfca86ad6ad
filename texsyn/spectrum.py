"""Power spectra of textures, what brings one to the other, and where textures move."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_IN_TIME, _IN_SPACE = 6, 16  # bands along time, and along each axis of space


def equaliser(made: Tensor, real: Tensor, axes: Sequence[str], size: Sequence[int], gain: float) -> Tensor:
    """The filter of least squares whose gain, in each band, is the amplitude of `real` over that of `made`.

    made, real: `b c *grid` of one grid. Returns `*size`, sum 1; no gain is above `gain`. Up-sampling leaves a floor of
    noise in bands where smooth textures have next to nothing, too weak for the energy to notice; a filter takes it away
    and has no structure of its own to add.
    """
    index = bands(axes, made.shape[2:], made.device)
    wanted = (band_power(real, index) / band_power(made, index)).sqrt().clamp(max=gain)
    kernel: Tensor = torch.fft.fftshift(torch.fft.ifftn(wanted[index]).real, tuple(range(len(axes))))
    for axis, width in enumerate(size):
        kernel = kernel.narrow(axis, kernel.shape[axis] // 2 - width // 2, width)
    return kernel / kernel.sum()


def tone(made: Tensor, real: Tensor, gain: float) -> tuple[Tensor, Tensor]:
    """The affine map of least change that gives `made` the mean and covariance of `real` over all positions.

    made, real: `b c *grid`, of any grids. Returns `c c` and `c`; no direction is stretched by more than `gain`. This is
    the optimal transport between two Gaussians (Pitie, Kokaram 2007).
    """
    flat = [each.double().transpose(0, 1).flatten(1) for each in (made, real)]
    mean_made, mean_real = (each.mean(1) for each in flat)
    spread, wanted = (torch.cov(each).reshape(len(each), len(each)) for each in flat)
    spread = spread + 1e-6 * torch.eye(len(spread), dtype=spread.dtype, device=spread.device)
    root, inverse = _power(spread, 0.5), _power(spread, -0.5)
    matrix = inverse @ _power(root @ wanted @ root, 0.5) @ inverse
    stretch, directions = torch.linalg.eigh(matrix)
    matrix = directions * stretch.clamp(max=gain) @ directions.T
    return matrix.float(), (mean_real - matrix @ mean_made).float()


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, directions = torch.linalg.eigh(matrix)
    found: Tensor = (directions * values.clamp(min=1e-12) ** exponent) @ directions.T
    return found


def stillness(made: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The means over time of `made` and `real`, and where `made` moves more than `real`: the ratio, at most 1.

    made, real: `b c t *grid`, of any number of frames. Returns `1 c 1 *grid` twice and `1 1 1 *grid`. What rests in a
    video rests exactly, frame after frame, and the eye sees the least flicker there.
    """
    moves = [(each[:, :, 1:] - each[:, :, :-1]).square().mean((0, 1, 2), keepdim=True).sqrt() for each in (made, real)]
    gain = (moves[1] / moves[0].clamp(min=1e-6)).clamp(max=1)
    return made.mean((0, 2), keepdim=True), real.mean((0, 2), keepdim=True), gain


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


def band_power(textures: Tensor, index: Tensor) -> Tensor:
    """`b c *grid` -> mean power of the windowed textures in each band of `index`."""
    axes = tuple(range(2, textures.dim()))
    centred = textures.float() - textures.float().mean((0, *axes), keepdim=True)
    for axis in axes:
        size = textures.shape[axis]
        window = torch.hann_window(size, periodic=False, device=textures.device)
        centred = centred * window.view(-1, *(1,) * (textures.dim() - 1 - axis))
    power = torch.fft.fftn(centred, dim=axes).abs().square().mean((0, 1)).flatten()
    flat, count = index.flatten(), int(index.max()) + 1
    total = torch.zeros(count, device=power.device).index_add_(0, flat, power)
    return total / torch.bincount(flat, minlength=count).clamp(min=1) + 1e-12
