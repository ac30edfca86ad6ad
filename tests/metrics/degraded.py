"""Images made worse in known ways, for metrics to put in order."""

from __future__ import annotations

import numpy as np

from texsyn.metrics import image


def blur(picture: np.ndarray) -> np.ndarray:
    for _ in range(4):
        picture = image.low_pass(picture)
    return picture.astype(np.float32)


def random_phase(picture: np.ndarray) -> np.ndarray:
    noise = np.angle(np.fft.fft2(np.random.default_rng(0).standard_normal(picture.shape[:2])))
    spectrum = np.fft.fft2(picture - picture.mean((0, 1)), axes=(0, 1)) * np.exp(1j * noise)[..., None]
    return np.clip(np.fft.ifft2(spectrum, axes=(0, 1)).real + picture.mean((0, 1)), 0, 1).astype(np.float32)


def shuffled_blocks(picture: np.ndarray, size: int = 28) -> np.ndarray:
    count = picture.shape[0] // size
    blocks = picture.reshape(count, size, count, size, 3).swapaxes(1, 2).reshape(-1, size, size, 3)
    order = np.random.default_rng(0).permutation(len(blocks))
    return np.ascontiguousarray(
        blocks[order].reshape(count, count, size, size, 3).swapaxes(1, 2).reshape(picture.shape)
    )
