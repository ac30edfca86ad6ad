"""texsyn: new textures, still and moving, from one exemplar.

>>> import texsyn
>>> sorted(texsyn.MODALITIES)
['clip', 'material', 'objects128', 'objects256', 'objects28', 'objects32', 'objects64', 'still', 'surface']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from texsyn.core.version import __version__

# Names are resolved on first use, so that `texsyn --help` need not import torch.
_WHERE = {
    "TexsynError": "core.errors",
    "duration": "core.text",
    "in_steps": "core.text",
    "MODALITIES": "core.modality",
    "ENDINGS": "core.formats",
    "formats": "core.formats",
    "Exemplar": "media.exemplar",
    "read": "media.reader",
    "read_all": "media.reader",
    "read_collection": "media.collection",
    "read_like": "media.reader",
    "title": "media.material",
    "together": "media.exemplar",
    "write": "media.writing",
    "write_bands": "media.writing",
    "RECIPES": "core.recipes",
    "Recipe": "core.recipes",
    "Report": "training.loop",
    "recipe_for": "core.recipes",
    "create": "training.loop",
    "fit": "training.loop",
    "step_seconds": "training.timing",
    "sample": "synthesis.sampling",
    "bands": "synthesis.sampling",
    "morph": "synthesis.sampling",
    "across": "synthesis.sampling",
    "between": "synthesis.sampling",
    "target": "synthesis.extent",
    "End": "synthesis.latent_field",
    "reconstruct": "synthesis.inversion",
    "complete": "synthesis.inversion",
    "energy": "synthesis.energy",
    "heatmap": "synthesis.anomaly",
    "langevin": "synthesis.energy",
    "overlay": "synthesis.anomaly",
    "export": "synthesis.onnx_export",
    "Landscape": "synthesis.landscape",
    "landscape": "synthesis.landscape",
    "Triangle": "models.triangle",
    "Run": "runs.run",
    "Preview": "runs.previews",
    "Status": "jobs.process",
    "FitOptions": "jobs.options",
    "prepare": "jobs.sandbox",
    "origin": "jobs.sandbox",
    "examine": "jobs.sandbox",
    "start": "jobs.process",
    "status": "jobs.process",
    "queued": "jobs.queue",
    "advance": "jobs.queue",
    "batch": "jobs.batch",
    "stop": "jobs.process",
    "remarks": "media.exemplar",
    "save": "runs.serialization",
    "load": "runs.run",
    "limit_copying": "runs.copying",
    "score_collection": "runs.collection_scores",
    "Group": "core.group",
    "pack": "runs.packing",
    "unpack": "runs.packing",
    "tune": "core.performance",
}
__all__ = [  # written out, for type checkers
    "__version__",
    "TexsynError",
    "duration",
    "in_steps",
    "MODALITIES",
    "ENDINGS",
    "formats",
    "Exemplar",
    "read",
    "read_all",
    "read_collection",
    "read_like",
    "title",
    "together",
    "write",
    "write_bands",
    "RECIPES",
    "Recipe",
    "Report",
    "recipe_for",
    "create",
    "fit",
    "step_seconds",
    "sample",
    "bands",
    "morph",
    "across",
    "between",
    "target",
    "End",
    "reconstruct",
    "complete",
    "energy",
    "heatmap",
    "langevin",
    "overlay",
    "export",
    "Landscape",
    "landscape",
    "Triangle",
    "Run",
    "Preview",
    "Status",
    "FitOptions",
    "prepare",
    "origin",
    "examine",
    "start",
    "status",
    "queued",
    "advance",
    "batch",
    "stop",
    "remarks",
    "save",
    "load",
    "limit_copying",
    "score_collection",
    "Group",
    "pack",
    "unpack",
    "tune",
]

if TYPE_CHECKING:
    from texsyn.core.errors import TexsynError
    from texsyn.core.formats import ENDINGS, formats
    from texsyn.core.group import Group
    from texsyn.core.modality import MODALITIES
    from texsyn.core.performance import tune
    from texsyn.core.recipes import RECIPES, Recipe, recipe_for
    from texsyn.core.text import duration, in_steps
    from texsyn.jobs.batch import batch
    from texsyn.jobs.options import FitOptions
    from texsyn.jobs.process import Status, start, status, stop
    from texsyn.jobs.queue import advance, queued
    from texsyn.jobs.sandbox import examine, origin, prepare
    from texsyn.media.collection import read_collection
    from texsyn.media.exemplar import Exemplar, remarks, together
    from texsyn.media.material import title
    from texsyn.media.reader import read, read_all, read_like
    from texsyn.media.writing import write, write_bands
    from texsyn.models.triangle import Triangle
    from texsyn.runs.collection_scores import score_collection
    from texsyn.runs.copying import limit_copying
    from texsyn.runs.packing import pack, unpack
    from texsyn.runs.previews import Preview
    from texsyn.runs.run import Run, load
    from texsyn.runs.serialization import save
    from texsyn.synthesis.anomaly import heatmap, overlay
    from texsyn.synthesis.energy import energy, langevin
    from texsyn.synthesis.extent import target
    from texsyn.synthesis.inversion import complete, reconstruct
    from texsyn.synthesis.landscape import Landscape, landscape
    from texsyn.synthesis.latent_field import End
    from texsyn.synthesis.onnx_export import export
    from texsyn.synthesis.sampling import across, bands, between, morph, sample
    from texsyn.training.loop import Report, create, fit
    from texsyn.training.timing import step_seconds


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"texsyn.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'texsyn' has no attribute {name!r}")
