"""glTF 2.0 files (.glb): a material on a plane, a sphere and a cube. Needs pygltflib, of `texsyn[materials]`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import replacing
from texsyn.core.maps import (
    CHANNELS,
    COLOUR,
    METAL,
    MISSING,
    NORMAL,
    OCCLUSION,
    OPACITY,
    ROUGHNESS,
    Plane,
    channels_of,
)
from texsyn.media.png import Layout

_RINGS, _SECTORS = 48, 96  # of the sphere
_APART = 2.6  # between the middles of two bodies, each about two wide
_MATT = 0.8  # roughness where there is no map of it
_LINEAR_MIPMAP, _LINEAR, _REPEAT = 9987, 9729, 10497  # of samplers
_FLOAT, _UINT = 5126, 5125
_VERTICES, _INDICES = 34962, 34963  # targets of buffer views
_ALIGNED = 4  # bytes

# Positions, normals, directions in which the texture runs to the right, places in the texture, triangles.
_Mesh = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def write(path: Path, frames: np.ndarray, layout: Layout) -> None:
    """Write a texture of these planes, `1 h w channels`, uint8. Raises TexsynError (exit 2) without pygltflib."""
    try:
        import pygltflib as gltf
    except ImportError as error:
        raise TexsynError("glTF files need pygltflib: pip install 'texsyn[materials]'", Exit.USAGE) from error
    planes = layout.planes
    if COLOUR not in _names(planes):
        raise TexsynError(f"{path.name}: a glTF file needs a map of colour", Exit.USAGE)
    content, blob = gltf.GLTF2(asset=gltf.Asset(generator="texsyn")), bytearray()
    if layout.comment:
        content.asset.extras = json.loads(layout.comment)
    _add_material(gltf, content, blob, dict(zip(_names(planes), _maps(frames[0], planes), strict=True)), planes)
    for number, (name, mesh) in enumerate((("plane", _plane()), ("sphere", _sphere()), ("cube", _cube()))):
        attributes, indices = _add_mesh(gltf, content, blob, mesh, bumpy=NORMAL in _names(planes))
        primitive = gltf.Primitive(attributes=attributes, indices=indices, material=0)
        content.meshes.append(gltf.Mesh(primitives=[primitive], name=name))
        content.nodes.append(gltf.Node(mesh=number, name=name, translation=[_APART * (number - 1), 0.0, 0.0]))
    content.scenes, content.scene = [gltf.Scene(nodes=list(range(len(content.nodes))))], 0
    content.buffers = [gltf.Buffer(byteLength=len(blob))]
    content.set_binary_blob(bytes(blob))
    with replacing(path) as temporary:
        temporary.write_bytes(b"".join(content.save_to_bytes()))


def _names(planes: tuple[Plane, ...]) -> list[str]:
    return [plane.name for plane in planes]


def _maps(values: np.ndarray, planes: tuple[Plane, ...]) -> list[np.ndarray]:
    """`h w channels` of each plane; y of normals points up, as glTF has it."""
    maps = []
    for plane, part in zip(planes, channels_of(planes), strict=True):
        own = values[..., part]
        if plane.name == NORMAL and plane.flipped:
            own = np.stack((own[..., 0], 255 - own[..., 1], own[..., 2]), -1)
        maps.append(own)
    return maps


# ------------------------------------------------------------ the material


def _add_material(
    gltf: Any, content: Any, blob: bytearray, maps: dict[str, np.ndarray], planes: tuple[Plane, ...]
) -> None:
    """Heights have no place in glTF."""
    colour = maps[COLOUR] if maps[COLOUR].shape[-1] == 3 else np.repeat(maps[COLOUR], 3, -1)
    material = gltf.Material(name="texsyn", doubleSided=True, alphaMode="OPAQUE", alphaCutoff=None)
    if OPACITY in maps:
        colour, material.alphaMode = np.concatenate((colour, maps[OPACITY]), -1), "BLEND"
    content.samplers = [gltf.Sampler(magFilter=_LINEAR, minFilter=_LINEAR_MIPMAP, wrapS=_REPEAT, wrapT=_REPEAT)]
    shading = gltf.PbrMetallicRoughness(metallicFactor=0.0, roughnessFactor=_MATT)
    shading.baseColorTexture = gltf.TextureInfo(index=_add_image(gltf, content, blob, colour, COLOUR))
    if NORMAL in maps:
        material.normalTexture = gltf.NormalMaterialTexture(index=_add_image(gltf, content, blob, maps[NORMAL], NORMAL))
    if maps.keys() & set(CHANNELS):
        missing = {name: round(255 * value) for name, value in MISSING.items()}
        blank = np.ones((*colour.shape[:2], 1), np.uint8)
        packed = np.concatenate([maps.get(name, blank * np.uint8(missing[name])) for name in CHANNELS], -1)
        index = _add_image(gltf, content, blob, packed, "-".join(CHANNELS))
        if maps.keys() & {ROUGHNESS, METAL}:
            shading.metallicRoughnessTexture = gltf.TextureInfo(index=index)
            shading.metallicFactor = 1.0 if METAL in maps else 0.0
            shading.roughnessFactor = 1.0 if ROUGHNESS in maps else _MATT
        if OCCLUSION in maps:
            material.occlusionTexture = gltf.OcclusionTextureInfo(index=index)
    material.pbrMetallicRoughness = shading
    content.materials = [material]


def _add_image(gltf: Any, content: Any, blob: bytearray, values: np.ndarray, name: str) -> int:
    """The number of a texture with these values, `h w channels`, uint8."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values)).save(file, "PNG")
    view = _add_view(gltf, content, blob, file.getvalue(), None)
    content.images.append(gltf.Image(bufferView=view, mimeType="image/png", name=name))
    content.textures.append(gltf.Texture(sampler=0, source=len(content.images) - 1))
    return len(content.textures) - 1


def _add_view(gltf: Any, content: Any, blob: bytearray, data: bytes, target: int | None) -> int:
    blob.extend(bytes(-len(blob) % _ALIGNED))
    content.bufferViews.append(gltf.BufferView(buffer=0, byteOffset=len(blob), byteLength=len(data), target=target))
    blob.extend(data)
    blob.extend(bytes(-len(blob) % _ALIGNED))
    return len(content.bufferViews) - 1


# ------------------------------------------------------------ bodies


def _add_mesh(gltf: Any, content: Any, blob: bytearray, mesh: _Mesh, bumpy: bool) -> tuple[Any, int]:
    """Attributes and indices of a body; only a map of normals needs tangents."""
    positions, normals, tangents, places, triangles = mesh
    tangents = np.concatenate((tangents, np.ones((len(tangents), 1))), 1)  # and it runs up by the right hand
    attributes = {
        "POSITION": (positions, "VEC3"),
        "NORMAL": (normals, "VEC3"),
        **({"TANGENT": (tangents, "VEC4")} if bumpy else {}),
        "TEXCOORD_0": (places, "VEC2"),
    }
    numbers = {name: _add_values(gltf, content, blob, values, kind) for name, (values, kind) in attributes.items()}
    return gltf.Attributes(**numbers), _add_values(gltf, content, blob, triangles.ravel(), "SCALAR")


def _add_values(gltf: Any, content: Any, blob: bytearray, values: np.ndarray, kind: str) -> int:
    """The number of an accessor of these values, floats or (scalars) indices."""
    indices = kind == "SCALAR"
    data = np.ascontiguousarray(values, np.uint32 if indices else np.float32)
    view = _add_view(gltf, content, blob, data.tobytes(), _INDICES if indices else _VERTICES)
    ends = {} if indices else {"min": data.min(0).tolist(), "max": data.max(0).tolist()}  # positions must have them
    component = _UINT if indices else _FLOAT
    content.accessors.append(
        gltf.Accessor(bufferView=view, componentType=component, count=len(data), type=kind, **ends)
    )
    return len(content.accessors) - 1


def _plane() -> _Mesh:
    """A square of two by two, which faces the viewer."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    positions = np.concatenate((2 * corners - 1, np.zeros((4, 1))), 1)
    places = np.stack((corners[:, 0], 1 - corners[:, 1]), 1)  # textures begin at the top
    normals, tangents = np.tile([0.0, 0.0, 1.0], (4, 1)), np.tile([1.0, 0.0, 0.0], (4, 1))
    return positions, normals, tangents, places, np.array([[0, 1, 2], [0, 2, 3]])


def _sphere() -> _Mesh:
    """A ball of radius one; the texture is laid round it twice, and once from pole to pole."""
    rows, columns = np.meshgrid(np.linspace(0, 1, _RINGS + 1), np.linspace(0, 1, _SECTORS + 1), indexing="ij")
    polar, around = np.pi * rows, 2 * np.pi * columns
    positions = np.stack((np.sin(polar) * np.sin(around), np.cos(polar), np.sin(polar) * np.cos(around)), -1)
    first = (np.arange(_RINGS)[:, None] * (_SECTORS + 1) + np.arange(_SECTORS)).ravel()
    below = first + _SECTORS + 1
    triangles = np.concatenate((np.stack((first, below, first + 1), 1), np.stack((first + 1, below, below + 1), 1)))
    flat = positions.reshape(-1, 3)
    tangents = np.stack((np.cos(around), np.zeros_like(around), -np.sin(around)), -1).reshape(-1, 3)
    return flat, flat, tangents, np.stack((2 * columns, rows), -1).reshape(-1, 2), triangles


def _cube() -> _Mesh:
    """A cube with the texture once on each face."""
    square, _normal, _tangent, places, triangles = _plane()
    parts: list[_Mesh] = []
    for axis, sign in ((axis, sign) for axis in range(3) for sign in (1.0, -1.0)):
        # Turned so that the face's right, up and outward directions are right-handed.
        out = np.zeros(3)
        out[axis] = sign
        up = np.array([0.0, 0.0, -sign]) if axis == 1 else np.array([0.0, 1.0, 0.0])
        right = np.cross(up, out)
        face = square[:, :1] * right + square[:, 1:2] * up + out
        corners = (np.tile(each, (4, 1)) for each in (out, right))
        parts.append((face * 0.8, *corners, places, triangles + 4 * len(parts)))
    positions, normals, tangents, places, triangles = (np.concatenate(each) for each in zip(*parts, strict=True))
    return positions, normals, tangents, places, triangles
