"""Regular patterns: after how many pixels a texture repeats along an axis, and networks that learn whole periods of it.

Weaves, tiles, bricks and prints repeat on a lattice. The latent field has one position for every so many pixels, and a
period that these do not divide has another phase at each: its samples drift and tear. So such an exemplar is resampled
a little until its period and the stride have a small common multiple, the networks learn from crops of one phase, and
samples are resampled back, in whole periods.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from texsyn.core.modality import Modality

_LEAST_REGULARITY = 0.75  # of 2: correlation at multiples of the period less that half way between
_SHORTEST = 6.0  # pixels of a period
_SEEN, _SEEN_AGAIN = 0.6, 0.85  # parts of an exemplar over which correlations are taken, first and to refine
_STEP = 0.01  # pixels, of periods that are tried to refine one
_COARSE, _LEAST_COARSE = 4, 8  # pixels over which slopes are taken, and the fewest of these
_MOVED = 0.05  # by which rows correlate less than those after a whole period
_STRETCH = 0.08  # part by which a sample's period may differ, so that a torus has whole ones
_ALIKE = 0.9  # of the best regularity: the shortest period that reaches it is taken
_SCALES = (0.75, 1.5)  # range of the resampling
_MOST_PHASES = 4  # latent positions that a period may take
_LEAST_PERIOD = 4  # pixels of the networks
_FAR = (48, 72)  # pixels between which correlation means order
_LIGHT = 33  # pixels around a place whose mean is the light there


def fitted(modality: Modality, pixels: Tensor, stride: Sequence[int]) -> Modality:
    """The kind with the period of a still, `channels y x`, found and resampled for a base of this stride.

    As it is, where the texture is not regular, or the kind has other axes.
    """
    if not modality.is_stationary_still:
        return modality
    light = principal(pixels[: modality.planes[0].channels])
    found = [period_along(light, axis) / modality.enlargement for axis in (0, 1)]
    base = [n // modality.enlargement for n in light.shape]
    # Small exemplars are not made smaller than a window.
    least = [max(_SCALES[0], w / n) for w, n in zip(modality.window, base, strict=True)]
    aims = [_aim(*each) for each in zip(found, stride, least, strict=True)]
    if not any(aims):
        return modality
    sizes = [round(n * aim / period) if aim else n for n, aim, period in zip(base, aims, found, strict=True)]
    scale = tuple(size / n for size, n in zip(sizes, base, strict=True))
    return replace(modality, period=tuple(aims), scale=scale)


def principal(pixels: Tensor) -> Tensor:
    """`channels y x` -> `y x`: the colours along the axis of their largest variance."""
    flat = pixels.double().flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    _values, vectors = torch.linalg.eigh(flat @ flat.T)
    light: Tensor = vectors[:, -1] @ flat
    return light.view(pixels.shape[1:])


def motif(pixels: Tensor, period: Sequence[int]) -> Tensor:
    """The mean over all periods, `channels *period`, of a texture `channels *axes`; over all of an axis without one."""
    for axis, length in enumerate(period, start=1):
        length = length or 1
        whole = pixels.shape[axis] // length * length
        blocks = pixels.narrow(axis, 0, whole).movedim(axis, 0)
        pixels = blocks.reshape(-1, length, *blocks.shape[1:]).mean(0).movedim(0, axis)
    return pixels


def shift(pixels: Tensor, pattern: Tensor) -> tuple[int, ...]:
    """How far a texture begins after the start of a period, in pixels per axis; `pattern` is the exemplar's motif."""
    axes = tuple(range(1, pattern.dim()))
    own, other = (torch.fft.fftn(each.double(), dim=axes) for each in (motif(pixels, pattern.shape[1:]), pattern))
    match = torch.fft.ifftn(own.conj() * other, dim=axes).real.sum(0)
    return tuple(int(n) for n in np.unravel_index(int(match.argmax()), match.shape))


def period_along(light: Tensor, axis: int) -> float:
    """Pixels after which `y x` repeats along an axis; 0 where it does not.

    A texture repeats after p pixels where its autocorrelation is high at multiples of p and low half way between.
    """
    line = autocorrelation(light, axis)
    last = math.floor(_SEEN * (len(line) - 1))
    # The last multiples of two periods that are tried one after the other are half a pixel apart.
    ratio = math.log1p(0.5 / max(1, last))
    tried = _SHORTEST * np.exp(np.arange(0, math.log(max(_SHORTEST, last) / _SHORTEST), ratio))
    found = _regularity(line, tried, last)
    best = found.max(initial=0.0)
    if best < _LEAST_REGULARITY:
        return 0.0
    first = tried[np.argmax(found >= _ALIKE * best)]  # on the rise to a peak
    peak = _most_regular(line, tried[(tried >= first) & (tried < 1.2 * first)], last)
    # Far multiples, of which there is less to see, tell it more exactly.
    last = math.floor(_SEEN_AGAIN * (len(line) - 1))
    period = _most_regular(line, np.arange(0.97 * peak, 1.03 * peak, _STEP), last)
    return period * _rows_of_period(line, period, last)


def regularity(light: Tensor, axis: int, period: float) -> float:
    """How much of `y x` repeats after a period near this one, over most of its size: at most 2, about 0 for none."""
    line = autocorrelation(light, axis)
    last = math.floor(_SEEN_AGAIN * (len(line) - 1))
    return float(_regularity(line, np.arange(1 - _STRETCH, 1 + _STRETCH, 0.001) * period, last).max())


def without_slow_light(light: Tensor) -> Tensor:
    """`y x` less what changes over more than 67 pixels."""
    for axis, n in enumerate(light.shape):  # a slope, which means would leave at the ends
        ramp = torch.linspace(-1, 1, n, dtype=light.dtype, device=light.device).view((-1, 1) if axis == 0 else (1, -1))
        light = light - (light * ramp).mean() / ramp.square().mean() * ramp
    around = F.pad(light[None, None], [_LIGHT] * 4, mode="reflect")
    for size in ((2 * _LIGHT + 1, 1), (1, 2 * _LIGHT + 1)):  # one axis after the other is some thirty times faster
        around = F.avg_pool2d(around, size, 1)
    return light - around[0, 0]


def order(light: Tensor) -> float:
    """How much of `y x` is in order over long ways: its largest correlation with itself 48 to 72 pixels away, 0 to 1.

    Slow changes of light do not count. Stones, beans and leaves have .1 or .2, rows and lattices more; 0 where the
    texture is too small to tell.
    """
    if min(light.shape) < 2 * _FAR[1]:
        return 0.0
    light = without_slow_light(light)
    twice = [2 * n for n in light.shape]
    power, pairs = (torch.fft.rfft2(each, twice).abs().square() for each in (light, torch.ones_like(light)))
    found = torch.fft.irfft2(power, twice) / torch.fft.irfft2(pairs, twice).clamp(min=1)
    down, right = (torch.fft.fftfreq(n, 1 / n, dtype=light.dtype, device=light.device) for n in twice)
    distance = torch.hypot(down[:, None], right)
    far = (distance >= _FAR[0]) & (distance < _FAR[1])
    return min(1.0, float(found[far].abs().max() / found[0, 0].clamp(min=1e-12)))


def coherence(light: Tensor) -> float:
    """How much the slopes of `y x`, over 4 pixels, lie along one line: the structure tensor's coherence, 0 to 1.

    Round things have 0; lit from one side stones have .3, fissures of bark .4, stripes 1.
    """
    light = F.avg_pool2d(light[None, None], _COARSE)[0, 0]
    if min(light.shape) < _LEAST_COARSE:
        return 0.0
    down, right = torch.gradient(light)
    along, across, both = (down**2).mean(), (right**2).mean(), (down * right).mean()
    return float(torch.hypot(along - across, 2 * both) / (along + across).clamp(min=1e-12))


def autocorrelation(light: Tensor, axis: int) -> np.ndarray:
    """Along one axis, for distances from 0 on: the correlation of what overlaps.

    What is constant along the axis is left out: courses of bricks would hide the joints.
    """
    lines = (light - light.mean(axis, keepdim=True)).movedim(axis, -1)
    size = lines.shape[-1]
    products = torch.fft.irfft(torch.fft.rfft(lines, 2 * size).abs().square(), 2 * size).sum(0)[:size]
    squares = lines.square().sum(0)
    first, last = squares.cumsum(0).flip(0), squares.flip(0).cumsum(0).flip(0)  # of what is left at each distance
    correlation: np.ndarray = (products / (first * last).sqrt().clamp(min=1e-12)).numpy()
    return correlation


def _most_regular(line: np.ndarray, periods: np.ndarray, last: int) -> float:
    return float(periods[_regularity(line, periods, last).argmax()])


def _regularity(line: np.ndarray, periods: np.ndarray, last: int) -> np.ndarray:
    """Of each period: the mean correlation at its multiples up to `last`, one at least, less that half way between."""
    counts = np.maximum(1, (last / periods).astype(int))
    starts = counts.cumsum() - counts
    period = periods.repeat(counts)
    at = period * (np.arange(len(period)) - starts.repeat(counts) + 1)
    high, low = (np.add.reduceat(_values(line, at - before), starts) / counts for before in (0, period / 2))
    difference: np.ndarray = high - low
    return difference


def _rows_of_period(line: np.ndarray, spacing: float, last: int) -> int:
    """After how many rows of a pattern all is the same again: 2 for a running bond, whose joints are moved by turns."""
    values = _values(line, spacing * np.arange(1, int(last / spacing) + 1))
    for rows in (2, 3):
        again = np.arange(1, len(values) + 1) % rows == 0
        if again.any() and values[again].mean() - values[~again].mean() > _MOVED:
            return rows
    return 1


def _values(line: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Cubic interpolation: half way between positions, a linear one would flatten the peaks of short periods."""
    base = np.clip(at.astype(int), 1, len(line) - 3)
    t = at - base
    weights = (-t * (t - 1) * (t - 2) / 6, (t * t - 1) * (t - 2) / 2, -t * (t + 1) * (t - 2) / 2, t * (t * t - 1) / 6)
    found: np.ndarray = sum(w * line[base + k - 1] for k, w in enumerate(weights))
    return found


def _aim(period: float, stride: int, least: float) -> int:
    """The whole number of pixels to which a period is brought by a scale of at least `least`, 0 for none in reach.

    It and the stride have a common multiple of few strides; enlarging costs time, reducing costs detail.
    """
    candidates = []
    for phases in range(1, _MOST_PHASES + 1):
        for count in range(1, phases * stride // _LEAST_PERIOD + 1):
            pixels, rest = divmod(phases * stride, count)
            scale = pixels / period if period else 0.0
            if not rest and math.gcd(phases, count) == 1 and period and least <= scale <= _SCALES[1]:
                change = math.log2(scale) * (1 if scale > 1 else -2)
                candidates.append((change + (phases - 1) / 3, pixels))
    return min(candidates)[1] if candidates else 0
