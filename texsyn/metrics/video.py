"""Metrics of a clip against another: `t h w 3`, float32 in [0, 1], both of one size."""

from __future__ import annotations

from typing import Any

import numpy as np

from texsyn.core.errors import TexsynError
from texsyn.metrics import sliced_wasserstein as swd
from texsyn.metrics.image import nearest
from texsyn.metrics.sliced_wasserstein import BINOMIAL, Array

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_RING = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]  # neighbours of a local binary pattern
_LBP_THRESHOLD = 0.004  # by which a neighbour must be brighter to count, so that noise does not
_PATCH = (3, 5, 5)  # frames and pixels of the patches of coherence and completeness
_SWD_PATCH = (3, 7, 7)


def _scipy() -> Any:
    try:
        import scipy.ndimage
    except ImportError as error:
        raise TexsynError(
            "FLOW and distances of a clip's patches need the extra texsyn[quality]: pip install 'texsyn[quality]'"
        ) from error
    return scipy.ndimage


def luma(clip: Array) -> Array:
    """`t h w` brightness."""
    return np.asarray(clip @ _LUMA)


# ------------------------------------------------------------ spectra


def spectrum(clip: Array, bands: int = 6) -> Array:
    """`bands * bands`: mean power in bands of temporal frequency x radial spatial frequency."""
    y = luma(clip)
    y = y - y.mean()
    frames, height, width = y.shape
    window = np.hanning(frames)[:, None, None] * np.hanning(height)[None, :, None] * np.hanning(width)[None, None]
    power = np.abs(np.fft.fftn(y * window)) ** 2
    in_time = np.abs(np.fft.fftfreq(frames))[:, None, None] * np.ones((1, height, width))
    radius = _radial_frequency(height, width)[None] * np.ones((frames, 1, 1))
    band_t = np.minimum((in_time / 0.5 * bands).astype(int), bands - 1)
    band_r = np.minimum((radius / 0.5 * bands).astype(int), bands - 1)
    index = (band_t * bands + band_r).ravel()
    return np.asarray(np.bincount(index, power.ravel(), bands**2) / np.bincount(index, minlength=bands**2))


def _radial_frequency(height: int, width: int) -> Array:
    """`height width`: each frequency's distance from zero, in cycles a pixel."""
    return np.asarray(np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]))


def log_spectral_distance(clip: Array, other: Array) -> float:
    """LSD in dB over temporal x radial bands."""
    ratio = 10 * np.log10((spectrum(clip) + 1e-6) / (spectrum(other) + 1e-6))
    return float(np.sqrt(np.mean(ratio**2)))


def top_band(clip: Array, other: Array) -> float:
    """Excess of the top spatial band in dB: an up-sampling checkerboard."""
    return float(10 * np.log10(_top_band_power(clip) / _top_band_power(other)))


def _top_band_power(clip: Array, bands: int = 6) -> float:
    y = luma(clip)
    y = y - y.mean((1, 2), keepdims=True)
    height, width = y.shape[1:]
    window = np.hanning(height)[:, None] * np.hanning(width)
    power = (abs(np.fft.fft2(y * window)) ** 2).mean(0)
    radius = _radial_frequency(height, width)
    return float(power[(radius > 0.5 * (bands - 1) / bands) & (radius <= 0.5)].mean())


# ------------------------------------------------------------ local patterns and motion


def divergence(p: Array, q: Array) -> float:
    """Jensen-Shannon divergence of two histograms in bits."""
    middle = (p + q) / 2
    return (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2


def _relative_entropy(p: Array, q: Array) -> float:
    return float(np.sum(np.where(p > 0, p * np.log2(np.maximum(p, 1e-12) / np.maximum(q, 1e-12)), 0)))


def local_binary_patterns(clip: Array) -> list[Array]:
    """LBP-TOP (Zhao, Pietikainen 2007): histograms of codes in the xy, xt and yt planes, 256 each."""
    y = luma(clip)
    centre = y[1:-1, 1:-1, 1:-1]
    histograms = []
    for first, second in ((1, 2), (0, 2), (0, 1)):
        code = np.zeros(centre.shape, int)
        for bit, (a, b) in enumerate(_RING):
            start = [1, 1, 1]
            start[first] += a
            start[second] += b
            neighbour = y[tuple(slice(s, s + size) for s, size in zip(start, centre.shape, strict=True))]
            code |= ((neighbour - centre) > _LBP_THRESHOLD).astype(int) << bit
        histogram = np.bincount(code.ravel(), minlength=256)
        histograms.append(histogram / histogram.sum())
    return histograms


def lbp_divergence(clip: Array, other: Array) -> float:
    """LBP: mean divergence of the three histograms, bits."""
    pairs = zip(local_binary_patterns(clip), local_binary_patterns(other), strict=True)
    return float(np.mean([divergence(a, b) for a, b in pairs]))


def normal_flow(clip: Array) -> Array:
    """`64`: histogram over speed (8) x direction (8) of the motion along brightness gradients."""
    blur = _scipy().gaussian_filter
    y = np.stack([blur(frame, 1) for frame in luma(clip)])
    gradient_y, gradient_x = np.gradient(y, axis=1)[:-1], np.gradient(y, axis=2)[:-1]
    change = y[1:] - y[:-1]
    squared = gradient_x**2 + gradient_y**2
    steep = squared > 1e-4
    speed = -change[steep] / np.sqrt(squared[steep])
    angle = np.arctan2(gradient_y[steep], gradient_x[steep])
    angle = np.where(speed < 0, angle + np.pi, angle) % (2 * np.pi)
    speed_bin = np.digitize(np.abs(speed), [0.05, 0.15, 0.3, 0.6, 1, 1.6, 2.5])
    direction_bin = (angle / (2 * np.pi) * 8).astype(int) % 8
    histogram = np.bincount(speed_bin * 8 + direction_bin, np.sqrt(squared[steep]), 64)
    return np.asarray(histogram / max(histogram.sum(), 1e-12))


def flow_divergence(clip: Array, other: Array) -> float:
    """FLOW: divergence of the normal-flow histograms, bits; sensitive to reversal and speed."""
    return divergence(normal_flow(clip), normal_flow(other))


def autocorrelation_difference(clip: Array, other: Array) -> float:
    """ACF: mean difference of temporal autocorrelation at lags 1 to 8."""
    return float(np.abs(_autocorrelation(clip) - _autocorrelation(other)).mean())


def _autocorrelation(clip: Array, lags: int = 8) -> Array:
    y = luma(clip)
    y = y - y.mean(0)
    power = (y * y).mean() + 1e-9
    return np.array([(y[:-lag] * y[lag:]).mean() / power for lag in range(1, lags + 1)])


# ------------------------------------------------------------ whole frames


def nearest_frame(clip: Array, other: Array) -> float:
    """Mean over frames of the root mean square distance to the nearest frame of `other`."""
    distances = [np.sqrt(((frame[None] - other) ** 2).mean((1, 2, 3))).min() for frame in clip]
    return float(np.mean(distances))


def seam(clip: Array) -> float:
    """Jump from the last to the first frame over the median step; an exact loop is about 1."""
    steps = np.sqrt(((clip[1:] - clip[:-1]) ** 2).mean((1, 2, 3)))
    return float(np.sqrt(((clip[0] - clip[-1]) ** 2).mean()) / (np.median(steps) + 1e-6))


def diversity(samples: list[Array], exemplar: Array) -> float:
    """Mean deviation of a pixel over samples, over that of the exemplar in time (luma); nan for one sample."""
    if len(samples) < 2:
        return float("nan")
    return float(np.array([luma(s) for s in samples]).std(0, ddof=1).mean() / (luma(exemplar).std(0).mean() + 1e-9))


# ------------------------------------------------------------ patches in space and time


def _halve(clip: Array) -> Array:
    for axis in (0, 1, 2):
        clip = _scipy().convolve1d(clip, BINOMIAL, axis=axis, mode="reflect")
    return clip[::2, ::2, ::2]


def _double(clip: Array, shape: tuple[int, ...]) -> Array:
    out = np.zeros(shape, np.float32)
    out[::2, ::2, ::2] = clip[: (shape[0] + 1) // 2, : (shape[1] + 1) // 2, : (shape[2] + 1) // 2]
    for axis in (0, 1, 2):
        out = _scipy().convolve1d(out, BINOMIAL * 2, axis=axis, mode="reflect")
    return out


def _split(clip: Array) -> tuple[Array, Array]:
    low = _halve(clip)
    return clip - _double(low, clip.shape), low


def pyramid(clip: Array, levels: int = 3) -> list[Array]:
    """Laplacian pyramid in space and time, the finest band first."""
    return swd.pyramid(clip, levels, _split)


def _windows(clip: Array, size: tuple[int, ...]) -> Array:
    return np.lib.stride_tricks.sliding_window_view(clip, size, axis=(0, 1, 2))


def _random_patches(clip: Array, size: tuple[int, ...], count: int, random: np.random.Generator) -> Array:
    windows = _windows(clip, size)
    at = [random.integers(0, n, count) for n in windows.shape[:3]]
    return windows[at[0], at[1], at[2]].reshape(count, -1)


def _grid_patches(clip: Array, size: tuple[int, ...], stride: tuple[int, ...]) -> Array:
    windows = _windows(clip, size)[:: stride[0], :: stride[1], :: stride[2]]
    return windows.reshape(-1, clip.shape[3] * int(np.prod(size)))


def coherence_and_completeness(clip: Array, other: Array, count: int = 600) -> tuple[float, float]:
    """Mean nearest-patch distances from `clip` to `other` and back, at two scales.

    For information only: a blurred clip scores better at both than real footage.
    """
    random, coherence, completeness = np.random.default_rng(0), [], []
    for scale in range(2):
        if scale:
            clip, other = _halve(clip), _halve(other)
        stride = (1, 2, 2) if scale else (2, 2, 2)
        queries = _random_patches(clip, _PATCH, count, random)
        coherence.append(nearest(queries, _grid_patches(other, _PATCH, stride))[1].mean())
        queries = _random_patches(other, _PATCH, count, random)
        completeness.append(nearest(queries, _grid_patches(clip, _PATCH, stride))[1].mean())
    return float(np.mean(coherence)), float(np.mean(completeness))


def sliced_wasserstein(clip: Array, other: Array, count: int = 2000, slices: int = 64) -> float:
    """SWD on a three-level pyramid in space and time. For information only: a blurred clip scores well."""
    random, distances = np.random.default_rng(0), []
    for a, b in zip(pyramid(clip), pyramid(other), strict=True):
        size = tuple(min(wanted, have) for wanted, have in zip(_SWD_PATCH, a.shape[:3], strict=True))
        own, reference = _random_patches(a, size, count, random), _random_patches(b, size, count, random)
        split = reference.reshape(count, 3, -1)  # per colour
        mean, deviation = split.mean((0, 2))[:, None], split.std((0, 2))[:, None] + 1e-6
        own = ((own.reshape(count, 3, -1) - mean) / deviation).reshape(count, -1)
        reference = ((split - mean) / deviation).reshape(count, -1)
        distances.append(swd.sliced_distance(own, reference, slices, random))
    return float(np.mean(distances))
