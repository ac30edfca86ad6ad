"""Families of natural and weathered surfaces; families.py lights and mixes them.

Each draws its parameters and returns a surface of n x n pixels. Names of all: `first` and `second` are distances to
the nearest and the next point, in cells; `size` is that of the elements, in pixels.
"""

import numpy as np
from relief import (
    Lattice,
    Random,
    Relief,
    band,
    blur,
    element,
    lay,
    mottled,
    paint,
    palette,
    ramp,
    rough,
    smooth,
    span,
    step,
    swirl,
    tints,
    turned,
    unit,
    waves,
)

TURN = 2 * np.pi


def ground(random: Random, n: int) -> Relief:
    """Plaster, concrete, rock, sand: fractal relief, folded, cut off or pitted."""
    size, stretch = element(random, n, 8), random.choice([1, 1, span(random, 1, 6)])
    field = rough(random, n, size, random.uniform(1.3, 3), turned(random), stretch)
    folded = [field, np.abs(field), -np.abs(field), np.maximum(field, random.uniform(-1, 0.5)), np.tanh(2 * field)]
    field = folded[random.integers(len(folded))]
    tone = random.uniform(-1, 1) * field + rough(random, n, element(random, n, 15), 1.3)
    specks = step(smooth(random, n, element(random, n, 2, 6)), random.uniform(1.3, 3), 0.5)
    albedo = ramp(palette(random, 3), unit(tone, 2.5)) * (1 - random.uniform(0, 0.7) * specks[..., None])
    return Relief(size * span(random, 0.02, 0.2) * field, albedo, random.choice([0, 0, 0.2]))


def cracks(random: Random, n: int) -> Relief:
    """Dried mud, crazed glaze, cracked paint: plates with curled rims, and finer cracks within them."""
    size, width = element(random, n, 12), span(random, 0.04, 0.3)
    bend = swirl(random, n, 0.8 * size, 0.06 * size)
    grid = Lattice(n, size, turned(random), span(random, 1, 1.8), bend=bend)
    first, second, plate, right, down = grid.nearest(random, random.uniform(0.7, 1))
    gaps = 1 - step(second - first + 0.04 * rough(random, n, size / 3), 0, width)
    if random.random() < 0.5:
        inner, outer, *_ = Lattice(n, size / span(random, 2, 4), bend=bend).nearest(random)
        gaps = np.maximum(gaps, random.uniform(0.2, 0.8) * (1 - step(outer - inner, 0, 2 * width)))
    lean = random.normal(0, 0.07, (2, grid.count))[:, plate]
    curl = random.uniform(-0.1, 0.2) * first**2 + lean[0] * right + lean[1] * down
    tone = tints(random, palette(random, 1), grid.count, random.uniform(0, 0.12))[plate]
    tone = lay(tone, palette(random, 1)[0], random.uniform(0, 0.6) * unit(rough(random, n, 2 * size, 1.4)))
    albedo = mottled(random, tone, n, size / 2, 0.12, 1.6) * (1 - random.uniform(0.3, 0.9) * gaps[..., None])
    height = size * (curl + 0.02 * rough(random, n, size / 2) - span(random, 0.03, 0.2) * gaps)
    return Relief(height, np.clip(albedo, 0, 1), random.choice([0, 0.1, 0.4]))


def stones(random: Random, n: int) -> Relief:
    """Rough masonry, flagstones, cobbles: rounded polygons in mortar."""
    size, joint = element(random, n, 14), span(random, 0.05, 0.25)
    bend, angle = swirl(random, n, size, 0.08 * size), random.choice([0, turned(random)])
    grid = Lattice(n, size, angle, span(random, 1, 2.2), random.uniform(1.2, 1.6), bend=bend)
    first, second, stone, right, down = grid.nearest(random, random.uniform(0.5, 0.95))
    edge = second - first + 0.05 * rough(random, n, size / 2)
    bumps = rough(random, n, size / span(random, 1, 4), random.uniform(1.5, 2.2))
    lean = random.normal(0, 0.15, (2, grid.count))[:, stone]
    face = 1 + lean[0] * right + lean[1] * down + span(random, 0.03, 0.2) * bumps
    colours = palette(random, 4)
    faces = tints(random, colours[1:], grid.count, random.uniform(0.1, 0.35))[stone] * (1 + 0.15 * bumps[..., None])
    mortar = mottled(random, colours[random.integers(4)], n, size / 4, 0.1)
    body = step(edge, joint, span(random, 0.1, 0.7)) * span(random, 0.06, 0.3)
    height = size * (body * face + 0.01 * rough(random, n, size / 4, 1.6))
    return Relief(height, np.clip(lay(mortar, faces, step(edge, joint, 0.06)), 0, 1), random.choice([0, 0, 0.2]))


def marble(random: Random, n: int) -> Relief:
    """Polished marble, agate, alabaster: veins and clouds through bent space."""
    size, angle = element(random, n, 20, 110), turned(random)
    pull = [span(random, 0.1, 0.5) * size * rough(random, n, 3 * size, random.uniform(2, 3)) for _ in "yx"]
    layers = Lattice(n, size, angle, span(random, 0.2, 1), bend=pull)
    clouds = rough(random, n, 2 * size, random.uniform(1.6, 2.6), angle, span(random, 1, 4))
    bands = random.choice([0, random.uniform(0, 1)]) * np.sin(TURN * layers.q) + random.uniform(0.2, 1) * clouds
    albedo = ramp(random.permutation(palette(random, 4)), unit(bands, span(random, 2, 6)))
    first, second, *_ = layers.nearest(random)
    for line in (layers.q, second - first, layers.p + 0.3 * clouds, 3 * layers.q)[random.integers(3) :]:
        wide = span(random, 0.06, 0.4) * np.exp(0.5 * smooth(random, n, size))
        vein = np.exp(-np.abs(np.sin(np.pi * line)) / wide) * step(smooth(random, n, 1.5 * size), -0.8, 1.5)
        colour = palette(random, 3)[random.integers(3)] * (1 + 0.2 * clouds[..., None])
        albedo = lay(albedo, colour, random.uniform(0.4, 1) * vein)
    return Relief(0.002 * size * clouds, np.clip(albedo, 0, 1), random.uniform(0, 0.25))


def wood(random: Random, n: int) -> Relief:
    """Wood: year rings around knots, pores, planks; or bark."""
    angle, size = random.choice([0, np.pi / 2, turned(random)]), element(random, n, 4, 40)
    if random.random() < 0.35:
        return _bark(random, n, angle, 1.8 * size)
    planks = Lattice(n, element(random, n, 40, 90), angle, span(random, 3, 8))
    board = planks.cells() if random.random() < 0.4 else 0 * planks.i
    late = _rings(random, n, size, angle, random.uniform(0, 9, planks.count)[board])
    fibres = rough(random, n, size, 1, angle, span(random, 30, 150))
    pores = step(rough(random, n, size / 4, 0.5, angle, 60), 1.7, 0.4) * random.choice([0, 0.3, 0.6])
    shade = 0.2 + late * random.uniform(0.2, 0.8) + 0.08 * fibres + 0.12 * rough(random, n, 3 * size, 1.4, angle, 6)
    albedo = ramp(palette(random, 3, random.choice(["grey cold green any vivid", "vivid green"]))[::-1], shade)
    albedo = albedo * np.exp(random.normal(0, 0.25, planks.count))[board][..., None] * (1 - pores[..., None])
    gap = (1 - step(np.minimum(planks.v, 1 - planks.v), 0.0, 0.06)) * (board.max() > 0)
    height = size * (0.02 * late + 0.008 * fibres - 0.05 * pores) - 0.015 * n * gap
    return Relief(height, np.clip(albedo * (1 - 0.8 * gap[..., None]), 0, 1), random.uniform(0, 0.25))


def _rings(random: Random, n: int, size: float, angle: float, offset: np.ndarray) -> np.ndarray:
    """Year rings cut along the trunk, from pale to dark within each; `offset` in rings."""
    knots = np.maximum(smooth(random, n, 6 * size, angle, 2) - random.uniform(1, 3), 0)
    waver = smooth(random, n, 8 * size, angle, random.uniform(4, 12))
    shift = size * (random.uniform(0.5, 3) * waver + 4 * knots + offset)
    rings = Lattice(n, size, angle, 1, bend=(shift * np.cos(angle), -shift * np.sin(angle)))
    return rings.v ** span(random, 0.8, 4) * (1 - step(rings.v, 0.85, 0.15))


def _bark(random: Random, n: int, angle: float, size: float) -> Relief:
    """Plates and clefts along the trunk."""
    clefts = np.abs(rough(random, n, 2 * size, random.uniform(1.6, 2.2), angle, span(random, 2, 9))) ** 0.7
    plates = rough(random, n, size, 1.8, angle, 3)
    height = 1 - np.exp(-2.5 * clefts) + 0.06 * np.floor(2 * plates) + 0.06 * rough(random, n, size, 1.6)
    albedo = ramp(palette(random, 4, "vivid any"), unit(height + 0.12 * plates, 2.2))
    return Relief(size * span(random, 0.3, 1) * height, albedo)


def fibres(random: Random, n: int) -> Relief:
    """Fur, hair, straw, needles, wool, shavings: thousands of strokes, combed or strewn."""
    spread = random.choice([0.08, 0.3, 3])
    taper = random.choice([0, 1]) if spread < 1 else 0  # hairs have points; what is thicker or strewn is straw
    thick = element(random, n, 1.4, 3 if taper else 8)
    long = min(thick * span(random, 8, 60), n / 3)
    count = int(np.clip(random.uniform(1.8, 3) * n * n / (thick * long), 60, 1.2e6 / (2 * long * thick)))
    half = [0.5 * size * np.exp(0.3 * random.standard_normal(count)) for size in (long, thick)]
    angles = random.uniform(0, TURN) + spread * random.standard_normal(count)
    bend = long * random.choice([0.02, 0.12, 0.3]) * random.standard_normal(count)
    sizes = np.minimum(half[0], n / 4), np.clip(half[1], 0.5, 2 * thick)
    owner, u, v = paint(random, n, *sizes, angles, bend, lambda u, v, _: np.abs(v) <= 1 - taper * (u + 1) / 2)
    level = random.uniform(1, 4) * random.permutation(count)[owner] / count
    height = thick * np.where(owner < 0, 0, level + 0.5 * np.sqrt(np.clip(1 - v * v, 0, 1)) + 0.3 * u)
    colours = palette(random, 4, "green")
    streaks = 1 + 0.15 * np.sin(random.uniform(3, 9) * v + 40 * level) + 0.2 * u
    strokes = tints(random, colours[1:], count, random.uniform(0.08, 0.35))[owner] * streaks[..., None]
    albedo = np.where(owner[..., None] < 0, colours[0] * 0.4, np.clip(strokes, 0, 1))
    return Relief(height, albedo, random.uniform(0, 0.4))


def foam(random: Random, n: int) -> Relief:
    """Pumice, sponge, punched sheets, wet foam: round cells of up to three sizes, holes or films between walls."""
    size, film, jitter = element(random, n, 8), random.random() < 0.35, random.choice([0.0, 0.3, 0.9])
    deep, walls = np.zeros((2, n, n), np.float32)
    for share in (1, span(random, 0.3, 0.6), span(random, 0.12, 0.3))[: random.integers(1, 4)]:
        bend = swirl(random, n, size * share, 0.06 * size * share)
        grid = Lattice(n, size * share, turned(random), skew=np.pi / 3, bend=bend)
        first, second, cell, *_ = grid.nearest(random, jitter)
        radius = random.uniform(0.25 if jitter else 0.38, 0.58 if jitter else 0.4, grid.count)[cell]
        hole = np.sqrt(np.clip(1 - (first / radius) ** 2, 0, 1)) * radius * share * step(second - first, 0, 0.2)
        deep = np.maximum(deep, hole)
        wall = np.exp(-((second - first) / span(random, 0.08, 0.2))) * share**0.3
        walls = np.maximum(walls * (first > radius), wall)
    colours, skin = palette(random, 4), rough(random, n, size, random.uniform(1.6, 2.4))
    if film:
        albedo = ramp(colours, unit(2 * walls + 0.4 * smooth(random, n, size) + 0.1 * skin, 1.5))
        return Relief(0.25 * size * (walls + 0.4 * deep), albedo, random.choice([0.3, 0.8]))
    albedo = ramp(colours[::-1], step(deep, 0, 0.3) * random.uniform(0, 0.8) + 0.25 * unit(skin))
    return Relief(size * (0.03 * skin - span(random, 0.4, 1.6) * deep), albedo, random.choice([0, 0, 0.3]))


def chips(random: Random, n: int) -> Relief:
    """Granite, terrazzo, chipboard, crumbs in cement: angular grains of several sizes and minerals."""
    size, sparse = element(random, n, 6, 60), random.uniform(-0.2, 0.6)
    colours = random.permutation(palette(random, 5))
    albedo = mottled(random, colours[0], n, size / 2, 0.1)
    height = 0.02 * size * rough(random, n, size, 1.6)
    for share in (span(random, 0.15, 0.35), span(random, 0.4, 0.6), 1)[random.integers(0, 2) :]:
        bend = swirl(random, n, size * share / 2, 0.05 * size * share)
        grid = Lattice(n, size * share, turned(random), span(random, 1, 2), bend=bend)
        first, second, grain, *_ = grid.nearest(random)
        there = step(second - first - random.uniform(sparse - 0.4, sparse + 0.3, grid.count)[grain], 0, 0.05)
        minerals = tints(random, colours[1:], grid.count, random.uniform(0.05, 0.4))[grain]
        albedo = lay(albedo, mottled(random, minerals, n, size * share / 2, random.uniform(0, 0.3)), there)
        height = height + random.uniform(-0.02, 0.1) * size * share * there
    return Relief(random.choice([0.05, 0.3, 1]) * height, np.clip(albedo, 0, 1), random.choice([0, 0.15, 0.4]))


def moss(random: Random, n: int) -> Relief:
    """Moss, lichen, hedges, coral, terry cloth: lumps of lumps of tufts, or of small round leaves."""
    size = element(random, n, 16)
    height, share, tone = random.uniform(0, 0.5) * smooth(random, n, size), 1.0, 0
    for _ in range(3):
        grid = Lattice(n, size * share, turned(random), bend=swirl(random, n, size * share, 0.12 * size * share))
        first, second, *_ = grid.nearest(random)
        height = height + share * (np.sqrt(np.clip(1.2 - first**2, 0, 2)) if random.random() < 0.7 else second - first)
        share *= span(random, 0.25, 0.55)
    if random.random() < 0.5:
        leaf = element(random, n, 3, 12)
        raised, tone = _leaves(random, n, leaf)
        height = height + leaf / size * raised
    tone = tone + 2 * (height - blur(height, size / 5)) + 0.3 * height + 0.2 * rough(random, n, size, 1.2)
    albedo = ramp(palette(random, 4, random.choice(["grey cold vivid any earth", ""])), unit(tone, 2))
    return Relief(span(random, 0.2, 0.7) * size * height, albedo, random.choice([0, 0, 0.15]))


def _leaves(random: Random, n: int, leaf: float) -> tuple[np.ndarray, np.ndarray]:
    """Small round leaves all over: how high they stand, in leaves, and how light they are."""
    count = int(min(3 * n * n, 1.2e6) / leaf**2)
    half = (0.5 * leaf * random.uniform(low, 1.1, count) for low in (0.6, 0.4))
    inside = lambda u, v, _: u * u + v * v < 1  # noqa: E731
    owner, u, v = paint(random, n, *half, random.uniform(0, TURN, count), inside=inside)
    lean = random.normal(0, 0.25, (2, count))[:, owner]
    return random.uniform(0, 1, count)[owner] + lean[0] * u + lean[1] * v, 0.5 * random.standard_normal(count)[owner]


def rust(random: Random, n: int) -> Relief:
    """Rust, peeling paint, torn posters, eroded layers: sheets with lifted edges, one over the other."""
    size, slope = element(random, n, 20), random.uniform(1.3, 2.5)
    base, tone = rough(random, n, size, slope), unit(rough(random, n, size / 2, 1))
    albedo = ramp(palette(random, 3, "green cold vivid"), tone)
    height = 0.015 * size * rough(random, n, size / 2, 1.5)
    for colour in random.permutation(palette(random, 5))[: random.integers(1, 4)]:
        field = base + random.uniform(0.2, 1) * rough(random, n, size, slope, turned(random), span(random, 1, 4))
        field = (field - np.quantile(field[::5, ::5], random.uniform(0.15, 0.7))) / field.std()
        sheet, edge = step(field, 0, 0.05), np.exp(-np.abs(field) / span(random, 0.05, 0.3))
        stained = lay(albedo, albedo * [0.6, 0.4, 0.25], edge * random.uniform(0, 0.9))
        coat = mottled(random, colour, n, size, random.uniform(0.02, 0.15)) * (1 - 0.3 * edge[..., None])
        albedo = lay(stained, coat, sheet)
        height = height * (1 - 0.5 * sheet) + size * (0.05 + random.uniform(-0.03, 0.12) * edge) * sheet
    return Relief(height, np.clip(albedo, 0, 1), random.choice([0, 0.1, 0.4]))


def labyrinth(random: Random, n: int) -> Relief:
    """Stripes and spots as of hides, corals, mazes: noise that is filtered and saturated in turns."""
    size, bias = element(random, n, 5, 60), random.choice([0, 0.1, 0.5, -0.5])
    gain = band(n, size, random.uniform(0.2, 0.45), turned(random), random.choice([1, 1, span(random, 1, 3)]))
    spots = waves(random, n, gain, random.integers(2, 6), bias)
    share = unit(spots + 0.15 * rough(random, n, size, 1), 1.2)
    albedo = ramp(palette(random, 4)[random.choice([[0, 1, 2, 3], [3, 2, 0, 1], [0, 3, 3, 1]])], share)
    hair = rough(random, n, size / 2, 1, turned(random), random.choice([1, 12]))
    albedo = albedo * (1 + random.uniform(0, 0.2) * hair[..., None])
    relief = random.choice([0.01, 0.1, 0.25]) * (spots + random.uniform(0, 0.5) * (1 - spots**2))
    return Relief(size * (relief + 0.01 * hair), np.clip(albedo, 0, 1), random.choice([0, 0.1, 0.5]))


def ridges(random: Random, n: int) -> Relief:
    """Sand waves, corduroy, pleats, corrugated metal, combed plaster: long crests of many profiles."""
    size, angle, sharp = element(random, n, 4, 60), turned(random), random.uniform(0.6, 0.9)
    grid = Lattice(n, size, angle, 1, bend=swirl(random, n, span(random, 1.5, 5) * size, span(random, 0.02, 1) * size))
    wave, arch = np.sin(TURN * grid.v), np.abs(np.sin(np.pi * grid.v))
    saw = np.where(grid.v < sharp, grid.v / sharp, (1 - grid.v) / (1 - sharp))
    cord = np.sqrt(np.clip(1 - (2.2 * grid.v - 1.1) ** 2, 0, 1))
    profiles = [wave, 2 * arch, 1 - 2 * arch, 2 * saw, np.tanh(4 * wave), 2 * cord]
    crest = profiles[random.integers(len(profiles))] * (1 + random.uniform(0, 0.4) * smooth(random, n, 2 * size))
    fine = rough(random, n, size, random.uniform(1, 1.8), angle, random.choice([1, 1, 20]))
    ribs = np.sin(TURN * (grid.p * random.integers(2, 7))) * random.choice([0, 0, 0.15])
    albedo = ramp(palette(random, 3), unit(random.uniform(0, 0.7) * crest + random.uniform(0.1, 0.6) * fine))
    height = size * (span(random, 0.05, 0.25) * (crest + ribs) + span(random, 0.005, 0.06) * fine)
    return Relief(height, albedo, random.choice([0, 0, 0.2, 0.7]))


def leather(random: Random, n: int) -> Relief:
    """Leather, skin, crumpled paper, wrinkled fruit: pebbled grain crossed by folds."""
    size, angle = element(random, n, 6, 60), turned(random)
    bend = swirl(random, n, size, random.uniform(0.05, 0.2) * size)
    height = np.zeros((n, n), np.float32)
    for share in (1, span(random, 0.3, 0.6))[: random.integers(1, 3)]:
        first, second, *_ = Lattice(n, share * size, angle, span(random, 1, 2.5), bend=bend).nearest(random)
        height += share * np.clip((second - first) / random.uniform(0.3, 1), 0, 1) ** random.uniform(0.4, 0.8)
    folds = -(np.abs(rough(random, n, 4 * size, random.uniform(1.8, 2.6), angle, span(random, 1, 4))) ** 0.7)
    height = blur(height, random.uniform(0.02, 0.08) * size) + random.uniform(0, 2) * folds
    tone = 0.7 * (height - blur(height, size)) + random.uniform(0.1, 0.8) * rough(random, n, 4 * size, 1.4)
    albedo = ramp(palette(random, 2), unit(tone, 2.5))
    return Relief(size * span(random, 0.08, 0.3) * height, albedo, random.uniform(0, 0.5))
