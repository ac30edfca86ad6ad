"""A fitted triangle in a folder, and readers that believe nothing it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from texsyn.core.architecture import Design, Layer
from texsyn.core.errors import TexsynError
from texsyn.core.files import refuse_overwrite
from texsyn.core.modality import Modality, Plane
from texsyn.models import layers
from texsyn.models.triangle import Triangle
from texsyn.runs import storage

FORMAT = 1  # of stored models and of run folders
_KERNEL = "equaliser.kernel"


def save(triangle: Triangle, folder: str | Path, made_by: dict[str, Any] | None = None, force: bool = False) -> None:
    """Store a fitted triangle in a folder. Raises TexsynError: exit 2 when it exists, exit 5 when the disk refuses."""
    folder = Path(folder)
    refuse_overwrite(folder, force)
    content = {"format": FORMAT, "modality": row_of(triangle.modality), "design": asdict(triangle.design)}
    storage.store(folder, triangle.state_dict(), {**content, "made_by": made_by or {}})


def load(folder: Path, device: str | torch.device = "cpu") -> Triangle:
    """The triangle of a stored model. Raises TexsynError (exit 3) for a folder that is none, or is damaged."""
    if not (folder / "manifest.json").exists():
        raise TexsynError(f"{folder.name or folder} is not a run or a model of texsyn")
    content = storage.read_content(folder)
    triangle = empty(content, folder)
    triangle.load_state_dict(tensors(folder, triangle.state_dict()), assign=True)
    return ready(triangle, device)


def tensors(folder: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`storage.read_tensors`, also of days when an equaliser was one filter for all channels: it is read as that.

    Raises TexsynError (exit 3) as that does.
    """
    kernels = [name for name in expected if name.endswith(_KERNEL)]
    offsets = [name.removesuffix(_KERNEL) + "equaliser.offset" for name in kernels]
    if not kernels or offsets[0] in storage.names(folder):
        return storage.read_tensors(folder, expected)
    before = {name: value[0, 0] if name in kernels else value for name, value in expected.items()}
    found = storage.read_tensors(folder, {name: before[name] for name in before.keys() - set(offsets)})
    for kernel, offset in zip(kernels, offsets, strict=True):
        channels = torch.eye(len(expected[kernel]))
        found[kernel] = torch.einsum("ij,...->ij...", channels, found[kernel])
        found[offset] = torch.zeros(len(channels))
    return found


def steps(folder: Path) -> int:
    """The step after which a run stored its model here; 0 where there is none."""
    if not (folder / "manifest.json").exists():
        return 0
    made_by = object_in(storage.read_content(folder), "made_by", folder)
    return int(number_in(made_by, "step", int, 1, 2**53, folder))


def ready(triangle: Triangle, device: str | torch.device) -> Triangle:
    """Laid out for speed, on its device, in evaluation mode."""
    triangle.generator_ema.requires_grad_(False)
    layers.channels_last(triangle, len(triangle.modality.axes))
    return triangle.to(device).eval()


def empty(content: dict[str, Any], folder: Path) -> Triangle:
    """A triangle without memory for its weights, so that stored shapes can be checked before anything is allocated."""
    if content.get("format") != FORMAT:
        raise TexsynError(f"{folder.name} has format {content.get('format')!r}: this texsyn reads format {FORMAT}")
    modality, design = modality_from(content, folder), design_from(content, folder)
    try:
        with torch.device("meta"):
            return Triangle(modality, design)
    except ValueError as error:
        raise damaged(folder, "design") from error


def row_of(modality: Modality) -> dict[str, Any]:
    """A kind as JSON, without its networks."""
    return {f.name: _plain(getattr(modality, f.name)) for f in fields(Modality) if f.name != "designs"}


def _plain(value: Any) -> Any:
    return [asdict(v) if isinstance(v, Plane) else v for v in value] if isinstance(value, tuple) else value


def modality_from(content: dict[str, Any], folder: Path) -> Modality:
    """The kind that a stored JSON describes. Raises TexsynError (exit 3) for values out of range."""
    row = object_in(content, "modality", folder)
    if row.get("axes") not in (["y", "x"], ["t", "y", "x"]):
        raise damaged(folder, "axes")
    rank, planes = len(row["axes"]), row.get("planes")
    if not isinstance(planes, list) or not 1 <= len(planes) <= 8 or not all(isinstance(p, dict) for p in planes):
        raise damaged(folder, "planes")
    return Modality(
        name=_text(row, "name", folder),
        axes=tuple(row["axes"]),
        stationary=_tuple(row, "stationary", bool, rank, 0, 1, folder),
        window=_tuple(row, "window", int, rank, 1, 4096, folder),
        size=_tuple(row, "size", int, rank, 1, 65536, folder),
        side=number_in(row, "side", int, 0, 65536, folder),
        designs={},
        collection=bool(row.get("collection", False)),
        planes=tuple(Plane(_text(p, "name", folder), number_in(p, "channels", int, 1, 16, folder)) for p in planes),
    )


def design_from(content: dict[str, Any], folder: Path) -> Design:
    """The networks that a stored JSON describes. Raises TexsynError (exit 3) for values out of range."""
    found = object_in(content, "design", folder)
    rank = len(object_in(content, "modality", folder)["axes"])

    def layer(row: Any, least: int) -> Layer:
        if not isinstance(row, dict):
            raise damaged(folder, "layer")
        return Layer(
            number_in(row, "channels", int, least, 4096, folder),
            _tuple(row, "kernel", int, rank, 1, 64, folder),
            _tuple(row, "stride", int, rank, 1, 64, folder),
            bool(row.get("padded", True)),
        )

    def stack(name: str) -> tuple[Layer, ...]:
        rows = found.get(name)
        if not isinstance(rows, list) or not 1 <= len(rows) <= 16:
            raise damaged(folder, name)
        last = 0 if name == "generator" else 1  # its last layer makes as many channels as the kind has
        return (*(layer(row, 1) for row in rows[:-1]), layer(rows[-1], last))

    def channels(name: str, least: int) -> tuple[int, ...]:
        rows = found.get(name, [])
        if not isinstance(rows, list) or not least <= len(rows) < least + len(generator):
            raise damaged(folder, name)
        return _tuple(found, name, int, len(rows), 1, 4096, folder) if rows else ()

    generator = stack("generator")
    if found.get("normalisation") not in ("batch", "none"):
        raise damaged(folder, "normalisation")
    precision = found.get("precision", "float32")  # older models have none
    if precision not in ("auto", "float32", "bfloat16"):
        raise damaged(folder, "precision")
    return Design(
        latents=channels("latents", 1),
        generator=generator,
        posterior=stack("posterior"),
        heads=layer(found.get("heads"), 0),
        energy=stack("energy"),
        energy_scales=number_in(found, "energy_scales", int, 1, 8, folder),
        constant_channels=number_in(found, "constant_channels", int, 0, 4096, folder),
        coordinates=bool(found.get("coordinates")),
        normalisation=found["normalisation"],
        energy_mean=bool(found.get("energy_mean")),
        energy_rectified=bool(found.get("energy_rectified")),
        energy_signed=bool(found.get("energy_signed")),
        log_variance_bound=number_in(found, "log_variance_bound", float, 0, 100, folder),
        reflect_edges=bool(found.get("reflect_edges")),
        exemplars=number_in(found, "exemplars", int, 1, 1000, folder),
        blur_upsampling=bool(found.get("blur_upsampling")),
        colour_transfer=bool(found.get("colour_transfer")),
        deflicker=bool(found.get("deflicker")),
        subband_matching=number_in({"subband_matching": 0, **found}, "subband_matching", int, 0, 5, folder),
        precision=precision,
        frame_latents=channels("frames", 0),
        equaliser=_tuple(found, "equaliser", int, rank, 1, 31, folder) if found.get("equaliser") else (),
    )


def damaged(folder: Path, what: str) -> TexsynError:
    """What to raise for a value that cannot be right."""
    return TexsynError(f"{folder.name} is damaged: its {what} cannot be right")


def object_in(content: dict[str, Any], name: str, folder: Path) -> dict[str, Any]:
    """The JSON object under a name. Raises TexsynError (exit 3) for anything else."""
    found = content.get(name)
    if not isinstance(found, dict):
        raise damaged(folder, name)
    return found


def _text(row: dict[str, Any], name: str, folder: Path) -> str:
    found = row.get(name)
    if not isinstance(found, str) or len(found) > 100 or not found.replace(".", "").isalnum():
        raise damaged(folder, name)
    return found


def number_in(row: dict[str, Any], name: str, kind: type, low: float, high: float, folder: Path) -> Any:
    """The number under a name, within its range. Raises TexsynError (exit 3) for anything else."""
    found = row.get(name)
    if isinstance(found, bool) != (kind is bool) or not isinstance(found, (int, float)) or not low <= found <= high:
        raise damaged(folder, name)
    return kind(found)


def _tuple(
    row: dict[str, Any], name: str, kind: type, rank: int, low: float, high: float, folder: Path
) -> tuple[Any, ...]:
    found = row.get(name)
    if not isinstance(found, list) or len(found) != rank:
        raise damaged(folder, name)
    return tuple(number_in({name: each}, name, kind, low, high, folder) for each in found)
