"""Families of clips in which things move, before whatever is behind them; moving.py films and combines them.

Each draws its parameters and returns a layer of `frames n n` pixels. Names of all: `size` is that of a thing, in
pixels, `speed` pixels a frame.
"""

from collections.abc import Callable

import numpy as np
from motion import (
    TURN,
    Layer,
    afford,
    disc,
    dot,
    drifting,
    glow,
    grid,
    look,
    opaque,
    passing,
    settled,
    slopes,
    soft,
    tinted,
    wobble,
)
from relief import Random, element, hsv, palette, span, step, tints

RUN_IN = 80  # frames before the first, for simulations


def across(random: Random, n: int, frames: int, count: int, speed, margin: float):
    """Places of things that come down through the picture: rows, columns, laps."""
    y, x, lap = passing(random, frames, speed, n + 2 * margin, n + 2 * margin)
    return y - margin, x - margin, lap


def snow(random: Random, n: int, frames: int) -> Layer:
    """Falling snow, near and far flakes, or dust and pollen that hover."""
    size, speed, wind = element(random, n, 2.5, 9), n * span(random, 0.004, 0.03), random.normal(0, 0.5)
    field, wish = np.zeros((frames, n, n), np.float32), span(random, 40, 400)
    for near in (0.5, 0.75, 1.2)[: random.integers(2, 4)]:
        radius = size * near
        count = afford(frames, radius, radius, wish / near**2)
        y, x, _ = across(random, n, frames, count, speed * near * random.uniform(0.8, 1.2, count), radius)
        drift = wind * speed * near * np.arange(frames)[:, None]
        sway = speed * near * span(random, 1, 8) * wobble(random, frames, count, 30)
        x = (x + drift + sway + radius) % (n + 2 * radius) - radius
        strength = 2 * random.uniform(0.5, 1, count) * min(1, near + 0.2)
        field += glow(n, y, x, radius, radius, 0, strength, dot)
    cover = 1 - np.exp(-field)
    white = hsv(random.choice([0.58, 0.1]), random.uniform(0, 0.15), 1.0) * random.uniform(0.7, 1.2)
    return Layer(tinted(cover, white), cover * 0.9)


def rain(random: Random, n: int, frames: int) -> Layer:
    """Streaks of rain, slanted by the wind, brighter where they are near."""
    speed, angle = n * span(random, 0.04, 0.12), np.pi / 2 + random.normal(0, 0.2)
    long, thin = n * span(random, 0.03, 0.09), n * span(random, 0.004, 0.008)
    field, wish = np.zeros((frames, n, n), np.float32), span(random, 60, 400)
    gusts = 1 + 0.3 * wobble(random, frames, 1, 30)
    for near in (0.6, 1.0, 1.6):
        along, wide = long * near, max(thin * near, 0.6)
        count = afford(frames, along, wide, wish / near**2)
        y, x, _ = across(random, n, frames, count, speed * near * random.uniform(0.9, 1.1, count), along)
        x = (x + y / np.tan(angle) + along) % (n + 2 * along) - along
        field += glow(n, y, x, along, wide, angle, random.uniform(0.5, 1, count) * near, dot) * gusts[..., None]
    cover = 1 - np.exp(-span(random, 0.8, 2) * np.maximum(field, 0))
    grey = hsv(random.choice([0.58, 0.1]), random.uniform(0, 0.2), 1.0) * random.uniform(0.5, 1)
    return Layer(tinted(cover, grey), 0.7 * cover)


def bubbles(random: Random, n: int, frames: int) -> Layer:
    """Bubbles that rise in water, soda or beer: bright rims and a highlight each."""
    size, speed, crowd = element(random, n, 6, 22), n * span(random, 0.008, 0.03), span(random, 0.1, 0.35)
    light, cover = np.zeros((2, frames, n, n), np.float32)
    for share in (0.4, 0.65, 1.0):
        radius = size * share
        count = afford(frames, radius, radius, 1 + crowd * n * n / (9 * radius**2) / share)
        y, x, _ = across(random, n, frames, count, speed * share**0.5 * random.uniform(0.8, 1.2, count), radius)
        x = x + radius * random.uniform(0.2, 0.8) * wobble(random, frames, count, 14 / share**0.3)
        flat = radius * random.uniform(0.8, 1, count)
        owner, u, v = opaque(n, n - y, x, radius, flat, 0, lambda u, v: u * u + v * v < 1)
        light = np.where(owner >= 0, _film(u, v), light)
        cover = np.where(owner >= 0, 0.2 + 0.6 * (u * u + v * v) ** 2.5, cover)
    tint = hsv(random.choice([0.55, 0.45, 0.12, 0.6]), random.uniform(0.05, 0.3), 1.0)
    return Layer(tinted(light, tint) * span(random, 0.6, 1.4), cover)


def _film(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """What a bubble mirrors: the bright above in its rim, the same inverted below, a lamp."""
    reach = u * u + v * v
    shine = np.exp(-((u + 0.35) ** 2 + (v + 0.45) ** 2) / 0.03)
    return 0.08 + reach**3 * (0.55 - 0.45 * v) + 0.25 * reach * np.maximum(v, 0) + 1.6 * shine


def _stems(random: Random, n: int, frames: int, count: int, gusts: np.ndarray):
    """Points along stems that bend in the wind: rows, columns `frames count points`, and the share of the length."""
    share = np.linspace(0, 1, int(n / 2.2), dtype=np.float32)
    root, lean = random.uniform(-0.15, 1.15, count) * n, random.normal(0, 0.25, count)
    long = n * random.uniform(0.5, 1.1) * random.uniform(0.5, 1.1, count)
    bend = lean + 0.3 * gusts + 0.06 * wobble(random, frames, count, 9)
    angle = bend[..., None] * share**1.3 * random.uniform(0.8, 1.6)
    length = (long / len(share))[:, None]
    y = n * random.uniform(1, 1.15) - np.cumsum(np.cos(angle) * length, -1)
    return y, root[:, None] + np.cumsum(np.sin(angle) * length, -1), share


def reeds(random: Random, n: int, frames: int) -> Layer:
    """Reeds, twigs or ferns that sway in silhouette, some with ears or leaves."""
    count, period = int(span(random, 9, 40)), span(random, 16, 45)
    gusts = wobble(random, frames, 1, period) + 0.5 * wobble(random, frames, count, period / 2)
    y, x, share = _stems(random, n, frames, count, gusts * span(random, 0.4, 1.2))
    width = n * span(random, 0.007, 0.018) * np.exp(0.3 * random.standard_normal(count))[:, None]
    kind = random.choice(["bare", "ears", "leaves", "leaves"])
    ears = 1 + (kind == "ears") * random.uniform(1, 3) * step(share, 0.78, 0.05) * (1 - step(share, 0.94, 0.05))
    radius = np.maximum(width * (1.15 - share) * ears, 0.7)
    many = lambda f: np.broadcast_to(f, y.shape).reshape(frames, -1)  # noqa: E731
    cover = np.minimum(glow(n, many(y), many(x), many(radius), many(radius), 0, 1.0, disc), 1)
    if kind == "leaves":
        cover = np.maximum(cover, _foliage(random, n, y, x, wobble(random, frames, count, 8)))
    dark = palette(random, 3, "vivid")[0] * span(random, 0.03, 0.25)
    return Layer(tinted(cover, dark), cover)


def _foliage(random: Random, n: int, y, x, flutter) -> np.ndarray:
    """Leaves on both sides of stems."""
    long, every = n * span(random, 0.03, 0.08), random.integers(3, 7)
    y, x = y[..., 6::every], x[..., 6::every]
    side = np.where(np.arange(y.shape[-1]) % 2, 1, -1)
    angle = np.pi / 2 - side * random.uniform(0.5, 1.2) + random.normal(0, 0.2, y.shape[1:]) + 0.2 * flutter[..., None]
    y, x = y - 0.8 * long * np.sin(angle), x + 0.8 * long * np.cos(angle)
    flat = lambda f: f.reshape(len(y), -1)  # noqa: E731
    leaf = lambda u, v: np.float32(np.abs(v) < 1 - u * u)  # noqa: E731
    return np.minimum(glow(n, flat(y), flat(x), long, 0.3 * long, -flat(angle), 1.0, leaf), 1)


def leaves(random: Random, n: int, frames: int) -> Layer:
    """Leaves, petals or confetti that tumble down."""
    size, speed = element(random, n, 7, 22), n * span(random, 0.008, 0.025)
    count = afford(frames, size, size, random.uniform(0.1, 0.5) * n * n / size**2)
    y, x, lap = across(random, n, frames, count, speed * random.uniform(0.6, 1.4, count), size)
    glide, moment = wobble(random, frames, count, span(random, 15, 35)), np.arange(frames)[:, None]
    x = (x + 1.5 * size * glide + random.normal(0, 0.4) * speed * moment + size) % (n + 2 * size) - size
    roll = random.uniform(0, TURN, count) + moment * random.normal(0, 0.2, count)
    angle = random.uniform(0, TURN, count) + 0.7 * glide + lap
    sharp, blunt = [(1, 1.4), (1, 2), (1, 2), (2, 2), (2, 4)][random.integers(5)]
    wide = size * random.uniform(0.45, 0.9) * np.maximum(np.abs(np.cos(roll)), 0.08)
    inside = lambda u, v: np.abs(v) ** sharp < 1 - np.abs(u) ** blunt  # noqa: E731
    y = y + 0.5 * size * np.abs(glide)
    owner, u, v = opaque(n, y, x, size * random.uniform(0.7, 1, count), wide, angle, inside)
    turn, there = np.cos(roll)[moment[..., None], owner], np.float32(owner >= 0)
    shade = there * (0.7 + 0.3 * turn) * (1 - 0.25 * np.exp(-(v**2) / 0.02)) * (0.9 + 0.1 * u)
    colours = tints(random, palette(random, 4, "grey cold")[1:] * random.uniform(0.8, 1.5), count, 0.25)[owner]
    return Layer(colours * shade[..., None], there)


def swarm(random: Random, n: int, frames: int) -> Layer:
    """Birds, fish or midges that keep together, turn and scatter."""
    count, size = int(span(random, 50, 180)), n * span(random, 0.018, 0.05)
    kept = settled(_flight(random, n), (random.uniform(0, n, (2, count)), random.normal(0, 1, (2, count))), 60, frames)
    (y, x), (down, right) = np.array(kept).transpose(1, 2, 0, 3)
    flap = random.choice([0, 0.5]) * wobble(random, frames, count, 6)
    slim = np.maximum(size * 0.35 * (1 + np.clip(flap, -0.7, 1.5)), 0.6)
    body = lambda u, v: np.float32(np.abs(v) < (1 - u * u) * (0.4 + 0.6 * (u > 0)))  # noqa: E731
    cover = np.minimum(glow(n, y, x, size, slim, np.arctan2(down, right), 1.0, body), 1)
    colours = palette(random, 3, "vivid")
    return Layer(tinted(cover, colours[2] * 1.2 if random.random() < 0.35 else colours[0] * 0.2), cover)


def _flight(random: Random, n: int) -> Callable:
    """A step of animals that turn as their neighbours do, keep near them and do not touch."""
    speed, near = n * span(random, 0.01, 0.025), n * random.uniform(0.08, 0.16)

    def advance(state, _):
        place, heading = state
        apart = (place[:, None] - place[..., None] + n / 2) % n - n / 2
        far = (apart**2).sum(0) / near**2
        close, crowd = np.exp(-far), np.exp(-far / 0.12)
        pull = ((close - 6 * crowd) * apart).sum(-1) / near
        mean = (heading[:, None] * close).sum(-1) / close.sum(-1)
        heading = heading + 0.15 * mean + 0.03 * pull + random.normal(0, 0.12, heading.shape)
        heading /= np.hypot(*heading) + 1e-6
        return (place + speed * heading) % n, heading

    return advance


def plume(random: Random, n: int, frames: int) -> Layer:
    """Smoke or steam that rises from a few places and curls."""
    rise, total = n * span(random, 0.014, 0.03), frames + RUN_IN
    down, right = slopes(
        drifting(random, n, total, soft(n, n * random.uniform(0.1, 0.25)), rise, -np.pi / 2, 0.3 * rise)
    )
    strength, wind = rise * random.uniform(0.4, 0.9) / down.std(), random.normal(0, 0.3) * rise
    (rows, columns), mouths = grid(n), _mouths(random, n, total)

    def advance(smoke, moment):
        up, aside = rows + rise - strength * right[moment], columns - wind + strength * down[moment]
        carried = look(smoke, np.minimum(up, n - 1), np.clip(aside, 0, n - 1)) * (up < n - 1) * np.float32(0.993)
        return carried + mouths(moment) * (1 - carried)

    dense = np.stack(settled(advance, np.zeros((n, n), np.float32), RUN_IN, frames))
    cover = 1 - np.exp(-span(random, 2.5, 7) * dense)
    shade = 0.6 + 0.3 * np.tanh(12 * slopes(dense)[random.integers(2)] * random.choice([-1, 1])) + 0.3 * (1 - cover)
    colour = palette(random, 3, "vivid green any")[random.integers(1, 3)] * random.uniform(0.5, 1.6)
    return Layer(tinted(cover * shade, colour), cover * random.uniform(0.7, 1))


def _mouths(random: Random, n: int, total: int) -> Callable[[int], np.ndarray]:
    """Where smoke comes out at each moment, in puffs."""
    (rows, columns), places = grid(n), random.uniform(0.1, 0.9, (random.integers(1, 4), 1, 1)) * n
    puffs = np.clip(1 + 0.5 * wobble(random, total, len(places), span(random, 6, 25)), 0, 2)
    wide = np.exp(-(((columns - places) / (n * span(random, 0.02, 0.07))) ** 2)) * step(rows, 0.93 * n, 0.04 * n)
    return lambda moment: 0.3 * np.tensordot(puffs[moment], np.float32(wide), 1)
