"""Crops of an exemplar, smoothly deformed: more things than it shows, so that these are learnt and not the picture.

One still shows some fifty beans, and a fit sees each of them thousands of times. Deformed a little, differently each
time, they are still beans, and never the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from texsyn.core import ops
from texsyn.core.maps import Plane, channels_of
from texsyn.core.modality import Modality
from texsyn.core.recipes import Recipe
from texsyn.media import lattice

_SPACING = 24  # pixels between the nodes of the displacement, a cubic spline with independent coefficients
_SPLINE = 0.48  # standard deviation of such a spline of two axes, of coefficients with 1
_LINEAR = 64  # pixels from the middle at which the linear part displaces as much
_FINER = 2  # times as many pixels before cubic interpolation, which would blur fine detail
_LOOSE, _ORDERED = 0.2, 0.45  # correlation far away up to which all is deformed, and from which on nothing is


def amount(pixels: Tensor, modality: Modality, recipe: Recipe) -> float:
    """Pixels by which crops of an exemplar, `channels *axes`, are deformed: 0 but for stills.

    Less for what is in order over long ways, such as cells of a honeycomb: deformed, it would be out of order. A
    regular pattern would lose its phase, and a clip its places.
    """
    still = len(modality.axes) == 2 and all(modality.stationary)
    if not recipe.deformation or not still or modality.period:
        return 0.0
    order = lattice.order(lattice.principal(pixels[: modality.planes[0].channels]))
    return recipe.deformation * min(1.0, max(0.0, (_ORDERED - order) / (_ORDERED - _LOOSE)))


@dataclass(frozen=True)
class Source:
    """An exemplar that crops are cut from. pixels: `channels *axes`. amount: see `cut`. planes: of its channels."""

    pixels: Tensor
    amount: float
    finer: Tensor | None
    planes: tuple[Plane, ...]

    @classmethod
    def of(cls, pixels: Tensor, amount: float = 0.0, planes: Sequence[Plane] = ()) -> Source:
        finer = ops.resize(pixels, [_FINER * n for n in pixels.shape[1:]]) if amount else None
        return cls(pixels, amount, finer, tuple(planes))

    def cut(self, crop: Sequence[slice], random: torch.Generator, margins: Sequence[int] = ()) -> Tensor:
        """A crop of `channels *axes` with margins, reflected where it lies outside.

        `amount` is the standard deviation, in pixels and along each axis, of the smooth displacement that deforms it,
        and of a linear one at 64 pixels from the middle. With 0 it is as it is, and nothing is drawn from `random`.
        """
        return self._undeformed(crop, margins) if self.finer is None else self.trace(crop, random, margins)[0]

    def trace(
        self, crop: Sequence[slice], random: torch.Generator, margins: Sequence[int] = ()
    ) -> tuple[Tensor, Tensor]:
        """A crop as `cut` makes it, and where each of its pixels is from: `axes *size`, in pixels."""
        margins = margins or [0] * (len(crop) - 1)
        if self.finer is None:
            ranges = (torch.arange(p.start - n, p.stop + n) for p, n in zip(crop[1:], margins, strict=True))
            return self._undeformed(crop, margins), torch.stack(torch.meshgrid(*ranges, indexing="ij"))
        starts = [part.start - n for part, n in zip(crop[1:], margins, strict=True)]
        size = [part.stop - part.start + 2 * n for part, n in zip(crop[1:], margins, strict=True)]
        moved = _places(size, self.amount, random)
        places = (moved + torch.tensor(starts).view(-1, 1, 1)).to(self.finer)
        # From pixels to what grid_sample wants: -1 to 1 between the outer edges of all pixels, x first.
        ends = torch.tensor(self.finer.shape[1:], device=places.device).view(-1, 1, 1)
        grid = ((2 * _FINER * places + 1) / ends - 1).flip(0).movedim(0, -1)
        out: Tensor = F.grid_sample(self.finer[None], grid[None], "bicubic", "reflection", align_corners=False)[0]
        out = out.clamp(-1, 1)
        for plane, part in zip(self.planes, channels_of(self.planes), strict=True):
            if plane.map.vectors:
                out[part] = _turned(out[part], moved.to(out), plane.flipped)
        return out, places

    def _undeformed(self, crop: Sequence[slice], margins: Sequence[int]) -> Tensor:
        return reflected_crop(self.pixels, crop, margins) if any(margins) else self.pixels[tuple(crop)]


def _turned(normals: Tensor, places: Tensor, flipped: bool) -> Tensor:
    """`3 y x`: normals of a height h as those of h(places), whose gradient is J^T times that of h, J of the places.

    places: `2 y x`, downwards and to the right. flipped: y of normals points down instead of up.
    """
    slopes = ops.slopes_of(normals, flipped, axis=0)
    jacobian = torch.stack([torch.stack(torch.gradient(each)) for each in places])  # of place, along
    return ops.normals_of(torch.einsum("ap...,a...->p...", jacobian, slopes), flipped, axis=0)


def _places(size: Sequence[int], amount: float, random: torch.Generator) -> Tensor:
    """`2 y x`: where in a crop of `size`, in pixels, each pixel of a deformed one comes from."""
    middles = [(n - 1) / 2 for n in size]
    straight = torch.stack(
        torch.meshgrid(*(torch.arange(n) - m for n, m in zip(size, middles, strict=True)), indexing="ij")
    )
    linear = torch.eye(2) + torch.randn(2, 2, generator=random) * (amount / _LINEAR)
    down, right = (_spline(n, random) for n in size)
    nodes = torch.randn(2, down.shape[1], right.shape[1], generator=random) * (amount / _SPLINE)
    places: Tensor = torch.tensordot(linear, straight, dims=1) + down @ nodes @ right.T
    return places + torch.tensor(middles).view(2, 1, 1)


def _spline(size: int, random: torch.Generator) -> Tensor:
    """`size nodes`: weights of a cubic B-spline's coefficients at each pixel; the nodes lie at a random place."""
    place = (torch.arange(size) + torch.randint(_SPACING, (), generator=random)) / _SPACING
    first = place.floor()
    t = place - first
    taps = torch.stack(((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3), 1) / 6
    nodes = math.ceil(size / _SPACING) + 4
    return torch.zeros(size, nodes).scatter_(1, first.long()[:, None] + torch.arange(4), taps)


def reflected_crop(pixels: Tensor, crop: Sequence[slice], margins: Sequence[int]) -> Tensor:
    """A crop of `channels *axes` with margins, reflected where these lie outside."""
    for axis, (part, margin) in enumerate(zip(crop[1:], margins, strict=True), start=1):
        index = torch.arange(part.start - margin, part.stop + margin, device=pixels.device)
        pixels = pixels.index_select(axis, ops.reflected(index, pixels.shape[axis]))
    return pixels
