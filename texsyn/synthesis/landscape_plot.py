"""The disconnectivity graph of a landscape, drawn with matplotlib."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import refuse_overwrite, replacing
from texsyn.core.text import short
from texsyn.media import writing
from texsyn.synthesis.landscape import Landscape

_THUMBNAIL = 52  # pixels of its longer side


def draw(landscape: Landscape, path: str | Path, *, force: bool = False, names: Sequence[str] = ()) -> None:
    """Write the graph, with thumbnails of the ends at its leaves, as PNG or SVG.

    names: of the exemplars or classes; each has a colour, where there are several.

    Raises TexsynError: exit 2 where matplotlib is missing, for another ending, or for an existing file (unless
    `force`), exit 5 when the disk refuses.
    """
    path = Path(path)
    check_path(path, force)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    order = _leaves(landscape)
    figure: Any = Figure(figsize=(max(6.0, 0.9 * len(order)), 6.5))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _draw_tree(axes, landscape, order)
    for place, leaf in enumerate(order):
        _draw_leaf(axes, landscape, leaf, place, names)
    _style(axes, landscape, len(order))
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, bbox_inches="tight")


def check_path(path: Path, force: bool = False) -> None:
    """Raise TexsynError (exit 2) as `draw` does, before there is anything to draw."""
    if path.suffix.lower() not in (".png", ".svg"):
        raise TexsynError(f"{short(path.name)}: a landscape is written to .png or .svg", Exit.USAGE)
    refuse_overwrite(path, force)
    if importlib.util.find_spec("matplotlib") is None:
        raise TexsynError("drawing a landscape needs matplotlib: pip install texsyn[landscape]", Exit.USAGE)


def _leaves(landscape: Landscape) -> list[int]:
    """The ends in an order in which no line of the graph crosses another."""
    groups = {n: [n] for n in range(len(landscape.after))}
    for low, high, _ in landscape.merges:
        groups[low] += groups.pop(high)
    return [n for group in groups.values() for n in group]


def _draw_tree(axes: Any, landscape: Landscape, order: list[int]) -> None:
    """From each end up to its barrier, and across to the end that it joins there."""
    top = {leaf: (float(place), landscape.after[leaf]) for place, leaf in enumerate(order)}
    for low, high, barrier in landscape.merges:
        (xa, ya), (xb, yb) = top[low], top[high]
        axes.plot([xa, xa, xb, xb], [ya, barrier, barrier, yb], color="0.35", linewidth=1.2)
        top[low] = ((xa + xb) / 2, barrier)


def _draw_leaf(axes: Any, landscape: Landscape, leaf: int, place: int, names: Sequence[str]) -> None:
    from matplotlib import colormaps
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    position, end = (float(place), landscape.after[leaf]), landscape.ends[leaf]
    image = writing.to_uint8(end[:3] if len(end) > 1 else end)[0]
    image = image[..., 0] if image.shape[-1] == 1 else image
    thumbnail = OffsetImage(image, zoom=_THUMBNAIL / max(image.shape[:2]), cmap="gray")
    kind, number = landscape.kinds[leaf].split()
    colour, several = colormaps["tab10"](int(number) % 10), len(names) > 1
    look = {"edgecolor": colour, "linewidth": 2} if several else {}
    box = AnnotationBbox(
        thumbnail, position, xybox=(0, -34), boxcoords="offset points", frameon=several, pad=0.15, bboxprops=look
    )
    axes.add_artist(box)
    text = f"{kind} {names[int(number)]}" if several else landscape.kinds[leaf]
    axes.annotate(text, position, (0, -66), textcoords="offset points", ha="center", fontsize=6)


def _style(axes: Any, landscape: Landscape, count: int) -> None:
    least = min(landscape.after)
    most = max([*landscape.after, *(barrier for _, _, barrier in landscape.merges)])
    span = max(most - least, 1e-6)
    axes.set_ylim(least - 0.35 * span, most + 0.05 * span)
    axes.set_xlim(-0.7, count - 0.3)
    axes.set_xticks([])
    axes.set_ylabel("U, nats for each value")
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
