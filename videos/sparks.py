"""Families of clips of lights, wheels and reactions; moving.py films and combines them.

Each draws its parameters and returns a layer of `frames n n` pixels. Names of all: `size` is that of a thing, in
pixels, `speed` pixels a frame.
"""

import numpy as np
from bodies import across
from motion import TURN, Layer, afford, around, dot, glow, grid, passing, settled, times, tinted, turned, wobble
from relief import Random, element, frequency, hsv, lay, palette, ramp, rough, smooth, span, step, unit

SIDE = 64  # pixels of a side on which reactions run


def embers(random: Random, n: int, frames: int) -> Layer:
    """Sparks that rise and swirl in the dark and go out, or fireflies."""
    speed, size = n * span(random, 0.008, 0.035), n * span(random, 0.009, 0.022)
    count = afford(frames, 6 * size, size, span(random, 60, 300))
    y, x, _ = across(random, n, frames, count, speed * random.uniform(0.4, 1.6, count), 6 * size)
    swirl = wobble(random, frames, count, 22) + 0.4 * wobble(random, frames, count, 8)
    y, x = n - y, x + n * span(random, 0.01, 0.05) * swirl
    down, right = (np.clip(np.gradient(f, axis=0), -3 * speed, 3 * speed) for f in (y, x))
    along = np.clip(0.5 * np.hypot(down, right), size, 6 * size)
    life = np.clip(y / n + random.uniform(-0.6, 0.4, count), 0, 1) ** random.uniform(0.2, 1)
    bright = life * np.clip(0.7 + 0.5 * wobble(random, frames, count, 6), 0, 2)
    heat = glow(n, y, x, along, size, np.arctan2(down, right), bright, dot)
    halo = glow(n, y, x, 5 * size, 5 * size, 0, 0.04 * bright, dot)
    colours = hsv(random.uniform(0.02, 0.1) + np.array([0, 0.06]), [0.9, 0.4], [1.0, 1.0])
    light = tinted(2.5 * heat + halo, colours[0]) + tinted(heat**2, colours[1])
    return Layer(light, np.clip(heat, 0, 1), night=True)


def lights(random: Random, n: int, frames: int) -> Layer:
    """Lamps, windows or candles that flicker, sharp or out of focus."""
    kind, sizes = [("blur", (8, 28)), ("candle", (8, 20)), ("points", (3, 6))][random.integers(3)]
    size, light = element(random, n, *sizes), np.zeros((frames, n, n, 3), np.float32)
    count = afford(frames, 2 * size, 2 * size, random.uniform(0.1, 0.35) * n * n / size**2)
    y, x = np.broadcast_to(random.uniform(0, n, (2, 1, count)), (2, frames, count))
    bright = np.clip(0.7 + 0.6 * wobble(random, frames, count, span(random, 5, 20)), 0, 2)
    bright = bright * np.exp(0.6 * random.standard_normal(count))
    if random.random() < 0.3:
        bright = bright * step(wobble(random, frames, count, 15), -0.3, 0.2)
    hues = np.array([random.choice([0.08, 0.1, 0.12]), random.random(), random.random()])
    colours = hsv(hues, random.uniform(0.2, 0.8, 3), np.ones(3))
    for k, colour in enumerate(colours[:count]):
        light += _blinding(_lamp(random, n, kind, size, y[:, k::3], x[:, k::3], bright[:, k::3]), colour)
    return Layer(light, np.clip(light.mean(-1), 0, 0.9), night=True)


def _lamp(random: Random, n: int, kind: str, size: float, y, x, bright) -> np.ndarray:
    """The light of lamps: discs of a lens out of focus, flames, or points with a halo."""
    if kind == "blur":  # in one place, so drawn once each
        rows, columns = grid(n)
        far = np.hypot(rows - y[0, :, None, None], columns - x[0, :, None, None]) / size
        discs = (1 - step(far, 0.95, 2 / size)) * (0.6 + 0.4 * np.minimum(far, 1) ** 6)
        return np.tensordot(np.float32(bright), np.float32(discs), 1)
    halo = glow(n, y, x, 2 * size, 2 * size, 0, 0.15 * bright, dot)
    if kind == "points":
        return glow(n, y, x, size, size, 0, 1.5 * bright, dot) + halo
    lean = np.pi / 2 + 0.15 * wobble(random, *y.shape, 8)
    flame = lambda u, v: dot(u, v * (1.5 - 0.8 * u))  # noqa: E731
    return glow(n, y, x, size * (0.7 + 0.3 * bright / (1 + bright)), 0.5 * size, lean, 2 * bright, flame) + halo


def traffic(random: Random, n: int, frames: int) -> Layer:
    """Lights of cars that pass at night on bent roads, white ones this way and red ones that way."""
    size, angle, arc, wet = element(random, n, 3, 7), turned(random), random.normal(0, 0.25), random.random() < 0.5
    roads, light = random.integers(2, 7), np.zeros((frames, n, n, 3), np.float32)
    colours = hsv([0.12, 0.01], [random.uniform(0.1, 0.4), 0.85], [1.0, 1.0])
    for road in range(roads):
        speed, aside = n * span(random, 0.008, 0.03), ((road + 0.5) / roads - 0.5) * n * 1.1
        y, x, lean = _road(random, n, frames, speed * (1 - 2 * (road % 2)), angle, arc, aside)
        strength = np.exp(0.3 * random.standard_normal(y.shape[1]))
        field = glow(n, y, x, size + speed / 2, size, lean, 2 * strength, dot)
        field += glow(n, y, x, 3 * size, 3 * size, 0, 0.1 * strength, dot)
        if wet:
            field += glow(n, y + 6 * size, x, 6 * size, 0.8 * size, np.pi / 2, 0.3 * strength, dot)
        light += _blinding(field, colours[road % 2])
    return Layer(light, np.clip(light.mean(-1), 0, 0.9), night=True)


def _road(random: Random, n: int, frames: int, speed: float, angle: float, arc: float, aside: float):
    """Rows, columns and directions of cars on a road so far from the middle."""
    paces = speed * (1 + 0.02 * random.standard_normal(int(span(random, 7, 24))))
    along = passing(random, frames, paces, 1.8 * n, 1)[0] - 0.9 * n
    aside, cos, sin = aside + arc * along * along / n, np.cos(angle), np.sin(angle)
    return n / 2 + along * sin + aside * cos, n / 2 + along * cos - aside * sin, angle + np.arctan(2 * arc * along / n)


def _blinding(field: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Light of lamps, white where it is too bright for their colour."""
    return tinted(field, colour) + 0.25 * field[..., None] ** 2


def lava(random: Random, n: int, frames: int) -> Layer:
    """Blobs that rise, sink and merge in a lit liquid, as in a lava lamp."""
    size, rows = element(random, n, 14, 34), grid(n)[0]
    field = _blobs(random, n, frames, size)
    colours = palette(random, 2, "grey earth"), palette(random, 2, "grey")
    heat = rows / n if random.random() < 0.7 else 1 - rows / n
    liquid = ramp(colours[0], np.clip(heat + 0.3 * field, 0, 1)) * (0.2 + 0.6 * heat[..., None])
    slope = np.clip(np.gradient(field, axis=1) * size * random.choice([-0.3, 0.3]), -0.5, 0.5)
    shade = (0.8 + 0.6 * slope + 0.3 * np.minimum(field, 1)) * (0.5 + heat)
    wax = ramp(colours[1], heat + 0 * field) * shade[..., None]
    return Layer(lay(liquid, wax, step(field, 0.4, 0.06)[..., None]))


def _blobs(random: Random, n: int, frames: int, size: float) -> np.ndarray:
    """Sum of hills that rise and sink."""
    count, period = int(np.clip(random.uniform(0.12, 0.3) * n * n / size**2, 4, 40)), span(random, 25, 60)
    y = n * (random.uniform(0, 1, count) + 0.28 * wobble(random, frames, count, period))
    x = n * (random.uniform(0, 1, count) + 0.06 * wobble(random, frames, count, 1.5 * period))
    reach = 4 * (size * np.exp(0.3 * random.standard_normal(count))) ** 2
    (rows, columns), field = grid(n), np.zeros((frames, n, n), np.float32)
    for k in range(count):
        far = (rows - y[:, k, None, None]) ** 2 + (columns - x[:, k, None, None]) ** 2
        field += np.maximum(1 - far / reach[k], 0) ** 2
    return field


def discs(random: Random, n: int, frames: int) -> Layer:
    """Gears, fans or painted discs that turn, neighbours in opposite directions."""
    reach, angle, way = _wheels(random, n)
    spokes = random.integers(3, 9) if random.random() < 0.6 else random.integers(8, 16)
    pace, twist = 8 * span(random, 0.03, 0.09) * random.choice([-1, 1]), random.choice([0, random.normal(0, 12)])
    wave = np.cos(spokes * angle - way * pace * times(frames) + twist * reach)
    rim, teeth = random.uniform(0.36, 0.43), random.choice([0, random.uniform(0.03, 0.06)])
    body = 1 - step(reach - teeth * np.tanh(3 * wave), rim, 0.02)
    ring = step(reach, rim * 0.25, 0.03) * (1 - step(reach, rim * 0.8, 0.03))
    holes = step(wave, random.uniform(-0.5, 0.5), 0.25) * ring * random.uniform(0.6, 1)
    colours = palette(random, 4)[random.choice([[0, 3, 1], [3, 0, 1], [3, 1, 0]])]
    gleam = 1 + random.uniform(0.1, 0.5) * np.cos(2 * angle + turned(random)) + 0.1 * smooth(random, n, n / 3)
    face = lay(colours[0], colours[1], holes[..., None]) * gleam[..., None]
    back = colours[2] * (0.35 + 0.1 * rough(random, n, n / 8, 1.5)[..., None])
    return Layer(lay(back, face, body[..., None]))


def _wheels(random: Random, n: int):
    """Distance from the nearest axis, in cells of a grid, angle there, and which way that wheel turns."""
    cell, place = n / random.choice([1, 2, 2, 3]), [axis + random.uniform(0, n) for axis in grid(n)]
    down, right = ((f % cell - cell / 2) / cell for f in place)
    way = 1 - 2 * ((place[0] // cell + place[1] // cell) % 2)
    return np.hypot(down, right), np.arctan2(down, right), way


def spirals(random: Random, n: int, frames: int) -> Layer:
    """Chemical waves: spirals and rings that run and break (the complex Ginzburg-Landau equation)."""
    spread, twist = [(0.0, 0.8), (0.0, 1.2), (-1.5, 0.5), (2.0, -0.8)][random.integers(4)]
    squared = (TURN * np.fft.fftfreq(SIDE)) ** 2 * span(random, 0.5, 2.5)
    gain = np.exp(0.2 * (1 - (1 + 1j * spread) * (squared[:, None] + squared)))

    def advance(state, _):
        state = np.fft.ifft2(gain * np.fft.fft2(state))
        return state * np.exp(-0.2 * (1 + 1j * twist) * np.abs(state) ** 2)

    start = 0.1 * (smooth(random, SIDE, 3) + 1j * smooth(random, SIDE, 3))
    states = settled(advance, start, 200, frames, random.integers(1, 4))
    return Layer(_enlarged(random, n, np.stack(states).real))


def growth(random: Random, n: int, frames: int) -> Layer:
    """Spots that grow, divide and die (Gray and Scott's reaction)."""
    feed, kill = random.uniform(0.017, 0.023), 0.051

    def advance(state, moment):
        food, eater = state
        eaten = food * eater * eater
        food = food + 0.2 * around(food) - eaten + feed * (1 - food)
        eater = eater + 0.1 * around(eater) + eaten - (feed + kill) * eater
        if moment % 25 == 0:  # a new spot now and then, so that it never dies out
            y, x = random.integers(0, SIDE - 4, 2)
            eater[y : y + 4, x : x + 4] = 0.3
        return food, eater

    eater = np.float32(0.3 * (smooth(random, SIDE, 4) > 1.5))
    states = settled(advance, (1 - 1.5 * eater, eater), 800, frames, random.integers(8, 16))
    return Layer(_enlarged(random, n, np.stack([eater for _, eater in states])))


def _enlarged(random: Random, n: int, field: np.ndarray) -> np.ndarray:
    """A field of a simulation at the size of the picture, in colours and with a little light from one side."""
    field, colours = unit(_stretched(n, field), 1.8), palette(random, 4)
    shade = 1 + random.uniform(0, 6) * np.clip(np.gradient(field, axis=1 + random.integers(2)), -0.1, 0.1)
    return ramp(colours if random.random() < 0.5 else colours[::-1], field) * shade[..., None]


def _stretched(n: int, field: np.ndarray) -> np.ndarray:
    """A field on the torus at another size: the same waves."""
    side, low = field.shape[1], min(field.shape[1], n) // 2
    waves = np.fft.rfft2(field) * np.exp(-((np.pi * frequency(side)) ** 2))
    full = np.zeros((len(field), n, n // 2 + 1), np.complex64)
    full[:, :low, :low], full[:, -low:, :low] = waves[:, :low, :low], waves[:, -low:, :low]
    return np.fft.irfft2(full, (n, n)).astype(np.float32)
