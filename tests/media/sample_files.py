"""Files that the tests of reading write themselves, and what is read of them."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image

from texsyn.media import writing
from texsyn.media.reader import read


def pixels(path: Path, **more) -> np.ndarray:
    """What is read, `h w c` or `t h w c`, in 0 to 255."""
    exemplar = read(path, **more)
    out = writing.to_uint8(exemplar.pixels)
    return out if exemplar.modality.moving else out[0]


def reference(path: Path) -> np.ndarray:
    """What Pillow shows, `h w 3`."""
    return np.asarray(Image.open(path).convert("RGB"))


def film(
    path: Path, frames: int = 40, size: tuple[int, int] = (80, 64), rate: int = 25, codec: str = "libx264"
) -> np.ndarray:
    """Write a clip whose frame number can be seen: the whole image brightens from frame to frame."""
    shown = []
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            image = np.full((size[1], size[0], 3), 20 + 2 * index, np.uint8)
            image[: size[1] // 4] //= 2
            shown.append(image)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode())
    return np.stack(shown)


def colours(count: int) -> list[Image.Image]:
    """Flat 64 x 64 images, each of its own red."""
    return [Image.new("RGB", (64, 64), (5 * n, 40, 80)) for n in range(count)]


def save_animation(path: Path, images: list[Image.Image], **options) -> None:
    """Write images as an animated GIF, PNG or WebP."""
    images[0].save(path, save_all=True, append_images=images[1:], loop=0, **options)


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, bits: int, colour_type: int, rows: bytes) -> bytes:
    """A PNG by hand, of any size and depth; rows begin with their filter."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def save_png16(path: Path, values: np.ndarray) -> None:
    """Write a 16-bit RGB or RGBA PNG, which Pillow cannot."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    path.write_bytes(png(width, height, 16, {3: 2, 4: 6}[channels], rows))


def waves(moving: bool, size: tuple[int, int] = (32, 48), frames: int = 9) -> torch.Tensor:
    """Coloured waves, `3 (t) h w` in [-1, 1]."""
    axes = torch.meshgrid(
        torch.arange(frames if moving else 1), torch.arange(size[0]), torch.arange(size[1]), indexing="ij"
    )
    planes = [torch.sin(0.2 * axes[2] + 0.15 * axes[1] + 0.6 * axes[0] + phase) for phase in (0, 2, 4)]
    out = 0.9 * torch.stack(planes)
    return out if moving else out[:, 0]


def digits(count: int, side: int = 28) -> np.ndarray:
    """`count side side`, uint8: discs of different sizes and places."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    middle, radius = random.uniform(8, side - 8, (count, 2)), random.uniform(3, 7, count)
    inside = (y - middle[:, :1, None]) ** 2 + (x - middle[:, 1:, None]) ** 2 < radius[:, None, None] ** 2
    return (inside * 220 + 10).astype(np.uint8)


def idx(pictures: np.ndarray) -> bytes:
    return b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in pictures.shape) + pictures.tobytes()


def cifar(count: int, classes: int = 1) -> bytes:
    """Random images. classes: bytes before each, 1 of CIFAR-10, 2 of CIFAR-100."""
    random = np.random.default_rng(1)
    return random.integers(0, 256, (count, 3072 + classes), dtype=np.uint8).tobytes()


def packed(picture: np.ndarray) -> bytes:
    """A PNG's bytes."""
    blob = io.BytesIO()
    Image.fromarray(picture).save(blob, "PNG")
    return blob.getvalue()


def tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path
