"""Measures of a clip against another: `t h w 3`, float32 in [0, 1], both of one size. No pretrained weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from texsyn.core.errors import TexsynError

Array = NDArray[Any]
_KERNEL = np.array([1, 4, 6, 4, 1], np.float32) / 16
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_RING = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]


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


def spectrum(clip: Array, bands: int = 6) -> Array:
    """Mean power in temporal x radial frequency bands."""
    y = luma(clip)
    y = y - y.mean()
    frames, height, width = y.shape
    window = np.hanning(frames)[:, None, None] * np.hanning(height)[None, :, None] * np.hanning(width)[None, None]
    power = np.abs(np.fft.fftn(y * window)) ** 2
    in_time = np.abs(np.fft.fftfreq(frames))[:, None, None] * np.ones((1, height, width))
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])[None] * np.ones((frames, 1, 1))
    band_t = np.minimum((in_time / 0.5 * bands).astype(int), bands - 1)
    band_r = np.minimum((radius / 0.5 * bands).astype(int), bands - 1)
    index = (band_t * bands + band_r).ravel()
    return np.asarray(np.bincount(index, power.ravel(), bands**2) / np.bincount(index, minlength=bands**2))


def log_spectral_distance(clip: Array, other: Array) -> float:
    """LSD in dB over temporal x radial bands."""
    ratio = 10 * np.log10((spectrum(clip) + 1e-6) / (spectrum(other) + 1e-6))
    return float(np.sqrt(np.mean(ratio**2)))


def top_band(clip: Array, other: Array, bands: int = 6) -> float:
    """Excess of the top spatial band in dB: an up-sampling checkerboard."""

    def power(v: Array) -> float:
        y = luma(v)
        y = y - y.mean((1, 2), keepdims=True)
        height, width = y.shape[1:]
        window = np.hanning(height)[:, None] * np.hanning(width)
        found = (abs(np.fft.fft2(y * window)) ** 2).mean(0)
        radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
        return float(found[(radius > 0.5 * (bands - 1) / bands) & (radius <= 0.5)].mean())

    return float(10 * np.log10(power(clip) / power(other)))


def divergence(p: Array, q: Array) -> float:
    """Jensen-Shannon divergence in bits."""
    middle = (p + q) / 2

    def relative(a: Array) -> float:
        return float(np.sum(np.where(a > 0, a * np.log2(np.maximum(a, 1e-12) / np.maximum(middle, 1e-12)), 0)))

    return (relative(p) + relative(q)) / 2


def local_binary_patterns(clip: Array) -> list[Array]:
    """LBP-TOP: histograms of codes in the xy, xt and yt planes."""
    y = luma(clip)
    centre = y[1:-1, 1:-1, 1:-1]
    histograms = []
    for first, second in ((1, 2), (0, 2), (0, 1)):
        code = np.zeros(centre.shape, int)
        for bit, (a, b) in enumerate(_RING):
            at = [1, 1, 1]
            at[first] += a
            at[second] += b
            moved = y[tuple(slice(start, start + size) for start, size in zip(at, centre.shape, strict=True))]
            code |= ((moved - centre) > 0.004).astype(int) << bit
        histogram = np.bincount(code.ravel(), minlength=256)
        histograms.append(histogram / histogram.sum())
    return histograms


def lbp_divergence(clip: Array, other: Array) -> float:
    """LBP: mean divergence of the three histograms, bits."""
    pairs = zip(local_binary_patterns(clip), local_binary_patterns(other), strict=True)
    return float(np.mean([divergence(a, b) for a, b in pairs]))


def normal_flow(clip: Array) -> Array:
    """Histogram over speed (8) x direction (8) of the motion along brightness gradients."""
    blur = _scipy().gaussian_filter
    y = np.stack([blur(frame, 1) for frame in luma(clip)])
    gradient_y, gradient_x = np.gradient(y, axis=1)[:-1], np.gradient(y, axis=2)[:-1]
    change = y[1:] - y[:-1]
    squared = gradient_x**2 + gradient_y**2
    seen = squared > 1e-4
    speed = -change[seen] / np.sqrt(squared[seen])
    angle = np.arctan2(gradient_y[seen], gradient_x[seen])
    angle = np.where(speed < 0, angle + np.pi, angle) % (2 * np.pi)
    fast = np.digitize(np.abs(speed), [0.05, 0.15, 0.3, 0.6, 1, 1.6, 2.5])
    towards = (angle / (2 * np.pi) * 8).astype(int) % 8
    histogram = np.bincount(fast * 8 + towards, np.sqrt(squared[seen]), 64)
    return np.asarray(histogram / max(histogram.sum(), 1e-12))


def flow_divergence(clip: Array, other: Array) -> float:
    """FLOW: divergence of the normal-flow histograms, bits; notices reversal and speed."""
    return divergence(normal_flow(clip), normal_flow(other))


def autocorrelation_difference(clip: Array, other: Array, lags: int = 8) -> float:
    """ACF: mean difference of temporal autocorrelation at lags 1 to 8."""

    def correlations(v: Array) -> Array:
        y = luma(v)
        y = y - y.mean(0)
        power = (y * y).mean() + 1e-9
        return np.array([(y[:-lag] * y[lag:]).mean() / power for lag in range(1, lags + 1)])

    return float(np.abs(correlations(clip) - correlations(other)).mean())


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


def _halve(clip: Array) -> Array:
    for axis in (0, 1, 2):
        clip = _scipy().convolve1d(clip, _KERNEL, axis=axis, mode="reflect")
    return clip[::2, ::2, ::2]


def _double(clip: Array, shape: tuple[int, ...]) -> Array:
    out = np.zeros(shape, np.float32)
    out[::2, ::2, ::2] = clip[: (shape[0] + 1) // 2, : (shape[1] + 1) // 2, : (shape[2] + 1) // 2]
    for axis in (0, 1, 2):
        out = _scipy().convolve1d(out, _KERNEL * 2, axis=axis, mode="reflect")
    return out


def pyramid(clip: Array, levels: int = 3) -> list[Array]:
    """Laplacian pyramid in space and time."""
    bands = []
    for _ in range(levels - 1):
        low = _halve(clip)
        bands.append(clip - _double(low, clip.shape))
        clip = low
    return [*bands, clip]


def _some_patches(clip: Array, size: tuple[int, ...], count: int, random: np.random.Generator) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(clip, size, axis=(0, 1, 2))
    at = [random.integers(0, n, count) for n in windows.shape[:3]]
    return windows[at[0], at[1], at[2]].reshape(count, -1)


def _all_patches(clip: Array, size: tuple[int, ...], stride: tuple[int, ...]) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(clip, size, axis=(0, 1, 2))
    return windows[:: stride[0], :: stride[1], :: stride[2]].reshape(-1, clip.shape[3] * int(np.prod(size)))


def coherence_and_completeness(clip: Array, other: Array, count: int = 600) -> tuple[float, float]:
    """Mean nearest-patch distances from `clip` to `other` and back, at two scales: print only, blur wins at both."""
    size, random, found = (3, 5, 5), np.random.default_rng(0), []

    def apart(queries: Array, keys: Array) -> float:
        squared = (queries * queries).sum(1)[:, None] + (keys * keys).sum(1)[None] - 2 * queries @ keys.T
        return float(np.sqrt(np.maximum(squared.min(1), 0) / queries.shape[1]).mean())

    for scale in range(2):
        if scale:
            clip, other = _halve(clip), _halve(other)
        stride = (1, 2, 2) if scale else (2, 2, 2)
        there = apart(_some_patches(clip, size, count, random), _all_patches(other, size, stride))
        back = apart(_some_patches(other, size, count, random), _all_patches(clip, size, stride))
        found.append((there, back))
    return float(np.mean([a for a, _ in found])), float(np.mean([b for _, b in found]))


def sliced_wasserstein(clip: Array, other: Array, count: int = 2000, slices: int = 64) -> float:
    """SWD on a three-level pyramid in space and time: print only, blur wins at it."""
    random, found = np.random.default_rng(0), []
    for a, b in zip(pyramid(clip), pyramid(other), strict=True):
        size = tuple(min(wanted, have) for wanted, have in zip((3, 7, 7), a.shape[:3], strict=True))
        own, reference = _some_patches(a, size, count, random), _some_patches(b, size, count, random)
        split = reference.reshape(count, 3, -1)
        mean, spread = split.mean((0, 2))[:, None], split.std((0, 2))[:, None] + 1e-6
        own = ((own.reshape(count, 3, -1) - mean) / spread).reshape(count, -1)
        reference = ((split - mean) / spread).reshape(count, -1)
        axes = random.standard_normal((own.shape[1], slices)).astype(np.float32)
        axes /= np.linalg.norm(axes, axis=0)
        found.append(np.abs(np.sort(own @ axes, 0) - np.sort(reference @ axes, 0)).mean())
    return float(np.mean(found))
