"""Trained models in a folder, and the one map from the names of older formats to today's.

Format 1 is read and never written. What is read has today's names whatever its format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from texsyn.core.architecture import Design, LevelDesign
from texsyn.core.errors import TexsynError
from texsyn.core.files import refuse_overwrite
from texsyn.core.modality import Modality
from texsyn.core.recipes import Recipe, check_recipe
from texsyn.core.text import short
from texsyn.core.version import __version__
from texsyn.models import layers
from texsyn.models.quantization import dequantize, quantize
from texsyn.models.triangle import Triangle
from texsyn.runs import storage
from texsyn.runs.fields import damaged, from_json, number_in, object_in, to_json

FORMAT = 2  # of stored models and of run folders
FORMATS = (1, 2)  # that can be read

# Names of format 1 and what they are called today, for each kind of file.
_RECIPE = {
    "penalty": "gradient_penalty",
    "networks": "architecture",
    "width": "width_multiplier",
    "batch": "batch_size",
    "rate": "learning_rate",
    "anneal": "lr_decay_fraction",
    "averaging": "ema_decay",
    "penalty_every": "penalty_interval",
    "slope": "gradient_norm_target",
    "checkpoint_every": "checkpoint_interval",
    "equalise": "equaliser_gain",
    "tone": "colour_transfer",
    "steady": "deflicker",
    "coring": "subband_matching",
}
_DESIGN = {
    "frames": "frame_latents",
    "smoothed": "blur_upsampling",
    "edges": "reflect_edges",
    "toned": "colour_transfer",
    "steadied": "deflicker",
    "coring": "subband_matching",
}
_LAYER = {"factor": "stride"}
# Later recipe fields, and what all runs before them did.
_ADDED = {
    "latent_prior": "normal",
    "start": "noise",
    "whole_periods": False,
    "colour_balance": 1.0,
    "deformation": 0.0,
    "bandwidth": 0.0,
    "rotation": 0.0,
    "scaling": 0.0,
    "pieces": 0.0,
    "codes": 16,
}
_ADDED_NUMBERS = {"level": 0, "level_step": 0}  # of checkpoints, likewise
_TENSORS = {  # parts of their names
    "average": "generator_ema",
    "tone": "colour_transfer",
    "steady": "deflicker",
    "mean_made": "mean_generated",
    "coring": "subband_matching",
    "hidden": "mask",
}
_BITS, _FEWER_BITS = 6, 5  # of weights that are packed; of those packed for samples alone
_INVERSE = {new: old for old, new in _TENSORS.items()}
_KERNEL = "equaliser.kernel"  # end of a tensor's name
_ADDED_TENSORS = ("prior.outside", "prior.balance")  # likewise, which earlier runs do not have
_NUMBERS = {"caution": "lr_scale", "strength": "penalty_scale", "bad": "nonfinite_steps"}
_TERMS = {"energy_made": "energy_generated"}
_EVENTS = {"glance": "quick_metrics"}
_EVENT_FIELDS = {"learnt": "train"}
_FACTS = {"missing": "masked"}  # of an exemplar
_CARD = {"measures": "metrics"}
PREVIEWS = {1: "sheets", 2: "previews"}  # the folder of each format


def format_of(content: Mapping[str, Any], folder: Path) -> int:
    """The format of run.json or of a model's content. Raises TexsynError (exit 3) for one that is not in FORMATS."""
    found = content.get("format")
    if type(found) is not int or found not in FORMATS:
        raise TexsynError(f"{folder.name} has format {short(repr(found))}: this texsyn reads formats 1 and 2")
    return found


def upgrade(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """run.json, or a model's content, in today's names. Raises TexsynError (exit 3) for an unknown format."""
    content = dict(content)
    if format_of(content, folder) == 1:
        content["recipe"] = _rename(content.get("recipe"), _RECIPE)
        content["design"] = _rename(content.get("design"), _DESIGN)
        content["exemplars"] = _rename(content.get("exemplars"), _FACTS)
        if isinstance(content["design"], dict):
            for name in ("generator", "posterior", "energy", "heads"):
                content["design"][name] = _rename(content["design"].get(name), _LAYER)
    if isinstance(content.get("recipe"), dict):
        content["recipe"] = {**_ADDED, **content["recipe"]}
    return content


def upgrade_numbers(numbers: Mapping[str, Any], format: int) -> dict[str, Any]:
    """The content of a checkpoint in today's names."""
    names = _NUMBERS if format == 1 else {}
    return {**_ADDED_NUMBERS, **{names.get(name, name): value for name, value in numbers.items()}}


def upgrade_card(card: Mapping[str, Any], format: int) -> dict[str, Any]:
    """A quality card in today's names; one of a run of format 1 may have been stored by this version, too."""
    names = _CARD if format == 1 else {}
    return {names.get(name, name): value for name, value in card.items()}


def upgrade_event(event: Mapping[str, Any], format: int) -> dict[str, Any]:
    """A line of events.jsonl in today's names."""
    if format != 1:
        return dict(event)
    upgraded, name = {_EVENT_FIELDS.get(key, key): value for key, value in event.items()}, event.get("event")
    if "terms" in upgraded:
        upgraded["terms"] = _rename(upgraded["terms"], _TERMS)
    if isinstance(name, str):
        upgraded["event"] = _EVENTS.get(name, name)
    return upgraded


def read_tensors(
    folder: Path, expected: Mapping[str, Tensor] | None = None, format: int = FORMAT, partial: bool = False
) -> dict[str, Tensor]:
    """`storage.read_tensors` with today's names for both formats. Raises TexsynError (exit 3) as that does."""
    if format != 1:
        return _read(folder, expected, partial)
    if expected is None:
        return {_rename_parts(name, _TENSORS): value for name, value in storage.read_tensors(folder).items()}
    old_names = {name: _rename_parts(name, _INVERSE) for name in expected}
    wanted = {old_names[name]: value for name, value in expected.items()}
    kernels = [name for name in wanted if name.endswith(_KERNEL)]
    if kernels and _offset(kernels[0]) not in storage.names(folder):
        found = _read_single_filters(folder, wanted, kernels, partial)
    else:
        found = _read(folder, wanted, partial)
    return {name: found[old] for name, old in old_names.items()}


def _read(folder: Path, expected: Mapping[str, Tensor] | None, partial: bool = False) -> dict[str, Tensor]:
    """`storage.read_tensors`; what earlier runs did not store is zero."""
    stored = storage.names(folder) if expected else set()
    added = {name for name in expected or {} if name.endswith(_ADDED_TENSORS) and name not in stored}
    if not expected or not added:
        return storage.read_tensors(folder, expected, partial)
    found = storage.read_tensors(folder, {name: each for name, each in expected.items() if name not in added}, partial)
    return found | {name: torch.zeros(expected[name].shape, dtype=expected[name].dtype) for name in added}


def _read_single_filters(
    folder: Path, expected: Mapping[str, Tensor], kernels: list[str], partial: bool
) -> dict[str, Tensor]:
    """Tensors of early runs, whose equaliser was one filter for all channels: the same filter for each channel."""
    offsets = {_offset(name) for name in kernels}
    stored = {
        name: value[0, 0] if name in kernels else value for name, value in expected.items() if name not in offsets
    }
    found = _read(folder, stored, partial)
    for name in kernels:
        channels = len(expected[name])
        found[name] = torch.einsum("ij,...->ij...", torch.eye(channels), found[name])
        found[_offset(name)] = torch.zeros(channels)
    return found


def _offset(kernel: str) -> str:
    return kernel.removesuffix(_KERNEL) + "equaliser.offset"


def _rename(value: Any, names: Mapping[str, str]) -> Any:
    """The keys of a JSON object, or of each object of a list; other values stay."""
    if isinstance(value, list):
        return [_rename(each, names) for each in value]
    return {names.get(key, key): each for key, each in value.items()} if isinstance(value, dict) else value


def _rename_parts(name: str, names: Mapping[str, str]) -> str:
    """The parts of a tensor's name that dots separate."""
    return ".".join(names.get(part, part) for part in name.split("."))


def save(
    triangle: Triangle,
    folder: str | Path,
    made_by: dict[str, Any] | None = None,
    force: bool = False,
    packed: bool = False,
) -> None:
    """Store a trained triangle in a folder. Raises TexsynError: exit 2 when it exists, exit 5 when the disk refuses.

    packed: in less than a fifth of the space, with weights in 6 bits (5 for samples alone). Samples differ a little.
    """
    folder = Path(folder)
    refuse_overwrite(folder, force)
    content = {"format": FORMAT, "modality": to_json(triangle.modality), "design": to_json(triangle.design)}
    content["levels"] = [to_json(level.stored_design) for level in triangle.detail]
    content["samples_only"] = triangle.samples_only
    tensors = _pack(triangle) if packed else triangle.state_dict()
    storage.store(folder, tensors, {**content, "packed": packed, "made_by": made_by or {}})


def load(folder: Path, device: str | torch.device = "cpu") -> Triangle:
    """The triangle of a stored model. Raises TexsynError (exit 3) for a folder that holds none, or is damaged."""
    if not (folder / "manifest.json").exists():
        raise TexsynError(f"{folder.name or folder} is not a run or a model of texsyn")
    content = storage.read_content(folder)
    triangle = empty(upgrade(content, folder), folder)
    if content.get("samples_only") is True:
        triangle.leave_out_inference()
    if content.get("packed") is True:
        tensors = _unpack(_read(folder, _pack(triangle)), triangle)
    else:
        tensors = read_tensors(folder, triangle.state_dict(), format_of(content, folder))
    triangle.load_state_dict(tensors, assign=True)
    return prepare_for_sampling(triangle, device)


def _pack(triangle: Triangle) -> dict[str, Tensor]:
    """The triangle's tensors in few bits: weights in 6 or 5, buffers in 16. Of the generator the average is kept."""
    weights = dict(triangle.named_parameters())
    kept = {name: value for name, value in triangle.state_dict().items() if not _is_last_generator(name)}
    halved = {name: _halved(value) for name, value in kept.items() if name not in weights}
    bits = _FEWER_BITS if triangle.samples_only else _BITS
    return halved | quantize({name: value for name, value in kept.items() if name in weights}, bits)


def _halved(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() and value.dim() > 1 else value


def _unpack(stored: Mapping[str, Tensor], triangle: Triangle) -> dict[str, Tensor]:
    """The tensors of a triangle that `_pack` was given, rounded."""
    tensors = {
        name: value.float() if value.dtype == torch.float16 else value for name, value in dequantize(stored).items()
    }
    last = {name: tensors[_averaged(name)].clone() for name in triangle.state_dict() if _is_last_generator(name)}
    return tensors | last


def _is_last_generator(name: str) -> bool:
    """Whether a tensor is of a generator as its last step left it, of which samples need the average only."""
    return "generator" in name.split(".")


def _averaged(name: str) -> str:
    return ".".join("generator_ema" if part == "generator" else part for part in name.split("."))


def stored_step(folder: Path) -> int:
    """The training step after which a run stored its model here; 0 where there is none."""
    if not (folder / "manifest.json").exists():
        return 0
    made_by = object_in(storage.read_content(folder), "made_by", folder)
    return int(number_in(made_by, "step", int, 1, 2**53, folder))


def prepare_for_sampling(triangle: Triangle, device: str | torch.device) -> Triangle:
    """The triangle on its device, in evaluation mode, with its weights laid out for speed."""
    triangle.generator_ema.requires_grad_(False)
    layers.channels_last(triangle, len(triangle.modality.axes))
    return triangle.to(device).eval()


def empty(content: Mapping[str, Any], folder: Path) -> Triangle:
    """A triangle on the meta device: it takes no memory, so stored shapes can be checked before any is allocated.

    content: in today's names. Raises TexsynError (exit 3) for a modality or a design out of range.
    """
    modality, design = modality_from(content, folder), design_from(content, folder)
    levels = levels_from(content, folder)
    try:
        with torch.device("meta"):
            return Triangle(modality, design, levels=levels)
    except ValueError as error:
        raise damaged(folder, "design") from error


def modality_from(content: Mapping[str, Any], folder: Path) -> Modality:
    """The modality that a stored JSON describes, without designs. Raises TexsynError (exit 3)."""
    row = object_in(content, "modality", folder)
    axes = row.get("axes")
    return from_json(Modality, row, len(axes) if isinstance(axes, list) else 0, folder, designs={})


def design_from(content: Mapping[str, Any], folder: Path) -> Design:
    """The networks that a stored JSON describes. Raises TexsynError (exit 3)."""
    axes = len(modality_from(content, folder).axes)
    return _checked(from_json(Design, object_in(content, "design", folder), axes, folder), folder)


def levels_from(content: Mapping[str, Any], folder: Path) -> tuple[LevelDesign, ...]:
    """The levels above the base that a stored JSON describes. Raises TexsynError (exit 3)."""
    modality, rows = modality_from(content, folder), content.get("levels", [])
    if not isinstance(rows, list) or len(rows) != len(modality.factors):
        raise damaged(folder, "levels")
    axes, levels = len(modality.axes), list[LevelDesign]()
    for row, factor in zip(rows, modality.factors, strict=True):
        level = from_json(LevelDesign, row, axes, folder)
        design = _checked(level.networks, folder)
        if not design.conditional or design.stride != (factor,) * axes or len(level.sizes) % axes:
            raise damaged(folder, "levels")
        levels.append(level)
    return tuple(levels)


def _checked(design: Design, folder: Path) -> Design:
    """A design whose layers fit together. Raises TexsynError (exit 3)."""
    hidden = (*design.generator[:-1], *design.posterior, *design.energy)
    if not all(layer.channels for layer in hidden):  # the generator's last layer has as many as the modality
        raise damaged(folder, "channels")
    depth = len(design.generator)
    if len(design.latents) > depth:
        raise damaged(folder, "latents")
    if len(design.frame_latents) >= depth:
        raise damaged(folder, "frame_latents")
    return design


def recipe_from(found: Mapping[str, Any], version: str, folder: Path) -> Recipe:
    """The recipe that a stored JSON describes; `version` of texsyn stored it.

    Raises TexsynError: exit 3 where fields are missing or unknown, exit 2 where they are out of range.
    """
    defaults = {field.name: field.default for field in fields(Recipe)}
    if found.keys() != defaults.keys():
        raise TexsynError(
            f"{folder.name} has other settings than this texsyn {__version__} (it was started by {version}): "
            "its model can be sampled, exported and scored, but not trained further"
        )
    for name, value in found.items():
        if isinstance(value, (int, float)) != isinstance(defaults[name], (int, float)):
            raise damaged(folder, "recipe")
    recipe = Recipe(**found)
    check_recipe(recipe)
    return recipe
