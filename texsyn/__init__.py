"""texsyn: new textures, still and moving, from one exemplar.

>>> import texsyn
>>> sorted(texsyn.MODALITIES)
['clip', 'material', 'objects28', 'objects32', 'objects64', 'still', 'surface']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Names are resolved on first use, so that `texsyn --help` need not import torch.
_WHERE = {
    "TexsynError": "errors",
    "MODALITIES": "modality",
    "ENDINGS": "decoding",
    "Exemplar": "media",
    "read": "media",
    "read_all": "media",
    "read_collection": "albums",
    "read_like": "media",
    "together": "media",
    "write": "writing",
    "write_bands": "writing",
    "RECIPES": "recipes",
    "Recipe": "recipes",
    "Report": "training",
    "recipe_for": "recipes",
    "create": "training",
    "fit": "training",
    "sample": "sampling",
    "bands": "sampling",
    "morph": "sampling",
    "across": "sampling",
    "between": "sampling",
    "target": "sampling",
    "End": "sampling",
    "reconstruct": "inference",
    "complete": "inference",
    "energy": "judging",
    "heatmap": "judging",
    "langevin": "judging",
    "overlay": "judging",
    "export": "exporting",
    "Landscape": "basins",
    "landscape": "basins",
    "Triangle": "triangle",
    "Run": "runs",
    "Status": "jobs",
    "prepare": "jobs",
    "origin": "jobs",
    "examine": "jobs",
    "start": "jobs",
    "status": "jobs",
    "batch": "batches",
    "stop": "jobs",
    "remarks": "media",
    "save": "models",
    "load": "runs",
    "tune": "tuning",
}
__all__ = ["__version__", *_WHERE]

if TYPE_CHECKING:
    from texsyn.albums import read_collection
    from texsyn.basins import Landscape, landscape
    from texsyn.batches import batch
    from texsyn.decoding import ENDINGS
    from texsyn.errors import TexsynError
    from texsyn.exporting import export
    from texsyn.inference import complete, reconstruct
    from texsyn.jobs import Status, examine, origin, prepare, start, status, stop
    from texsyn.judging import energy, heatmap, langevin, overlay
    from texsyn.media import Exemplar, read, read_all, read_like, remarks, together
    from texsyn.modality import MODALITIES
    from texsyn.models import save
    from texsyn.recipes import RECIPES, Recipe, recipe_for
    from texsyn.runs import Run, load
    from texsyn.sampling import End, across, bands, between, morph, sample, target
    from texsyn.training import Report, create, fit
    from texsyn.triangle import Triangle
    from texsyn.tuning import tune
    from texsyn.writing import write, write_bands


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"texsyn.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'texsyn' has no attribute {name!r}")
