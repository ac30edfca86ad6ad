"""The quality card: how good samples are against their exemplar, in figures and in words.

Stills are judged against a floor, the exemplar's left half against its right; clips against frames that were held out
of the fit. No measure needs pretrained weights, and none is trained on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from texsyn.core.errors import TexsynError
from texsyn.metrics import image, video

Array = NDArray[Any]

STILL_MEASURES = {
    "ps": "distance of Portilla-Simoncelli statistics; the exemplar itself 0.4 to 1",
    "swd": "sliced Wasserstein distance of patches",
    "sharp": "finest detail over the exemplar's; 1 is right",
    "vcf": "share of patches copied verbatim",
    "island": "mean size of a copied piece, pixels",
    "coherence": "distance of its patches to the exemplar's",
    "completeness": "distance of the exemplar's patches to its",
    "seam_x": "jump across the wrap over the jump inside; 1 is seamless",
    "seam_y": "the same along y",
    "diversity": "how much samples differ; towards 1",
}
CLIP_MEASURES = {
    "lsd": "log-spectral distance over space and time, dB",
    "top": "excess of the finest detail, dB",
    "lbp": "divergence of local patterns in space and time, bits",
    "flow": "divergence of motion, bits",
    "acf": "difference of correlation in time",
    "swd": "sliced Wasserstein distance of patches",
    "coherence": "distance of its patches to the exemplar's",
    "completeness": "distance of the exemplar's patches to its",
    "near": "distance to the nearest frame learnt from over that of other frames; a copy is 0",
    "seam": "jump from last to first frame over the median step; 1 is a loop",
    "diversity": "how much samples differ; towards 1",
}


@dataclass(frozen=True)
class Card:
    """Measures of samples, the same of the reference that a perfect model would reach, and what was missing."""

    measures: dict[str, float]
    reference: dict[str, float]
    missing: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON: nan becomes null."""
        tidy = [{k: None if math.isnan(v) else v for k, v in row.items()} for row in (self.measures, self.reference)]
        return {"measures": tidy[0], "reference": tidy[1], **({"missing": self.missing} if self.missing else {})}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Card:
        """The inverse of `to_dict`."""
        measures, reference = (
            {str(k): math.nan if v is None else float(v) for k, v in content.get(part, {}).items()}
            for part in ("measures", "reference")
        )
        return cls(measures, reference, str(content.get("missing", "")))


def score_stills(samples: Sequence[Array], exemplar: Array, wholes: Sequence[Array] = ()) -> Card:
    """Card of stills `h w 3` in [0, 1], all of one size; measures are means over the samples.

    wholes: textures of any size and number whose seams are taken, where samples are windows of them or too few.
    Raises TexsynError (exit 3) for sizes that differ or pictures smaller than 128 pixels.
    """
    _check(samples, exemplar, 128)
    half = exemplar.shape[1] // 2
    left, right = exemplar[:, :half], exemplar[:, half:]
    missing, distance = "", None
    try:
        distance = image.PortillaSimoncelli(exemplar, image.crop_within(left)).distance
    except TexsynError as error:
        missing = str(error)
    rows = [{"ps": distance(each) if distance else math.nan, **_still_row(each, exemplar)} for each in samples]
    measures = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    found = np.mean([image.seams(whole) for whole in wholes or samples], 0)
    measures |= dict(zip(("seam_x", "seam_y"), map(float, found), strict=True))
    measures["diversity"] = image.diversity(list(samples), exemplar)
    reference = {"ps": distance(right, left) if distance else math.nan, **_still_row(right, left)}
    return Card(_ordered(measures, STILL_MEASURES), _ordered(reference, STILL_MEASURES), missing)


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


def score_clips(
    samples: Sequence[Array], train: Array, held: Array | None = None, wholes: Sequence[Array] = ()
) -> Card:
    """Card of clips `t h w 3` in [0, 1] against `train`; measures are medians over the samples.

    Of longer samples as many frames as in `train` are judged. held: other frames of the exemplar, as many as in
    `train`; without them `near` is in pixel values, and there is no reference. wholes: clips whose seams are taken,
    one for each sample, where samples are pieces of them.
    Raises TexsynError (exit 3) for sizes that differ or for fewer than 16 frames.
    """
    _check([clip[0] for clip in samples], train[0], 32)
    count = len(train)
    if count < 16 or any(len(clip) < count for clip in samples):
        raise TexsynError(f"a clip is scored on {count} frames, at least 16, and every sample needs as many")
    if held is not None and len(held) != count:
        raise TexsynError(f"{len(held)} frames to compare with, but {count} to score against: they must be as many")
    scale = 1.0 if held is None else video.nearest_frame(held, train)
    if not scale:
        raise TexsynError("the frames to compare with are those to score against: they must be others")
    missing = set[str]()
    rows = [_clip_row(clip[:count], train, scale, missing) for clip in samples]
    for row, whole in zip(rows, wholes or [clip[:count] for clip in samples], strict=True):
        row["seam"] = video.seam(whole)
    measures = {name: float(np.median([row[name] for row in rows])) for name in rows[0]}
    measures["diversity"] = video.diversity([clip[:count] for clip in samples], train)
    reference = {} if held is None else _ordered(_clip_row(held, train, scale, missing), CLIP_MEASURES)
    return Card(_ordered(measures, CLIP_MEASURES), reference, "; ".join(missing))


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
    """Measures of one clip; nan for those that need what is not installed, which is added to `missing`."""
    row = {"near": video.nearest_frame(clip, train) / scale, "seam": video.seam(clip)}
    for name, measure in _CLIP_ROW.items():
        try:
            row[name] = measure(clip, train)
        except TexsynError as error:
            row[name] = math.nan
            missing.add(str(error))
    return row


def _check(samples: Sequence[Array], exemplar: Array, least: int) -> None:
    if not samples:
        raise TexsynError("no samples to score")
    for sample in samples:
        if sample.shape != exemplar.shape:
            shown = [f"{s.shape[1]} x {s.shape[0]}" for s in (sample, exemplar)]
            raise TexsynError(f"a sample is {shown[0]}, but the exemplar is {shown[1]}: they must agree")
    if min(exemplar.shape[:2]) < least:
        raise TexsynError(
            f"scoring needs at least {least} x {least} pixels, not {exemplar.shape[1]} x {exemplar.shape[0]}"
        )


def quick_metrics(sample: Array, exemplar: Array) -> dict[str, float]:
    """What tells most in a fraction of a second, of a still or a clip, while it is being learnt; {} if too small."""
    if sample.ndim == 4:
        count = min(len(sample), len(exemplar))
        if count < 16:
            return {}
        return {"lsd": video.log_spectral_distance(sample[:count], exemplar[:count])}
    height, width = (min(a, b) for a, b in zip(sample.shape[:2], exemplar.shape[:2], strict=True))
    if min(height, width) < 64:
        return {}
    pair = sample[:height, :width], exemplar[:height, :width]
    return {"swd": image.sliced_wasserstein(*pair), "sharp": image.sharpness(*pair)}


def _ordered(row: dict[str, float], names: dict[str, str]) -> dict[str, float]:
    return {name: row.get(name, math.nan) for name in names}


def to_numpy(texture: Tensor) -> Array:
    """`channels *axes` in [-1, 1] -> `(t) h w 3` in [0, 1]; grey is repeated, further maps are left out."""
    values = (texture.detach().float().cpu().clamp(-1, 1) + 1) / 2
    colour = values[:3] if len(values) >= 3 else values[:1].expand(3, *values.shape[1:])
    return np.ascontiguousarray(rearrange(colour, "c ... h w -> ... h w c").numpy())


def describe(card: Card) -> list[str]:
    """The card as a person reads it: sharp, faithful, new, varied, seamless, each with its figures."""
    return _still_words(card) if "ps" in card.measures else _clip_words(card)


def _grade(good: bool, fair: bool) -> str:
    return "good" if good else "fair" if fair else "poor"


def _still_words(card: Card) -> list[str]:
    m, r = card.measures, card.reference
    lines = []
    if not math.isnan(m["ps"]):
        grade = _grade(
            m["ps"] <= 1.1 * r["ps"] and m["swd"] <= 1.1 * r["swd"],
            m["ps"] <= 1.6 * r["ps"] and m["swd"] <= 2 * r["swd"],
        )
        lines.append(f"faithful  {grade}: PS {m['ps']:.2f} ({r['ps']:.2f}), SWD {m['swd']:.3f} ({r['swd']:.3f})")
    else:
        lines.append(f"faithful  SWD {m['swd']:.3f} ({r['swd']:.3f}); {card.missing}")
    off = abs(m["sharp"] - 1)
    lines.append(f"sharp     {_grade(off <= 0.1, off <= 0.25)}: {m['sharp']:.2f} of the exemplar's finest detail")
    extra = m["vcf"] - r["vcf"]
    lines.append(
        f"new       {_grade(extra <= 0.05, extra <= 0.2)}: {100 * m['vcf']:.0f} % copied ({100 * r['vcf']:.0f} %)"
    )
    lines += _varied(m["diversity"], "contrast")
    worst = max(m["seam_x"], m["seam_y"])
    lines.append(
        f"seamless  {_grade(worst <= 1.15, worst <= 1.4)}: seam {m['seam_x']:.2f} along x, {m['seam_y']:.2f} along y"
    )
    return lines


def _clip_words(card: Card) -> list[str]:
    m, r = card.measures, card.reference
    known = bool(r)
    lsd, lbp = (r["lsd"], r["lbp"]) if known else (1.36, 0.005)
    grade = _grade(m["lsd"] <= 2 * lsd and m["lbp"] <= 2 * lbp, m["lsd"] <= 4 * lsd)
    whose = "other frames of the exemplar" if known else "a usual continuation"
    near = f"{_grade(0.7 <= m['near'] <= 1.5, 0.4 <= m['near'] <= 1.8)}: {m['near']:.2f} of other frames' distance"
    flow = "" if math.isnan(m["flow"]) else f"FLOW {m['flow']:.3f}" + (f" ({r['flow']:.3f})" if known else "") + ", "
    lines = [
        f"faithful  {grade}: LSD {m['lsd']:.1f} dB ({lsd:.1f} for {whose}), LBP {m['lbp']:.3f} ({lbp:.3f})",
        f"moving    {flow}ACF {m['acf']:.3f}" + (f"; {card.missing}" if card.missing else ""),
        f"sharp     {_grade(abs(m['top']) <= 1, abs(m['top']) <= 3)}: {m['top']:+.1f} dB in the finest detail",
        f"new       {near}" if known else f"new       {m['near']:.3f} of the range from the nearest frame learnt from",
        f"seamless  {_grade(abs(m['seam'] - 1) <= 0.1, abs(m['seam'] - 1) <= 0.3)}: loop seam {m['seam']:.2f}",
    ]
    return lines[:-1] + _varied(m.get("diversity", math.nan), "own change") + lines[-1:]


def _varied(diversity: float, what: str) -> list[str]:
    """Nothing where there is one sample, or a card of an older version says nothing of it."""
    if math.isnan(diversity):
        return []
    grade = _grade(diversity >= 0.7, diversity >= 0.5)
    return [f"varied    {grade}: samples differ by {diversity:.2f} of the exemplar's {what}"]
