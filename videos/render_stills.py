"""Render the shipped still exemplars that are not photographs: python videos/render_stills.py [FOLDER] [--fine]

Each scene is a height field with colours, lit by one lamp with cast shadows and ambient occlusion. Pebbles come with
their normal map, as a material. --fine writes them as rendered, at three times the size, for levels of detail.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 256  # pixels of the written picture
FINE = 3 * SIZE  # rendered at three times that, then averaged down
LAMP = np.array([-0.55, -0.6, 0.75]) / np.linalg.norm([-0.55, -0.6, 0.75])


def blur(field, sigma):
    """Gaussian blur on a torus."""
    frequency = np.fft.fftfreq(field.shape[0])[:, None] ** 2 + np.fft.rfftfreq(field.shape[1])[None] ** 2
    return np.fft.irfft2(np.fft.rfft2(field) * np.exp(-2 * np.pi**2 * sigma**2 * frequency), field.shape)


def noise(random, sigma, size=FINE):
    """Smooth noise of unit variance on a torus."""
    field = blur(random.standard_normal((size, size)), sigma)
    return field / field.std()


def normals(height):
    """Unit normals `h w 3` of a height field in units of pixels; x to the right, y down, z towards the viewer."""
    slope_y = (np.roll(height, -1, 0) - np.roll(height, 1, 0)) / 2
    slope_x = (np.roll(height, -1, 1) - np.roll(height, 1, 1)) / 2
    normal = np.stack([-slope_x, -slope_y, np.ones_like(height)], -1)
    return normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def shadow(height, steps=120):
    """1 where the lamp reaches, 0 in cast shadow, with a soft rim."""
    light = np.ones_like(height)
    direction = -LAMP[:2] / np.linalg.norm(LAMP[:2])
    rise = LAMP[2] / np.linalg.norm(LAMP[:2])
    for step in range(2, steps, 2):
        shift = np.round(direction[::-1] * step).astype(int)
        blocker = np.roll(height, tuple(shift), (0, 1)) - height - rise * step
        light = np.minimum(light, np.clip(1 - blocker / 6, 0, 1))
    return light


def occlusion(height):
    """How much of the sky each place sees."""
    seen = np.ones_like(height)
    for sigma in (6, 14, 30):
        seen *= np.clip(1 - np.maximum(blur(height, sigma) - height, 0) / (2.2 * sigma), 0.25, 1)
    return seen


def render(height, albedo, gloss=0.0, shine=30.0):
    """`h w 3` in [0, 1]: diffuse light, sky, shadows and highlights."""
    normal = normals(height)
    lit = shadow(height)
    diffuse = np.clip(normal @ LAMP, 0, 1) * lit
    half = LAMP + np.array([0, 0, 1])
    highlight = gloss * np.clip(normal @ (half / np.linalg.norm(half)), 0, 1) ** shine * lit
    colour = albedo * (
        1.05 * diffuse[..., None] * [1.0, 0.96, 0.9] + 0.38 * occlusion(height)[..., None] * [0.85, 0.93, 1.0]
    )
    return np.clip(colour + highlight[..., None], 0, 1) ** (1 / 1.5)


def ellipsoids(random, count, radii, flat, tint, pile=0.0):
    """Drop `count` ellipsoids at random, each `pile` higher than the one before.

    Returns height, which one is on top (-1: ground), the place inside it along and across, and their colours.
    """
    height = np.zeros((FINE, FINE))
    owner = np.full((FINE, FINE), -1)
    along = np.zeros((FINE, FINE))
    across = np.zeros((FINE, FINE))
    for index in range(count):
        centre = random.uniform(0, FINE, 2)
        long, short = radii(random)
        angle, lift = random.uniform(0, np.pi), random.uniform(0, 0.8 * short) + pile * index
        reach = int(long) + 2
        ys, xs = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        u = (xs * np.cos(angle) + ys * np.sin(angle)) / long
        v = (-xs * np.sin(angle) + ys * np.cos(angle)) / short
        inside = u**2 + v**2 < 1
        top = lift + flat * short * np.sqrt(np.maximum(1 - u**2 - v**2, 0))
        rows, columns = (ys + int(centre[0])) % FINE, (xs + int(centre[1])) % FINE
        wins = inside & (top > height[rows, columns])
        where = rows[wins], columns[wins]
        height[where], owner[where], along[where], across[where] = top[wins], index, u[wins], v[wins]
    return height, owner, along, across, tint(random, count)


def beans():
    """Roasted coffee beans: ellipsoids with a crease along the middle."""
    random = np.random.default_rng(1)
    tint = lambda r, n: np.array([0.33, 0.165, 0.075]) * r.uniform(0.65, 1.25, (n, 1)) + r.normal(0, 0.012, (n, 3))  # noqa: E731
    height, owner, along, across, colours = ellipsoids(
        random, 420, lambda r: (r.uniform(44, 54), r.uniform(29, 34)), 0.7, tint, pile=0.4
    )
    bent = across + 0.12 * np.sin(3 * along)
    faces = random.random(420) < 0.6  # the others lie on their crease
    crease = np.where(faces[owner], np.exp(-((bent / 0.075) ** 2)) * np.clip(1.1 - along**2, 0, 1), 0)
    height = height - blur(height, 90) - 7 * crease + 0.12 * noise(random, 2)
    albedo = np.clip(colours[owner], 0.02, 1) * (1 - 0.55 * crease[..., None])
    albedo = albedo * (1 + 0.07 * noise(random, 4)[..., None])
    return render(blur(height, 1.0), albedo, gloss=0.5, shine=28)


def pebbles():
    """Wet beach pebbles of many colours; returns the picture and its normal map."""
    random = np.random.default_rng(4)
    stones = np.array(
        [
            [0.55, 0.5, 0.45],
            [0.36, 0.4, 0.45],
            [0.62, 0.42, 0.32],
            [0.75, 0.72, 0.66],
            [0.25, 0.26, 0.29],
            [0.5, 0.52, 0.42],
        ]
    )
    tint = lambda r, n: stones[r.integers(0, len(stones), n)] * r.uniform(0.8, 1.15, (n, 1))  # noqa: E731
    radius = lambda r: (lambda s: (s * r.uniform(1.05, 1.5), s))(r.uniform(24, 52))  # noqa: E731
    height, owner, along, _, colours = ellipsoids(random, 620, radius, 0.8, tint)
    veins = 0.5 + 0.5 * np.tanh(3 * np.sin(7 * along + 2 * noise(random, 9) + owner))
    albedo = colours[owner] * (1 + 0.1 * noise(random, 2)[..., None]) * (0.86 + 0.2 * veins[..., None])
    albedo[owner < 0] = [0.2, 0.18, 0.16]
    height = blur(height, 1.2) + 0.3 * noise(random, 2)
    colour = render(height, np.clip(albedo, 0, 1), gloss=0.35, shine=50)
    normal = normals(blur(height, 1.0)) * [1, -1, 1]  # y up, as most engines expect
    return colour, (normal + 1) / 2


def wicker():
    """A woven basket: willow rods that go over and under stakes."""
    random = np.random.default_rng(6)
    stakes, rods = 12, 24
    ys, xs = np.mgrid[:FINE, :FINE] / FINE
    ys = ys + 0.004 * noise(random, 60) / 3
    rod = np.floor(ys * rods).astype(int) % rods
    v = (ys * rods) % 1 * 2 - 1
    wave = np.cos(np.pi * (xs * stakes + rod))
    thick = 1 + 0.12 * random.standard_normal(rods)[rod]
    over = 17 * wave + 15 * thick * np.sqrt(np.clip(1 - v**2, 0, 1))
    u = ((xs * stakes + 0.5) % 1 * 2 - 1) * 2.1
    stake = np.where(np.abs(u) < 1, 17 * np.sqrt(np.clip(1 - u**2, 0, 1)) - 2, -30)
    height = np.maximum(over, stake)
    grain = blur(random.standard_normal((FINE, FINE)), 0.6)
    frequency = np.fft.rfftfreq(FINE)[None] ** 2
    streaks = np.fft.irfft2(np.fft.rfft2(grain) * np.exp(-2 * np.pi**2 * 30**2 * frequency), grain.shape)
    streaks /= streaks.std()
    tone = (0.86 + 0.1 * random.standard_normal(rods)[rod])[..., None] * np.array([0.72, 0.5, 0.27])
    albedo = np.where((over >= stake)[..., None], tone * (1 + 0.13 * streaks[..., None]), [0.45, 0.29, 0.15])
    return render(blur(height, 1.2) + 0.5 * streaks, np.clip(albedo, 0.02, 1), gloss=0.12, shine=20)


def leaves():
    """Autumn leaves on dark ground: overlapping blades with veins, in reds, golds and browns."""
    random = np.random.default_rng(9)
    height = 2 * noise(random, 3)
    albedo = np.array([0.13, 0.1, 0.06]) * (1 + 0.25 * noise(random, 2)[..., None])
    palette = np.array([[0.62, 0.2, 0.06], [0.75, 0.45, 0.08], [0.5, 0.3, 0.12], [0.68, 0.56, 0.16], [0.4, 0.12, 0.06]])
    level = 0.0
    for _ in range(420):
        long = random.uniform(60, 95)
        wide = long * random.uniform(0.34, 0.46)
        centre, angle = random.uniform(0, FINE, 2), random.uniform(0, 2 * np.pi)
        reach = int(long) + 2
        ys, xs = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        u = (xs * np.cos(angle) + ys * np.sin(angle)) / long
        v = (-xs * np.sin(angle) + ys * np.cos(angle)) / wide
        v = v + 0.12 * np.sin(2.5 * u + random.uniform(0, 6))
        edge = (1 - u**2) * (1 + 0.05 * np.sin(46 * u)) * (1 - 0.35 * u)
        inside = np.abs(v) < edge
        veins = np.exp(-((v / 0.035) ** 2)) + 0.5 * np.exp(-((np.sin(16 * (u - 0.9 * np.abs(v))) / 0.22) ** 2))
        curl = random.uniform(-5, 9)
        level += 0.35
        top = level + 7 + curl * v**2 + 4 * u * random.uniform(-1, 1) - 1.3 * veins
        rows, columns = (ys + int(centre[0])) % FINE, (xs + int(centre[1])) % FINE
        where = rows[inside], columns[inside]
        colour = palette[random.integers(0, len(palette))] * random.uniform(0.75, 1.2)
        shade = (
            colour
            * (1 + 0.22 * veins[..., None] + 0.12 * u[..., None])
            * (1 + 0.05 * random.standard_normal(u.shape)[..., None])
        )
        height[where] = top[inside]
        albedo[where] = shade[inside]
    height = height - blur(height, 60)
    return render(blur(height, 0.9), np.clip(albedo, 0.01, 1), gloss=0.08, shine=15)


def save(picture, path, fine):
    """Average down, where not asked for as it is, and write as PNG."""
    small = picture if fine else picture.reshape(SIZE, 3, SIZE, 3, 3).mean((1, 3))
    Image.fromarray(np.round(small * 255).astype(np.uint8)).save(path, optimize=True)
    print(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent)
    parser.add_argument("--fine", action="store_true", help="768 x 768 pixels instead of 256 x 256")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    colour, normal = pebbles()
    pictures = {"beans": beans(), "wicker": wicker(), "leaves": leaves(), "pebbles": colour, "pebbles-normal": normal}
    for name, picture in pictures.items():
        save(picture, options.folder / f"{name}.png", options.fine)


if __name__ == "__main__":
    main()
