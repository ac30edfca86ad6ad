"""Files to quality cards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.Image import Resampling

from texsyn.core.errors import TexsynError
from texsyn.core.files import existing
from texsyn.media import decoding, writing
from texsyn.media.reader import centre_square, frame_slice, to_unit_range
from texsyn.metrics.card import Array, Card, score_clips, score_stills


def still_for_scoring(path: Path, side: int | None = 224) -> np.ndarray:
    """`side side 3` in [0, 1], resized in 8 bits, as published figures of textures are; None keeps its size."""
    picture = _eight_bit(decoding.opaque(decoding.read_still(existing(path)), path))
    if side is not None and picture.size != (side, side):
        picture = picture.resize((side, side), Resampling.LANCZOS)
    return np.asarray(picture, np.float32) / 255


def frames_for_scoring(path: Path, side: int = 64) -> np.ndarray:
    """`t side side 3` in [0, 1]: the centre square, resized by area in 8 bits."""
    pictures = [
        _eight_bit(frame) for frame in centre_square(decoding.opaque(decoding.read_clip(existing(path))[0], path))
    ]
    if pictures[0].size != (side, side):
        pictures = [picture.resize((side, side), Resampling.BOX) for picture in pictures]
    return np.stack([np.asarray(picture) for picture in pictures]).astype(np.float32) / 255


def _eight_bit(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(np.round(to_unit_range(picture) * 255).astype(np.uint8))


def score_files(exemplar: Path, samples: Sequence[Path], train: str = "0:32", held: str | None = None) -> Card:
    """Card of files: stills brought to 224 x 224, clips to 64 x 64 from their centre square.

    Of what texsyn made a still is at the scale that was learnt, so a window of 224 x 224 of a larger one is judged; and
    the seams are those of the whole. train and held: frames of the exemplar clip, "A:B" as in Python, to score against
    and to compare with; by default the last 32, where there are as many more. Raises TexsynError (exit 3) for frames
    that are both.
    """
    if decoding.sniff(exemplar) == "clip":
        clip = frames_for_scoring(exemplar)
        count = len(clip)
        learnt = frame_slice(train, count)
        seen = set(range(count)[learnt])
        if held is None and len(seen) == 32 and not seen & set(range(count)[-32:]):
            held = "-32:"
        others = None if held is None else frame_slice(held, count)
        if others is not None and seen & set(range(count)[others]):
            raise TexsynError(f"--train {train} and --held {held} share frames of the {count}: they must not")
        found = [frames_for_scoring(path) for path in samples]
        wholes = [each if _ours(path) else each[: len(seen)] for path, each in zip(samples, found, strict=True)]
        return score_clips(found, clip[learnt], None if others is None else clip[others], wholes)
    original = still_for_scoring(exemplar)
    pairs = [_still_for_scoring(path, original.shape[0]) for path in samples]
    return score_stills([window for window, _ in pairs], original, [whole for _, whole in pairs])


def _ours(path: Path) -> bool:
    """Whether a texture says that texsyn made it, so that its scale is known, and that it wraps as a whole."""
    return path.is_file() and writing.read_metadata(path) is not None


def _still_for_scoring(path: Path, side: int) -> tuple[Array, Array]:
    """What is judged of a picture, and whose seams are taken."""
    if _ours(path):
        whole = still_for_scoring(path, None)
        if min(whole.shape[:2]) >= side:
            return whole[:side, :side], whole
    reduced = still_for_scoring(path, side)
    return reduced, reduced
