"""glTF files: valid by Khronos' own validator, and they hold the maps as glTF wants them."""

import io
import json
import shutil
import subprocess

import numpy as np
import pygltflib
import pytest
import torch
from conftest import refuse
from PIL import Image

from texsyn import TexsynError
from texsyn.core.maps import MAPS, Plane
from texsyn.media import writing

VALIDATOR = "gltf-validator@2.0.0-dev.3.10"
CHECK = """
const validator = require("gltf-validator"), file = require("fs").readFileSync(process.argv[1]);
validator.validateBytes(new Uint8Array(file)).then(report => console.log(JSON.stringify(report)));
"""
SETS = {
    "colour": ("colour",),
    "normals": ("colour", "normal"),
    "metal": ("colour", "normal", "height", "roughness", "occlusion", "metal"),
    "occluded": ("colour", "occlusion"),
    "leaf": ("colour", "opacity"),
}


@pytest.fixture(scope="module")
def validate(tmp_path_factory):
    """Runs the validator, from npm, on a file and returns its report."""
    if not shutil.which("npm"):
        refuse("npm, which brings the glTF validator, is not installed")
    folder = tmp_path_factory.mktemp("validator")
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), VALIDATOR]
    if subprocess.run(install, capture_output=True, timeout=120, check=False).returncode:
        pytest.skip("npm could not install the glTF validator")

    def run(path):
        done = subprocess.run(
            ["node", "-e", CHECK, str(path)], cwd=folder, capture_output=True, text=True, timeout=60, check=True
        )
        return json.loads(done.stdout)

    return run


def texture(names):
    planes = tuple(Plane(name, MAPS[name].channels) for name in names)
    random = torch.Generator().manual_seed(2)
    return torch.rand(sum(plane.channels for plane in planes), 32, 64, generator=random) * 2 - 1, planes


@pytest.mark.parametrize("names", SETS.values(), ids=SETS)
def test_the_validator_finds_nothing(tmp_path, validate, names):
    values, planes = texture(names)
    (path,) = writing.write(values, tmp_path / "a.glb", planes=planes, metadata={"seed": 1})
    issues = validate(path)["issues"]
    assert (issues["numErrors"], issues["numWarnings"], issues["numInfos"]) == (0, 0, 0), issues


def image(content, number):
    view = content.bufferViews[content.images[content.textures[number].source].bufferView]
    blob = content.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    return np.asarray(Image.open(io.BytesIO(blob)))


def test_maps_lie_where_gltf_wants_them(tmp_path):
    values, planes = texture(SETS["metal"])
    planes = (planes[0], Plane("normal", flipped=True), *planes[2:])
    (path,) = writing.write(values, tmp_path / "a.glb", planes=planes, metadata={"seed": 1})
    content = pygltflib.GLTF2().load(str(path))
    (material,) = content.materials
    shading = material.pbrMetallicRoughness
    expected = writing.to_uint8(values)[0]
    assert np.array_equal(image(content, shading.baseColorTexture.index), expected[..., :3])
    normal = image(content, material.normalTexture.index) / 127.5 - 1
    unit = torch.nn.functional.normalize(values[3:6], dim=0).movedim(0, -1).numpy()
    assert np.abs(normal - unit * [1, -1, 1]).max() < 0.01  # y up, whatever the exemplar's
    packed = image(content, shading.metallicRoughnessTexture.index)
    assert shading.metallicRoughnessTexture.index == material.occlusionTexture.index
    assert np.array_equal(packed, expected[..., [8, 7, 9]])
    assert (shading.metallicFactor, shading.roughnessFactor) == (1.0, 1.0)
    assert content.asset.extras == {"texsyn": {"seed": 1}}
    assert [mesh.name for mesh in content.meshes] == ["plane", "sphere", "cube"]


def accessor(content, number):
    each = content.accessors[number]
    view = content.bufferViews[each.bufferView]
    kind = {5126: np.float32, 5125: np.uint32}[each.componentType]
    blob = content.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    return np.frombuffer(blob, kind).reshape(each.count, -1).squeeze()


def test_bodies_face_outwards_and_textures_run_to_the_right_and_up(tmp_path):
    values, planes = texture(SETS["normals"])
    content = pygltflib.GLTF2().load(str(writing.write(values, tmp_path / "a.glb", planes=planes)[0]))
    for mesh in content.meshes:
        (part,) = mesh.primitives
        names = ("POSITION", "NORMAL", "TANGENT", "TEXCOORD_0")
        places, normals, tangents, spread = (accessor(content, getattr(part.attributes, name)) for name in names)
        a, b, c = accessor(content, part.indices).reshape(-1, 3).T
        faces = np.cross(places[b] - places[a], places[c] - places[a])
        large = np.linalg.norm(faces, axis=1) > 1e-6  # at the poles triangles have no area
        assert ((faces * normals[a]).sum(1)[large] > 0).all(), mesh.name
        up = np.cross(normals, tangents[:, :3]) * tangents[:, 3:]
        for first, second in ((a, b), (b, c)):
            way, moved = places[second] - places[first], spread[second] - spread[first]
            middle = (tangents[first, :3] + tangents[second, :3], up[first] + up[second])
            right, rise = ((way * each).sum(1) for each in middle)
            assert (right * moved[:, 0])[large].min() > -1e-3, mesh.name
            assert (rise * -moved[:, 1])[large].min() > -1e-3, mesh.name  # textures begin at the top


def test_without_the_package_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pygltflib", None)
    with pytest.raises(TexsynError, match=r"pip install 'texsyn\[materials\]'"):
        writing.write(torch.zeros(3, 8, 8), tmp_path / "a.glb")
    assert list(tmp_path.iterdir()) == []
