"""Many small images as one exemplar: a sheet of them side by side, and a tenth held out."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import existing
from texsyn.core.formats import STILL_ENDINGS
from texsyn.core.modality import OBJECTS, Modality
from texsyn.core.text import short
from texsyn.media import datasets, decoding
from texsyn.media.exemplar import Exemplar

MAX_IMAGES = 200_000
MIN_IMAGES = 20
_MAX_SKIPPED = 20  # messages about unreadable images that are kept
_HELD_OUT = 10  # one image in so many


def read_collection(*paths: str | Path, side: int | None = None, seed: int = 0) -> Exemplar:
    """Read folders of images, MNIST's IDX files of images (.gz too), or CIFAR-10's binary batches.

    Images are cut to their centre square and resized to 28 pixels (grey only), 32 or 64: `side`, by default the one
    nearest to the first image. A tenth of them, chosen by `seed`, is `held`. Images that cannot be read are left out
    and named in facts["skipped"].
    Raises TexsynError: exit 3 for too few images or files that cannot be read, exit 2 for a seed out of range.
    """
    if not 0 <= seed < 2**31:
        raise TexsynError(f"--seed must lie in 0 to {2**31 - 1}, but is {seed}", Exit.USAGE)
    files = [existing(Path(path)) for path in paths]
    if not files:
        raise TexsynError("no collection named")
    sides = [row.side for row in OBJECTS]
    if side is not None and side not in sides:
        raise TexsynError(f"objects are trained at {', '.join(map(str, sides))} pixels, not {side}")
    skipped: list[str] = []
    modality, images = _squares(files, side, skipped)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed)).numpy()
    held = max(1, len(images) // _HELD_OUT)
    facts = {
        "name": short(files[0].stem),
        "sha256": hashlib.sha256(images.tobytes()).hexdigest(),
        "width": modality.side,
        "height": modality.side,
        "pictures": len(images),
        "held": held,
        "skipped": skipped[:_MAX_SKIPPED],
        "skipped_count": len(skipped),
    }
    return Exemplar(_sheet(images[order[held:]]), modality, 0.0, facts, _sheet(images[order[:held]]))


def images_of(sheet: Tensor, side: int) -> Tensor:
    """`channels (rows side) (columns side)` -> `n channels side side`."""
    return rearrange(sheet, "c (rows h) (columns w) -> (rows columns) c h w", h=side, w=side)


def _sheet(images: np.ndarray) -> Tensor:
    """`n h w c` -> about a square; its last places repeat images, so that every window holds one."""
    count = len(images)
    columns = math.isqrt(count)
    rows = -(-count // columns)
    filled = np.concatenate((images, images[: rows * columns - count]))
    flat = torch.from_numpy(filled).float() / 127.5 - 1
    return rearrange(flat, "(rows columns) h w c -> c (rows h) (columns w)", rows=rows)


def _squares(files: list[Path], side: int | None, skipped: list[str]) -> tuple[Modality, np.ndarray]:
    """The kind of a collection, and its images, `n side side c`, uint8."""
    kinds: dict[bool, Modality] = {}  # if all images are grey, and if not: only the last image tells
    squares: dict[int, list[np.ndarray]] = {}  # by the side of each kind; images at full size would fill the memory
    grey, count = True, 0
    for image in _images(files, skipped):
        kinds = kinds or {each: _nearest_kind(image, each, side) for each in (False, True)}
        grey, count = grey and bool((image == image[..., :1]).all()), count + 1
        for size in {kind.side for kind in kinds.values()}:
            squares.setdefault(size, []).append(_square(image, size))
    name = short(files[0].name)
    if count < MIN_IMAGES:
        raise TexsynError(f"a collection has at least {MIN_IMAGES} images, but {name} has {count}")
    kind = kinds[grey]
    stacked = np.stack(squares.pop(kind.side))
    stacked = stacked[..., :1] if grey else stacked
    if stacked.shape[-1] > kind.channels:
        raise TexsynError(f"objects of {kind.side} pixels are grey, but {name} is in colour")
    return replace(kind, planes=(replace(kind.planes[0], channels=stacked.shape[-1]),)), stacked


def _nearest_kind(first: np.ndarray, grey: bool, side: int | None) -> Modality:
    if side is not None:
        return next(row for row in OBJECTS if row.side == side)
    rows = [row for row in OBJECTS if row.channels == 3 or grey]
    return min(rows, key=lambda row: abs(row.side - min(first.shape[:2])))


def _square(image: np.ndarray, side: int) -> np.ndarray:
    """`side side 3`, uint8: the centre square, resized."""
    height, width = image.shape[:2]
    shorter = min(height, width)
    top, left = (height - shorter) // 2, (width - shorter) // 2
    square = Image.fromarray(image[top : top + shorter, left : left + shorter])
    return np.asarray(square if shorter == side else square.resize((side, side), Image.Resampling.LANCZOS))


def _images(files: list[Path], skipped: list[str]) -> Iterator[np.ndarray]:
    """`h w 3` each, uint8."""
    for file in files:
        yield from _folder_images(file, skipped) if file.is_dir() else datasets.read_images(file, MAX_IMAGES)


def _folder_images(folder: Path, skipped: list[str]) -> Iterator[np.ndarray]:
    """Those in a folder and its subfolders; messages about unreadable ones go to `skipped`."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in STILL_ENDINGS)
    if not files:
        raise TexsynError(f"{short(folder.name)} holds no images (PNG, JPEG, WebP or TIFF)")
    if len(files) > MAX_IMAGES:
        raise TexsynError(f"{short(folder.name)} holds {len(files)} images, more than the {MAX_IMAGES} allowed")
    for file in files:
        try:
            (colours,) = decoding.read_still(file).opaque_colours(file.name)
        except TexsynError as error:
            skipped.append(str(error))
        else:
            yield (colours * 255).round().astype(np.uint8)
