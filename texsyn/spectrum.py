"""Power spectra of textures, what brings one to the other, and where textures move."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

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
