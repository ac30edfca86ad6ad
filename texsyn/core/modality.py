"""The kinds of texture, one row of `MODALITIES` each: a new kind is a new row.

The number of axes (two or three) is the length of a tuple, never a flag. `stationary` marks the axes along which a
texture looks the same everywhere: there the latent field is a torus, so samples wrap exactly and can be of any size.
Along the other, fixed axes the networks know the position, and the size is fixed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from texsyn.core.architecture import Design, clip_local, clip_paper, objects, still_local, still_paper
from texsyn.core.maps import COLOUR, NORMAL, Plane, vector_channels
from texsyn.core.ranges import between, count, one_of


@dataclass(frozen=True)
class Modality:
    """A kind of texture: its axes, the meaning of its channels, and its networks by name."""

    name: str
    axes: tuple[str, ...] = field(metadata=one_of((("y", "x"), ("t", "y", "x")), **count(2, 3)))
    stationary: tuple[bool, ...] = field(metadata={"per_axis": True})
    # size of a training crop, in frames and pixels
    window: tuple[int, ...] = field(metadata=between(1, 4096, per_axis=True))
    size: tuple[int, ...] = field(metadata=between(1, 65536, per_axis=True))  # default size of a sample
    side: int = field(metadata=between(0, 65536))  # pixels to which an exemplar's shorter side is reduced
    designs: dict[str, Design] = field(repr=False, metadata={"stored": False})
    planes: tuple[Plane, ...] = field(default=(Plane(COLOUR),), metadata=count(1, 8))
    collection: bool = False  # the exemplar is a sheet of many small images, each of the size of a window
    # Of each level above the base, the lowest first: pixels for each pixel of what lies below it, along every axis.
    factors: tuple[int, ...] = field(default=(), metadata=between(2, 4, **count(0, 4)))
    # Of a regular pattern, per axis: pixels of the base after which it repeats (0: it does not), and by how much a
    # texture is enlarged until that is so. () for none.
    period: tuple[int, ...] = field(default=(), metadata=between(0, 4096, per_axis=True, optional=True))
    scale: tuple[float, ...] = field(default=(), metadata=between(0.1, 10, per_axis=True, optional=True))

    @property
    def enlargement(self) -> int:
        """Pixels of a texture for each pixel of its base."""
        return math.prod(self.factors)

    @property
    def periods(self) -> tuple[int, ...]:
        """Per axis: pixels of the networks after which a regular pattern repeats; 0 where it does not."""
        return self.period or (0,) * len(self.axes)

    @property
    def scales(self) -> tuple[float, ...]:
        """Per axis: pixels of the networks for each of the texture's own."""
        return self.scale or (1.0,) * len(self.axes)

    def network_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """Pixels (and frames) per axis that the base's networks have for a texture of `size`."""
        return tuple(round(n * scale / self.enlargement) for n, scale in zip(size, self.scales, strict=True))

    def phases(self, stride: Sequence[int]) -> tuple[int, ...]:
        """Per axis: latent positions, `stride` pixels each, after which a regular pattern repeats; 1 without one."""
        return tuple(p // math.gcd(p, f) if p else 1 for p, f in zip(self.periods, stride, strict=True))

    def raster(self, stride: Sequence[int]) -> list[int]:
        """Per axis: crops start at multiples of this, for networks of this stride.

        On fixed axes crops lie side by side. Those of a regular pattern lie on latent positions as all others do.
        """
        axes = zip(self.stationary, self.window, self.periods, stride, strict=True)
        return [size if not same else math.gcd(period, f) if period else 1 for same, size, period, f in axes]

    @property
    def own_period(self) -> tuple[float, ...]:
        """Per axis: the texture's own pixels after which a regular pattern repeats; 0 where it does not."""
        return tuple(p * self.enlargement / scale for p, scale in zip(self.periods, self.scales, strict=True))

    @property
    def channels(self) -> int:
        return sum(plane.channels for plane in self.planes)

    @property
    def vectors(self) -> tuple[slice, ...]:
        """The channels of planes that hold vectors of length one."""
        return vector_channels(self.planes)

    def halvings(self, scale: int) -> list[int]:
        """Per axis: how often scale number `scale` of the energy halves it; time is never halved."""
        return [0 if axis == "t" else scale for axis in self.axes]

    @property
    def moving(self) -> bool:
        return "t" in self.axes

    @property
    def is_stationary_still(self) -> bool:
        """Whether textures have no time and look the same everywhere."""
        return not self.moving and all(self.stationary)


STILL = Modality(
    "still",
    axes=("y", "x"),
    stationary=(True, True),
    window=(128, 128),
    size=(224, 224),
    side=224,
    designs={"paper": still_paper(), "local": still_local()},
)
CLIP = Modality(
    "clip",
    axes=("t", "y", "x"),
    stationary=(True, False, False),
    window=(32, 64, 64),
    size=(64, 64, 64),
    side=64,
    designs={"paper": clip_paper(), "local": clip_local()},
)
SURFACE = replace(
    CLIP,
    name="surface",
    stationary=(True, True, True),
    size=(64, 128, 128),
    side=128,
    designs={"local": replace(clip_local(), frame_latents=(), constant_channels=0, coordinates=False, deflicker=False)},
)
MATERIAL = replace(STILL, name="material", planes=(Plane(COLOUR), Plane(NORMAL)))  # or others, as its files say


def _objects(side: int, channels: int) -> Modality:
    """Collections of images of `side` x `side` pixels."""
    design = objects(side, latent=100)
    square = (side, side)
    return Modality(
        f"objects{side}",
        STILL.axes,
        stationary=(False, False),
        window=square,
        size=square,
        side=side,
        designs={"paper": design, "local": design},
        planes=(Plane(COLOUR, channels),),
        collection=True,
    )


OBJECTS = (_objects(28, channels=1), *(_objects(side, channels=3) for side in (32, 64, 128, 256)))

MODALITIES = {row.name: row for row in (STILL, CLIP, SURFACE, MATERIAL, *OBJECTS)}
