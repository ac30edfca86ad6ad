"""Render the shipped materials: python videos/render_materials.py [FOLDER]

Each is a height field with colours, roughness and metal, unlit, as scanned materials are: a folder NAME with
NAME_Color.png, NAME_NormalGL.png, NAME_Displacement.png (16 bits), NAME_Roughness.png, NAME_AmbientOcclusion.png and,
where there is metal, NAME_Metalness.png.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from relief import step
from render_stills import FINE, SIZE, blur, ellipsoids, noise, normals, occlusion

SLOPES = 0.9  # of normals, to those of the height in pixels


def cells(random, count, jitter=0.5):
    """Distances to the nearest and the second nearest of points on a torus, in pixels, and which one is nearest."""
    side = round(np.sqrt(count))
    places = (np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) + 0.5) / side
    places = ((places + jitter * random.uniform(-1, 1, places.shape) / side) % 1) * FINE
    first, second = np.full((2, FINE, FINE), np.inf)
    owner = np.zeros((FINE, FINE), int)
    reach = int(2.2 * FINE / side)
    ys, xs = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    for index, (x, y) in enumerate(places):
        rows, columns = (ys + int(y)) % FINE, (xs + int(x)) % FINE
        distance = np.hypot(ys - (y - int(y)), xs - (x - int(x)))
        nearer = distance < first[rows, columns]
        second[rows, columns] = np.where(nearer, first[rows, columns], np.minimum(second[rows, columns], distance))
        owner[rows, columns] = np.where(nearer, index, owner[rows, columns])
        first[rows, columns] = np.minimum(first[rows, columns], distance)
    return first, second, owner


def cobbles():
    """Round stones in earth, dry and rough beside the polished tops."""
    random = np.random.default_rng(21)
    stones = np.array([[0.44, 0.42, 0.4], [0.36, 0.37, 0.4], [0.5, 0.44, 0.37], [0.3, 0.29, 0.28], [0.46, 0.38, 0.34]])
    tint = lambda r, n: stones[r.integers(0, len(stones), n)] * r.uniform(0.8, 1.2, (n, 1))  # noqa: E731
    radius = lambda r: (lambda s: (s * r.uniform(1.0, 1.35), s))(r.uniform(30, 50))  # noqa: E731
    height, owner, _, _, colours = ellipsoids(random, 330, radius, 0.75, tint)
    stone = blur((height > 9 + 2 * noise(random, 6)).astype(float), 1.0)
    earth = 9 + 2.5 * noise(random, 8) + 1.2 * noise(random, 2)
    height = np.where(stone > 0.5, height + 0.5 * noise(random, 2), np.minimum(earth, height + 4))
    soil = np.array([0.2, 0.15, 0.1]) * (1 + 0.2 * noise(random, 2)[..., None])
    colour = soil + stone[..., None] * (colours[owner] * (1 + 0.09 * noise(random, 3)[..., None]) - soil)
    top = step(height, np.quantile(height, 0.6), 14) * stone
    roughness = 0.92 - 0.2 * stone - 0.3 * top + 0.05 * noise(random, 3)
    return blur(height, 1.2), colour, roughness, None


def rust():
    """Painted steel: chips of paint, bare metal at their rims, rust inside."""
    random = np.random.default_rng(22)
    field = noise(random, 18) + 0.5 * noise(random, 7) + 0.22 * noise(random, 3)
    chip = step(field, 0.55, 0.12)  # where the paint is gone
    inside = step(field, 0.85, 0.5)
    grain = noise(random, 1.5)
    paint = np.array([0.12, 0.3, 0.36]) * (1 + 0.05 * noise(random, 14)[..., None] + 0.02 * grain[..., None])
    steel = np.array([0.56, 0.55, 0.53]) * (1 + 0.05 * grain[..., None])
    mix = step(noise(random, 7) + 0.6 * noise(random, 2), -1, 2)[..., None]
    oxide = np.array([0.24, 0.09, 0.04]) + mix * np.array([0.26, 0.13, 0.03]) + 0.03 * grain[..., None]
    colour = paint + chip[..., None] * (steel - paint)
    colour = colour + inside[..., None] * (oxide - colour)
    metal = chip * (1 - inside)
    roughness = 0.3 + 0.03 * noise(random, 20) + inside * (0.55 + 0.06 * grain) + 0.08 * metal
    height = 6 * (1 - chip) + inside * (3 + 2.2 * noise(random, 4) + 1.4 * grain) + 0.15 * noise(random, 3)
    return blur(height, 1.0), colour, roughness, metal


def leather():
    """Worn leather: cells with creases between them, darker where they are deep, polished where they are high."""
    random = np.random.default_rng(23)
    first, second, owner = cells(random, 900, 0.75)
    crease = np.exp(-(((second - first) / 5.0) ** 2))
    lift = random.uniform(0.7, 1.3, 900)[owner]
    dome = np.clip(1 - (first / (0.62 * FINE / 30)) ** 2, 0, 1) * lift
    folds = noise(random, 45)
    height = 9 * dome - 7 * crease + 3 * folds + 0.35 * noise(random, 2)
    tone = np.array([0.36, 0.19, 0.1]) * (1 + 0.14 * folds[..., None] + 0.07 * noise(random, 6)[..., None])
    colour = tone * (0.85 + 0.3 * dome[..., None]) * (1 - 0.45 * crease[..., None])
    colour = colour * (1 + 0.03 * noise(random, 1.5)[..., None])
    roughness = 0.5 + 0.3 * crease - 0.14 * dome - 0.06 * folds + 0.03 * noise(random, 2)
    return blur(height, 1.5), colour, roughness, None


def reduced(field):
    """Averaged down from `FINE` to `SIZE`."""
    return field.reshape(SIZE, FINE // SIZE, SIZE, FINE // SIZE, *field.shape[2:]).mean((1, 3))


def save(material, folder, name):
    """Write all maps of (height, albedo, roughness, metal), in 8 bits, the height in 16."""
    height, albedo, roughness, metal = material
    folder.mkdir(parents=True, exist_ok=True)
    small = reduced(height)
    vectors = normals(small * SLOPES * SIZE / FINE * 3) * [1, -1, 1]  # y up
    low, high = small.min(), small.max()
    maps = {
        "Color": reduced(np.clip(albedo, 0.02, 0.95) ** (1 / 2.2)),
        "NormalGL": (vectors + 1) / 2,
        "Roughness": reduced(roughness),
        "AmbientOcclusion": reduced(occlusion(height)),
        **({} if metal is None else {"Metalness": reduced(metal)}),
    }
    for kind, values in maps.items():
        path = folder / f"{name}_{kind}.png"
        Image.fromarray(np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)).save(path, optimize=True)
        print(path)
    deep = np.round((small - low) / (high - low) * 65535).astype(np.uint16)
    Image.fromarray(deep).save(folder / f"{name}_Displacement.png", optimize=True)


def main(folder):
    for scene in (cobbles, rust, leather):
        save(scene(), folder / scene.__name__, scene.__name__)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "materials")
