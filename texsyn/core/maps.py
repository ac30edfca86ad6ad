"""The maps of a material: what their values mean, and the words by which names of files tell them.

Vendors write one image for each map, and the map into its name: Rock_Color.png, rock_nor_gl_1k.png, rock_arm.png.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from texsyn.core.ranges import between, one_of, pattern

_ENDING = r"([-_. ]?[A-Za-z0-9][-A-Za-z0-9_. ]{0,40})?"  # of a file's stem


@dataclass(frozen=True)
class Map:
    """A kind of map. Values are in [0, 1] in a file."""

    channels: int
    words: tuple[str, ...]  # in names of files, in lower case and without what separates them
    bits: int = 8  # for each value of a PNG
    linear: bool = True  # else sRGB
    vectors: bool = False  # of length one, x to the right, y up, z towards the viewer, from [-1, 1]


COLOUR, NORMAL, HEIGHT, ROUGHNESS = "colour", "normal", "height", "roughness"
OCCLUSION, METAL, OPACITY = "occlusion", "metal", "opacity"
# As ambientCG, Poly Haven, Substance and Quixel call them.
MAPS = {
    COLOUR: Map(3, ("colour", "color", "basecolour", "basecolor", "diffuse", "diff", "albedo", "col"), linear=False),
    NORMAL: Map(3, ("normal", "normals", "normalmap", "nor", "nrm", "norm"), bits=16, vectors=True),
    HEIGHT: Map(1, ("height", "heightmap", "displacement", "displace", "disp"), bits=16),
    ROUGHNESS: Map(1, ("roughness", "rough")),
    OCCLUSION: Map(1, ("ambientocclusion", "occlusion", "ao")),
    METAL: Map(1, ("metalness", "metallic", "metal")),
    OPACITY: Map(1, ("opacity", "alpha")),
}
UP, DOWN = ("gl", "opengl"), ("dx", "directx")  # after a word for normals: where their y points
PACKED = ("orm", "arm", "occlusionroughnessmetallic", "aoroughmetal")  # three maps in the channels of one file
CHANNELS = (OCCLUSION, ROUGHNESS, METAL)  # of such a file
MISSING = {OCCLUSION: 1.0, ROUGHNESS: 1.0, METAL: 0.0}  # what a channel holds whose map is not there
# Maps that vendors ship as well, which say nothing that the others do not.
UNUSED = (
    *("bump", "cavity", "gloss", "glossiness", "specular", "spec", "translucency", "transmission", "fuzz", "emission"),
    *("emissive", "scattering", "mask", "idmap", "roughao", "specularlevel", "curvature"),
)


@dataclass(frozen=True)
class Plane:
    """The channels of one map."""

    name: str
    channels: int = field(default=3, metadata=one_of((1, 3), **between(1, 3)))
    ending: str = field(default="", metadata=pattern(_ENDING))  # of names of files; that of the map where empty
    packed: bool = False  # lies with others of `CHANNELS` in the file of their ending
    flipped: bool = False  # y of normals points down
    # What 0 and 1 stand for in a format that holds any number.
    low: float = field(default=0.0, metadata=between(-1e6, 1e6))
    high: float = field(default=1.0, metadata=between(-1e6, 1e6))

    @property
    def map(self) -> Map:
        """What it means; planes of other names are colours."""
        return MAPS.get(self.name, MAPS[COLOUR])


def channels_of(planes: Sequence[Plane]) -> tuple[slice, ...]:
    """The channels of each plane in a texture that consists of them."""
    ends = tuple(accumulate(plane.channels for plane in planes))
    return tuple(slice(end - plane.channels, end) for end, plane in zip(ends, planes, strict=True))


def vector_channels(planes: Sequence[Plane]) -> tuple[slice, ...]:
    """The channels of planes that hold vectors of length one."""
    return tuple(part for part, plane in zip(channels_of(planes), planes, strict=True) if plane.map.vectors)


def packed(planes: Sequence[Plane]) -> tuple[Plane, ...]:
    """The planes, with occlusion, roughness and metal in one file, as glTF has them: NAME-orm or NAME_ORM."""
    own = next((plane.ending for plane in planes if plane.ending), "")
    ending = f"{own[0]}ORM" if own and own[0] in "-_. " else "-orm"
    return tuple(replace(plane, ending=ending, packed=True) if plane.name in CHANNELS else plane for plane in planes)
