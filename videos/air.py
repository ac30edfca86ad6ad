"""Families of clips that fill the picture: air, water, sand, light and shade; moving.py films and combines them.

Each draws its parameters and returns a layer of `frames n n` pixels. Names of all: `size` is that of the features, in
pixels, `speed` pixels a frame.
"""

import numpy as np
from motion import (
    TURN,
    Layer,
    around,
    course,
    drifting,
    fractal,
    grid,
    look,
    moved,
    settled,
    sky,
    slopes,
    soft,
    times,
    tinted,
    turned,
    upright,
    wobble,
)
from relief import (
    Random,
    Relief,
    band,
    blur,
    element,
    frequency,
    hsv,
    lay,
    light,
    palette,
    ramp,
    rough,
    smooth,
    span,
    step,
    unit,
)

RUN_IN = 80  # frames before the first, for simulations


def ground(random: Random, n: int) -> np.ndarray:
    """`n n 3`, lit: rock, plaster or soil that stays where it is."""
    size = element(random, n, 35, 120)
    field = rough(random, n, size, random.uniform(1.9, 2.8), turned(random), span(random, 1, 3))
    field = random.choice([1, -1]) * np.abs(field) if random.random() < 0.5 else field
    albedo = ramp(palette(random, 3, "vivid"), unit(field + rough(random, n, size, 1.7)))
    return light(random, Relief(size * span(random, 0.03, 0.2) * field, albedo, random.choice([0, 0.3])))


def clouds(random: Random, n: int, frames: int) -> Layer:
    """Clouds that drift and billow in fast motion."""
    size, slope = element(random, n, 40, 130), random.uniform(1.7, 2.4)
    speed, angle = n * span(random, 0.004, 0.02), random.choice([0, np.pi]) + random.normal(0, 0.4)
    gain = fractal(n, size, slope, 0, span(random, 1, 3))
    base = drifting(random, n, frames, gain, speed, angle, span(random, 0.1, 0.5) * speed)
    billows = np.abs(drifting(random, n, frames, fractal(n, size / 2, 1.8), speed, angle, 0.4 * speed))
    thick, colours = base - random.uniform(0.2, 0.7) * billows, sky(random)
    cover = step(thick, random.uniform(-1.2, 0.3), span(random, 0.4, 1.6))
    white = _flanks(random, thick, cover)[..., None] * (colours[-1] / colours[-1].max()) ** 0.5
    return Layer(lay(upright(n, colours)[None], white * colours.max() * random.uniform(0.7, 1.1), cover[..., None]))


def _flanks(random: Random, thick: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """How light clouds are: bright towards the sun, dark where they are thick."""
    shift = np.round(random.uniform(-0.04, 0.04, 2) * thick.shape[1]).astype(int)
    shade = np.tanh(1.2 * (thick - np.roll(thick, shift, (1, 2)))) - 0.35 * cover * step(thick, 0.3, 2)
    return np.clip(0.75 + 0.4 * shade, 0.1, 2)


def ink(random: Random, n: int, frames: int) -> Layer:
    """Ink or milk in water, marbled oil, thin smoke: threads that eddies fold."""
    size = element(random, n, 70, 200)
    churn, speed, angle = n * span(random, 0.002, 0.008), n * random.uniform(0, 0.01), turned(random)
    y, x = (axis + np.zeros((frames, n, n), np.float32) for axis in grid(n))
    y, x = y - speed * np.sin(angle) * times(frames), x - speed * np.cos(angle) * times(frames)
    for share in (1, span(random, 0.35, 0.6)):
        down, right = slopes(drifting(random, n, frames, soft(n, size * share / 2), speed, angle, churn))
        pull = span(random, 0.1, 0.22) * size * share / down.std()
        y, x = y + pull * right, x - pull * down
    dye = look(rough(random, n, size * span(random, 0.4, 1), random.uniform(1.8, 2.6)), y, x)
    if random.random() < 0.4:
        dye = np.sin(random.uniform(2, 5) * dye)
    colours = palette(random, 4)
    return Layer(ramp(colours if random.random() < 0.5 else colours[[3, 1, 2, 0]], unit(dye, span(random, 1.2, 2.5))))


def falls(random: Random, n: int, frames: int) -> Layer:
    """Water that falls over lit rock in streaks."""
    rock, (y, x) = ground(random, n), grid(n)
    ledges = n * span(random, 0.01, 0.03) * smooth(random, n, n / 6)
    drop = y + n * random.uniform(0, 0.3) * (y / n) ** 0.5 + 0.5 * ledges
    water = look(_streaks(random, n, frames), drop + np.zeros((frames, 1, 1)), x + ledges + 0 * y)
    where = smooth(random, n, n * span(random, 0.08, 0.3), np.pi / 2, span(random, 2, 8))
    veil = step(water + 1.2 * where, random.uniform(-1.5, 0.4), span(random, 1, 2.5)) * random.uniform(0.75, 1)
    white = ramp(hsv([0.56, 0.55, 0.5], [0.45, 0.15, 0.02], [0.3, 0.75, 1.0]), unit(water, 1.8))
    wet = rock * random.uniform(0.3, 0.8) / rock.mean() * 0.3
    return Layer(lay(wet[None], white * span(random, 0.5, 1.1), veil[..., None]))


def _streaks(random: Random, n: int, frames: int) -> np.ndarray:
    """Falling streaks, some faster than others."""
    angle, field = np.pi / 2, 0
    slow = n * span(random, 0.02, 0.08)
    for speed, share in ((slow, 1), (1.6 * slow, random.uniform(0.3, 1))):
        gain = fractal(n, element(random, n, 12, 40), 1.7, angle, span(random, 8, 24))
        field = field + share * drifting(random, n, frames, gain, speed, angle, speed / 9)
    return field


def _waves(random: Random, n: int, frames: int, size: float, spread: float, pace: float) -> np.ndarray:
    """Heights of waves of about `size` from about one direction; long ones run faster, as on deep water."""
    angle, k = turned(random), frequency(n)
    y, x = np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)[None]
    facing = (x * np.cos(angle) + y * np.sin(angle)) / (k + 1e-9)
    gain = np.exp(-((size * k - 1) ** 2) / 0.3 - (np.arccos(np.abs(facing).clip(0, 1)) / spread) ** 2)
    gain = gain + 0.12 * (k * size > 1) / (1e-9 + (k * size) ** 2.5 + 0.1) * (0.3 + facing**2)
    return moved(random, n, frames, gain, -np.sign(facing + 1e-9) * pace * np.sqrt(k * size))


def surf(random: Random, n: int, frames: int) -> Layer:
    """Waves that run onto a beach, seen from a cliff: foam on their crests, wet sand that they leave."""
    length, speed = n * span(random, 0.16, 0.45), n * span(random, 0.006, 0.018)
    turn = random.choice([-1, 0, 1, 2]) * np.pi / 2 + random.normal(0, 0.25)
    y, x = (axis - n / 2 for axis in grid(n))
    far = (y * np.sin(turn) + x * np.cos(turn)) / n + 0.5  # 1 at the beach
    ragged = drifting(random, n, frames, fractal(n, n / 3, 1.9), speed, turn, speed / 3)
    froth = drifting(random, n, frames, fractal(n, n / 8, 1.5), speed * 0.6, turn, speed / 2)
    phase = (far * n + 0.12 * length * ragged) / length - times(frames) * speed / length
    tail = ((phase % 1) ** random.uniform(2, 4)).astype(np.float32)
    shore = step(far + 0.03 * ragged, random.uniform(0.4, 1), 0.25)
    foam = step(froth + 2.4 * tail * (0.5 + shore), 1.4, 0.9) * random.uniform(0.75, 1)
    beach = step(far - 0.1 * tail + 0.02 * ragged, random.uniform(0.65, 1.3), 0.12)
    sand = hsv(random.uniform(0.06, 0.11), random.uniform(0.15, 0.45), random.uniform(0.5, 0.85))
    crest = (0.5 + 0.5 * np.cos(TURN * phase)) ** random.uniform(2, 5)
    water = _rising(random, 0.35 * far + 0.08 * froth, crest)
    scene = lay(water, tinted(1 - 0.3 * tail, sand), (beach * 0.85)[..., None])
    return Layer(lay(scene, np.float32([0.9, 0.93, 0.95]), (foam * (1 - 0.6 * beach))[..., None]))


def _rising(random: Random, share: np.ndarray, crest: np.ndarray) -> np.ndarray:
    """The sea's colours, lighter in shallow water and where light shines through crests."""
    colours = hsv(random.uniform(0.44, 0.6) - np.array([0, 0.02, 0.06]), [0.7, 0.65, 0.3], [0.3, 0.5, 0.75])
    return ramp(colours, np.clip(share + 0.5 * crest, 0, 1)) * (0.75 + 0.5 * crest[..., None])


def sea(random: Random, n: int, frames: int) -> Layer:
    """The sea from its shore, with a glittering path under the sun, towards the horizon."""
    y, x = grid(n)
    horizon = n * random.choice([-0.5, -0.1, random.uniform(0.05, 0.35)])
    depth = n / np.maximum(y - horizon, 0.02 * n)
    down, right = _slopes_far(random, frames, depth)
    path = (x - n * random.uniform(0.1, 0.9)) / (n * span(random, 0.08, 0.6))
    glitter = np.exp(-((down - 0.9) ** 2) / 0.25 - (right - path) ** 2 / 0.3)
    colours = sky(random)
    water = ramp(np.concatenate([colours * 0.12, colours[1:]]), np.clip(0.42 + 0.2 * down + 0.1 / depth, 0, 1))
    scene = water + tinted(glitter, colours[-1] ** 0.6) * span(random, 0.6, 4)
    return Layer(np.where((y > horizon)[..., None], scene, upright(n, colours, 1 - horizon / n)))


def _slopes_far(random: Random, frames: int, depth: np.ndarray) -> list[np.ndarray]:
    """Slopes of waves as they are seen at these depths of rows; far off, those within a pixel even out."""
    n = len(depth)
    heights = _waves(random, n, frames, n / random.integers(3, 7), random.uniform(0.3, 1), span(random, 0.02, 0.05))
    y = n * span(random, 2, 4) * depth + np.zeros((frames, n, n), np.float32)
    x = n / 2 + (grid(n)[1] - n / 2) * depth * span(random, 0.4, 1) + np.zeros((frames, 1, 1), np.float32)
    steep = np.minimum(1, 3 / depth) * span(random, 0.5, 1.5)
    return [steep * look(slope / slope.std(), y, x) for slope in slopes(heights)]


def sand(random: Random, n: int, frames: int) -> Layer:
    """Sand or snow that the wind blows over ripples, in veils and streaks."""
    angle, size, speed = turned(random), element(random, n, 16, 50), n * span(random, 0.015, 0.06)
    stretch, gusts = span(random, 3, 9), n * span(random, 0.1, 0.35)
    veil = drifting(random, n, frames, fractal(n, gusts, 1.3, angle, stretch), speed, angle, speed / 6)
    thin = drifting(random, n, frames, fractal(n, gusts / 8, 0.8, angle, 2 * stretch), 1.4 * speed, angle, speed / 5)
    cover = step(veil + 0.6 * thin, random.uniform(-0.8, 0.5), 2.2) * random.uniform(0.5, 0.95)
    dark, pale = hsv(random.choice([0.05, 0.09, 0.11, 0.58]), [random.uniform(0.3, 0.6), 0.2], [0.6, 0.95])
    floor = tinted(_rippled(random, n, frames, size, angle), dark)
    return Layer(lay(floor, tinted(0.75 + 0.12 * thin, pale), cover[..., None]))


def _rippled(random: Random, n: int, frames: int, size: float, angle: float) -> np.ndarray:
    """Light on ripples that creep with the wind."""
    ripples = moved(random, n, frames, band(n, size, 0.25, angle + np.pi / 2, 3), course(n, size / 60, angle))
    (down, right), lamp = slopes(ripples), turned(random)
    shade = np.tanh(span(random, 0.5, 1.2) * (down * np.sin(lamp) + right * np.cos(lamp)) / down.std())
    return np.clip(0.75 + 0.35 * shade + 0.05 * rough(random, n, n / 60, 0.6), 0.05, 2)


def curtain(random: Random, n: int, frames: int) -> Layer:
    """A curtain whose folds sway, printed or plain, before a window or under a lamp."""
    (y, x), size, pace = grid(n), element(random, n, 45, 130), span(random, 0.008, 0.03)
    gain = band(n, size, 0.25, np.pi / 2, span(random, 4, 9))
    folds = moved(random, n, frames, gain, pace * random.standard_normal(gain.shape) + course(n, pace * size, 0))
    hang = random.uniform(0.3, 0.8) + 0.5 * y / n
    lean = slopes(folds)[1] * hang / slopes(folds)[1].std()
    cloth = np.clip(0.6 + 0.3 * lean * random.choice([-1, 1]) + 0.12 * folds * hang, 0.03, 2)
    printed = _printed(random, y, x + 0.35 * size * folds * hang)
    window = np.clip(1 + random.uniform(0, 0.8) * smooth(random, n, n / 3), 0.2, 3)
    return Layer(printed * (cloth * window)[..., None])


def _printed(random: Random, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Cloth of one colour, with stripes, checks or blots in another."""
    n = x.shape[-1]
    colours, pitch = random.permutation(palette(random, 3)), element(random, n, 10, 40)
    blots = look(rough(random, n, 2 * pitch, 2.2), y + 0 * x, x)
    prints = [0 * x, np.sin(TURN * x / pitch), np.sin(TURN * x / pitch) * np.sin(TURN * y / pitch), blots]
    share = step(prints[random.integers(4)], 0, 0.3) * random.uniform(0.4, 1)
    return lay(colours[0], colours[1], share[..., None])


def _gathered(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """How many of the rays that come through each pixel's place meet each pixel, `frames n n`."""
    frames, n = y.shape[:2]
    start, total = np.arange(frames)[:, None, None] * n * n, np.zeros(frames * n * n)
    top, left = np.floor(y), np.floor(x)
    rows, columns = top.astype(np.int32), left.astype(np.int32)
    for i, down in ((0, 1 - y + top), (1, y - top)):
        for j, right in ((0, 1 - x + left), (1, x - left)):
            pixel = start + (rows + i) % n * n + (columns + j) % n
            total += np.bincount(pixel.ravel(), (down * right).ravel(), total.size)
    return total.reshape(y.shape).astype(np.float32)


def ceiling(random: Random, n: int, frames: int) -> Layer:
    """Sunlight that water throws onto a wall or ceiling."""
    size = n / random.integers(2, 5)
    heights = _waves(random, n, frames, size, random.uniform(0.6, 1.6), span(random, 0.01, 0.03))
    down, right = slopes(heights)
    reach, y, x = span(random, 0.1, 0.25) * size / down.std(), *grid(n)
    bright = _gathered(y + reach * down, x + random.uniform(0.5, 1) * reach * right)
    bright = np.minimum(bright, 6) ** random.uniform(0.7, 1)
    patch = step(smooth(random, n, n * random.uniform(0.2, 0.5)), random.uniform(-2.5, -0.3), 1.2)
    warm = hsv(random.uniform(0.08, 0.16), random.uniform(0.1, 0.4), 1.0)
    return Layer(ground(random, n)[None] * (0.3 + tinted(bright * patch, warm) * span(random, 0.7, 2)))


def shade(random: Random, n: int, frames: int) -> Layer:
    """Sunlight through leaves that sway, on the ground or on a wall."""
    through, blurs = np.ones((frames, n, n), np.float32), n * np.array([0.006, 0.015, 0.03])
    sway, period = n * span(random, 0.015, 0.04), span(random, 12, 40)
    for sigma in blurs[: random.integers(2, 4)]:
        gusts = drifting(random, n, frames, soft(n, n / 4), n * 0.02, turned(random), n / 4 / period)
        shift = sway * (gusts + 0.7 * wobble(random, frames, 1, period)[..., None])
        through = through * look(_holes(random, n, sigma), grid(n)[0] + 0.5 * shift, grid(n)[1] + shift)
    sun = hsv(random.uniform(0.08, 0.13), random.uniform(0.1, 0.35), 1.0) * span(random, 1.5, 4)
    shadow = hsv(random.uniform(0.4, 0.62), 0.2, 0.6)
    return Layer(ground(random, n)[None] * (shadow + tinted(through, sun)))


def _holes(random: Random, n: int, sigma: float) -> np.ndarray:
    """Gaps in foliage, out of focus as the sun is no point."""
    foliage = smooth(random, n, element(random, n, 14, 45), turned(random), span(random, 1, 3))
    return blur(step(foliage, random.uniform(-0.7, 0), 0.2), sigma)


def puddle(random: Random, n: int, frames: int) -> Layer:
    """Drops on a puddle: rings that run out over what it mirrors."""
    (rows, columns), wide = grid(n), n * span(random, 0.014, 0.028)
    drops = random.poisson(span(random, 0.04, 0.25), frames + RUN_IN)
    stiff = (span(random, 0.25, 0.55) * min(1, n / 128)) ** 2

    def advance(state, moment):
        height, before = state
        for y, x in random.uniform(0, n, (drops[moment], 2)):
            height = height - random.uniform(0.4, 1) * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / wide**2)
        for _ in range(2):
            height, before = 1.96 * height - 0.96 * before + stiff * around(height), height
        return height, before

    states = settled(advance, np.zeros((2, n, n), np.float32), RUN_IN, frames)
    return Layer(_mirrored(random, np.stack([height for height, _ in states]).astype(np.float32)))


def _mirrored(random: Random, heights: np.ndarray) -> np.ndarray:
    """What water of these heights mirrors: the sky, trees and houses as blots, and the light on its flanks."""
    n, (y, x), lamp = heights.shape[1], grid(heights.shape[1]), turned(random)
    down, right = (slope / heights.std() for slope in slopes(heights))
    scene = rough(random, n, n / 3, 1.6, np.pi / 2, 2) + random.uniform(0, 2) * (0.5 - y / n)
    bend = n * span(random, 0.03, 0.1) / down.std()
    seen = look(scene, y + bend * down, x + bend * right)
    shine = np.tanh((down * np.sin(lamp) + right * np.cos(lamp)) / (2 * down.std()))
    return ramp(palette(random, 4, "vivid"), unit(seen)) * (1 + random.uniform(0.3, 0.8) * shine[..., None])
