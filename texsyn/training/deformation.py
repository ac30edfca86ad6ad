"""Crops of an exemplar, smoothly deformed: more things than it shows, so that these are learnt and not the picture.

One still shows some fifty beans, and a fit sees each of them thousands of times. Turned, scaled and bent a little,
differently each time, they are still beans, and never the same.
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
_ROUND, _DIRECTED = 0.3, 0.4  # coherence of slopes up to which crops are turned, and from which on they are not


@dataclass(frozen=True)
class Deformation:
    """Standard deviations of how a crop is deformed; all are 0 where it is not.

    displacement: of a smooth one, in pixels and along each axis, and of a linear one at 64 pixels from the middle.
    """

    displacement: float = 0.0
    rotation: float = 0.0  # radians
    scaling: float = 0.0  # of the logarithm of the factor

    def __bool__(self) -> bool:
        return any((self.displacement, self.rotation, self.scaling))


NONE = Deformation()


def deformation_of(pixels: Tensor, modality: Modality, recipe: Recipe) -> Deformation:
    """How crops of an exemplar, `channels *axes`, are deformed: not at all but for stills.

    Less for what is in order over long ways, such as cells of a honeycomb: deformed, it would be out of order. A
    regular pattern would lose its phase, and a clip its places. What has a direction, such as bark, is not turned, and
    below levels of detail, whose codes are of the places as they are, crops are neither turned nor scaled.
    """
    if (
        not modality.is_stationary_still
        or modality.period
        or not (recipe.deformation or recipe.rotation or recipe.scaling)
    ):
        return NONE
    light = lattice.principal(pixels[: modality.planes[0].channels])
    much = _share(lattice.order(light), _LOOSE, _ORDERED)
    scaled = 0.0 if modality.factors else much
    turned = scaled * _share(lattice.coherence(light), _ROUND, _DIRECTED)
    return Deformation(much * recipe.deformation, turned * math.radians(recipe.rotation), scaled * recipe.scaling)


def _share(value: float, all_up_to: float, none_from: float) -> float:
    """1 up to one value, 0 from another on, and in proportion between."""
    return min(1.0, max(0.0, (none_from - value) / (none_from - all_up_to)))


@dataclass(frozen=True)
class Source:
    """An exemplar that crops are cut from. pixels: `channels *axes`. planes: of its channels."""

    pixels: Tensor
    deformation: Deformation
    finer: Tensor | None
    planes: tuple[Plane, ...]

    @classmethod
    def of(cls, pixels: Tensor, deformation: Deformation = NONE, planes: Sequence[Plane] = ()) -> Source:
        finer = ops.resize(pixels, [_FINER * n for n in pixels.shape[1:]]) if deformation else None
        return cls(pixels, deformation, finer, tuple(planes))

    def cut(self, crop: Sequence[slice], random: torch.Generator, margins: Sequence[int] = ()) -> Tensor:
        """A crop of `channels *axes` with margins, deformed, and reflected where it lies outside.

        Without a deformation it is as it is, and nothing is drawn from `random`.
        """
        return self._undeformed(crop, margins) if self.finer is None else self.trace(crop, random, margins)[0]

    def trace(
        self, crop: Sequence[slice], random: torch.Generator, margins: Sequence[int] = ()
    ) -> tuple[Tensor, Tensor]:
        """A crop as `cut` makes it, and where each of its pixels is from: `axes *size`, in pixels.

        A deformed one lies beside its place where it would reach beyond the exemplar's ends: what is reflected there
        has creases that no texture has.
        """
        margins = margins or [0] * (len(crop) - 1)
        if self.finer is None:
            ranges = (torch.arange(p.start - n, p.stop + n) for p, n in zip(crop[1:], margins, strict=True))
            return self._undeformed(crop, margins), torch.stack(torch.meshgrid(*ranges, indexing="ij"))
        starts = [part.start - n for part, n in zip(crop[1:], margins, strict=True)]
        size = [part.stop - part.start + 2 * n for part, n in zip(crop[1:], margins, strict=True)]
        moved = _places(size, self.deformation, random)
        places = moved + torch.tensor(starts).view(-1, 1, 1)
        own = ops.without_margins(places, margins)
        places = (places + _moved_inside(own, self.pixels.shape[1:])).to(self.finer)
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


def _moved_inside(places: Tensor, size: Sequence[int]) -> Tensor:
    """`axes 1 1`: what moves `places`, `axes y x`, into an exemplar of that size; to its middle if it is smaller."""
    low, high = places.flatten(1).amin(1), places.flatten(1).amax(1)
    spare = torch.tensor([n - 1 for n in size]) - (high - low)
    inside = torch.where(spare > 0, torch.minimum(low.clamp(min=0), spare), spare / 2)
    return (inside - low).view(-1, 1, 1)


def _turned(normals: Tensor, places: Tensor, flipped: bool) -> Tensor:
    """`3 y x`: normals of a height h as those of h(places), whose gradient is J^T times that of h, J of the places.

    places: `2 y x`, downwards and to the right. flipped: y of normals points down instead of up.
    """
    slopes = ops.slopes_of(normals, flipped, axis=0)
    jacobian = torch.stack([torch.stack(torch.gradient(each)) for each in places])  # of place, along
    return ops.normals_of(torch.einsum("ap...,a...->p...", jacobian, slopes), flipped, axis=0)


def _places(size: Sequence[int], deformation: Deformation, random: torch.Generator) -> Tensor:
    """`2 y x`: where in a crop of `size`, in pixels, each pixel of a deformed one comes from."""
    middles = [(n - 1) / 2 for n in size]
    straight = torch.stack(
        torch.meshgrid(*(torch.arange(n) - m for n, m in zip(size, middles, strict=True)), indexing="ij")
    )
    linear = torch.eye(2) + torch.randn(2, 2, generator=random) * (deformation.displacement / _LINEAR)
    if deformation.rotation or deformation.scaling:
        angle, scale = torch.randn(2, generator=random) * torch.tensor([deformation.rotation, deformation.scaling])
        cos, sin = scale.exp() * angle.cos(), scale.exp() * angle.sin()
        linear = torch.stack((torch.stack((cos, -sin)), torch.stack((sin, cos)))) @ linear
    down, right = (_spline(n, random) for n in size)
    nodes = torch.randn(2, down.shape[1], right.shape[1], generator=random) * (deformation.displacement / _SPLINE)
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
