"""Many small pictures of objects as one exemplar: a sheet of windows side by side, and a tenth of them held out."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from texsyn.core.errors import Exit, TexsynError, short
from texsyn.core.files import existing
from texsyn.core.modality import OBJECTS, Modality
from texsyn.media import decoding
from texsyn.media.exemplar import Exemplar

_MOST = 200_000  # pictures
_BYTES = 2_000_000_000  # of a data file, unpacked
_FEWEST = 20
_CIFAR = 3073  # bytes of a picture and its class


def read_collection(*paths: str | Path, side: int | None = None, seed: int = 0) -> Exemplar:
    """Read a folder of pictures, MNIST's IDX file of pictures (.gz too), or CIFAR-10's binary batches.

    Pictures are cut to their centre square and brought to 28 pixels (grey alone), 32 or 64: `side`, by default what the
    first picture is nearest to. A tenth of them, chosen by `seed`, is `held`. Pictures that cannot be read are left
    out and named in facts["skipped"]. Raises TexsynError (exit 3) where nothing, or too little, can be read.
    """
    if not 0 <= seed < 2**31:
        raise TexsynError(f"--seed must lie in 0 to {2**31 - 1}, but is {seed}", Exit.USAGE)
    files = [existing(Path(path)) for path in paths]
    if not files:
        raise TexsynError("no collection named")
    if side not in (None, *(row.side for row in OBJECTS)):
        raise TexsynError(f"objects are learnt at {', '.join(str(row.side) for row in OBJECTS)} pixels, not {side}")
    skipped: list[str] = []
    rows: dict[bool, Modality] = {}  # for colour, and for grey: which it is, only the last picture tells
    found: dict[int, list[np.ndarray]] = {}  # at the size of each of these, since large pictures fill the memory
    grey, count = True, 0
    for file in files:
        for picture in _folder(file, skipped) if file.is_dir() else _data(file):
            rows = rows or {each: _row(picture, each, side) for each in (False, True)}
            grey, count = grey and bool((picture == picture[..., :1]).all()), count + 1
            for size in {row.side for row in rows.values()}:
                found.setdefault(size, []).append(_brought(picture, size))
    if count < _FEWEST:
        raise TexsynError(f"a collection has at least {_FEWEST} pictures, but {short(files[0].name)} has {count}")
    modality = rows[grey]
    pictures = np.stack(found.pop(modality.side))
    pictures = pictures[..., :1] if grey else pictures
    if pictures.shape[-1] > modality.channels:
        raise TexsynError(f"objects of {modality.side} pixels are grey, but {short(files[0].name)} is in colour")
    modality = replace(modality, planes=(replace(modality.planes[0], channels=pictures.shape[-1]),))
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(seed)).numpy()
    apart = max(1, len(pictures) // 10)
    facts = {
        "name": short(files[0].stem),
        "sha256": hashlib.sha256(pictures.tobytes()).hexdigest(),
        "width": modality.side,
        "height": modality.side,
        "pictures": len(pictures),
        "held": apart,
        "skipped": skipped[:20],
        "skipped_count": len(skipped),
    }
    return Exemplar(_sheet(pictures[order[apart:]]), modality, 0.0, facts, _sheet(pictures[order[:apart]]))


def pictures_of(sheet: Tensor, side: int) -> Tensor:
    """`channels (rows side) (columns side)` -> `n channels side side`."""
    return rearrange(sheet, "c (rows h) (columns w) -> (rows columns) c h w", h=side, w=side)


def _sheet(pictures: np.ndarray) -> Tensor:
    """As square as it goes; places that are left over take pictures again, so that a window is always one of them."""
    count = len(pictures)
    columns = math.isqrt(count)
    rows = -(-count // columns)
    again = np.concatenate((pictures, pictures[: rows * columns - count]))
    flat = torch.from_numpy(again).float() / 127.5 - 1
    return rearrange(flat, "(rows columns) h w c -> c (rows h) (columns w)", rows=rows)


def _row(first: np.ndarray, grey: bool, side: int | None) -> Modality:
    shorter = min(first.shape[:2])
    rows = [row for row in OBJECTS if row.channels == 3 or grey]
    if side is not None:
        return next(row for row in OBJECTS if row.side == side)
    return min(rows, key=lambda row: abs(row.side - shorter))


def _brought(picture: np.ndarray, side: int) -> np.ndarray:
    """`side side 3`, uint8: the centre square, reduced or enlarged."""
    height, width = picture.shape[:2]
    least = min(height, width)
    top, left = (height - least) // 2, (width - least) // 2
    square = Image.fromarray(picture[top : top + least, left : left + least])
    return np.asarray(square if least == side else square.resize((side, side), Image.Resampling.LANCZOS))


def _folder(folder: Path, skipped: list[str]) -> Iterator[np.ndarray]:
    """`h w 3` each, uint8, of the pictures in a folder and its own folders."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in decoding.STILL_ENDINGS)
    if not files:
        raise TexsynError(f"{short(folder.name)} holds no pictures (PNG, JPEG, WebP or TIFF)")
    if len(files) > _MOST:
        raise TexsynError(f"{short(folder.name)} holds {len(files)} pictures, more than the {_MOST} allowed")
    for file in files:
        try:
            yield (decoding.opaque(decoding.read_still(file), file) * 255).round().astype(np.uint8)
        except TexsynError as error:
            skipped.append(str(error))


def _data(file: Path) -> Iterator[np.ndarray]:
    """`h w 3` each, uint8, of MNIST's or CIFAR-10's standard files."""
    blob = _unpacked(file)
    if blob[:4] == b"\0\0\x08\x03":
        count, height, width = (int.from_bytes(blob[n : n + 4], "big") for n in (4, 8, 12))
        _check(file, count, height, width)
        if len(blob) != 16 + count * height * width:
            told = f"{count} pictures of {width} x {height} need {16 + count * height * width}"
            raise TexsynError(f"{short(file.name)} is damaged: it has {len(blob)} bytes, but {told}")
        grey = np.frombuffer(blob, np.uint8, offset=16).reshape(count, height, width)
        yield from (np.repeat(each[..., None], 3, -1) for each in grey)
    elif blob[:4] == b"\0\0\x08\x01":
        raise TexsynError(f"{short(file.name)} holds classes, not pictures: name the file of pictures")
    elif file.suffix == ".bin":
        if not blob or len(blob) % _CIFAR:
            raise TexsynError(f"{short(file.name)} is damaged: its {len(blob)} bytes are no multiple of {_CIFAR}")
        rows = np.frombuffer(blob, np.uint8).reshape(-1, _CIFAR)
        _check(file, len(rows), 32, 32)
        yield from rearrange(rows[:, 1:], "n (c h w) -> n h w c", c=3, h=32)
    else:
        raise TexsynError(
            f"{short(file.name)} is neither a folder, nor a file of MNIST's (IDX) or of CIFAR-10's (.bin)"
        )


def _check(file: Path, count: int, height: int, width: int) -> None:
    if not (0 < count <= _MOST and 0 < height <= 256 and 0 < width <= 256):
        raise TexsynError(f"{short(file.name)} says it holds {count} pictures of {width} x {height}: too many, or none")


def _unpacked(file: Path) -> bytes:
    try:
        with file.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(file) if packed else file.open("rb") as data:
            blob = data.read(_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise TexsynError(f"{short(file.name)} cannot be read: {error}") from error
    if len(blob) > _BYTES:
        raise TexsynError(f"{short(file.name)} is larger than the {_BYTES / 1e9:.0f} GB allowed")
    return blob
