"""Render a collection of small images of ten classes: python videos/render_objects.py FOLDER [--count N] [--seed S]

Each is one solid shape of a class (disc, ring, square, ...) of random place, size, angle and colours, lit from a random
side, on a shaded ground; 32 x 32 pixels. Written as tar shards in WebDataset's layout, 10,000 images each.
"""

import argparse
import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 32
SHARD, BATCH = 10_000, 500  # images
SOFT = 0.06  # width of an edge, of half a side
NAMES = ("cross", "crescent", "disc", "gear", "half", "hexagon", "ring", "square", "star", "triangle")


def polygon(x, y, corners):
    """Signed distance to a regular polygon, 1 from its middle to its sides."""
    angle = np.arctan2(y, x) % (2 * np.pi / corners) - np.pi / corners
    return np.hypot(x, y) * np.cos(angle) - np.cos(np.pi / corners)


def distance(name, x, y):
    """Signed distance to the shape of a class at points `n side side`; below 0 within."""
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    if name == "cross":
        return np.minimum(np.maximum(abs(x) - 0.3, abs(y) - 0.95), np.maximum(abs(y) - 0.3, abs(x) - 0.95))
    if name == "crescent":
        return np.maximum(radius - 0.9, 0.75 - np.hypot(x - 0.45, y))
    if name == "gear":
        return np.maximum(radius - 0.8 - 0.14 * np.sign(np.sin(8 * angle)), 0.3 - radius)
    if name == "half":
        return np.maximum(radius - 0.9, x)
    if name == "ring":
        return abs(radius - 0.68) - 0.22
    if name == "star":
        return radius - 0.62 - 0.32 * np.cos(5 * angle)
    if name == "disc":
        return radius - 0.85
    return polygon(x, y, {"hexagon": 6, "square": 4, "triangle": 3}[name])


def render(random, classes):
    """`n side side 3`, uint8: an image of each class in `classes`, `n` numbers."""
    count = len(classes)
    place = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    y, x = np.broadcast_to(place[:, None], (count, SIDE, SIDE)), np.broadcast_to(place, (count, SIDE, SIDE))

    def each(low, high, *shape):
        return random.uniform(low, high, (count, 1, 1, *shape))

    size, angle = each(0.45, 0.8), each(0, 2 * np.pi)
    across, down = x - each(-0.25, 0.25), y - each(-0.25, 0.25)
    turned = (
        (across * np.cos(angle) + down * np.sin(angle)) / size,
        (down * np.cos(angle) - across * np.sin(angle)) / size,
    )
    inside = np.empty((count, SIDE, SIDE))
    for number in np.unique(classes):
        chosen = classes == number
        found = distance(NAMES[number], turned[0][chosen], turned[1][chosen]) * size[chosen]
        inside[chosen] = np.clip(0.5 - found / SOFT, 0, 1)
    light = each(0, 2 * np.pi)
    slope = x * np.cos(light) + y * np.sin(light)
    ground, shape = each(0.05, 0.95, 3), each(0.05, 0.95, 3)
    shape = np.where(abs(shape - ground).max(-1, keepdims=True) < 0.4, (ground + 0.5) % 1, shape)
    shaded = ground * (0.85 + 0.15 * slope)[..., None], shape * (0.75 - 0.25 * slope)[..., None]
    image = shaded[0] + (shaded[1] - shaded[0]) * inside[..., None]
    image = image + random.normal(0, 0.015, image.shape)
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8)


def write(folder, count, seed=0, shard=SHARD):
    """Write so many images as tar shards; the same for the same seed."""
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, count, shard):
        with tarfile.open(folder / f"objects-{first // shard:06}.tar", "w") as archive:
            for start in range(first, min(first + shard, count), BATCH):
                random = np.random.default_rng((seed, start))
                classes = random.integers(0, len(NAMES), min(BATCH, count - start))
                for number, (image, kind) in enumerate(zip(render(random, classes), classes, strict=True), start):
                    blob = io.BytesIO()
                    Image.fromarray(image).save(blob, "PNG", compress_level=1)
                    for ending, data in (("png", blob.getvalue()), ("cls", NAMES[kind].encode())):
                        entry = tarfile.TarInfo(f"{number:09}.{ending}")
                        entry.size = len(data)
                        archive.addfile(entry, io.BytesIO(data))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write(options.folder, options.count, options.seed)
