"""Sets of maps on disk: a bumpy height with all that belongs to it."""

from pathlib import Path

import numpy as np
from PIL import Image

ALL = ("colour", "normal", "height", "roughness", "occlusion", "metal", "opacity")


def bumps(size: tuple[int, int] = (80, 96)) -> np.ndarray:
    """`y x` in [0, 1], on a torus."""
    y, x = (2 * np.pi * n / s for n, s in zip(np.mgrid[: size[0], : size[1]], size, strict=True))
    return 0.5 + 0.25 * np.sin(5 * x + 2 * y) + 0.25 * np.sin(4 * y - x)


def maps(size: tuple[int, int] = (80, 96), steep: float = 12.0) -> dict[str, np.ndarray]:
    """Every map in [0, 1], `y x` or `y x 3`; y of normals points up."""
    height = bumps(size)
    down, right = (steep / 2 * (np.roll(height, -1, axis) - np.roll(height, 1, axis)) for axis in (0, 1))
    normal = np.stack((-right, down, np.ones_like(height)), -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    colour = np.stack((height, 0.7 * height, 1 - height), -1)
    return {
        "colour": colour,
        "normal": (normal + 1) / 2,
        "height": height,
        "roughness": 0.3 + 0.5 * height,
        "occlusion": height**0.5,
        "metal": (height > 0.6).astype(float),
        "opacity": (height > 0.2).astype(float),
    }


def save(path: Path, values: np.ndarray, bits: int = 8) -> Path:
    """An image of 8 bits, or, of one channel, of 16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scaled = np.round(np.clip(values, 0, 1) * (2**bits - 1))
    Image.fromarray(scaled.astype(np.uint8 if bits == 8 else np.uint16)).save(path)
    return path


def flipped(normal: np.ndarray) -> np.ndarray:
    return np.stack((normal[..., 0], 1 - normal[..., 1], normal[..., 2]), -1)


def write_set(folder: Path, names: dict[str, str], size: tuple[int, int] = (80, 96)) -> Path:
    """The maps of these kinds, each in the file that `names` gives it."""
    known = maps(size)
    for kind, name in names.items():
        save(folder / name, known[kind])
    return folder
