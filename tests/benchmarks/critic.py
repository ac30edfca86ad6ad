"""Calibration of the critic: python tests/benchmarks/critic.py [--only NAME ...] [--samples NAME=FOLDER ...]

Cases where the answer is known: the rendered exemplars against true second pictures (the same scenes with other seeds)
and against these made worse, and corners of the shipped photos against their other corners. `--samples` adds images of
your own against a shipped exemplar or a file. Prints one line for each case: name, critic, its error, seconds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from texsyn.metrics.critic import critic
from texsyn.metrics.scoring import still_for_scoring

ROOT = Path(__file__).parent.parent.parent
sys.path += [str(ROOT / "tests"), str(ROOT / "videos")]

import render_stills  # noqa: E402
from metrics.degraded import blur, random_phase, shuffled_blocks  # noqa: E402
from PIL import Image  # noqa: E402

SCENES = ("beans", "pebbles", "leaves", "wicker")
PHOTOS = ("gravel", "grass", "brick")
Case = tuple[str, Callable[[], tuple[np.ndarray, list[np.ndarray]]]]  # name; exemplar and samples when they are needed


def second(name: str, seed: int) -> np.ndarray:
    """The scene of a shipped exemplar with another seed, as `still_for_scoring` would read it."""
    fixed = np.random.default_rng
    render_stills.np.random.default_rng = lambda number: fixed([number, seed])
    try:
        drawn = getattr(render_stills, name)()
    finally:
        render_stills.np.random.default_rng = fixed
    picture = drawn[0] if isinstance(drawn, tuple) else drawn
    side = render_stills.SIZE
    small = np.round(picture.reshape(side, 3, side, 3, 3).mean((1, 3)) * 255).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((224, 224), Image.Resampling.LANCZOS), np.float32) / 255


def shipped(name: str, side: int | None = 224) -> np.ndarray:
    return still_for_scoring(ROOT / "videos" / f"{name}.png", side)


def seconds(name: str, *seeds: int) -> list[np.ndarray]:
    return [second(name, seed) for seed in seeds]


def corners(name: str) -> tuple[np.ndarray, list[np.ndarray]]:
    whole = shipped(name, None)
    first, *others = (whole[y : y + 224, x : x + 224] for y in (16, 272) for x in (16, 272))
    return first, others


def true_cases() -> Iterator[Case]:
    for name in SCENES:
        yield f"{name}: true, shipped", lambda name=name: (shipped(name), seconds(name, 1, 2, 3))
        yield f"{name}: true, seed 4", lambda name=name: (second(name, 4), seconds(name, 5, 6, 7))
    for name in PHOTOS:
        yield f"{name}: other corners", lambda name=name: corners(name)


def worse_cases() -> Iterator[Case]:
    for name in SCENES[:3]:
        for label, change in (("phase", random_phase), ("blurred", blur), ("shuffled", shuffled_blocks)):
            yield (
                f"{name}: {label}",
                lambda name=name, change=change: (shipped(name), [change(each) for each in seconds(name, 1, 2, 3)]),
            )


def own_case(word: str) -> Case:
    name, folder = word.split("=", 1)
    files = sorted(path for path in Path(folder).iterdir() if path.stem != "exemplar")
    exemplar = still_for_scoring(Path(name)) if Path(name).exists() else shipped(name)
    return f"{Path(name).parent.name or name}: {Path(folder).name}", lambda: (
        exemplar,
        [still_for_scoring(p) for p in files],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[""], help="words that the names of cases contain")
    parser.add_argument("--samples", nargs="*", default=[], metavar="NAME=FOLDER", help="exemplar, folder of images")
    options = parser.parse_args()
    own = [own_case(word) for word in options.samples]
    for name, pictures in own or chain(true_cases(), worse_cases()):
        if own or any(word in name for word in options.only):
            exemplar, samples = pictures()
            start = time.perf_counter()
            told, error = critic(samples, exemplar)
            spent = time.perf_counter() - start
            print(f"{name:28} {100 * told:5.1f} % +- {100 * error:4.1f}  {spent:4.0f} s", flush=True)


if __name__ == "__main__":
    main()
