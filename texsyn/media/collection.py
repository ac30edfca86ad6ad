"""Many small images as one exemplar: kept in a file, as large as the disk allows, and a tenth of them held out."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
from einops import rearrange
from PIL import Image
from torch import Tensor

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import existing
from texsyn.core.modality import OBJECTS, Modality
from texsyn.core.text import short
from texsyn.media import datasets, decoding
from texsyn.media.datasets import Item
from texsyn.media.detection import File
from texsyn.media.exemplar import Exemplar
from texsyn.media.pictures import PictureFile

MIN_IMAGES = 20
MAX_CLASSES = 1000
SHOWN = 256  # images on the sheet that stands for a collection
_MAX_SKIPPED = 20  # messages about unreadable images that are kept
_HELD_OUT = 10  # one image in so many
_TOGETHER = 16  # images that a worker decodes at a time


def read_collection(
    *paths: str | Path, side: int | None = None, seed: int = 0, labelled: bool = True, folder: str | Path | None = None
) -> Exemplar:
    """Read folders of images, tar shards (WebDataset's layout), Parquet tables, or MNIST's and CIFAR's files.

    A folder with .tar or .parquet files stands for these. Images are cut to their centre square and resized to 28
    pixels (grey only), 32, 64, 128 or 256: `side`, by default the one nearest to the first image. A tenth of them,
    chosen by `seed`, is held out. Images and sources that cannot be read are left out and named in facts["skipped"].
    labelled: their classes are kept, where each image has one and there are 2 to 1000: those of the files, of the
    column `label`, or the names of subfolders.
    folder: where the images are kept until a run stores them; by default the folder for temporary files.
    Raises TexsynError: exit 3 for too few images or files that cannot be read, exit 2 for a seed out of range, exit 5
    when the disk is full.
    """
    if not 0 <= seed < 2**31:
        raise TexsynError(f"--seed must lie in 0 to {2**31 - 1}, but is {seed}", Exit.USAGE)
    named = [existing(Path(path)) for path in paths]
    if not named:
        raise TexsynError("no collection named")
    sides = [row.side for row in OBJECTS]
    if side is not None and side not in sides:
        raise TexsynError(f"objects are trained at {', '.join(map(str, sides))} pixels, not {side}")
    name = short(named[0].stem)
    found = _Gathered(Path(folder or tempfile.gettempdir()), side, name)
    found.take(_squares(_items(named, found.skipped), found))
    return _exemplar(found.finish(), found, seed, labelled)


def _exemplar(modality: Modality, found: _Gathered, seed: int, labelled: bool) -> Exemplar:
    names = sorted(found.classes, key=_numbers_first)
    known = labelled and found.labelled and 1 < len(names) <= MAX_CLASSES
    rank = {found.classes[name]: number for number, name in enumerate(names)}
    whole = found.file.pictures([rank[number] for number in found.numbers] if known else None)
    held = max(1, len(whole) // _HELD_OUT)
    learnt, held_out = whole.split(held, seed)
    facts = {
        "name": found.name,
        "sha256": found.sha256.hexdigest(),
        "width": modality.side,
        "height": modality.side,
        "pictures": len(whole),
        "held": held,
        "skipped": found.skipped.first,
        "skipped_count": found.skipped.count,
        **({"classes": names} if known else {}),
    }
    return Exemplar(
        sheet(learnt.read(range(min(SHOWN, len(learnt))))),
        modality,
        0.0,
        facts,
        sheet(held_out.read(range(min(SHOWN, held)))),
        pictures=learnt,
        held_pictures=held_out,
    )


def _numbers_first(label: str) -> tuple[int, str]:
    return (int(label), "") if label.isdecimal() and label.isascii() else (10**9, label)


def images_of(sheet: Tensor, side: int) -> Tensor:
    """`channels (rows side) (columns side)` -> `n channels side side`."""
    return rearrange(sheet, "c (rows h) (columns w) -> (rows columns) c h w", h=side, w=side)


def sheet(images: Tensor) -> Tensor:
    """`n c h w` -> about a square; its last places repeat images, so that every window holds one."""
    columns = math.isqrt(len(images))
    rows = -(-len(images) // columns)
    numbers = [n % len(images) for n in range(rows * columns)]
    return rearrange(images[numbers], "(rows columns) c h w -> c (rows h) (columns w)", rows=rows)


# ------------------------------------------------------------ reading


@dataclass
class _Skipped:
    """What could not be read: the first messages, and how many."""

    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, message: str) -> None:
        self.count += 1
        if len(self.first) < _MAX_SKIPPED:
            self.first.append(message)


class _Gathered:
    """Images as they are read, in a file; grey ones in two, as only the last image tells whether all are grey."""

    def __init__(self, folder: Path, side: int | None, name: str) -> None:
        self.name, self.skipped, self.sha256 = name, _Skipped(), hashlib.sha256()
        self.classes: dict[str, int] = {}  # in the order of their first images
        self.numbers: list[int] = []  # of each image's class
        self.labelled = True
        self._folder, self._side = folder, side
        self._kinds: dict[bool, Modality] = {}  # if all images are grey, and if not
        self._files: dict[bool, PictureFile] = {}

    @property
    def file(self) -> PictureFile:
        return next(iter(self._files.values()))

    def sides(self, first: np.ndarray) -> set[int]:
        """Sides of the kinds that the collection may be of. first: its first image, `h w 3`."""
        if not self._kinds:
            self._kinds = {grey: _nearest_kind(first, grey, self._side) for grey in (True, False)}
            for grey, kind in self._kinds.items():
                if not grey and kind.channels == 1:
                    continue  # colour images are refused
                self._files[grey] = PictureFile(self._folder, kind.side, 1 if grey else 3)
        return {kind.side for kind in self._kinds.values()}

    def take(self, images: Iterable[tuple[str | None, dict[int, np.ndarray]]]) -> None:
        """Keep images: of each the class, and its square by the side of each kind."""
        for label, squares in images:
            if True in self._files and not all(map(_is_grey, squares.values())):
                if False not in self._files:
                    kind = self._kinds[False]
                    raise TexsynError(f"objects of {kind.side} pixels are grey, but {self.name} is in colour")
                del self._files[True]
            for is_grey, file in self._files.items():
                square = squares[file.side]
                file.append(square[..., :1] if is_grey else square)
            self.sha256.update(next(iter(squares.values())).tobytes())
            self.labelled &= label is not None
            if self.labelled and len(self.classes) <= MAX_CLASSES:
                self.numbers.append(self.classes.setdefault(str(label), len(self.classes)))
            else:
                self.labelled, self.numbers = False, []

    def finish(self) -> Modality:
        """The kind of the collection. Raises TexsynError (exit 3) for too few images."""
        count = self.file.count if self._files else 0
        if count < MIN_IMAGES:
            raise TexsynError(f"a collection has at least {MIN_IMAGES} images, but {self.name} has {count}")
        grey = True in self._files
        if grey:
            self._files.pop(False, None)
        self.file.close()
        kind = self._kinds[grey]
        return replace(kind, planes=(replace(kind.planes[0], channels=1 if grey else 3),))


def _items(named: Sequence[Path], skipped: _Skipped) -> Iterator[Item]:
    """The images of all sources. One that cannot be read is skipped, unless it is the only one."""
    found = [(source, path) for path in named for source in datasets.sources(path)]
    for source, path in found:
        label = short(path.name) if source.is_dir() and len(found) > 1 else None
        try:
            yield from datasets.items(source, label)
        except TexsynError as error:
            if len(found) == 1:
                raise
            skipped.add(str(error))


def _squares(items: Iterator[Item], gathered: _Gathered) -> Iterator[tuple[str | None, dict[int, np.ndarray]]]:
    """The class of each image, and its squares. A few are decoded ahead; those that cannot be read are skipped."""
    workers = os.cpu_count() or 1
    waiting: deque[Future[list[np.ndarray | str]]] = deque()
    labels: deque[str | None] = deque()

    def next_done() -> Iterator[tuple[str | None, dict[int, np.ndarray]]]:
        for image in waiting.popleft().result():
            label = labels.popleft()
            if isinstance(image, str):
                gathered.skipped.add(image)
            else:
                yield label, {side: _square(image, side) for side in gathered.sides(image)}

    with ThreadPoolExecutor(workers) as pool:
        while some := list(islice(items, _TOGETHER)):
            labels.extend(item.label for item in some)
            waiting.append(pool.submit(_decode, some))
            if len(waiting) > workers:
                yield from next_done()
        while waiting:
            yield from next_done()


def _decode(items: list[Item]) -> list[np.ndarray | str]:
    """`h w 3` each, uint8; what is wrong with those that cannot be read."""
    found: list[np.ndarray | str] = []
    for item in items:
        try:
            found.append(_pixels(item.image))
        except TexsynError as error:
            found.append(str(error))
    return found


def _pixels(image: File | np.ndarray) -> np.ndarray:
    if isinstance(image, np.ndarray):
        return image
    colours: np.ndarray = decoding.read_still(image).opaque_colours(image.name)[0]
    return (colours * 255).round().astype(np.uint8)


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
    square = image[top : top + shorter, left : left + shorter]
    if shorter == side:
        return square
    return np.asarray(Image.fromarray(square).resize((side, side), Image.Resampling.LANCZOS))


def _is_grey(image: np.ndarray) -> bool:
    return bool((image == image[..., :1]).all())
