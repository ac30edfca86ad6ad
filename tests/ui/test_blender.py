"""The Blender add-on, in a Blender without a window, with a real app."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from conftest import SMALL, VIDEOS
from server import ROOT, Server

from texsyn import Run
from texsyn.cli import main

ADDON = ROOT / "ui" / "blender_addon.py"


PYTHON = os.environ.get("TEXSYN_BLENDER")  # a Python with the package bpy, which wants another NumPy than texsyn


@pytest.mark.skipif(not PYTHON, reason="needs a Python with bpy, named by TEXSYN_BLENDER")
def test_textures_and_materials_come_into_blender(server: Server, trained_run, tmp_path):
    material = server.runs / "rust"
    words = ["fit", str(VIDEOS / "materials" / "rust"), "--steps", "1", *SMALL, "--quiet", "--out", str(material)]
    assert main(words) == 0
    session = Path(__file__).with_name("blender_session.py")
    arguments = [ADDON, server.address, trained_run.path.name, material.name, VIDEOS / "beans.png"]
    done = subprocess.run(
        [PYTHON, session, *map(str, arguments)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert (tmp_path / "told.json").exists(), done.stderr
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["still"] == [["FINISHED"], {"colour": ["BSDF_PRINCIPLED Base Color", 512, 512, "sRGB", True]}]
    finished, maps, slots = told["material"]
    assert (finished, slots) == (["FINISHED"], 1)  # in the place of the material before
    assert {name: values[0] for name, values in maps.items()} == {
        "colour": "BSDF_PRINCIPLED Base Color",
        "normal": "NORMAL_MAP Color",
        "height": "DISPLACEMENT Height",
        "roughness": "BSDF_PRINCIPLED Roughness",
        "metal": "BSDF_PRINCIPLED Metallic",
        "occlusion": "",
    }
    assert all(values[3] == "Non-Color" for name, values in maps.items() if name != "colour")
    assert told["train"] == ["FINISHED"]
    assert told["state"].startswith("finished, 100 %")
    for name in (told["run"], material.name):
        Run.open(server.runs / name).discard()
    assert "does not exist any more" in told["unknown"]
    assert "no app answers at http://127.0.0.1:9" in told["no app"]
    assert "Choose an image" in told["no exemplar"]
    assert told["gone"]
