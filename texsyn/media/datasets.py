"""Where collections come from: folders, MNIST's and CIFAR's files, tar shards, and Parquet tables.

A source gives one `Item` after the other and never holds more than a few of them.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from einops import rearrange

from texsyn.core.errors import TexsynError
from texsyn.core.formats import STILL_ENDINGS
from texsyn.core.text import reason, short
from texsyn.media.detection import MAX_BYTES, Member

_MAX_SIDE = 256  # pixels of an image of MNIST's or CIFAR's files
_IDX_IMAGES, _IDX_CLASSES = b"\0\0\x08\x03", b"\0\0\x08\x01"
_CIFAR = {1: 3073, 2: 3074}  # bytes of an image with one class (CIFAR-10), or with a coarse and a fine one (CIFAR-100)
_SHARDS = (".tar", ".parquet")
_CLASS_ENDINGS = (".cls", ".txt")  # of a member of a tar shard that names the class
_MAX_CLASS = 1000  # bytes of such a member
_TAR_END = 1024  # zeros at the end of a tar file
_BUFFER = 1 << 20  # bytes of a tar file that are read at a time
_ROWS = 256  # of a Parquet table that are read at a time
_IMAGE_COLUMNS, _CLASS_COLUMNS = ("image", "img", "jpg", "png"), ("label", "class", "cls", "fine_label")


@dataclass(frozen=True)
class Item:
    """One image of a source: a file, bytes in the place of one, or its pixels (`h w 3`, uint8); and its class."""

    image: Path | Member | np.ndarray
    label: str | None = None


def sources(path: Path) -> list[Path]:
    """The sources that a path names: the shards in a folder, or the folder or file itself."""
    if path.is_dir():
        return sorted(each for each in path.iterdir() if each.suffix.lower() in _SHARDS) or [path]
    return [path]


def items(source: Path, label: str | None = None) -> Iterator[Item]:
    """The images of a source, in an order that does not change. label: of those that tell none themselves.

    Raises TexsynError (exit 3) for a file that holds none or is damaged, as soon as that shows.
    """
    if source.is_dir():
        return _folder(source, label)
    ending = source.suffix.lower()
    if ending in _SHARDS:
        return _tar(source) if ending == ".tar" else _parquet(source)
    head = _head(source)
    if head == _IDX_IMAGES:
        return _idx(source)
    if head == _IDX_CLASSES:
        raise TexsynError(f"{short(source.name)} holds classes, not images: name the file of images")
    if ending == ".bin":
        return _cifar(source)
    raise TexsynError(
        f"{short(source.name)} is neither a folder, nor a tar or Parquet file, nor one of MNIST's (IDX) or of CIFAR's "
        "(.bin)"
    )


# ------------------------------------------------------------ folders


def _folder(folder: Path, label: str | None) -> Iterator[Item]:
    """Images in a folder and its subfolders. Those in a subfolder of it are of the class with its name."""
    found = False
    for file in _walk(folder):
        found = True
        inner = file.relative_to(folder).parts
        yield Item(file, inner[0] if len(inner) > 1 else label)
    if not found:
        raise TexsynError(f"{short(folder.name)} holds no images (PNG, JPEG, WebP or TIFF)")


def _walk(folder: Path) -> Iterator[Path]:
    """Files of images by their names. Of one folder at a time only the names are held."""
    try:
        with os.scandir(folder) as entries:
            names = sorted((each.name, each.is_dir(follow_symlinks=False)) for each in entries)
    except OSError as error:
        raise TexsynError(f"{short(folder.name)} cannot be read: {reason(error)}") from error
    for name, is_folder in names:
        if is_folder:
            yield from _walk(folder / name)
        elif name.lower().endswith(STILL_ENDINGS):
            yield folder / name


# ------------------------------------------------------------ MNIST and CIFAR


def _idx(file: Path) -> Iterator[Item]:
    """Images of an IDX file; their classes where the file of classes lies beside it."""
    with _opened(file) as data:
        count, height, width = _idx_header(data, 3)
        if not (count and 0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
            raise TexsynError(f"{short(file.name)} claims {count} images of {width} x {height}: too large, or none")
        classes = _idx_classes(file, count)
        for number in range(count):
            grey = np.frombuffer(_whole(data, height * width, file), np.uint8).reshape(height, width, 1)
            yield Item(np.repeat(grey, 3, -1), None if classes is None else str(classes[number]))
        _check_end(data, file)


def _idx_classes(file: Path, count: int) -> np.ndarray | None:
    """The classes of an IDX file of images, in the file that MNIST's names give them; None where there is none."""
    name = file.name.replace("images", "labels").replace("idx3", "idx1")
    beside = [file.with_name(name.removesuffix(".gz")), file.with_name(f"{name.removesuffix('.gz')}.gz")]
    found = [each for each in beside if each != file and each.is_file()]
    if not found or _head(found[0]) != _IDX_CLASSES:
        return None
    with _opened(found[0]) as data:
        (have,) = _idx_header(data, 1)
        if have != count:
            raise TexsynError(f"{short(found[0].name)} has {have} classes, but {short(file.name)} {count} images")
        return np.frombuffer(_whole(data, count, found[0]), np.uint8)


def _idx_header(data: IO[bytes], axes: int) -> list[int]:
    data.read(4)
    return [int.from_bytes(data.read(4), "big") for _ in range(axes)]


def _cifar(file: Path) -> Iterator[Item]:
    """Images of a binary batch of CIFAR-10 or CIFAR-100, with their (fine) classes."""
    with _opened(file) as data:
        size = data.seek(0, io.SEEK_END)
        data.seek(0)
        # CIFAR-100's two files have 50,000 and 10,000 images; 3,073 and 3,074 have no common divisor but 1.
        classes = next((n for n, record in _CIFAR.items() if size and size % record == 0), None)
        if classes is None:
            raise TexsynError(f"{short(file.name)} is damaged: its {size} bytes are no multiple of {_CIFAR[1]}")
        for _ in range(size // _CIFAR[classes]):
            record = np.frombuffer(_whole(data, _CIFAR[classes], file), np.uint8)
            yield Item(rearrange(record[classes:], "(c h w) -> h w c", c=3, h=32), str(record[classes - 1]))


def _head(file: Path) -> bytes:
    with _opened(file) as data:
        return data.read(4)


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    """A file, unpacked where it is packed by gzip. Raises TexsynError (exit 3) when it cannot be read."""
    try:
        with file.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(file) if packed else file.open("rb") as data:
            yield cast(IO[bytes], data)
    except (OSError, EOFError, zlib.error) as error:
        raise TexsynError(f"{short(file.name)} cannot be read: {reason(error)}") from error


def _whole(data: IO[bytes], size: int, file: Path) -> bytes:
    found = data.read(size)
    if len(found) != size:
        raise TexsynError(f"{short(file.name)} is damaged: it ends too early")
    return found


def _check_end(data: IO[bytes], file: Path) -> None:
    if data.read(1):
        raise TexsynError(f"{short(file.name)} is damaged: it is longer than its images")


# ------------------------------------------------------------ shards


def _tar(file: Path) -> Iterator[Item]:
    """Images of a tar file in WebDataset's layout: members of one name but for the ending belong together."""
    try:
        with tarfile.open(file, "r|", bufsize=_BUFFER) as archive:
            key, image, label = "", None, None
            for member in archive:
                stem, ending = os.path.splitext(member.name)
                if stem != key:
                    if image is not None:
                        yield Item(image, label)
                    key, image, label = stem, None, None
                if member.isfile() and ending.lower() in STILL_ENDINGS:
                    image = Member(member.name, _member(archive, member, MAX_BYTES))
                elif member.isfile() and ending.lower() in _CLASS_ENDINGS and member.size <= _MAX_CLASS:
                    label = _text(_member(archive, member, _MAX_CLASS))
            if image is not None:
                yield Item(image, label)
        with file.open("rb") as data:  # a cut file ends silently where a member begins
            data.seek(-min(_TAR_END, file.stat().st_size), io.SEEK_END)
            if any(data.read()):
                raise TexsynError(f"{short(file.name)} is damaged: it ends too early")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise TexsynError(f"{short(file.name)} cannot be read as a tar file: {reason(error)}") from error


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo, most: int) -> bytes:
    """The bytes of a member, at most one more than `most`."""
    data = archive.extractfile(member)
    blob = b"" if data is None else data.read(most + 1)
    if len(blob) < min(member.size, most):
        raise TexsynError(f"{short(str(archive.name))} is damaged: it ends too early")
    return blob


def _text(blob: bytes) -> str | None:
    return short(blob.decode("utf-8", "replace").strip()) or None


def _parquet(file: Path) -> Iterator[Item]:
    """Images of a Parquet table: a column of bytes, or of pairs `bytes` and `path`; and a column of classes."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise TexsynError("Parquet needs the extra texsyn[collections]: pip install 'texsyn[collections]'") from None
    number = 0
    try:
        with parquet.ParquetFile(file) as table:
            names = table.schema_arrow.names
            image = next((name for name in _IMAGE_COLUMNS if name in names), None)
            if image is None:
                raise TexsynError(f"{short(file.name)} has no column of images ({', '.join(_IMAGE_COLUMNS)})")
            label = next((name for name in _CLASS_COLUMNS if name in names), None)
            columns = [image] + [label] * (label is not None)
            for batch in table.iter_batches(_ROWS, columns=columns):
                for row in batch.to_pylist():
                    yield Item(Member(f"{file.name} row {number}", _bytes(row[image])), _class(row.get(label or "")))
                    number += 1
    except (arrow.ArrowException, OSError) as error:
        raise TexsynError(f"{short(file.name)} cannot be read as a Parquet file: {reason(error)}") from error


def _bytes(value: Any) -> bytes:
    """The bytes of an image in a row of a table; none where there are none."""
    value = value.get("bytes") if isinstance(value, dict) else value
    return value if isinstance(value, bytes) else b""


def _class(value: Any) -> str | None:
    return None if value is None else short(str(value))
