"""Light exemplar and sample of materials on spheres: python videos/render_spheres.py RUN... --out FILE.jpg

For each run a pair, left its exemplar, right its sample of seed 0, both once over the half that is seen.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import texsyn

SIZE, FINE = 232, 2  # pixels of a sphere, and how many times finer it is drawn
GAP = 8
LAMP = np.array([-0.5, 0.62, 0.6]) / np.linalg.norm([-0.5, 0.62, 0.6])
LIGHT, SKY, GROUND = 3.2, np.array([0.62, 0.68, 0.78]), np.array([0.3, 0.27, 0.24])


def dot(a, b):
    return (a * b).sum(-1, keepdims=True)


def unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def around(direction):
    """The light of sky and ground from a direction."""
    share = np.clip(0.5 + 0.5 * direction[..., 1:2] * 1.6, 0, 1)
    return GROUND + share * (SKY - GROUND)


def looked_up(texture, u, v):
    """`y x channels` at places in [0, 1], between pixels linearly."""
    height, width = texture.shape[:2]
    x, y = np.clip(u * width - 0.5, 0, width - 1.001), np.clip(v * height - 0.5, 0, height - 1.001)
    left, top = x.astype(int), y.astype(int)
    a, b = (x - left)[..., None], (y - top)[..., None]
    upper = texture[top, left] * (1 - a) + texture[top, left + 1] * a
    lower = texture[top + 1, left] * (1 - a) + texture[top + 1, left + 1] * a
    return upper * (1 - b) + lower * b


def lit(maps, down):
    """`y x 3` in [0, 1]: a sphere with these maps (Cook, Torrance 1982, with GGX). down: y of normals points down."""
    size = SIZE * FINE
    x, y = np.meshgrid((np.arange(size) + 0.5) / size * 2.08 - 1.04, 1.04 - (np.arange(size) + 0.5) / size * 2.08)
    square = x**2 + y**2
    z = np.sqrt(np.maximum(1 - square, 0))
    ball = np.stack((x, y, z), -1)
    polar, turn = np.arccos(np.clip(y, -1, 1)), np.arctan2(x, np.maximum(z, 1e-6))
    seen = {name: looked_up(each, turn / np.pi + 0.5, polar / np.pi) for name, each in maps.items()}
    bump = seen.get("normal", np.broadcast_to([0.5, 0.5, 1.0], ball.shape)) * 2 - 1
    right = np.stack((np.cos(turn), np.zeros_like(turn), -np.sin(turn)), -1)
    up = np.cross(ball, right)
    normal = unit(bump[..., :1] * right + (-1 if down else 1) * bump[..., 1:2] * up + bump[..., 2:] * ball)
    albedo = np.clip(seen["colour"], 0, 1) ** 2.2
    metal, rough = seen.get("metal", 0.0 * z[..., None]), seen.get("roughness", 0.0 * z[..., None] + 0.7)
    hidden = seen.get("occlusion", 1.0 + 0.0 * z[..., None])
    view = np.array([0.0, 0.0, 1.0])
    half, alpha = unit(LAMP + view), np.clip(rough, 0.06, 1) ** 2
    facing, towards = np.clip(dot(normal, LAMP), 0, 1), np.clip(dot(normal, view), 0.05, 1)
    first = 0.04 + metal * (albedo - 0.04)
    spread = alpha**2 / (np.pi * (np.clip(dot(normal, half), 0, 1) ** 2 * (alpha**2 - 1) + 1) ** 2)
    masked = 0.5 / (facing * (towards * (1 - alpha) + alpha) + towards * (facing * (1 - alpha) + alpha) + 1e-6)
    fresnel = first + (1 - first) * (1 - dot(half, view)) ** 5
    diffuse = albedo * (1 - metal)
    colour = LIGHT * facing * np.clip(dot(ball, LAMP) * 4 + 0.4, 0, 1) * (diffuse / np.pi + spread * masked * fresnel)
    mirrored = 2 * dot(normal, view) * normal - view
    gloss = first + (np.maximum(1 - rough, first) - first) * (1 - towards) ** 5
    colour = colour + hidden * (around(normal) * diffuse * 0.55 + around(mirrored) * gloss * 0.8)
    colour = np.clip(1 - np.exp(-1.5 * colour), 0, 1) ** (1 / 2.2)
    rim = np.clip((1 - np.sqrt(square)) * size / 4.16 + 0.5, 0, 1)[..., None]
    colour = 1 + rim * (colour - 1)
    return colour.reshape(SIZE, FINE, SIZE, FINE, 3).mean((1, 3))


def maps_of(texture, planes):
    """`y x channels` in [0, 1] by name."""
    values, start, maps = (texture.movedim(0, -1).numpy() + 1) / 2, 0, {}
    for plane in planes:
        maps[plane.name] = values[..., start : start + plane.channels]
        start += plane.channels
    return maps


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("spheres.jpg"))
    options = parser.parse_args()
    spheres = []
    for path in options.runs:
        run = texsyn.Run.open(path)
        planes = run.modality.planes
        down = any(plane.flipped for plane in planes)
        pair = run.exemplars()[0].pixels, texsyn.sample(texsyn.load(path))[0]
        spheres += [lit(maps_of(each, planes), down) for each in pair]
    sheet = np.ones((SIZE, len(spheres) * (SIZE + GAP) - GAP, 3))
    for number, sphere in enumerate(spheres):
        sheet[:, number * (SIZE + GAP) : number * (SIZE + GAP) + SIZE] = sphere
    Image.fromarray(np.round(sheet * 255).astype(np.uint8)).save(options.out, quality=92)
    print(options.out)


if __name__ == "__main__":
    main()
