"""Families of things made by hand and of things in rows: cloth, knitwear, tiles, prints, scales, nets, things strewn.

families.py lights and mixes them; none is woven of rods, and none is a wall of bricks.
"""

import numpy as np
from relief import (
    Lattice,
    Random,
    Relief,
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
)

TURN = 2 * np.pi
WEAVES = {  # 1: the warp is above; rows are picks of the weft
    "plain": ["10", "01"],
    "twill": ["1100", "0110", "0011", "1001"],
    "denim": ["1110", "0111", "1011", "1101"],
    "herringbone": ["11000011", "01100110", "00111100", "10011001"],
    "crepe": ["1011", "0100", "1101", "0010"],
}


def cloth(random: Random, n: int) -> Relief:
    """Woven cloth: plain, twill, denim, herringbone, crepe, with slubs, stripes and checks."""
    pitch, angle = element(random, n, 2.5, 10), random.choice([0, turned(random)])
    many = random.choice([8, 16, 24]) if pitch < n / 40 else 8  # threads until stripes repeat
    bend = swirl(random, n, n / 6, random.uniform(0, 0.5) * pitch)
    grid = Lattice(n, pitch, angle, span(random, 0.7, 1.4), multiple=many, bend=bend)
    weave = np.array([[int(each) for each in row] for row in WEAVES[random.choice(list(WEAVES))]])
    over = weave[grid.j % len(weave), grid.i % len(weave[0])] * 2.0 - 1
    slubs = [rough(random, n, 2 * pitch, 1, angle + turn, 25) for turn in (np.pi / 2, 0)]
    loose, crimp = random.uniform(1.8, 2.4), random.uniform(0.2, 0.5)
    threads = []
    for side, along, slub, sign in ((grid.u, grid.v, slubs[0], over), (grid.v, grid.u, slubs[1], -over)):
        body = np.sqrt(np.clip(1 - (loose * (side - 0.5) / (1 + 0.12 * slub)) ** 2, 0, 1))
        threads.append(0.45 * body * (1 + 0.1 * slub) + crimp * sign * np.sin(np.pi * along) ** 0.7)
    colours, stripes = palette(random, 4), random.integers(0, 4, (2, many)) * random.choice([0, 1, 1])
    warp, weft = colours[stripes[0][grid.i % many]], colours[::-1][stripes[1][grid.j % many]]
    top = threads[0] > threads[1]
    albedo = np.where(top[..., None], warp, weft) * (1 + random.uniform(0.03, 0.2) * np.where(top, *slubs))[..., None]
    height = pitch * (span(random, 0.3, 1) * np.maximum(*threads) + 0.05 * rough(random, n, pitch, 1.2))
    return Relief(height, np.clip(albedo, 0, 1), random.choice([0, 0.1, 0.5]))


def knit(random: Random, n: int) -> Relief:
    """Knitwear: stitches of two slanting loops, twisted yarn, stripes, purl rows or small patterns of colour."""
    pitch, angle = element(random, n, 6, 40), random.choice([0, np.pi / 2, turned(random)])
    bend = swirl(random, n, 4 * pitch, random.uniform(0, 0.15) * pitch)
    grid = Lattice(n, pitch, angle, span(random, 0.9, 1.5), multiple=2, bend=bend)
    middle = grid.u - 0.5
    side, slant = np.abs(middle) - 0.25, random.uniform(0.8, 1.6) * np.abs(middle)
    purl = (grid.j % 2 == 1) & (random.random() < 0.3)
    run = grid.q + np.where(purl, np.cos(TURN * grid.u) * 0.25, slant)
    place = run - np.floor(run) - 0.5
    loop = 1 - (side / 0.27) ** 2 - (place / 0.62) ** 2
    yarn = np.sin(TURN * (place * random.uniform(1, 3) + 4 * side * np.sign(middle)))
    fuzz = rough(random, n, pitch / 3, 1.1)
    motif = random.integers(0, 3, random.choice([1, 4, 8], 2)) * random.choice([0, 1])
    stitch = motif[np.floor(run).astype(int) % len(motif), grid.i % len(motif[0])]
    shade = (1 + 0.1 * yarn + 0.1 * fuzz) * (0.5 + 0.5 * step(loop, 0, 0.2))
    height = 0.35 * pitch * (np.sqrt(np.clip(loop, 0, 1)) * (1 + 0.06 * yarn) + 0.05 * fuzz)
    return Relief(height, palette(random, 3)[::-1][stitch] * shade[..., None], random.uniform(0, 0.15))


def ornament(random: Random, grid: Lattice, order: int = 2) -> np.ndarray:
    """A field of unit variance with the lattice's period and symmetry: a few stars of waves."""
    field = np.zeros_like(grid.p)
    for _ in range(random.integers(2, 5)):
        a, b = random.integers(-order, order + 1, 2)
        phase = random.choice([0, np.pi / 2, random.uniform(0, TURN)], p=[0.6, 0.25, 0.15])
        for k, m in ((a, b), (b, -a)) if grid.skew > 1.5 else ((a, b), (b, -a - b), (-a - b, a)):
            field = field + random.standard_normal() * np.cos(TURN * (k * grid.p + m * grid.q) + phase)
    return (field - field.mean()) / (field.std() + 1e-3)


def tiles(random: Random, n: int) -> Relief:
    """Ceramic tiles and mosaics: squares, diamonds, hexagons or irregular, glazed, some with a pattern."""
    size, kind = element(random, n, 8), random.choice(["square", "hexagon", "mosaic"])
    angle, bend = random.choice([0, np.pi / 4, turned(random)]), swirl(random, n, size, random.uniform(0, 0.02) * size)
    grid = Lattice(n, size, angle, 1, np.pi / 3 if kind == "hexagon" else np.pi / 2, 2, bend)
    first, second, tile, *_ = grid.nearest(random, 0.6 if kind == "mosaic" else 0)
    edge = second - first + 0.01 * rough(random, n, size / 3)
    if kind == "square":
        edge, tile = 1 - 2 * np.maximum(np.abs(grid.u - 0.5), np.abs(grid.v - 0.5)), grid.cells()
    joint, colours = span(random, 0.04, 0.2), random.permutation(palette(random, 4))
    face = tints(random, colours[: random.integers(1, 4)], grid.count, random.uniform(0, 0.2))[tile]
    if kind != "mosaic" and random.random() < 0.4:
        face = lay(face, colours[3], step(ornament(random, grid), random.uniform(-0.3, 0.6), 0.15))
    face = mottled(random, face, n, size, random.uniform(0, 0.2), 1.4)
    grout = mottled(random, colours[3] * 0.7, n, size / 6, 0.15)
    lean = random.normal(0, 0.03, (2, grid.count))[:, tile]
    top = step(edge, joint, span(random, 0.06, 0.5)) * span(random, 0.03, 0.12)
    height = size * (top + lean[0] * (grid.u - 0.5) + lean[1] * (grid.v - 0.5) + 0.004 * smooth(random, n, size / 3))
    inside = step(edge, joint, 0.05)
    return Relief(height, np.clip(lay(grout, face, inside), 0, 1), inside * random.choice([0, 0.3, 0.7]))


def prints(random: Random, n: int) -> Relief:
    """Printed cloth and paper: dots, flowers and arabesques on a lattice, in flat colours with worn ink."""
    size, skew = element(random, n, 18), random.choice([np.pi / 2, np.pi / 3])
    angle, bend = random.choice([0, np.pi / 4, turned(random)]), swirl(random, n, size, random.uniform(0, 0.04) * size)
    grid = Lattice(n, size, angle, 1, skew, 1, bend)
    colours, worn = random.permutation(palette(random, 5)), 0.06 * rough(random, n, element(random, n, 5, 30), 1.2)
    albedo, flowers = np.broadcast_to(colours[0], (n, n, 3)), random.random() < 0.75
    for colour in colours[1 : random.integers(1 if flowers else 2, 4)]:
        line, width = ornament(random, grid) + worn, random.uniform(0.15, 0.5)
        line = np.abs(line) if random.random() < 0.6 else line - random.uniform(0, 0.8)
        albedo = lay(albedo, colour, 1 - step(line, width, 0.12))
    if flowers:
        outline, radius = _flowers(random, grid)
        for colour, inner in zip(colours[2:], (0, 0.09, radius * 0.6), strict=True):
            albedo = lay(albedo, colour, step(outline + 0.1 * worn, inner, 0.03))
    pitch = element(random, n, 2, 5)
    threads = Lattice(n, pitch)
    weave = np.sin(TURN * threads.p) * np.sin(TURN * threads.q) + rough(random, n, pitch, 1)
    albedo = albedo * (1 + random.uniform(0, 0.12) * weave + worn)[..., None]
    return Relief(random.uniform(0, 0.1) * pitch * weave, np.clip(albedo, 0, 1), random.choice([0, 0, 0.1]))


def _flowers(random: Random, grid: Lattice) -> tuple[np.ndarray, float]:
    """One flower a cell: how far inside its outline, in cells, and the radius."""
    _, _, cell, x, y = grid.nearest(random, random.choice([0, 0.3]))
    turn = np.arctan2(y, x) + random.uniform(0, TURN, grid.count)[cell] * random.choice([0, 1])
    petals, deep, radius = random.integers(3, 9), random.choice([0, 0.25, 0.5]), random.uniform(0.25, 0.5)
    outline = radius * (1 - deep * (0.5 + 0.5 * np.cos(petals * turn)) ** span(random, 0.4, 2))
    return outline - np.hypot(x, y), radius


def scales(random: Random, n: int) -> Relief:
    """Fish scales, rounded shingles, feathers: rows of which each hides the roots of the next."""
    size, wide, tip = element(random, n, 8), random.uniform(0.5, 0.6), random.uniform(1.1, 1.6)
    bend = swirl(random, n, 2 * size, random.uniform(0, 0.1) * size)
    grid = Lattice(n, size, random.uniform(0, TURN), random.uniform(0.9, 1.7), np.pi / 3, bend=bend)
    scale, x, y, rim = _rows(random, grid, wide, tip, random.choice([1.3, 2, 2, 2.5]))
    grooves = np.sin(random.integers(8, 30) * (x if random.random() < 0.5 else rim)) * random.uniform(0, 0.03)
    top = 0.3 * y + random.uniform(0, 0.3) * (1 - (x / wide) ** 2) - 0.1 * rim**4 + grooves
    colours = palette(random, 3)
    face = tints(random, colours[1:], grid.count, random.uniform(0, 0.3))[scale]
    albedo = mottled(random, lay(face, colours[0], unit(rim, 1) * random.uniform(-0.4, 0.8)), n, size, 0.1, 1.6)
    return Relief(span(random, 0.4, 1) * size * top, np.clip(albedo, 0, 1), random.choice([0, 0.2, 0.6]))


def _rows(random: Random, grid: Lattice, wide: float, tip: float, power: float):
    """The scale on top at each pixel, the place on it, and how near its rim (1) that is."""
    front, place = np.full(grid.u.shape, -9.0, np.float32), grid.place
    x, y = np.zeros((2, *grid.u.shape), np.float32)
    shift = random.normal(0, random.choice([0.01, 0.05]), (2, grid.count)).astype(np.float32)
    for j in (-2, -1, 0, 1):
        for i in (-1, 0, 1, 2):
            cell = grid.beside(i, j)
            moved = shift[:, grid.table.ravel().take(cell)]
            down, right = grid.v - j + moved[1], grid.u - i + 0.5 * (grid.v - j) + moved[0]
            inside = (np.abs(right) / wide) ** power + (np.maximum(down, 0) / tip) ** power < 1
            better = inside & (down > front)
            front, place = np.where(better, down, front), np.where(better, cell, place)
            x, y = np.where(better, right, x), np.where(better, down, y)
    return grid.table.ravel().take(place), x, y, (np.abs(x) / wide) ** power + (np.maximum(y, 0) / tip) ** power


def pieces(random: Random, n: int) -> Relief:
    """Things strewn over each other: coins, rings, flowers, confetti, mulch."""
    kind = random.choice(["coin", "ring", "flower", "flower", "square", "mulch"])
    size = element(random, n, 24 if kind == "square" else 8, 60)
    count = int(np.clip(random.uniform(0.8, 4) * n * n / size**2, 4, 1e6 / size**2 + 20))
    half = 0.5 * size * np.exp(random.choice([0.03, 0.2]) * random.standard_normal(count)).clip(0.5, 1.6)
    slim = random.uniform(0.15, 0.4) if kind == "mulch" else random.uniform(0.9, 1)
    outline = _outline(kind, random.integers(4, 9), random.uniform(0.3, 0.6))
    turns = random.uniform(0, TURN, count)
    owner, u, v = paint(random, n, half, half * slim, turns, inside=lambda u, v, _: outline(u, v) < 1)
    edge, reach, ground = outline(u, v), np.hypot(u, v), owner < 0
    crown = step(0.3 - reach, 0, 0.06) * (kind == "flower")
    lean, pile = random.normal(0, 0.5, (2, count))[:, owner], random.uniform(1, 2.5) * random.permutation(count) / count
    shapes = {"ring": 1 - ((reach - 0.77) / 0.23) ** 2, "coin": 0.7 + 0.3 * step(edge, 0.82, 0.05),
              "flower": 0.4 + random.uniform(-0.2, 1) * reach - 0.4 * edge**3 + 0.5 * crown}  # fmt: skip
    top = pile[owner] + shapes.get(kind, 1 - 0.3 * edge**6) + lean[0] * u + lean[1] * v
    colours, soil = palette(random, 5), 0.3 * rough(random, n, size / 3, 1.5)
    face = lay(tints(random, colours[1:4], count, random.uniform(0.05, 0.3))[owner], colours[4], crown)
    face = mottled(random, face, n, size / 4, 0.15) * (1 - 0.25 * edge ** (2 if kind == "flower" else 8))[..., None]
    albedo = np.where(ground[..., None], colours[0] * 0.6 * (1 + soil[..., None]), face).clip(0, 1)
    height = span(random, 0.06, 0.2) * size * np.where(ground, soil, top)
    return Relief(height, albedo, np.where(ground, 0, random.choice([0, 0.2, 0.8])))


def _outline(kind: str, petals: int, deep: float):
    """A function of the place in [-1, 1] x [-1, 1] that is below 1 inside the thing."""

    def outline(u, v):
        reach = np.hypot(u, v)
        if kind in ("square", "mulch"):
            return np.maximum(np.abs(u), np.abs(v)) * 1.05
        if kind == "flower":
            return reach / (1 - deep + deep * np.abs(np.cos(petals * np.arctan2(v, u) / 2)) ** 0.6)
        return reach + 9 * (reach < 0.55) * (kind == "ring")

    return outline


def net(random: Random, n: int) -> Relief:
    """Chain mail, wire mesh, lace, fishing nets: strands and rings over a dark ground."""
    size, skew = element(random, n, 8, 60), random.choice([np.pi / 2, np.pi / 3])
    bend = swirl(random, n, 2 * size, random.uniform(0, 0.08) * size)
    grid = Lattice(n, size, turned(random), span(random, 0.8, 1.4), skew, 2, bend)
    top = [_mail, _mesh, _lace][random.integers(3)](random, grid, random.uniform(0.06, 0.16))
    there, colours = top > -0.9, random.permutation(palette(random, 4))
    ground = -random.uniform(0.1, 0.6) + 0.05 * rough(random, n, size)
    strand = mottled(random, colours[0], n, size / 2, 0.15) * (0.7 + unit(top))[..., None]
    back = ramp(colours[1:], unit(rough(random, n, 2 * size, 1.2))) * random.uniform(0.15, 1)
    albedo = np.where(there[..., None], strand, back).clip(0, 1)
    return Relief(size * np.where(there, top, ground), albedo, there * random.choice([0, 0.8]))


def _strand(aside: np.ndarray, wire: float, lift: np.ndarray) -> np.ndarray:
    """A wire whose middle is where `aside` is 0, lifted; -1 where there is none."""
    body = np.sqrt(np.clip(wire**2 - aside**2, 0, 1))
    return np.where(body > 0, body + lift, -1)


def _mail(random: Random, grid: Lattice, wire: float) -> np.ndarray:
    """Rings through each other, every other row leaning the other way."""
    ring, lean, top = random.uniform(0.55, 0.7), random.uniform(0.3, 0.6), np.full(grid.u.shape, -1.0)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            x, y = grid.u - 0.5 - i + np.cos(grid.skew) * (grid.v - 0.5 - j), np.sin(grid.skew) * (grid.v - 0.5 - j)
            lift = lean * (x if grid.skew > 1.2 else y) * (1 - 2 * ((grid.j + j) % 2))
            top = np.maximum(top, _strand(np.hypot(x, y) - ring, wire, lift))
    return top


def _mesh(random: Random, grid: Lattice, wire: float) -> np.ndarray:
    """Wires over and under each other."""
    sign = 0.8 * wire * (1 - 2 * (grid.i % 2)), 0.8 * wire * (1 - 2 * (grid.j % 2))
    return np.maximum(_strand(grid.u - 0.5, wire, sign[0] * np.sin(np.pi * grid.q)),
                      _strand(grid.v - 0.5, wire, -sign[1] * np.sin(np.pi * grid.p)))  # fmt: skip


def _lace(random: Random, grid: Lattice, wire: float) -> np.ndarray:
    """Two ornaments' contours in thread."""
    line = np.minimum(np.abs(ornament(random, grid, 1)), np.abs(ornament(random, grid)))
    return _strand(line * wire / 0.35, wire, np.float32(0))
