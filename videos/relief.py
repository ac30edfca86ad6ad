"""Height fields with colours and the light on them: what nature.py and crafts.py build their textures from.

Everything lies on a torus of n x n pixels. Lengths are pixels, angles radians, colours reflectances in [0, 1].
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Random = np.random.Generator
FINE = 2  # rendered at so many times the size, then averaged down


@dataclass
class Relief:
    """A surface: height `n n` towards the viewer, albedo `n n 3`, gloss from 0 (matt) to 1 (wet), one or `n n`."""

    height: np.ndarray
    albedo: np.ndarray
    gloss: float | np.ndarray = 0.0


def span(random: Random, low: float, high: float) -> float:
    """A log-uniform draw."""
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def element(random: Random, n: int, low: float = 3, high: float = 90) -> float:
    """The size of an element, log-uniform; the limits are pixels of a picture of 224."""
    return span(random, low, high) * n / 224


def unit(field: np.ndarray, spread: float = 2.0) -> np.ndarray:
    """A field as shares in [0, 1], `spread` standard deviations on either side of the mean."""
    return np.clip(0.5 + (field - field.mean()) / (2 * spread * field.std() + 1e-6), 0, 1)


def step(field: np.ndarray, edge: float = 0.0, width: float = 1.0) -> np.ndarray:
    """0 below `edge`, 1 above `edge + width`, smooth between."""
    t = np.clip((field - edge) / width, 0, 1)
    return t * t * (3 - 2 * t)


@lru_cache(8)
def _axes(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.fft.fftfreq(n).astype(np.float32)[:, None], np.fft.rfftfreq(n).astype(np.float32)[None]


def frequency(n: int, angle: float = 0.0, stretch: float = 1.0) -> np.ndarray:
    """Cycles a pixel of every wave, such that what is filtered by it is `stretch` times as long along `angle`."""
    y, x = _axes(n)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return np.sqrt(along**2 * stretch + across**2 / stretch).astype(np.float32)


def _drawn(random: Random, n: int, gain: np.ndarray) -> np.ndarray:
    """Gaussian noise of unit variance whose spectrum has the given gain."""
    waves = random.standard_normal((n, n // 2 + 1, 2), dtype=np.float32).view(np.complex64)[..., 0] * gain
    waves[0, 0] = 0
    field = np.fft.irfft2(waves, (n, n)).astype(np.float32)
    return field / (field.std() + 1e-9)


def smooth(random: Random, n: int, size: float, angle: float = 0.0, stretch: float = 1.0) -> np.ndarray:
    """Noise with nothing finer than about `size`."""
    return _drawn(random, n, np.exp(-2 * (frequency(n, angle, stretch) * size) ** 2))


def rough(
    random: Random, n: int, size: float, slope: float = 1.8, angle: float = 0.0, stretch: float = 1.0
) -> np.ndarray:
    """Fractal noise: amplitudes fall as frequency to the power of -`slope` below `size`."""
    return _drawn(random, n, (frequency(n, angle, stretch) ** 2 + size**-2.0) ** (-slope / 2))


def band(n: int, size: float, width: float = 0.3, angle: float = 0.0, stretch: float = 1.0) -> np.ndarray:
    """The gain of a filter that keeps waves of about `size`."""
    return np.exp(-((np.log(frequency(n, angle, stretch) * size + 1e-6) / width) ** 2))


def waves(random: Random, n: int, gain: np.ndarray, rounds: int = 4, bias: float = 0.0) -> np.ndarray:
    """Stripes (bias 0) or spots (bias .5) in [-1, 1]: noise that is filtered and saturated in turns."""
    field = _drawn(random, n, gain)
    for _ in range(rounds):
        field = np.fft.irfft2(np.fft.rfft2(np.tanh(2.5 * (field - bias))) * gain, (n, n))
        field = field.astype(np.float32) / (field.std() + 1e-9)
    return np.tanh(1.5 * (field - bias))


def blur(field: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur on a torus."""
    n = field.shape[0]
    gain = np.exp(-2 * np.pi**2 * sigma**2 * frequency(n) ** 2)
    return np.fft.irfft2(np.fft.rfft2(field) * gain, (n, n)).astype(np.float32)


def swirl(random: Random, n: int, size: float, amount: float) -> tuple[np.ndarray, np.ndarray]:
    """How far coordinates are bent, down and to the right: `amount` pixels over features of `size`."""
    return amount * smooth(random, n, size), amount * smooth(random, n, size)


def turned(random: Random) -> float:
    """An angle in [0, pi)."""
    return random.uniform(0, np.pi)


class Lattice:
    """Unit cells on the torus at any angle: rounded to whole numbers of waves, so that the torus has no seam.

    `p` and `q` count cells along both axes, `u` and `v` are the place in the cell from 0 to 1, `count` is the number of
    different cells; `multiple`: numbers of waves are multiples of it, so that patterns of that many cells fit too.
    """

    def __init__(self, n, cell, angle=0.0, aspect=1.0, skew=np.pi / 2, multiple=1, bend=(0.0, 0.0)):
        self.skew, long, short = skew, cell * aspect**0.5, cell / aspect**0.5
        axes = np.array([[long * np.cos(angle), short * np.cos(angle + skew)],
                         [long * np.sin(angle), short * np.sin(angle + skew)]])  # fmt: skip
        whole = (np.round(np.linalg.inv(axes) * n / multiple) * multiple).astype(int)
        if round(np.linalg.det(whole)) == 0:
            whole = np.diag(
                [max(1, round(n / long / multiple)) * multiple, max(1, round(n / short / multiple)) * multiple]
            )
        self.whole, self.count = whole, abs(round(np.linalg.det(whole)))
        y, x = (np.arange(n, dtype=np.float32)[:, None] + bend[0], np.arange(n, dtype=np.float32)[None] + bend[1])
        self.p, self.q = ((row[0] * x + row[1] * y) / np.float32(n) for row in whole.tolist())
        self.i, self.j = np.floor(self.p).astype(np.int32), np.floor(self.q).astype(np.int32)
        self.u, self.v = (self.p - self.i).astype(np.float32), (self.q - self.j).astype(np.float32)
        self._number()

    def _number(self, margin=3):
        """A table of the cells' numbers: cells that are one on the torus have one number."""
        low = self.i.min() - margin, self.j.min() - margin
        i, j = np.mgrid[low[0] : self.i.max() + margin + 1, low[1] : self.j.max() + margin + 1]
        (a, b), (c, d) = self.whole.tolist()
        key = ((d * i - b * j) % self.count) * self.count + (a * j - c * i) % self.count
        self.table = np.unique(key, return_inverse=True)[1].reshape(key.shape).astype(np.int32)
        self.place = (self.i - low[0]) * key.shape[1] + (self.j - low[1])  # in the flat table

    def beside(self, i: int, j: int) -> np.ndarray:
        """The place in the flat table of the cell so many further along both axes."""
        return self.place + np.int32(i * self.table.shape[1] + j)

    def cells(self) -> np.ndarray:
        """`n n`: number of the cell in which a pixel lies."""
        return self.table.ravel().take(self.place)

    def nearest(self, random: Random, jitter: float = 1.0):
        """Worley's cells around one point each: five fields `n n`: first, second, number, right, down.

        Distances to the nearest point and to the next, in cells, the nearest's number, and where from it a pixel lies.
        """
        points = random.uniform(0.5 - jitter / 2, 0.5 + jitter / 2, (2, self.count)).astype(np.float32)
        spots = points[0][self.table].ravel(), points[1][self.table].ravel()
        lean, rise = np.float32(np.cos(self.skew)), np.float32(np.sin(self.skew))
        first = second = np.full(self.u.shape, 9e9, np.float32)
        index, right, down = self.place, self.u, self.v
        for i in (-1, 0, 1):
            for j in (-1, 0, 1):
                place = self.beside(i, j)
                across = rise * (spots[1].take(place) + (j - self.v))
                along = spots[0].take(place) + (i - self.u) + (lean / rise) * across
                distance = along * along + across * across
                second = np.minimum(second, np.maximum(first, distance))
                closer = distance < first
                first, index = np.where(closer, distance, first), np.where(closer, place, index)
                right, down = np.where(closer, along, right), np.where(closer, across, down)
        return np.sqrt(first), np.sqrt(second), self.table.ravel().take(index), right, down


def paint(random: Random, n: int, along, across, angle, bend=0.0, inside=None):
    """Lay strokes or patches one over the other at random places: half lengths, half widths, angles, one of each.

    `inside(u, v, number)` says which part of [-1, 1] x [-1, 1] is there. Returns three fields `n n`: the number of the
    topmost (-1: none), and the place on it, u along and v across.
    """
    count = len(along)
    number = np.arange(count, dtype=np.int32)[:, None, None]
    u = np.linspace(-1, 1, int(2.7 * np.max(along)) + 2, dtype=np.float32)[None, :, None]
    v = np.linspace(-1, 1, int(2.7 * np.max(across)) + 2, dtype=np.float32)[None, None, :]
    along, across, angle, bend = (
        np.broadcast_to(np.float32(f), count)[:, None, None] for f in (along, across, angle, bend)
    )
    y, x = random.uniform(0, n, (2, count, 1, 1)).astype(np.float32)
    far, side = along * u, bend * (u * u - 0.3) + across * v
    rows = (y + far * np.sin(angle) + side * np.cos(angle)).astype(np.int32) % n
    columns = (x + far * np.cos(angle) - side * np.sin(angle)).astype(np.int32) % n
    there = np.ones(rows.shape, bool) if inside is None else np.broadcast_to(inside(u, v, number), rows.shape)
    top = np.full(n * n, -1, np.int32)
    top[(rows * n + columns)[there]] = np.flatnonzero(there)  # of several for one pixel the last stays
    owner, rest = np.divmod(top.reshape(n, n), u.size * v.size)
    u, v = u.ravel()[rest // v.size], v.ravel()[rest % v.size]
    return owner, np.where(owner < 0, 0, u), np.where(owner < 0, 0, v)


def hsv(hue, saturation, value) -> np.ndarray:
    """Linear reflectances `... 3` from hue (turns), saturation and value as a screen has them."""
    k = (np.array([5, 3, 1]) + np.asarray(hue)[..., None] * 6) % 6
    wheel = np.clip(np.minimum(k, 4 - k), 0, 1)
    return (np.asarray(value)[..., None] * (1 - np.asarray(saturation)[..., None] * wheel)).astype(np.float32) ** 2.2


KINDS = {  # hue (turns) and saturation from ... to; how often
    "earth": ((0.03, 0.12), (0.1, 0.55), 9),
    "grey": ((0.02, 0.65), (0.0, 0.1), 5),
    "cold": ((0.5, 0.66), (0.05, 0.4), 2),
    "green": ((0.15, 0.32), (0.1, 0.45), 2),
    "any": ((-0.08, 0.68), (0.05, 0.45), 3),
    "vivid": ((0.0, 1.0), (0.4, 0.85), 1.5),
}


def _colour(random: Random, count: int, but: str) -> tuple[np.ndarray, np.ndarray]:
    names = [name for name in KINDS if name not in but]
    odds = np.array([KINDS[name][2] for name in names], float)
    hues, saturations, _ = KINDS[names[random.choice(len(names), p=odds / odds.sum())]]
    hue = random.uniform(*hues) + random.choice([0.012, 0.03, 0.2], p=[0.5, 0.35, 0.15]) * random.standard_normal(count)
    return hue, random.uniform(*saturations) * random.uniform(0.5, 1.2, count)


def palette(random: Random, count: int, but: str = "") -> np.ndarray:
    """`count 3` colours that go together, from dark to light, of no kind named in `but`."""
    hue, saturation = _colour(random, count, but)
    if random.random() < 0.2:  # one of them from elsewhere
        other, k = _colour(random, count, but), random.integers(count)
        hue[k], saturation[k] = other[0][k], other[1][k]
    middle, half = random.uniform(0.35, 0.75), span(random, 0.06, 0.35)
    value = np.clip(np.linspace(middle - half, middle + half, count), 0.08, 0.95)
    return hsv(hue, np.clip(saturation * (1.25 - 0.5 * value), 0, 0.95), value)


def ramp(colours: np.ndarray, share: np.ndarray) -> np.ndarray:
    """`... 3`: colours by share, from the first at 0 to the last at 1."""
    stops = np.linspace(0, 1, len(colours))
    fine = np.stack([np.interp(np.linspace(0, 1, 256), stops, c) for c in colours.T], -1).astype(np.float32)
    return fine[np.clip(share * 255, 0, 255).astype(np.uint8)]


def tints(random: Random, colours: np.ndarray, count: int, spread: float) -> np.ndarray:
    """`count 3`: one of the colours each, lighter or darker by `spread` (natural logarithm)."""
    shades = np.exp(spread * random.standard_normal((count, 1)) + 0.2 * spread * random.standard_normal((count, 3)))
    return np.clip(colours[random.integers(0, len(colours), count)] * shades, 0, 0.95).astype(np.float32)


def mottled(random: Random, colour: np.ndarray, n: int, size: float, amount: float, slope: float = 1.0) -> np.ndarray:
    """`n n 3`: a colour, or colours `n n 3`, made lighter and darker by noise of about `amount`."""
    return colour * (1 + amount * rough(random, n, size, slope)[..., None])


def lay(under: np.ndarray, over: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A layer over another where the mask is 1; layers are fields, colours `n n 3` or one colour."""
    mask = mask[..., None] if np.ndim(over) != 2 and mask.ndim == 2 else mask
    return under + mask * (over - under)


def _shadow(height: np.ndarray, lamp: np.ndarray, softness: float, steps: int = 18) -> np.ndarray:
    """1 where the lamp reaches, 0 in cast shadow."""
    flat, n = np.hypot(lamp[0], lamp[1]), height.shape[0]
    light = np.ones_like(height)
    for k in range(1, steps + 1):
        away = (0.6 * k + 0.075 * k * k) * n / 448  # nearer steps are closer
        shift = round(-lamp[1] / flat * away), round(-lamp[0] / flat * away)
        blocker = np.roll(height, shift, (0, 1)) - height - away * lamp[2] / flat
        np.minimum(light, 1 - blocker / softness, out=light)
    return np.clip(light, 0, 1)


def light(random: Random, relief: Relief) -> np.ndarray:
    """`n n 3`, linear: a lamp somewhere, or an overcast sky; ambient occlusion, shadows, highlights, reflected sky."""
    height, n = relief.height.astype(np.float32), relief.height.shape[0]
    turn, rise = random.uniform(0, 2 * np.pi), np.radians(random.uniform(20, 75))
    lamp = np.array([np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise)], np.float32)
    slope = [np.roll(height, -1, axis) - np.roll(height, 1, axis) for axis in (1, 0)]
    up = 1 / np.sqrt(1 + (slope[0] ** 2 + slope[1] ** 2) / 4)
    facing = np.clip((lamp[2] - (lamp[0] * slope[0] + lamp[1] * slope[1]) / 2) * up, 0, 1)
    seen = np.ones_like(height)
    for sigma in (n / 180, n / 60, n / 24):
        seen *= np.clip(1 - np.maximum(blur(height, sigma) - height, 0) / (1.8 * sigma), 0.2, 1)
    sun = random.uniform(0.0, 0.25) if random.random() < 0.25 else span(random, 0.5, 2.0)
    lit = facing * (_shadow(height, lamp, span(random, 0.006, 0.05) * n) if sun > 0.25 else 1)
    warm = 1 + random.uniform(-0.03, 0.14) * np.array([1, 0, -1.2], np.float32)
    colour = relief.albedo * (sun * lit[..., None] * warm + 0.45 * (seen * (0.6 + 0.4 * up))[..., None] / warm)
    half = lamp + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    shine = np.clip((half[2] - (half[0] * slope[0] + half[1] * slope[1]) / 2) * up, 0, 1)
    glint = (0.3 + sun) * shine ** span(random, 8, 90) * np.clip(lit / (facing + 1e-3), 0, 1)
    sky = 0.12 * seen * (1.2 - up) * (1 - np.tanh(slope[1]))  # the brighter upper half of what is around
    return colour + (np.asarray(relief.gloss) * (glint + sky))[..., None]


def _knee(picture: np.ndarray, rim: float = 0.07) -> np.ndarray:
    """Shadows and lights that would be cut off run out softly instead."""
    low = np.where(picture < rim, rim * np.exp(np.minimum(picture / rim - 1, 0)), picture)
    return np.where(low > 1 - rim, 1 - rim * np.exp(np.minimum((1 - low) / rim - 1, 0)), low)


def camera(random: Random, scene: np.ndarray) -> np.ndarray:
    """uint8 picture of a linear scene: exposure, tone curve, grading, averaging down, blur or sharpening, grain."""
    scene = scene * (span(random, 0.05, 0.55) / scene.mean())
    white = max(float(np.quantile(scene[::7, ::5], 0.997)), 0.3)
    scene = np.clip(scene * (1 + scene / white**2) / (1 + scene), 0, 1) ** np.float32(1 / 2.2)
    grey, mean = scene.mean(-1, keepdims=True), scene.mean((0, 1))
    saturation = random.choice([0.0, 0.6, 1.0, 1.2], p=[0.1, 0.2, 0.45, 0.25])
    contrast = span(random, 0.65, 1.6)
    picture = mean + contrast * (grey + saturation * (scene - grey) - mean) + random.normal(0, 0.012, 3)
    size = len(picture) // FINE
    picture = picture.reshape(size, FINE, size, FINE, 3).mean((1, 3))
    focus = random.choice([-1.0, random.uniform(-1, 0), random.uniform(0, 0.7)])  # soft to sharpened
    lens = random.uniform(0.4, 0.9)
    softer = np.stack([blur(picture[..., c], lens) for c in range(3)], -1)
    picture = picture + focus * (picture - softer)
    grain = random.standard_normal((size, size, 1)) + 0.4 * random.standard_normal((size, size, 3))
    return np.round(np.clip(_knee(picture) + span(random, 0.002, 0.02) * grain, 0, 1) * 255).astype(np.uint8)
