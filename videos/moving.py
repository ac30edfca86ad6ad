"""Clips of many families, lit, coloured and filmed at random: python videos/moving.py FOLDER [--count N]

The counterpart of families.py for clips. Every clip follows from its seed alone and is stationary in time. None of the
families is that of a shipped exemplar (pool, fire, meadow, flag), which so remain a fair test.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import seeds
from air import ceiling, clouds, curtain, falls, ink, puddle, sand, sea, shade, surf
from bodies import bubbles, leaves, plume, rain, reeds, snow, swarm
from motion import Layer, backdrop, over
from PIL import Image
from relief import FINE, Random, span
from sparks import discs, embers, growth, lava, lights, spirals, traffic

FAMILIES: dict[str, Callable[[Random, int, int], Layer]] = {
    "clouds": clouds,
    "ink": ink,
    "plume": plume,
    "falls": falls,
    "surf": surf,
    "sea": sea,
    "sand": sand,
    "curtain": curtain,
    "ceiling": ceiling,
    "shade": shade,
    "puddle": puddle,
    "snow": snow,
    "rain": rain,
    "bubbles": bubbles,
    "reeds": reeds,
    "leaves": leaves,
    "embers": embers,
    "lights": lights,
    "lava": lava,
    "swarm": swarm,
    "traffic": traffic,
    "discs": discs,
    "spirals": spirals,
    "growth": growth,
}
BEFORE = ["plume", "snow", "rain", "bubbles", "reeds", "leaves", "embers", "swarm"]  # these hide little


def alone(random: Random, layer: Layer) -> Layer:
    """The layer before something out of focus, where it does not fill the picture."""
    if np.ndim(layer.cover) == 0:
        return layer
    n = layer.light.shape[1]
    back = backdrop(random, n, layer.night)
    return Layer(over(random, layer, back), 1.0, layer.night)


def scene(random: Random, n: int, frames: int) -> Layer:
    """A clip of one family, or in a quarter of the cases things of another before it."""
    name = list(FAMILIES)[random.integers(len(FAMILIES))]
    layer = alone(random, FAMILIES[name](random, n, frames))
    if random.random() < 0.25:
        front = FAMILIES[random.choice([other for other in BEFORE if other != name])](random, n, frames)
        layer = Layer(over(random, front, layer.light), 1.0, front.night and layer.night)
    return layer


def _softened(picture: np.ndarray, share: float) -> np.ndarray:
    """Each pixel mixed with its neighbours; those beyond the border are as those at it."""
    for axis in (1, 2):
        size = picture.shape[axis]
        last = np.minimum(np.arange(size) + 1, size - 1)
        first = np.maximum(np.arange(size) - 1, 0)
        beside = picture.take(first, axis) + picture.take(last, axis)
        picture = picture * (1 - share) + beside * (share / 2)
    return picture


def _exposed(random: Random, layer: Layer) -> np.ndarray:
    """The picture from its light: one exposure for all frames, a tone curve, grading."""
    light = np.maximum(layer.light, 0, dtype=np.float32)
    light = light * (span(random, 0.015, 0.08) if layer.night else span(random, 0.08, 0.5)) / light.mean()
    white = max(float(np.quantile(light[::9, ::5, ::3], 0.997)), 0.3)
    picture = np.clip(light * (1 + light / white**2) / (1 + light), 0, 1) ** np.float32(1 / 2.2)
    grey, mean = picture.mean(-1, keepdims=True), picture.mean((0, 1, 2))
    saturation = random.choice([0.0, 0.6, 1.0, 1.2], p=[0.05, 0.25, 0.45, 0.25])
    contrast = np.float32(span(random, 0.75, 1.4))
    return mean + contrast * (grey + saturation * (picture - grey) - mean) + random.normal(0, 0.01, 3)


def _knee(picture: np.ndarray, rim: float = 0.07) -> np.ndarray:
    """Shadows and lights that would be cut off run out softly instead."""
    low = np.where(picture < rim, rim * np.exp(np.minimum(picture / rim - 1, 0)), picture)
    return np.where(low > 1 - rim, 1 - rim * np.exp(np.minimum((1 - low) / rim - 1, 0)), low)


def camera(random: Random, layer: Layer) -> np.ndarray:
    """uint8 `frames size size 3`: exposure, averaging down, a lens, colours softer than light as in video, grain."""
    picture = _exposed(random, layer)
    frames, n, *_ = picture.shape
    size = n // FINE
    picture = picture.reshape(frames, size, FINE, size, FINE, 3).mean((2, 4), dtype=np.float32)
    picture = _softened(picture, random.uniform(0, 0.45))
    grey = picture.mean(-1, keepdims=True)
    picture = grey + _softened(picture - grey, 0.6)
    grain = random.standard_normal((frames, size, size, 1), dtype=np.float32)
    grain = _softened(grain, random.uniform(0.2, 0.6)) * span(random, 0.002, 0.015)
    return np.round(np.clip(_knee(picture) + grain, 0, 1) * 255).astype(np.uint8)


def render(seed: int, size: int = 64, frames: int = 64) -> np.ndarray:
    """uint8 `frames size size 3`: the clip of this seed. Things and speeds grow with the size."""
    random = np.random.default_rng([seed, 21])
    return camera(random, scene(random, FINE * size, frames))


def sheet(clips: list[np.ndarray], columns: int = 4, shown: int = 4, gap: int = 4) -> Image.Image:
    """A few frames of each clip side by side, two frames apart."""
    cell = clips[0].shape[1] + gap
    page = Image.new("RGB", (columns * (shown * (cell - gap + 1) + gap), -(-len(clips) // columns) * cell))
    for index, clip in enumerate(clips):
        left, top = index % columns * (page.width // columns), index // columns * cell
        for k in range(shown):
            page.paste(Image.fromarray(clip[min(2 * k, len(clip) - 1)]), (left + k * (cell - gap + 1), top))
    return page


def save(clip: np.ndarray, path: Path) -> None:
    """Write an MP4."""
    import torch  # only here: rendering needs numpy alone

    import texsyn

    values = torch.from_numpy(clip).permute(3, 0, 1, 2).float() / 127.5 - 1
    texsyn.write(values, path, force=True)


def main() -> None:
    parser = seeds.parser(__doc__, ".mp4", count=24, size=64)
    parser.add_argument("--frames", type=int, default=64)
    options = parser.parse_args()
    seeds.render_all(options, lambda seed: render(seed, options.size, options.frames), save, sheet)


if __name__ == "__main__":
    main()
