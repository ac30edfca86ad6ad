"""The command line of scripts that render one texture for each seed."""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


def parser(description: str, ending: str, count: int, size: int) -> argparse.ArgumentParser:
    """Which seeds, how large, and where to; `count` and `size` are defaults."""
    made = argparse.ArgumentParser(description=description.splitlines()[0])
    made.add_argument("folder", type=Path, nargs="?", help=f"gets a {ending} file of each, named by its seed")
    made.add_argument("--count", type=int, default=count)
    made.add_argument("--first", type=int, default=0, help="seed of the first")
    made.add_argument("--size", type=int, default=size, help="pixels of a side")
    made.add_argument("--sheet", type=Path, help="write one picture of all of them")
    made.set_defaults(ending=ending)
    return made


def render_all(
    options: argparse.Namespace,
    render: Callable[[int], np.ndarray],
    save: Callable[[np.ndarray, Path], None],
    sheet: Callable[[list[np.ndarray]], Image.Image],
) -> None:
    """Render every seed, and write what `options` of `parser` ask for."""
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    kept = []
    for seed in range(options.first, options.first + options.count):
        rendered = render(seed)
        if options.folder:
            save(rendered, options.folder / f"{seed:05}{options.ending}")
        if options.sheet:
            kept.append(rendered)
    if options.sheet:
        sheet(kept).save(options.sheet)
