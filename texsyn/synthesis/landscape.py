"""The energy's landscape: where steepest descent ends, which barriers lie between, and the graph that shows them.

As in the paper (arXiv 1812.10907, its mapping of the learned energy) and in Hill, Nijkamp and Zhu 2019: U(x) = -f(x) is
descended from many starts; a barrier is the highest U on the straight line between two ends; ends are joined in the
order of their barriers (single linkage), which makes the disconnectivity graph. Points are textures, or the latent
fields that make them: then U(z) = -f(g(z)) + |z|^2 / 2, and what lies on a line is a texture, no mixture of two.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from texsyn.core.errors import Exit, TexsynError, short
from texsyn.core.files import refuse_overwrite, replacing
from texsyn.media import exemplar as exemplar_
from texsyn.media import writing
from texsyn.models.triangle import Triangle
from texsyn.synthesis import sampling
from texsyn.synthesis.energy import langevin

_POINTS = 9  # on a line between two ends, without these
_FLAT = 0.02  # of the range of energies: a lower barrier is none
_SIZE = 0.03  # of a step of descent on textures
_RATE = 0.02  # of Adam over latent fields


@dataclass(frozen=True)
class Landscape:
    """What was found; U in nats for each value of a texture."""

    kinds: tuple[str, ...]  # of each start: "crop" or "sample", and of which exemplar
    starts: Tensor  # `n channels *axes`
    ends: Tensor  # likewise; of a latent field, what the generator makes of it
    before: tuple[float, ...]  # U of each start
    after: tuple[float, ...]  # and of where it ended
    barriers: Tensor  # `n n`: the highest U between two ends

    @property
    def near(self) -> tuple[bool, ...]:
        """Whether each end is nearer to its own start than half of what lies between starts."""
        flat = self.starts.flatten(1)
        apart = torch.pdist(flat).mean() if len(flat) > 1 else flat.new_tensor(float("inf"))
        moved = (self.ends.flatten(1) - flat).norm(dim=1)
        return tuple(bool(each < 0.5 * apart) for each in moved)

    @property
    def merges(self) -> list[tuple[int, int, float]]:
        """Single linkage: pairs of a basin's lowest ends, and the barrier over which the two become one.

        From then on the first of the two, which is the lower, stands for both.
        """
        count = len(self.after)
        pairs = [(float(self.barriers[i, j]), i, j) for i in range(count) for j in range(i + 1, count)]
        root, found = list(range(count)), []
        for barrier, i, j in sorted(pairs):
            a, b = _top(root, i), _top(root, j)
            if a != b:
                low, high = (a, b) if self.after[a] <= self.after[b] else (b, a)
                root[high] = low
                found.append((low, high, barrier))
        return found

    @property
    def basins(self) -> list[list[int]]:
        """Ends that no barrier worth the name divides, the deepest basin first."""
        flat = _FLAT * max(1e-9, max(self.before) - min(self.after))
        root = list(range(len(self.after)))
        for low, high, barrier in self.merges:
            if barrier - self.after[high] <= flat:
                root[_top(root, high)] = _top(root, low)
        groups: dict[int, list[int]] = {}
        for n in range(len(root)):
            groups.setdefault(_top(root, n), []).append(n)
        return sorted(groups.values(), key=lambda group: min(self.after[n] for n in group))


def _top(root: list[int], n: int) -> int:
    while root[n] != n:
        n = root[n]
    return n


@torch.no_grad()
def landscape(
    triangle: Triangle,
    exemplars: Sequence[Tensor],
    *,
    starts: int = 8,
    steps: int = 100,
    seed: int = 0,
    latent: bool = False,
) -> Landscape:
    """Descend from `starts` crops of each exemplar, `channels *axes` in [-1, 1], and from as many samples like it.

    Crops and samples have the size of a training window. latent: descend and draw lines in the latent field instead of
    in the texture; a crop starts as the posterior's mean. With several exemplars U is counted from the lowest end of
    each. Raises TexsynError: exit 2 for a number out of range, exit 3 for an exemplar that does not fit the networks.
    """
    if not (1 <= starts <= 64 and 1 <= steps <= 10_000):
        raise TexsynError("--starts must lie in 1 to 64, --steps in 1 to 10000", Exit.USAGE)
    surface = (_Latents if latent else _Textures)(triangle)
    window, random = triangle.modality.window, torch.Generator().manual_seed(seed)
    kinds: list[str] = []
    begun: list[Tensor] = []
    points: list[Tensor] = []
    of: list[int] = []
    for number, pixels in enumerate(exemplars):
        if not triangle.modality.collection:
            triangle.check(pixels)
        crops = exemplar_.crops(pixels, window, starts, random, triangle.modality.raster)
        textures, places = surface.begin(crops, seed, number)
        begun += textures
        points += places
        kinds += [f"crop {number}"] * starts + [f"sample {number}"] * starts
        of += [number] * (2 * starts)
    ends = [surface.descend(point, steps, number) for point, number in zip(points, of, strict=True)]
    # An energy is known up to a constant, which for each exemplar is another.
    depths = [float(surface.height(x[None], n)) for x, n in zip(ends, of, strict=True)]
    least = [min(depth for depth, n in zip(depths, of, strict=True) if n == each) for each in range(len(exemplars))]
    base = least if len(exemplars) > 1 else [0.0]
    barriers = torch.full((len(ends), len(ends)), float("-inf"))
    for i in range(len(ends)):
        for j in range(i + 1, len(ends)):
            line = torch.stack([torch.lerp(ends[i], ends[j], k / (_POINTS + 1)) for k in range(_POINTS + 2)])
            # Between exemplars each texture is judged as what it is more like.
            heights = torch.stack([surface.height(line, n) - base[n] for n in {of[i], of[j]}]).amin(0)
            barriers[i, j] = barriers[j, i] = heights.max()
    return Landscape(
        tuple(kinds),
        torch.stack(begun),
        torch.cat([surface.texture(x[None]) for x in ends]).cpu(),
        tuple(float(surface.height(x[None], n)) - base[n] for x, n in zip(points, of, strict=True)),
        tuple(depth - base[n] for depth, n in zip(depths, of, strict=True)),
        barriers,
    )


class _Textures:
    """U(x) = -f(x): a point is a texture."""

    def __init__(self, triangle: Triangle) -> None:
        self.triangle = triangle
        self.values = triangle.modality.channels * math.prod(triangle.modality.window)

    def begin(self, crops: Tensor, seed: int, exemplar: int) -> tuple[list[Tensor], list[Tensor]]:
        """Crops and as many samples, and the points that they are."""
        shape = dict(zip(self.triangle.modality.axes, self.triangle.modality.window, strict=True))
        size, frames = (shape["x"], shape["y"]), shape.get("t")
        made = sampling.sample(self.triangle, count=len(crops), seed=seed, size=size, frames=frames, exemplar=exemplar)
        return [*crops, *made], [*crops, *made]

    def texture(self, points: Tensor) -> Tensor:
        """`n channels *window`"""
        return points

    def height(self, points: Tensor, exemplar: int) -> Tensor:
        """`n`: U in nats for each value."""
        points = points.to(self.triangle.device)
        labels = self.triangle.labels([exemplar] * len(points))
        energies: Tensor = self.triangle.energy(self.texture(points), labels)
        return -energies.cpu() / self.values

    def descend(self, point: Tensor, steps: int, exemplar: int) -> Tensor:
        """Where steepest descent ends."""
        alone = [False] * len(self.triangle.modality.axes)
        with torch.enable_grad():
            return langevin(self.triangle, point, steps=steps, size=_SIZE, wrapped=alone, exemplar=exemplar)


class _Latents(_Textures):
    """U(z) = -f(g(z)) + |z|^2 / 2: a point is a latent field with its labels, `latent_channels+labels *latent_grid`.

    Labels change along lines, and rest in a descent.
    """

    def begin(self, crops: Tensor, seed: int, exemplar: int) -> tuple[list[Tensor], list[Tensor]]:
        inferred, _variance = self.triangle.posterior(crops.to(self.triangle.device))
        drawn = torch.randn(inferred.shape, generator=torch.Generator().manual_seed(seed)).to(inferred)
        labels = self.triangle.labels([exemplar] * len(crops))
        begun, new = (self.triangle.labelled(z, labels) for z in (inferred, drawn))
        return [*crops, *self.texture(new).cpu()], [*begun, *new]

    def texture(self, points: Tensor) -> Tensor:
        alone = [False] * len(self.triangle.modality.axes)
        self.triangle.generator_ema.eval()
        return self.triangle.synthesize(points, alone)

    def height(self, points: Tensor, exemplar: int) -> Tensor:
        prior = points[:, : self.triangle.design.latent_channels].square().flatten(1).sum(1).cpu() / 2
        return super().height(points, exemplar) + prior / self.values

    def descend(self, point: Tensor, steps: int, exemplar: int) -> Tensor:
        z, labels = (each.clone() for each in point.tensor_split([self.triangle.design.latent_channels]))
        optimiser = torch.optim.Adam([z.requires_grad_(True)], lr=_RATE)
        for _ in range(steps):
            with torch.enable_grad():
                height = self.height(torch.cat((z, labels))[None], exemplar).sum()
            (z.grad,) = torch.autograd.grad(height, z)
            optimiser.step()
        return torch.cat((z.detach(), labels))


def draw(found: Landscape, path: str | Path, *, force: bool = False) -> None:
    """Write the disconnectivity graph, thumbnails of the ends at its leaves, as PNG or SVG.

    Raises TexsynError: exit 2 where matplotlib is missing, for another ending, or for a file that is there already
    (unless `force`), exit 5 when the disk refuses.
    """
    path = Path(path)
    check(path, force)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    order = _leaves(found)
    places = {leaf: float(n) for n, leaf in enumerate(order)}
    figure: Any = Figure(figsize=(max(6.0, 0.9 * len(order)), 6.5))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    top = {n: (places[n], found.after[n]) for n in order}
    for low, high, barrier in found.merges:
        (xa, ya), (xb, yb) = top[low], top[high]
        axes.plot([xa, xa, xb, xb], [ya, barrier, barrier, yb], color="0.35", linewidth=1.2)
        top[low] = ((xa + xb) / 2, barrier)
    for n in order:
        picture = writing.to_uint8(found.ends[n, :3] if found.ends.shape[1] > 1 else found.ends[n])[0]
        picture = picture[..., 0] if picture.shape[-1] == 1 else picture
        image = OffsetImage(picture, zoom=52 / max(picture.shape[:2]), cmap="gray")
        axes.add_artist(
            AnnotationBbox(image, (places[n], found.after[n]), xybox=(0, -34), boxcoords="offset points", frameon=False)
        )
        axes.annotate(
            found.kinds[n], (places[n], found.after[n]), (0, -66), textcoords="offset points", ha="center", fontsize=6
        )
    least, most = min(found.after), max([*found.after, *(barrier for _, _, barrier in found.merges)])
    axes.set_ylim(least - 0.35 * max(most - least, 1e-6), most + 0.05 * max(most - least, 1e-6))
    axes.set_xlim(-0.7, len(order) - 0.3)
    axes.set_xticks([])
    axes.set_ylabel("U, nats for each value")
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, bbox_inches="tight")


def check(path: Path, force: bool = False) -> None:
    """Raise what `draw` raises before it draws."""
    if path.suffix.lower() not in (".png", ".svg"):
        raise TexsynError(f"{short(path.name)}: a landscape is written to .png or .svg", Exit.USAGE)
    refuse_overwrite(path, force)
    if importlib.util.find_spec("matplotlib") is None:
        raise TexsynError("a picture of a landscape needs matplotlib: pip install texsyn[landscape]", Exit.USAGE)


def _leaves(found: Landscape) -> list[int]:
    """The ends in an order in which no line of the graph crosses another."""
    groups = {n: [n] for n in range(len(found.after))}
    for low, high, _ in found.merges:
        groups[low] += groups.pop(high)
    return [n for group in groups.values() for n in group]
