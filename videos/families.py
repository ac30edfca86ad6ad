"""Render textures of many families, lit and coloured at random: python videos/families.py FOLDER [--count N]

The pictures from which initial weights are learnt. Every texture follows from its seed alone. None of the families is
that of a shipped exemplar (beans, pebbles, leaves, wicker, bricks, grass, gravel, stars), which so remain a fair test.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import seeds
from crafts import cloth, knit, net, pieces, prints, scales, tiles
from nature import chips, cracks, fibres, foam, ground, labyrinth, leather, marble, moss, ridges, rust, stones, wood
from PIL import Image
from relief import (
    FINE,
    Lattice,
    Random,
    Relief,
    blur,
    camera,
    element,
    lay,
    light,
    palette,
    ramp,
    rough,
    smooth,
    span,
    step,
    swirl,
    unit,
)

FAMILIES: dict[str, Callable[[Random, int], Relief]] = {
    "ground": ground,
    "cracks": cracks,
    "stones": stones,
    "marble": marble,
    "wood": wood,
    "fibres": fibres,
    "foam": foam,
    "chips": chips,
    "moss": moss,
    "rust": rust,
    "labyrinth": labyrinth,
    "ridges": ridges,
    "leather": leather,
    "cloth": cloth,
    "knit": knit,
    "tiles": tiles,
    "prints": prints,
    "scales": scales,
    "pieces": pieces,
    "net": net,
}


def mixed(random: Random, one: Relief, other: Relief) -> Relief:
    """One surface through holes in another."""
    n, size = len(one.height), element(random, len(one.height), 30, 90)
    field = rough(random, n, size, random.uniform(1.3, 2.2)) - random.uniform(-0.3, 1)
    mask = step(field, 0, random.choice([0.03, 0.1, 0.5]))
    height = lay(other.height - random.uniform(0, 0.06) * size, one.height, mask)
    return Relief(height, lay(other.albedo, one.albedo, mask), other.gloss * (1 - mask) + one.gloss * mask)


def cracked(random: Random, relief: Relief) -> Relief:
    """The surface with a few long cracks."""
    n, size = len(relief.height), element(random, len(relief.height), 20, 90)
    first, second, *_ = Lattice(n, size, bend=swirl(random, n, size, 0.08 * size)).nearest(random)
    line = np.exp(-(((second - first) / 0.06) ** 2)) * step(smooth(random, n, size), -0.5, 0.5)
    return Relief(relief.height - 0.06 * size * line, relief.albedo * (1 - 0.7 * line[..., None]), relief.gloss)


def _patches(random: Random, relief: Relief, size: float) -> np.ndarray:
    """Where something settles: in patches, rather in hollows."""
    where = rough(random, len(relief.height), size, random.uniform(1.2, 1.8))
    where = where - np.tanh(relief.height - blur(relief.height, size / 4))
    return step(where, random.uniform(0.2, 1), random.uniform(0.1, 1))


def stained(random: Random, relief: Relief) -> Relief:
    """The surface with stains of one colour."""
    mask = _patches(random, relief, element(random, len(relief.height), 20, 90))
    return Relief(relief.height, lay(relief.albedo, relief.albedo * palette(random, 3)[1], mask), relief.gloss)


def overgrown(random: Random, relief: Relief) -> Relief:
    """The surface with moss, lichen or soil on it."""
    n, size = len(relief.height), element(random, len(relief.height), 20, 90)
    mask, tufts = _patches(random, relief, size), rough(random, n, size / 5, 1.4)
    over = ramp(palette(random, 3, "vivid"), unit(tufts))
    height = relief.height + 0.04 * size * mask * (1 + tufts)
    return Relief(height, lay(relief.albedo, over, mask), relief.gloss * (1 - mask))


def weathered(random: Random, relief: Relief) -> Relief:
    """Fine roughness, uneven tone, and dirt in the hollows: no surface is clean."""
    n, size = len(relief.height), element(random, len(relief.height), 2, 12)
    fine = rough(random, n, size, random.uniform(1.2, 2.2))
    low = np.clip(blur(relief.height, n / 70) - relief.height, 0, None) * 70 / n
    shade = span(random, 0.005, 0.1) * fine - random.uniform(0, 1) * low + 0.05 * rough(random, n, n / 4, 1)
    height = relief.height + span(random, 0.001, 0.02) * size * fine
    return Relief(height, relief.albedo * np.exp(shade)[..., None], relief.gloss)


def surface(random: Random, n: int) -> Relief:
    """A surface of one family, or in a third of the cases a mixture."""
    make, another = (list(FAMILIES.values())[k] for k in random.integers(len(FAMILIES), size=2))
    relief, kind = make(random, n), random.random()
    if kind < 0.14:
        relief = mixed(random, relief, another(random, n))
    elif kind < 0.34:
        relief = [cracked, stained, overgrown][random.integers(3)](random, relief)
    return weathered(random, relief)


def render(seed: int, size: int = 224) -> np.ndarray:
    """uint8 `size size 3`: the texture of this seed. Elements grow with the size: 3 to 90 pixels at 224."""
    random = np.random.default_rng([seed, 20])
    return camera(random, light(random, surface(random, FINE * size)))


def sheet(pictures: list[np.ndarray], columns: int = 8, gap: int = 4) -> Image.Image:
    """Pictures side by side."""
    cell = len(pictures[0]) + gap
    page = Image.new("RGB", (columns * cell, -(-len(pictures) // columns) * cell))
    for index, picture in enumerate(pictures):
        page.paste(Image.fromarray(picture), (index % columns * cell, index // columns * cell))
    return page


def save(picture: np.ndarray, path: Path) -> None:
    """Write a PNG."""
    Image.fromarray(picture).save(path)


def main() -> None:
    options = seeds.parser(__doc__, ".png", count=48, size=224).parse_args()
    seeds.render_all(options, lambda seed: render(seed, options.size), save, sheet)


if __name__ == "__main__":
    main()
