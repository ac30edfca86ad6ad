"""What tests/ui/test_blender.py runs within Blender: python blender_session.py ADDON ADDRESS RUN MATERIAL EXEMPLAR"""

import importlib.util
import json
import sys
import time
from pathlib import Path

import bpy

addon_file, address, run, material_run, exemplar = sys.argv[1:]
spec = importlib.util.spec_from_file_location("texsyn_addon", addon_file)
addon = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = addon  # as Blender does
spec.loader.exec_module(addon)
addon.register()
settings = bpy.context.scene.texsyn
settings.address = address
told = {}


def inputs(material):
    """What leads to the surface and to the displacement, by the labels of images."""
    found = {}
    for node in material.node_tree.nodes:
        if node.type == "TEX_IMAGE":
            (link, *_) = node.outputs["Color"].links or [None]
            to = link.to_node.type + " " + link.to_socket.name if link else ""
            found[node.label] = [
                to,
                *node.image.size,
                node.image.colorspace_settings.name,
                node.image.packed_file is not None,
            ]
    return found


cube = bpy.context.active_object or bpy.data.objects["Cube"]
bpy.context.view_layer.objects.active = cube
settings.run, settings.seed, settings.size = run, 4, "512"
told["still"] = [sorted(bpy.ops.texsyn.sample()), inputs(cube.active_material)]
settings.run = material_run
told["material"] = [sorted(bpy.ops.texsyn.sample()), inputs(cube.active_material), len(cube.data.materials)]

settings.exemplar, settings.minutes = exemplar, 0.05
told["train"] = sorted(bpy.ops.texsyn.train())
deadline = time.monotonic() + 180
while addon.watch() is not None and time.monotonic() < deadline:
    time.sleep(0.5)
told["state"], told["run"] = settings.state, settings.run


def error_of(call):
    try:
        call()
    except RuntimeError as error:
        return str(error)
    return ""


settings.run = "nothing"
told["unknown"] = error_of(bpy.ops.texsyn.sample)
settings.address = "http://127.0.0.1:9"
told["no app"] = error_of(bpy.ops.texsyn.sample)
settings.exemplar = "/none.png"
told["no exemplar"] = error_of(bpy.ops.texsyn.train)
addon.unregister()
told["gone"] = not hasattr(bpy.types.Scene, "texsyn")
Path("told.json").write_text(json.dumps(told))
