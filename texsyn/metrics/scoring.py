"""Textures, or their files, to quality cards."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from einops import rearrange
from PIL import Image
from PIL.Image import Resampling
from torch import Tensor

from texsyn.core.errors import TexsynError
from texsyn.media import decoding
from texsyn.media.frames import centre_square, frame_slice, to_unit_range
from texsyn.media.metadata import read_metadata
from texsyn.metrics import image, video
from texsyn.metrics.card import CLIP_METRICS, STILL_METRICS, Card
from texsyn.metrics.extras import with_critic, with_repetition
from texsyn.metrics.portilla_simoncelli import PortillaSimoncelli, crop_within
from texsyn.metrics.sliced_wasserstein import Array

_SIDE = 224  # pixels of the stills, or crops of them, that are scored
_NATIVE_CROPS = 4
_LARGE = 1024  # pixels of the smaller side from which on repetition is measured
_MIN_FRAMES = 16
_HELD_FRAMES = 32  # at a clip's end, which are compared with unless others are named

# ------------------------------------------------------------ stills


def score_stills(samples: Sequence[Array], exemplar: Array, wholes: Sequence[Array] = ()) -> Card:
    """Card of stills `h w 3` in [0, 1], all of one size; metrics are means over the samples.

    wholes: textures of any size and number whose seams are measured, where samples are crops of them or too few.
    Raises TexsynError (exit 3) for sizes that differ or images smaller than 128 pixels.
    """
    _check(samples, exemplar, 128)
    half = exemplar.shape[1] // 2
    left, right = exemplar[:, :half], exemplar[:, half:]
    distance, missing = _portilla_simoncelli(exemplar, left)
    rows = [{"ps": distance(each, None), **_still_row(each, exemplar)} for each in samples]
    metrics = _mean_row(rows)
    seam_x, seam_y = np.mean([image.seams(whole) for whole in wholes or samples], 0)
    metrics |= {"seam_x": float(seam_x), "seam_y": float(seam_y)}
    metrics["regular"] = image.regularity(list(wholes or samples), exemplar)
    metrics["diversity"] = image.diversity(list(samples), exemplar)
    reference = {"ps": distance(right, left), **_still_row(right, left)}
    return Card(_ordered(metrics, STILL_METRICS), _ordered(reference, STILL_METRICS), missing)


def _portilla_simoncelli(exemplar: Array, smallest: Array) -> tuple[Callable[[Array, Array | None], float], str]:
    """PS, and why it cannot be computed: then it is nan."""
    try:
        return PortillaSimoncelli(exemplar, crop_within(smallest)).distance, ""
    except TexsynError as error:
        return lambda sample, reference: math.nan, str(error)


def _still_row(sample: Array, exemplar: Array) -> dict[str, float]:
    copied, island, coherence = image.copying(sample, exemplar)
    return {
        "swd": image.sliced_wasserstein(sample, exemplar),
        "sharp": image.sharpness(sample, exemplar),
        "vcf": copied,
        "island": island,
        "coherence": coherence,
        "completeness": image.completeness(sample, exemplar),
    }


def _mean_row(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def score_native(samples: Sequence[Array], exemplar: Array) -> Card:
    """Card of stills `h w 3` in [0, 1] of any sizes from 224 on, all at one scale: the mean of cards of crops.

    Up to four random crops of 224 x 224 of the exemplar are each compared with crops of the samples. Images of
    224 x 224 have one crop, themselves: then the card is that of `score_stills`, whatever the seed.
    Raises TexsynError (exit 3) for smaller images.
    """
    if small := [each for each in (exemplar, *samples) if min(each.shape[:2]) < _SIDE]:
        height, width = small[0].shape[:2]
        raise TexsynError(f"scoring at native size needs at least {_SIDE} x {_SIDE} pixels, not {width} x {height}")
    random = np.random.default_rng(0)
    count = 1 if all(each.shape[:2] == (_SIDE, _SIDE) for each in (exemplar, *samples)) else _NATIVE_CROPS
    cards = [
        score_stills([_crop(each, random) for each in samples], _crop(exemplar, random), samples) for _ in range(count)
    ]
    metrics, reference = (_mean_row([getattr(card, part) for card in cards]) for part in ("metrics", "reference"))
    return Card(metrics, reference, cards[0].missing)


def _crop(picture: Array, random: np.random.Generator) -> Array:
    top, left = (int(random.integers(0, size - _SIDE + 1)) for size in picture.shape[:2])
    return picture[top : top + _SIDE, left : left + _SIDE]


# ------------------------------------------------------------ clips


def score_clips(
    samples: Sequence[Array], train: Array, held: Array | None = None, wholes: Sequence[Array] = ()
) -> Card:
    """Card of clips `t h w 3` in [0, 1] against `train`; metrics are medians over the samples.

    Longer samples are cut to the length of `train`. held: other frames of the exemplar, as many as in `train`; without
    them `near` is in pixel values, and there is no reference. wholes: clips whose seams are measured, one for each
    sample, where samples are pieces of them.
    Raises TexsynError (exit 3) for sizes that differ or for fewer than 16 frames.
    """
    _check_clips(samples, train, held)
    clips = [clip[: len(train)] for clip in samples]
    scale = 1.0 if held is None else video.nearest_frame(held, train)
    if not scale:
        raise TexsynError("the frames to compare with are those to score against: they must be others")
    missing = set[str]()
    rows = [_clip_row(clip, train, scale, missing) for clip in clips]
    for row, whole in zip(rows, wholes or clips, strict=True):
        row["seam"] = video.seam(whole)
    metrics = {name: float(np.median([row[name] for row in rows])) for name in rows[0]}
    metrics["diversity"] = video.diversity(clips, train)
    reference = {} if held is None else _ordered(_clip_row(held, train, scale, missing), CLIP_METRICS)
    return Card(_ordered(metrics, CLIP_METRICS), reference, "; ".join(missing))


_CLIP_ROW: dict[str, Callable[[Array, Array], float]] = {
    "lsd": video.log_spectral_distance,
    "top": video.top_band,
    "lbp": video.lbp_divergence,
    "flow": video.flow_divergence,
    "acf": video.autocorrelation_difference,
    "swd": video.sliced_wasserstein,
    "coherence": lambda clip, train: video.coherence_and_completeness(clip, train)[0],
    "completeness": lambda clip, train: video.coherence_and_completeness(clip, train)[1],
}


def _clip_row(clip: Array, train: Array, scale: float, missing: set[str]) -> dict[str, float]:
    """Metrics of one clip; nan for those that need a package that is not installed, and why is added to `missing`."""
    row = {"near": video.nearest_frame(clip, train) / scale, "seam": video.seam(clip)}
    for name, metric in _CLIP_ROW.items():
        try:
            row[name] = metric(clip, train)
        except TexsynError as error:
            row[name] = math.nan
            missing.add(str(error))
    return row


def _check_clips(samples: Sequence[Array], train: Array, held: Array | None) -> None:
    _check([clip[0] for clip in samples], train[0], 32)
    count = len(train)
    if count < _MIN_FRAMES or any(len(clip) < count for clip in samples):
        raise TexsynError(f"a clip is scored on {count} frames, at least {_MIN_FRAMES}, and every sample needs as many")
    if held is not None and len(held) != count:
        raise TexsynError(f"{len(held)} frames to compare with, but {count} to score against: they must be as many")


def _check(samples: Sequence[Array], exemplar: Array, least: int) -> None:
    if not samples:
        raise TexsynError("no samples to score")
    for sample in samples:
        if sample.shape != exemplar.shape:
            shown = [f"{each.shape[1]} x {each.shape[0]}" for each in (sample, exemplar)]
            raise TexsynError(f"a sample is {shown[0]}, but the exemplar is {shown[1]}: they must agree")
    if min(exemplar.shape[:2]) < least:
        raise TexsynError(
            f"scoring needs at least {least} x {least} pixels, not {exemplar.shape[1]} x {exemplar.shape[0]}"
        )


def _ordered(row: dict[str, float], names: dict[str, str]) -> dict[str, float]:
    return {name: row.get(name, math.nan) for name in names}


# ------------------------------------------------------------ during training


def quick_metrics(sample: Array, exemplar: Array) -> dict[str, float]:
    """The metrics that say most in a fraction of a second, of a still or a clip; {} for textures that are too small."""
    if sample.ndim == 4:
        count = min(len(sample), len(exemplar))
        if count < _MIN_FRAMES:
            return {}
        return {"lsd": video.log_spectral_distance(sample[:count], exemplar[:count])}
    height, width = (min(a, b) for a, b in zip(sample.shape[:2], exemplar.shape[:2], strict=True))
    if min(height, width) < 64:
        return {}
    pair = sample[:height, :width], exemplar[:height, :width]
    return {"swd": image.sliced_wasserstein(*pair), "sharp": image.sharpness(*pair)}


def to_numpy(texture: Tensor) -> Array:
    """`channels *axes` in [-1, 1] -> `(t) h w 3` in [0, 1]; grey is repeated, maps after the colours are left out."""
    values = (texture.detach().float().cpu().clamp(-1, 1) + 1) / 2
    colour = values[:3] if len(values) >= 3 else values[:1].expand(3, *values.shape[1:])
    return np.ascontiguousarray(rearrange(colour, "c ... h w -> ... h w c").numpy())


# ------------------------------------------------------------ files


def score_files(
    exemplar: Path,
    samples: Sequence[Path],
    train: str = "0:32",
    held: str | None = None,
    *,
    told: bool = False,
    native: bool = False,
) -> Card:
    """Card of files: stills resized to 224 x 224, clips to 64 x 64 from their centre square.

    A still that texsyn wrote is at the scale of training: of a larger one a crop of 224 x 224 is scored, and the seams
    of the whole. train and held: frames of the exemplar clip, "A:B" as in Python, to score against and to compare
    with; held defaults to the last 32 of a clip with as many more. Raises TexsynError (exit 3) for files that cannot
    be read, and for frames that are both.
    told: of stills, also ask a critic. native: score crops of stills at the files' own sizes. Repetition is measured
    in the first still that is scored at 1024 x 1024 pixels or more: one by texsyn, or native.
    """
    if decoding.sniff(exemplar) == "clip":
        if told or native:
            raise TexsynError("--critic and --native are for stills")
        return _score_clip_files(exemplar, samples, train, held)
    return _score_still_files(exemplar, samples, told, native)


def _score_still_files(exemplar: Path, samples: Sequence[Path], told: bool, native: bool) -> Card:
    original = still_for_scoring(exemplar, None if native else _SIDE)
    if native:
        crops = wholes = [still_for_scoring(path, None) for path in samples]
        card = score_native(wholes, original)
    else:
        pairs = [_crop_and_whole(path, _SIDE) for path in samples]
        crops, wholes = [crop for crop, _ in pairs], [whole for _, whole in pairs]
        card = score_stills(crops, original, wholes)
    large = next((each for each in wholes if min(each.shape[:2]) >= _LARGE), None)
    if large is not None:
        card = with_repetition(card, large, original)
    return with_critic(card, crops, original) if told else card


def _score_clip_files(exemplar: Path, samples: Sequence[Path], train: str, held: str | None) -> Card:
    clip = frames_for_scoring(exemplar)
    train_slice, held_slice = _train_and_held(train, held, len(clip))
    train_clip = clip[train_slice]
    clips = [frames_for_scoring(path) for path in samples]
    wholes = [each if _is_ours(path) else each[: len(train_clip)] for path, each in zip(samples, clips, strict=True)]
    return score_clips(clips, train_clip, None if held_slice is None else clip[held_slice], wholes)


def _train_and_held(train: str, held: str | None, count: int) -> tuple[slice, slice | None]:
    """The frames to score against and to compare with, of `count`."""
    train_slice = frame_slice(train, count)
    trained = set(range(count)[train_slice])
    if held is None and len(trained) == _HELD_FRAMES and not trained & set(range(count)[-_HELD_FRAMES:]):
        held = f"-{_HELD_FRAMES}:"
    if held is None:
        return train_slice, None
    held_slice = frame_slice(held, count)
    if trained & set(range(count)[held_slice]):
        raise TexsynError(f"--train {train} and --held {held} share frames of the {count}: they must not")
    return train_slice, held_slice


def still_for_scoring(path: Path, side: int | None = 224) -> Array:
    """`side side 3` in [0, 1], resized in 8 bits, as published samples of textures are; None keeps the size."""
    picture = _eight_bit(decoding.read_still(path).opaque_colours(path.name)[0])
    if side is not None and picture.size != (side, side):
        picture = picture.resize((side, side), Resampling.LANCZOS)
    return np.asarray(picture, np.float32) / 255


def frames_for_scoring(path: Path, side: int = 64) -> Array:
    """`t side side 3` in [0, 1]: the centre square, resized by area in 8 bits."""
    colours = decoding.read_clip(path).opaque_colours(path.name)
    frames = [_eight_bit(frame) for frame in centre_square(colours)]
    if frames[0].size != (side, side):
        frames = [frame.resize((side, side), Resampling.BOX) for frame in frames]
    return np.stack([np.asarray(frame) for frame in frames]).astype(np.float32) / 255


def _eight_bit(pixels: Array) -> Image.Image:
    return Image.fromarray(np.round(to_unit_range(pixels) * 255).astype(np.uint8))


def _is_ours(path: Path) -> bool:
    """Whether a file's metadata says that texsyn wrote it: then its scale is known, and it wraps as a whole."""
    return path.is_file() and read_metadata(path) is not None


def _crop_and_whole(path: Path, side: int) -> tuple[Array, Array]:
    """The part of an image that is scored, and the texture whose seams are measured."""
    if _is_ours(path):
        whole = still_for_scoring(path, None)
        if min(whole.shape[:2]) >= side:
            return whole[:side, :side], whole
    reduced = still_for_scoring(path, side)
    return reduced, reduced
