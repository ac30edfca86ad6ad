"""The table of texture kinds: a new kind of texture is one more row of `MODALITIES`.

Two or three axes is the length of a tuple, never a flag. `stationary` says along which axes a texture is the same
everywhere: there the latent field is a torus, so samples wrap exactly and can be made larger; along the other axes the
networks are told where they are, and the size is fixed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from texsyn.core.architecture import Design, clip_local, clip_paper, objects, square, still_local, still_paper


@dataclass(frozen=True)
class Plane:
    """One file's worth of channels: a colour picture, or a map of normals."""

    name: str
    channels: int = 3


@dataclass(frozen=True)
class Modality:
    """A kind of texture: its axes, what its channels mean, and its networks by name."""

    name: str
    axes: tuple[str, ...]  # of "t", "y", "x", in this order
    stationary: tuple[bool, ...]  # per axis
    window: tuple[int, ...]  # what one training step looks at, in frames and pixels
    size: tuple[int, ...]  # of a sample when none is asked for
    side: int  # an exemplar's shorter side is reduced to this many pixels
    designs: dict[str, Design] = field(repr=False)
    planes: tuple[Plane, ...] = (Plane("colour"),)
    collection: bool = False  # an exemplar is many pictures, a sheet of windows; what they show has a place in each

    @property
    def raster(self) -> list[int]:
        """Per axis: of what a window begins at a multiple. Where things have a place, windows lie side by side."""
        return [1 if same else size for same, size in zip(self.stationary, self.window, strict=True)]

    @property
    def channels(self) -> int:
        return sum(plane.channels for plane in self.planes)

    def halvings(self, scale: int) -> list[int]:
        """Per axis: how often a scale of the energy halves it; time is seen as it is."""
        return [0 if axis == "t" else scale for axis in self.axes]

    @property
    def moving(self) -> bool:
        return "t" in self.axes


def _object_row(side: int, latent: int, channels: int) -> Modality:
    design = objects(side, latent)
    return Modality(
        f"objects{side}",
        axes=("y", "x"),
        stationary=(False, False),
        window=square(side),
        size=square(side),
        side=side,
        designs={"paper": design, "local": design},
        planes=(Plane("colour", channels),),
        collection=True,
    )


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
MATERIAL = replace(STILL, name="material", planes=(Plane("colour"), Plane("normal")))

OBJECTS = (_object_row(28, 100, 1), _object_row(32, 100, 3), _object_row(64, 100, 3))

MODALITIES = {row.name: row for row in (STILL, CLIP, SURFACE, MATERIAL, *OBJECTS)}
