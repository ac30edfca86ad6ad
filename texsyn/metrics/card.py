"""The quality card: metrics of samples, the same of a reference, and how a person reads them.

Stills are compared with a floor, the exemplar's right half against its left; clips with frames that training left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from texsyn.core.maps import COLOUR, MAPS

STILL_METRICS = {
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
    "regular": "how well a regular pattern keeps its period, over the exemplar; 1 is right",
    "critic": "how often a fresh critic tells a crop from the exemplar's; 0.5 is perfect",
    "critic_error": "standard error of the critic",
    "repeated": "share of windows of a large texture that recur in it",
}
# Of a material, beside those of its colours.
MATERIAL_METRICS = {
    "maps": "difference of the correlations between maps; 0 is right",
    "normal_angle": "median angle between normals of the height and the map of normals, degrees",
    **{f"swd_{name}": f"sliced Wasserstein distance of patches of the map {name}" for name in MAPS if name != COLOUR},
    **{f"sharp_{name}": f"finest detail of the map {name} over the exemplar's" for name in MAPS if name != COLOUR},
}
CLIP_METRICS = {
    "lsd": "log-spectral distance over space and time, dB",
    "top": "excess of the finest detail, dB",
    "lbp": "divergence of local patterns in space and time, bits",
    "flow": "divergence of motion, bits",
    "acf": "difference of correlation in time",
    "swd": "sliced Wasserstein distance of patches",
    "coherence": "distance of its patches to the exemplar's",
    "completeness": "distance of the exemplar's patches to its",
    "near": "distance to the nearest training frame over that of other frames; a copy is 0",
    "seam": "jump from last to first frame over the median step; 1 is a loop",
    "diversity": "how much samples differ; towards 1",
}
_TYPICAL = {"lsd": 1.36, "lbp": 0.005}  # a clip's own continuation against its beginning, where there is no reference


@dataclass(frozen=True)
class Card:
    """Metrics of samples, the same of the reference that a perfect model would reach, and what could not be computed.

    A metric that could not be computed is nan; `missing` says why.
    """

    metrics: dict[str, float]
    reference: dict[str, float]
    missing: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For JSON: nan becomes None, an empty `missing` is left out."""
        rows = {"metrics": self.metrics, "reference": self.reference}
        content: dict[str, Any] = {
            part: {name: None if math.isnan(value) else value for name, value in row.items()}
            for part, row in rows.items()
        }
        return content | ({"missing": self.missing} if self.missing else {})

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Card:
        """The inverse of `to_dict`. Raises AttributeError, TypeError or ValueError for what `to_dict` did not write."""
        metrics, reference = (
            {str(name): math.nan if value is None else float(value) for name, value in content.get(part, {}).items()}
            for part in ("metrics", "reference")
        )
        return cls(metrics, reference, str(content.get("missing", "")))


def describe(card: Card) -> list[str]:
    """The card as a person reads it: one line each for faithful, sharp, new, varied and seamless, with the metrics.

    Of stills, where they were measured, also how well a fresh critic tells them from the exemplar, and repetition.
    """
    return _describe_still(card) if "ps" in card.metrics else _describe_clip(card)


def _grade(good: bool, fair: bool) -> str:
    return "good" if good else "fair" if fair else "poor"


def _describe_still(card: Card) -> list[str]:
    m, r = card.metrics, card.reference
    off = abs(m["sharp"] - 1)
    extra = m["vcf"] - r["vcf"]
    worst = max(m["seam_x"], m["seam_y"])
    return [
        f"faithful  {_still_faithful(card)}",
        f"sharp     {_grade(off <= 0.1, off <= 0.25)}: {m['sharp']:.2f} of the exemplar's finest detail",
        f"new       {_grade(extra <= 0.05, extra <= 0.2)}: {100 * m['vcf']:.0f} % copied ({100 * r['vcf']:.0f} %)",
        *_describe_diversity(m["diversity"], "contrast"),
        f"seamless  {_grade(worst <= 1.15, worst <= 1.4)}: seam {m['seam_x']:.2f} along x, {m['seam_y']:.2f} along y",
        *_describe_regularity(m.get("regular", math.nan)),
        *_describe_critic(m.get("critic", math.nan), m.get("critic_error", math.nan)),
        *_describe_repetition(m.get("repeated", math.nan)),
        *_describe_maps(card),
    ]


def _describe_regularity(kept: float) -> list[str]:
    """No line for a texture without a regular pattern."""
    if math.isnan(kept):
        return []
    return [f"regular   {_grade(kept >= 0.9, kept >= 0.7)}: {kept:.2f} of the exemplar's regularity"]


def _describe_critic(told: float, error: float) -> list[str]:
    """No grade for what lies between: only second photos and lumps were measured often enough to draw the line."""
    if math.isnan(told):
        return []
    grade = "good: " if told <= 0.6 else "poor: " if told >= 0.9 else ""
    return [f"told      {grade}a fresh critic tells {100 * told:.0f} % +- {100 * error:.0f} (50 % is perfect)"]


def _describe_repetition(repeated: float) -> list[str]:
    if math.isnan(repeated):
        return []
    return [f"repeated  {100 * repeated:.0f} % of the windows of a large texture recur in it (0 % is perfect)"]


def _describe_maps(card: Card) -> list[str]:
    """A line for all maps of a material, and one for each."""
    m, r = card.metrics, card.reference
    if "maps" not in m:
        return []
    angle, own = m.get("normal_angle", 0.0), r.get("normal_angle", 0.0)
    grade = _grade(m["maps"] <= 0.1 and angle <= own + 2, m["maps"] <= 0.2 and angle <= own + 6)
    normals = f", normals are {angle:.1f} degrees off the height's ({own:.1f})" if "normal_angle" in m else ""
    lines = [f"together  {grade}: correlations of maps differ by {m['maps']:.3f} ({r['maps']:.3f}){normals}"]
    for name in MAPS:
        if f"swd_{name}" in m:
            distance, floor, sharp = m[f"swd_{name}"], r[f"swd_{name}"], m[f"sharp_{name}"]
            what = (
                "is the same everywhere"
                if math.isnan(distance)
                else f"SWD {distance:.3f} ({floor:.3f}), sharp {sharp:.2f}"
            )
            lines.append(f"{name:9} {what}")
    return lines


def _still_faithful(card: Card) -> str:
    m, r = card.metrics, card.reference
    distance = f"SWD {m['swd']:.3f} ({r['swd']:.3f})"
    if math.isnan(m["ps"]):
        return f"{distance}; {card.missing}"
    good = m["ps"] <= 1.1 * r["ps"] and m["swd"] <= 1.1 * r["swd"]
    fair = m["ps"] <= 1.6 * r["ps"] and m["swd"] <= 2 * r["swd"]
    return f"{_grade(good, fair)}: PS {m['ps']:.2f} ({r['ps']:.2f}), {distance}"


def _describe_clip(card: Card) -> list[str]:
    m, r = card.metrics, card.reference
    seam = abs(m["seam"] - 1)
    return [
        f"faithful  {_clip_faithful(card)}",
        f"moving    {_clip_motion(card)}",
        f"sharp     {_grade(abs(m['top']) <= 1, abs(m['top']) <= 3)}: {m['top']:+.1f} dB in the finest detail",
        f"new       {_clip_new(m['near'], bool(r))}",
        *_describe_diversity(m.get("diversity", math.nan), "own change"),
        f"seamless  {_grade(seam <= 0.1, seam <= 0.3)}: loop seam {m['seam']:.2f}",
    ]


def _clip_faithful(card: Card) -> str:
    m, reference = card.metrics, card.reference or _TYPICAL
    lsd, lbp = reference["lsd"], reference["lbp"]
    grade = _grade(m["lsd"] <= 2 * lsd and m["lbp"] <= 2 * lbp, m["lsd"] <= 4 * lsd)
    whose = "other frames of the exemplar" if card.reference else "a typical continuation"
    return f"{grade}: LSD {m['lsd']:.1f} dB ({lsd:.1f} for {whose}), LBP {m['lbp']:.3f} ({lbp:.3f})"


def _clip_motion(card: Card) -> str:
    m, r = card.metrics, card.reference
    flow = "" if math.isnan(m["flow"]) else f"FLOW {m['flow']:.3f}" + (f" ({r['flow']:.3f})" if r else "") + ", "
    return f"{flow}ACF {m['acf']:.3f}" + (f"; {card.missing}" if card.missing else "")


def _clip_new(near: float, relative: bool) -> str:
    """relative: to the distance of other frames; otherwise `near` is in pixel values."""
    if not relative:
        return f"{near:.3f} of the range from the nearest training frame"
    return f"{_grade(0.7 <= near <= 1.5, 0.4 <= near <= 1.8)}: {near:.2f} of other frames' distance"


def _describe_diversity(diversity: float, what: str) -> list[str]:
    """No line for one sample, or for a card of a version that did not measure diversity."""
    if math.isnan(diversity):
        return []
    grade = _grade(diversity >= 0.7, diversity >= 0.5)
    return [f"varied    {grade}: samples differ by {diversity:.2f} of the exemplar's {what}"]
