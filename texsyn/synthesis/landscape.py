"""The energy's landscape: where descent on it ends, and the barriers between these ends.

As in the paper (arXiv 1812.10907, its mapping of the learned energy) and in Hill, Nijkamp and Zhu 2019: U(x) = -f(x) is
descended from many starts; a barrier is the highest U on the straight line between two ends; ends are joined in the
order of their barriers (single linkage), which gives the disconnectivity graph. Points are textures, or latent fields:
then U(z) = -f(g(z)) + |z|^2 / 2, and every point on a line is a texture, not a mixture of two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from texsyn.core import ops
from texsyn.core.disjoint_sets import DisjointSets
from texsyn.core.errors import Exit, TexsynError
from texsyn.media.exemplar import crops
from texsyn.models.triangle import Triangle
from texsyn.synthesis import sampling
from texsyn.synthesis.energy import ascend

_LINE_POINTS = 9  # on a line between two ends, without these
_FLAT = 0.02  # of the range of U: lower barriers do not separate basins
_STEP_SIZE = 0.03  # of descent on textures
_LEARNING_RATE = 0.02  # of Adam over latent fields


@dataclass(frozen=True)
class Landscape:
    """Starts, ends and barriers; U in nats for each value of a texture."""

    kinds: tuple[str, ...]  # of each start: "crop" or "sample", and the number of its exemplar
    starts: Tensor  # `n channels *axes`
    ends: Tensor  # likewise; of a latent field, the texture that the generator makes of it
    before: tuple[float, ...]  # U of each start
    after: tuple[float, ...]  # U of each end
    barriers: Tensor  # `n n`: the highest U between two ends

    @property
    def near(self) -> tuple[bool, ...]:
        """Whether each end is closer to its own start than half the mean distance between starts."""
        flat = self.starts.flatten(1)
        apart = torch.pdist(flat).mean() if len(flat) > 1 else flat.new_tensor(float("inf"))
        moved = (self.ends.flatten(1) - flat).norm(dim=1)
        return tuple(bool(each < 0.5 * apart) for each in moved)

    @property
    def merges(self) -> list[tuple[int, int, float]]:
        """Single linkage: the lowest ends of two groups, the lower first, and the barrier over which they become one.

        From then on the first end stands for both groups.
        """
        count = len(self.after)
        pairs = [(float(self.barriers[i, j]), i, j) for i in range(count) for j in range(i + 1, count)]
        sets, merges = DisjointSets(count), []
        for barrier, i, j in sorted(pairs):
            a, b = sets.root(i), sets.root(j)
            if a != b:
                low, high = (a, b) if self.after[a] <= self.after[b] else (b, a)
                sets.join(low, high)
                merges.append((low, high, barrier))
        return merges

    @property
    def basins(self) -> list[list[int]]:
        """Groups of ends without a notable barrier between them, the deepest first."""
        flat = _FLAT * max(1e-9, max(self.before) - min(self.after))
        sets = DisjointSets(len(self.after))
        for low, high, barrier in self.merges:
            if barrier - self.after[high] <= flat:
                sets.join(low, high)
        return sorted(sets.groups(), key=lambda group: min(self.after[n] for n in group))


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

    Crops and samples have the size of a training window; of a model with levels of detail, they are those of its base.
    latent: descend and draw lines in the latent field instead of in the texture; a crop starts as the posterior's mean.
    With several exemplars, U is counted from the lowest end of each. Raises TexsynError: exit 2 for a number out of
    range, exit 3 for an exemplar that does not fit the networks.
    """
    if not (1 <= starts <= 64 and 1 <= steps <= 10_000):
        raise TexsynError("--starts must lie in 1 to 64, --steps in 1 to 10000", Exit.USAGE)
    surface = (_LatentSurface if latent else _TextureSurface)(triangle)
    begun = list(_starts(surface, exemplars, starts, seed))
    of = [start.exemplar for start in begun]
    ends = [surface.descend(start.point, steps, start.exemplar) for start in begun]
    heights = [float(surface.height(end[None], n)) for end, n in zip(ends, of, strict=True)]
    base = _zero_levels(heights, of)
    return Landscape(
        tuple(start.kind for start in begun),
        torch.stack([start.texture for start in begun]),
        torch.cat([surface.texture(end[None]) for end in ends]).cpu(),
        tuple(float(surface.height(start.point[None], start.exemplar)) - base[start.exemplar] for start in begun),
        tuple(height - base[n] for height, n in zip(heights, of, strict=True)),
        _barriers(surface, ends, of, base),
    )


@dataclass(frozen=True)
class _Start:
    kind: str
    texture: Tensor  # `channels *window`
    point: Tensor  # what descends: the texture, or its latent field
    exemplar: int


def _starts(surface: _TextureSurface, exemplars: Sequence[Tensor], count: int, seed: int) -> Iterator[_Start]:
    """For each exemplar `count` crops, then as many samples."""
    triangle, random = surface.triangle, torch.Generator().manual_seed(seed)
    modality = triangle.modality
    for number, pixels in enumerate(exemplars):
        if not modality.collection:
            triangle.check(pixels)
        cropped = crops(triangle.scaled(pixels), modality.window, count, random, triangle.raster)
        kinds = [f"crop {number}"] * count + [f"sample {number}"] * count
        for kind, texture, point in zip(kinds, *surface.begin(cropped, seed, number), strict=True):
            yield _Start(kind, texture, point, number)


def _zero_levels(heights: Sequence[float], of: Sequence[int]) -> dict[int, float]:
    """By exemplar: the U that counts as zero. An energy is known up to a constant, another one for each exemplar."""
    if len(set(of)) == 1:
        return {of[0]: 0.0}
    return {each: min(height for height, n in zip(heights, of, strict=True) if n == each) for each in set(of)}


def _barriers(surface: _TextureSurface, ends: list[Tensor], of: list[int], base: dict[int, float]) -> Tensor:
    barriers = torch.full((len(ends), len(ends)), float("-inf"))
    for i in range(len(ends)):
        for j in range(i + 1, len(ends)):
            line = torch.stack([torch.lerp(ends[i], ends[j], k / (_LINE_POINTS + 1)) for k in range(_LINE_POINTS + 2)])
            # Between exemplars, each texture has the U of the one that it is more like.
            heights = torch.stack([surface.height(line, n) - base[n] for n in {of[i], of[j]}]).amin(0)
            barriers[i, j] = barriers[j, i] = heights.max()
    return barriers


class _TextureSurface:
    """U(x) = -f(x): a point is a texture."""

    def __init__(self, triangle: Triangle) -> None:
        self.triangle = triangle
        self._values = triangle.modality.channels * math.prod(triangle.modality.window)
        self._no_wrap = [False] * len(triangle.modality.axes)

    def begin(self, cropped: Tensor, seed: int, exemplar: int) -> tuple[list[Tensor], list[Tensor]]:
        """Crops and as many samples, `channels *window` each, and their points."""
        modality = self.triangle.modality
        own = [
            round(n * modality.enlargement / scale) for n, scale in zip(modality.window, modality.scales, strict=True)
        ]
        window = dict(zip(modality.axes, own, strict=True))
        size, frames = (window["x"], window["y"]), window.get("t")
        samples = sampling.sample(
            self.triangle, count=len(cropped), seed=seed, size=size, frames=frames, exemplar=exemplar
        )
        scaled = [ops.resize(self.triangle.scaled(each), modality.window) for each in samples]
        return [*cropped, *scaled], [*cropped, *scaled]

    def texture(self, points: Tensor) -> Tensor:
        """`n channels *window`"""
        return points

    def height(self, points: Tensor, exemplar: int) -> Tensor:
        """`n`: U in nats for each value."""
        points = points.to(self.triangle.device)
        labels = self.triangle.labels([exemplar] * len(points))
        energies: Tensor = self.triangle.energy(self.texture(points), labels)
        return -energies.cpu() / self._values

    def descend(self, point: Tensor, steps: int, exemplar: int) -> Tensor:
        """The point after steps of gradient descent on U."""
        labels = self.triangle.labels([exemplar])
        with torch.enable_grad():
            begun = point.to(self.triangle.device)
            return ascend(lambda x: self.triangle.energy(x[None], labels).sum(), begun, steps, _STEP_SIZE).cpu()


class _LatentSurface(_TextureSurface):
    """U(z) = -f(g(z)) + |z|^2 / 2: a point is a latent field with its labels, `latent_channels+labels *latent_grid`.

    Labels change along lines; descent leaves them as they are.
    """

    def begin(self, cropped: Tensor, seed: int, exemplar: int) -> tuple[list[Tensor], list[Tensor]]:
        inferred, _variance = self.triangle.posterior(cropped.to(self.triangle.device))
        noise = torch.randn(inferred.shape, generator=torch.Generator().manual_seed(seed)).to(inferred)
        labels = self.triangle.labels([exemplar] * len(cropped))
        of_crops, noise = (self.triangle.labelled(z, labels) for z in (inferred, noise))
        of_samples = self.triangle.draw_latents(noise, self._no_wrap)
        return [*cropped, *self.texture(of_samples).cpu()], [*of_crops, *of_samples]

    def texture(self, points: Tensor) -> Tensor:
        self.triangle.generator_ema.eval()
        return self.triangle.synthesize(points, self._no_wrap)

    def height(self, points: Tensor, exemplar: int) -> Tensor:
        prior = points[:, : self.triangle.design.latent_channels].square().flatten(1).sum(1).cpu() / 2
        return super().height(points, exemplar) + prior / self._values

    def descend(self, point: Tensor, steps: int, exemplar: int) -> Tensor:
        z, labels = (each.clone() for each in point.tensor_split([self.triangle.design.latent_channels]))
        optimiser = torch.optim.Adam([z.requires_grad_(True)], lr=_LEARNING_RATE)
        for _ in range(steps):
            with torch.enable_grad():
                height = self.height(torch.cat((z, labels))[None], exemplar).sum()
            (z.grad,) = torch.autograd.grad(height, z)
            optimiser.step()
        return torch.cat((z.detach(), labels))
