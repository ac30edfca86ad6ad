"""Files that the server shows or offers for download, and files that were uploaded."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import texsyn
from texsyn import TexsynError

_KEPT = 128  # files; older ones are deleted
DEFAULT_FPS = 25.0  # of clips whose exemplar has no frame rate


def kept(make: Callable[..., Path]) -> Callable[..., Path]:
    """`make`, whose files are found again for the same arguments as long as newer ones have not replaced them."""
    cached = lru_cache(maxsize=256)(make)

    def find(*key: Any) -> Path:
        path = cached(*key)
        if not path.exists():
            cached.cache_clear()
            path = cached(*key)
        return path

    return find


class Files:
    """A folder of files, each under an unguessable name. It lives as long as the server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new(self, suffix: str, permanent: bool = False) -> Path:
        """The path of a new file. Only the newest files are kept, apart from permanent ones."""
        parent = self.folder / ("permanent" if permanent else "recent")
        folder = parent / secrets.token_hex(12)
        folder.mkdir(parents=True)
        if not permanent:
            for old in sorted(parent.iterdir(), key=lambda path: path.stat().st_mtime_ns)[:-_KEPT]:
                shutil.rmtree(old, ignore_errors=True)
        return folder / f"texture{suffix}"

    def write_image(self, pixels: np.ndarray, size: tuple[int, int] | None = None) -> Path:
        """Write an image or a mask, `height width (3)` from 0 to 255, as PNG. size: (width, height) to resize to."""
        path, image = self.new(".png"), Image.fromarray(pixels)
        (image if size is None else image.resize(size, Image.Resampling.NEAREST)).save(path)
        return path

    def write_texture(
        self, texture: torch.Tensor, fps: float = 0.0, permanent: bool = False, metadata: dict[str, Any] | None = None
    ) -> Path:
        """Write the colour of a texture, `channels (frames) height width` in [-1, 1], as PNG or MP4 for a browser."""
        path = self.new(".mp4" if texture.dim() == 4 else ".png", permanent)
        texsyn.write(texture[:3] if len(texture) != 1 else texture, path, fps=fps or DEFAULT_FPS, metadata=metadata)
        return path

    def copy(self, path: Path, permanent: bool = False) -> Path:
        """A copy of a file, under its ending."""
        return Path(shutil.copyfile(path, self.new(path.suffix, permanent)))

    def uploaded(self, path: object) -> Path:
        """The path of an uploaded file. Raises TexsynError for any other path: a call may name any file."""
        try:
            file = Path(str(path)).resolve(strict=True)
        except (OSError, ValueError):
            raise TexsynError("this file was not uploaded") from None
        if self.folder.resolve() not in file.parents or not file.is_file():
            raise TexsynError("this file was not uploaded")
        return file
