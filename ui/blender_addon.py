"""Blender add-on: textures and materials of a running texsyn app, assigned to the selected object.

Install this one file (Edit > Preferences > Add-ons > Install from Disk), start the app (`texsyn app`), and find the
panel in the sidebar of the 3D view (N) under texsyn. It talks to the app's three endpoints, and needs nothing besides
Blender.
"""

import io
import json
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import uuid
import zipfile
from pathlib import Path
from typing import Any

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

bl_info = {
    "name": "texsyn",
    "author": "The texsyn authors",
    "version": (1, 0, 0),
    "blender": (4, 2, 0),
    "location": "3D View > Sidebar > texsyn",
    "description": "Train on a photo of a texture, and give objects new textures that tile",
    "category": "Material",
}

WORKING = ("queued", "running")
INTERVAL = 2.0  # seconds between two questions after a fit
PATIENCE = 120  # seconds for an answer
MOST_BYTES = 1_000_000_000  # of a download, unpacked
SIZES = [(str(n), f"{n} x {n}", f"{n} x {n} pixels") for n in (512, 1024, 2048, 4096)]
# Maps of a material by the words in the names of their files, in lower case.
WORDS = {
    "normal": ("normal", "nor", "nrm"),
    "height": ("height", "displacement", "disp"),
    "roughness": ("roughness", "rough"),
    "occlusion": ("ambientocclusion", "occlusion", "ao"),
    "metal": ("metalness", "metallic", "metal"),
    "opacity": ("opacity", "alpha"),
}


# ------------------------------------------------------------ the app


class AppError(Exception):
    """What the app or the network says, in one line."""


class App:
    """The three endpoints of a running app."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        if not self.address.startswith(("http://", "https://")):
            raise AppError(f"{address} is no address of an app, such as http://127.0.0.1:7860")

    def fit(self, path: Path, minutes: float, seed: int) -> str:
        """Start training on an image or a clip; the name of the run."""
        return str(self._call("fit", self._upload(path), minutes, seed))

    def status(self, run: str) -> dict[str, Any]:
        """State, step, progress (0 to 1), remaining seconds and message of a run."""
        found: dict[str, Any] = self._call("status", run)
        return found

    def sample(self, run: str, seed: int, size: int) -> dict[str, bytes]:
        """A sample as PNG: its files by their names, one, or one for each map of a material."""
        found = self._call("sample", run, seed, size, size, "png")
        path = str(found["path"])
        blob = self._get(f"/gradio_api/file={urllib.parse.quote(path)}")
        if not path.endswith(".zip"):
            return {Path(path).name: blob}
        with zipfile.ZipFile(io.BytesIO(blob)) as archive:
            entries = [each for each in archive.infolist() if not each.is_dir()]
            if sum(each.file_size for each in entries) > MOST_BYTES:
                raise AppError("the sample is too large")
            return {Path(each.filename).name: archive.read(each) for each in entries}

    def _upload(self, path: Path) -> dict[str, Any]:
        boundary = uuid.uuid4().hex
        name = path.name.replace('"', "")
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        (stored,) = json.loads(self._post("/gradio_api/upload", body, f"multipart/form-data; boundary={boundary}"))
        return {"path": stored, "orig_name": name, "meta": {"_type": "gradio.FileData"}}

    def _call(self, name: str, *data: Any) -> Any:
        body = json.dumps({"data": data}).encode()
        event = json.loads(self._post(f"/gradio_api/call/{name}", body, "application/json"))["event_id"]
        told = self._get(f"/gradio_api/call/{name}/{event}").decode()
        kind, _, rest = told.partition("event: complete\ndata: ")
        if not rest:
            raise AppError(_error_of(kind))
        return json.loads(rest.splitlines()[0])[0]

    def _post(self, path: str, body: bytes, kind: str) -> bytes:
        return self._open(urllib.request.Request(self.address + path, body, {"Content-Type": kind}))

    def _get(self, path: str) -> bytes:
        return self._open(urllib.request.Request(self.address + path))

    def _open(self, request: urllib.request.Request) -> bytes:
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                found: bytes = answer.read(MOST_BYTES)
        except urllib.error.HTTPError as error:
            raise AppError(f"the app refuses: {error.code} {error.reason}") from error
        except OSError as error:
            raise AppError(f"no app answers at {self.address}: {getattr(error, 'reason', error)}") from error
        return found


def _error_of(told: str) -> str:
    """The message in an event of an error."""
    data = told.rpartition("data: ")[2].strip()
    try:
        found = json.loads(data)
    except ValueError:
        return data or "the app answers nothing"
    return str(found.get("error") or found.get("message") or found) if isinstance(found, dict) else str(found)


# ------------------------------------------------------------ materials


def map_of(name: str) -> str:
    """Which map a file holds, by its name; `colour` where no word says another."""
    stem = Path(name).stem.lower().replace("_", "-").replace(".", "-").replace(" ", "-")
    last = stem.rpartition("-")[2]
    if last in ("gl", "dx", "opengl", "directx"):
        last = stem.rpartition("-")[0].rpartition("-")[2]
    last = last.removesuffix("gl").removesuffix("dx")
    return next((name for name, words in WORDS.items() if last in words), "colour")


def load_image(name: str, blob: bytes, colour: bool) -> Any:
    """An image that the .blend file holds itself."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(blob)
        image = bpy.data.images.load(str(path))
        image.colorspace_settings.name = "sRGB" if colour else "Non-Color"
        image.pack()
    image.name = name
    return image


def make_material(title: str, files: dict[str, bytes], boxed: bool) -> Any:
    """A material of a texture's maps. boxed: projected from all sides, for objects without UVs."""
    material = bpy.data.materials.new(title)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    surface = next(each for each in nodes if each.type == "BSDF_PRINCIPLED")
    place = nodes.new("ShaderNodeTexCoord")
    for name, blob in sorted(files.items()):
        what = map_of(name)
        texture = nodes.new("ShaderNodeTexImage")
        texture.image = load_image(name, blob, colour=what == "colour")
        texture.label = what
        texture.projection = "BOX" if boxed else "FLAT"
        links.new(place.outputs["Generated" if boxed else "UV"], texture.inputs["Vector"])
        _connect(what, texture.outputs["Color"], surface, nodes, links)
    return material


def _connect(what: str, values: Any, surface: Any, nodes: Any, links: Any) -> None:
    """Lead the values of a map to where a surface takes them. Occlusion is left out: Blender computes light itself."""
    targets = {"colour": "Base Color", "roughness": "Roughness", "metal": "Metallic", "opacity": "Alpha"}
    if what in targets:
        links.new(values, surface.inputs[targets[what]])
    elif what == "normal":
        node = nodes.new("ShaderNodeNormalMap")
        links.new(values, node.inputs["Color"])
        links.new(node.outputs["Normal"], surface.inputs["Normal"])
    elif what == "height":
        node = nodes.new("ShaderNodeDisplacement")
        node.inputs["Scale"].default_value = 0.05
        links.new(values, node.inputs["Height"])
        output = next(each for each in nodes if each.type == "OUTPUT_MATERIAL")
        links.new(node.outputs["Displacement"], output.inputs["Displacement"])


def assign(target: Any, material: Any) -> None:
    """Give an object a material, in the place of the one that it shows."""
    if target.data.materials:
        target.data.materials[target.active_material_index] = material
    else:
        target.data.materials.append(material)


# ------------------------------------------------------------ Blender


class TexsynSettings(bpy.types.PropertyGroup):
    """What the panel shows."""

    address: StringProperty(name="App", default="http://127.0.0.1:7860", description="Where the app runs")  # type: ignore[valid-type]
    exemplar: StringProperty(name="Exemplar", subtype="FILE_PATH", description="Photo of a texture")  # type: ignore[valid-type]
    minutes: FloatProperty(name="Minutes", default=10.0, min=0.05, max=720.0, description="Training time")  # type: ignore[valid-type]
    run: StringProperty(name="Run", description="Name of a run in the app's library")  # type: ignore[valid-type]
    seed: IntProperty(name="Seed", default=0, min=0, description="Another seed gives another texture")  # type: ignore[valid-type]
    size: EnumProperty(name="Size", items=SIZES, default="1024", description="Pixels of the texture")  # type: ignore[valid-type]
    state: StringProperty(name="State", description="What the run does")  # type: ignore[valid-type]


class TEXSYN_OT_train(bpy.types.Operator):
    """Train on the exemplar, in the app; Blender can be used meanwhile"""

    bl_idname = "texsyn.train"
    bl_label = "Train"

    def execute(self, context: Any) -> set[str]:
        settings = context.scene.texsyn
        path = Path(bpy.path.abspath(settings.exemplar))
        if not path.is_file():
            self.report({"ERROR"}, "Choose an image of a texture first")
            return {"CANCELLED"}
        try:
            settings.run = App(settings.address).fit(path, settings.minutes, settings.seed)
        except AppError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        settings.state = "queued"
        if not bpy.app.timers.is_registered(watch):
            bpy.app.timers.register(watch, first_interval=INTERVAL)
        return {"FINISHED"}


class TEXSYN_OT_sample(bpy.types.Operator):
    """Make a texture of the run, and give it to the selected object"""

    bl_idname = "texsyn.sample"
    bl_label = "Texture for the object"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012  (as Blender wants it)

    def execute(self, context: Any) -> set[str]:
        settings, target = context.scene.texsyn, context.active_object
        if target is None or not hasattr(target.data, "materials"):
            self.report({"ERROR"}, "Select an object that has a surface first")
            return {"CANCELLED"}
        try:
            files = App(settings.address).sample(settings.run, settings.seed, int(settings.size))
        except AppError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        boxed = not getattr(target.data, "uv_layers", None)
        assign(target, make_material(f"{settings.run} {settings.seed}", files, boxed))
        return {"FINISHED"}


def watch() -> float | None:
    """Show the state of the run; called again until it has ended."""
    settings = bpy.context.scene.texsyn
    try:
        status = App(settings.address).status(settings.run)
    except AppError as error:
        settings.state = str(error)
        return None
    left = f", {status['remaining'] / 60:.0f} minutes left" if status["state"] == "running" else ""
    settings.state = f"{status['state']}, {100 * status['progress']:.0f} %{left} {status['message']}".strip()
    return INTERVAL if status["state"] in WORKING else None


class TEXSYN_PT_panel(bpy.types.Panel):
    """The panel in the sidebar."""

    bl_label = "texsyn"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "texsyn"

    def draw(self, context: Any) -> None:
        settings, layout = context.scene.texsyn, self.layout
        layout.prop(settings, "address")
        box = layout.box()
        box.prop(settings, "exemplar")
        box.prop(settings, "minutes")
        box.operator(TEXSYN_OT_train.bl_idname, icon="PLAY")
        if settings.state:
            box.label(text=settings.state)
        box = layout.box()
        for name in ("run", "seed", "size"):
            box.prop(settings, name)
        box.operator(TEXSYN_OT_sample.bl_idname, icon="MATERIAL")


CLASSES = (TexsynSettings, TEXSYN_OT_train, TEXSYN_OT_sample, TEXSYN_PT_panel)


def register() -> None:
    """Called by Blender when the add-on is switched on."""
    for each in CLASSES:
        bpy.utils.register_class(each)
    bpy.types.Scene.texsyn = PointerProperty(type=TexsynSettings)


def unregister() -> None:
    """Called by Blender when the add-on is switched off."""
    if bpy.app.timers.is_registered(watch):
        bpy.app.timers.unregister(watch)
    del bpy.types.Scene.texsyn
    for each in reversed(CLASSES):
        bpy.utils.unregister_class(each)
