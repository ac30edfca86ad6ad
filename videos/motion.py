"""Fields and things that move: what air.py, bodies.py and sparks.py build their clips from.

Arrays are `frames n n`, things are `frames count`. Lengths are pixels, times frames, light is linear. What is
made of waves lies on a torus, everything else is cut off at the border.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from relief import Random, blur, frequency, hsv, palette, ramp, rough, smooth, span, unit

TURN = 2 * np.pi


@dataclass
class Layer:
    """Light `frames n n 3`, already weighted by `cover`, the share 0 ... 1 of what is behind that it hides.

    night: a scene of lights, which the camera leaves dark.
    """

    light: np.ndarray
    cover: float | np.ndarray = 1.0
    night: bool = False


def times(frames: int) -> np.ndarray:
    """`frames 1 1`: the number of the frame."""
    return np.arange(frames, dtype=np.float32)[:, None, None]


def grid(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows `n 1` and columns `1 n` of the pixels."""
    line = np.arange(n, dtype=np.float32)
    return line[:, None], line[None]


def turned(random: Random) -> float:
    """A direction in [0, 2 pi)."""
    return random.uniform(0, TURN)


def fractal(n: int, size: float, slope: float = 1.8, angle: float = 0.0, stretch: float = 1.0) -> np.ndarray:
    """The gain of noise whose amplitudes fall as frequency to the power of -`slope` below `size`."""
    return (frequency(n, angle, stretch) ** 2 + size**-2.0) ** (-slope / 2)


def soft(n: int, size: float, angle: float = 0.0, stretch: float = 1.0) -> np.ndarray:
    """The gain of noise with nothing finer than about `size`."""
    return np.exp(-2 * (frequency(n, angle, stretch) * size) ** 2)


def course(n: int, speed: float, angle: float) -> np.ndarray:
    """Cycles a frame of every wave when all move together."""
    y, x = np.fft.fftfreq(n).astype(np.float32)[:, None], np.fft.rfftfreq(n).astype(np.float32)[None]
    return -speed * (x * np.cos(angle) + y * np.sin(angle))


def moved(random: Random, n: int, frames: int, gain: np.ndarray, pace: np.ndarray) -> np.ndarray:
    """`frames n n` noise of unit variance: every wave turns at its own pace, blurred by a half-open shutter.

    Constant paces make it stationary: a sum of waves has no first frame.
    """
    drawn = random.standard_normal((n, n // 2 + 1, 2), dtype=np.float32).view(np.complex64)[..., 0] * gain
    drawn *= np.exp(-2 * (0.5 * pace) ** 2)
    drawn[0, 0] = 0
    phase = (TURN * pace)[None] * times(frames)
    field = np.fft.irfft2((np.cos(phase) + 1j * np.sin(phase)) * drawn, (n, n)).astype(np.float32)
    return field / (field.std() + 1e-9)


def drifting(random: Random, n: int, frames: int, gain: np.ndarray, speed: float, angle: float, churn: float):
    """Noise that drifts and changes as it goes; `churn` is the spread of its waves' speeds."""
    spread = churn * frequency(n) * random.standard_normal((n, n // 2 + 1), dtype=np.float32)
    return moved(random, n, frames, gain, course(n, speed, angle) + spread)


def slopes(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Differences down and to the right, on the torus."""
    return tuple((np.roll(field, -1, axis) - np.roll(field, 1, axis)) / 2 for axis in (-2, -1))


def look(field: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Bilinear look-up on the torus; the field is `n n`, one for all, or `frames n n`, one each."""
    n, flat = field.shape[-1], field.ravel()
    top, left = np.floor(y), np.floor(x)
    down, right = y - top, x - left
    rows, columns = top.astype(np.int32) % n, left.astype(np.int32) % n
    below, beside = (rows + 1) % n * n, (columns + 1) % n
    rows *= n
    if field.ndim == 3:
        start = np.arange(len(field), dtype=np.int32)[:, None, None] * (n * n)
        rows, below = rows + start, below + start
    upper = flat.take(rows + columns) * (1 - right) + flat.take(rows + beside) * right
    lower = flat.take(below + columns) * (1 - right) + flat.take(below + beside) * right
    return upper + down * (lower - upper)


def wobble(random: Random, frames: int, count: int, period: float) -> np.ndarray:
    """`frames count`: a signal each of about unit variance and the given period, for sway and flicker."""
    pace = np.exp(0.5 * random.standard_normal((4, 1, count))) / period
    return (np.sin(TURN * (pace * np.arange(frames)[:, None] + random.random((4, 1, count)))).sum(0) / 2**0.5).astype(
        np.float32
    )


def passing(random: Random, frames: int, speed: np.ndarray, length: float, width: float):
    """Places of things that cross `length` and come again elsewhere in `width`, and their laps: `frames count` each.

    They start evenly spread, so that about as many are in the picture at any time.
    """
    count = len(speed)
    start = random.permutation(np.arange(count) + random.random(count)) * (length / count)
    way = start + speed * np.arange(frames)[:, None]
    lap = np.floor(way / length)
    aside = (random.uniform(0, width, count) + 0.618 * width * lap * (1 + random.random(count))) % width
    return (way - lap * length).astype(np.float32), aside.astype(np.float32), lap


def settled(advance: Callable, state, settle: int, frames: int, rounds: int = 1) -> list:
    """States of a simulation, `rounds` steps apart, after it has run in; `advance(state, moment)` is a step."""
    kept = []
    for moment in range(settle + rounds * frames):
        state = advance(state, moment)
        if moment >= settle and (moment - settle) % rounds == 0:
            kept.append(state)
    return kept


def around(field: np.ndarray) -> np.ndarray:
    """What four neighbours on the torus have more than the pixel itself."""
    return sum(np.roll(field, shift, axis) for shift in (1, -1) for axis in (0, 1)) - 4 * field


def _samples(y, x, along, across, angle):
    """Places in things' own axes, u along and v across from -1 to 1, and the pixels these are: `frames count u v`."""
    whole = lambda f: np.broadcast_to(np.float32(f), y.shape)[..., None, None]  # noqa: E731
    u = np.linspace(-1, 1, int(2.7 * np.max(along)) + 2, dtype=np.float32)[:, None]
    v = np.linspace(-1, 1, int(2.7 * np.max(across)) + 2, dtype=np.float32)
    far, side, cos, sin = whole(along) * u, whole(across) * v, np.cos(whole(angle)), np.sin(whole(angle))
    rows = np.floor(whole(y) + far * sin + side * cos).astype(np.int32)
    return u, v, rows, np.floor(whole(x) + far * cos - side * sin).astype(np.int32)


def afford(frames: int, along: float, across: float, wish: float) -> int:
    """How many of the things that are wished for can be drawn in time."""
    return int(max(1, min(wish, 3e6 / (frames * (2.7 * along + 2) * (2.7 * across + 2)))))


def _pixels(n: int, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which samples are within the picture, and the number of every sample's pixel in `frames n n`."""
    start = np.arange(len(rows), dtype=np.int32)[:, None, None, None] * (n * n)
    return (rows >= 0) & (rows < n) & (columns >= 0) & (columns < n), start + rows * n + columns


def glow(n: int, y, x, along, across, angle, strength, profile: Callable) -> np.ndarray:
    """`frames n n`: things that add up, each of `strength` at places where `profile(u, v)` is 1."""
    u, v, rows, columns = _samples(y, x, along, across, angle)
    inside, pixel = _pixels(n, rows, columns)
    area = 4 * np.broadcast_to(np.float32(along) * np.float32(across), y.shape) / (u.size * v.size)
    weight = (area * strength)[..., None, None] * profile(u, v)
    field = np.bincount(pixel[inside], weight[inside], len(y) * n * n)
    return field.reshape(-1, n, n).astype(np.float32)


def opaque(n: int, y, x, along, across, angle, inside: Callable):
    """The topmost thing at each pixel (-1: none), `frames n n`, and the place on it, u along and v across."""
    u, v, rows, columns = _samples(y, x, along, across, angle)
    there, pixel = _pixels(n, rows, columns)
    there &= inside(u, v)
    top = np.full(len(y) * n * n, -1, np.int64)
    top[pixel[there]] = np.flatnonzero(there)
    owner, rest = np.divmod(top.reshape(-1, n, n), u.size * v.size)
    u, v = u.ravel()[rest // v.size], v.ravel()[rest % v.size]
    return np.where(owner < 0, -1, owner % y.shape[1]), u, v


def disc(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """1 within the ellipse."""
    return (u * u + v * v < 1).astype(np.float32)


def dot(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Bright in the middle, nothing at the rim."""
    return np.clip(1 - u * u - v * v, 0, 1) ** 2


def over(random: Random, front: Layer, back: np.ndarray) -> np.ndarray:
    """Light of things and of what is behind them: made darker than bright things and brighter than dark ones, and
    so dark behind lamps that it gives less light than they.
    """
    own = front.light.mean() / max(float(np.mean(front.cover)), 1e-6)
    ratio = span(random, 2, 6)
    level = own / ratio if own > 0.2 else max(own * ratio, 0.25)
    if front.night:
        level = span(random, 0.1, 1) * front.light.mean()
    return front.light + back * (level / back.mean() * (1 - front.cover))[..., None]


def tinted(field: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Light of one colour, `... 3`."""
    return field[..., None] * np.asarray(colour, np.float32)


SKIES = {  # hue, saturation and value at the top and at the horizon
    "day": ((0.6, 0.6, 0.65), (0.56, 0.15, 0.95)),
    "dusk": ((0.66, 0.5, 0.35), (0.06, 0.7, 0.95)),
    "dawn": ((0.58, 0.35, 0.6), (0.95, 0.3, 0.95)),
    "storm": ((0.6, 0.15, 0.35), (0.55, 0.06, 0.7)),
    "gold": ((0.1, 0.3, 0.7), (0.11, 0.55, 1.0)),
    "moon": ((0.63, 0.5, 0.12), (0.6, 0.35, 0.35)),
}


def sky(random: Random, count: int = 3) -> np.ndarray:
    """`count 3`: colours of one sky from its top to the horizon."""
    ends = np.array(SKIES[random.choice(list(SKIES))]) + random.normal(0, (0.015, 0.05, 0.04), (2, 3))
    hue, saturation, value = ends.clip(0.02, 1).T
    first, last = hsv(hue, saturation, value)
    share = np.linspace(0, 1, count, dtype=np.float32)[:, None]
    return first + (last - first) * share


def upright(n: int, colours: np.ndarray, bend: float | np.ndarray = 0.0) -> np.ndarray:
    """`n n 3`: colours from the top to the bottom, `bend` shifts them by shares of the height."""
    return ramp(colours, np.clip(grid(n)[0] / n + bend + np.zeros((n, n)), 0, 1))


def backdrop(random: Random, n: int, night: bool = False) -> np.ndarray:
    """`n n 3`: what is behind things, out of focus: a sky, a haze or blots of colour."""
    kind = random.random()
    if kind < 0.4:
        return upright(n, sky(random), 0.05 * smooth(random, n, n / 6, 0, 5))
    colours = palette(random, 4, "vivid any earth" if night else "vivid")
    if kind < 0.6:
        return upright(n, random.permutation(colours), 0.15 * smooth(random, n, n / 3))
    blots = rough(random, n, span(random, 0.1, 0.5) * n, random.uniform(1.4, 2.4), np.pi / 2, span(random, 1, 4))
    return ramp(colours, unit(blur(blots, span(random, 0.012, 0.06) * n)))
