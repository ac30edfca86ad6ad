"""A run on disk: one exemplar, one recipe, what was learnt, and how it went.

RUN/run.json        recipe, kind, networks, facts about the exemplar, versions: readable
RUN/exemplar/       the exemplar as it is learnt from
RUN/checkpoints/N/  the whole state after N steps; the last two are kept
RUN/events.jsonl    one JSON object a line: start, steps with the five terms, checkpoints, warnings, the end
RUN/sheets/N.png    the exemplar and samples, every so often
RUN/card.json       the quality card of the fitted model
RUN/model/          the fitted networks
"""

from __future__ import annotations

import json
import math
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from texsyn import __version__, layers, media, quality, sampling, storage, training
from texsyn.errors import Exit, TexsynError
from texsyn.media import Exemplar
from texsyn.modality import Design, Layer, Modality, Plane
from texsyn.training import Recipe, Report, State
from texsyn.triangle import Triangle

FORMAT = 1  # of run folders and stored models
_KEEP = 2  # checkpoints
_FIRST_SHEETS = (10.0, 30.0)  # seconds
_SHEET_EVERY = 60.0  # seconds


# ---------------------------------------------------------------- models


def save(triangle: Triangle, folder: str | Path, made_by: dict[str, Any] | None = None, force: bool = False) -> None:
    """Store a fitted triangle in a folder. Raises TexsynError: exit 2 when it exists, exit 5 when the disk refuses."""
    folder = Path(folder)
    media.refuse_overwrite(folder, force)
    content = {"format": FORMAT, "modality": _row(triangle.modality), "design": asdict(triangle.design)}
    storage.store(folder, triangle.state_dict(), {**content, "made_by": made_by or {}})


def load(folder: str | Path, device: str | torch.device = "cpu") -> Triangle:
    """The triangle of a run or of a stored model: `b c *axes` textures come from `texsyn.sample`.

    A run that is still learning gives its last checkpoint. Raises TexsynError (exit 3) for a folder that is not one of
    texsyn's or is damaged.
    """
    folder = Path(folder)
    if (folder / "run.json").exists():
        return Run.open(folder).triangle(device)
    if not (folder / "manifest.json").exists():
        raise TexsynError(f"{folder.name or folder} is not a run or a model of texsyn")
    content = storage.read_content(folder)
    triangle = _empty(content, folder)
    triangle.load_state_dict(storage.read_tensors(folder, triangle.state_dict()), assign=True)
    return _ready(triangle, device)


def _ready(triangle: Triangle, device: str | torch.device) -> Triangle:
    triangle.average.requires_grad_(False)
    layers.channels_last(triangle, len(triangle.modality.axes))
    return triangle.to(device).eval()


def _empty(content: dict[str, Any], folder: Path) -> Triangle:
    """A triangle without memory for its weights, so that stored shapes can be checked before anything is allocated."""
    if content.get("format") != FORMAT:
        raise TexsynError(f"{folder.name} has format {content.get('format')!r}: this texsyn reads format {FORMAT}")
    modality, design = _modality_from(content, folder), _design_from(content, folder)
    with torch.device("meta"):
        return Triangle(modality, design)


def _row(modality: Modality) -> dict[str, Any]:
    return {f.name: _plain(getattr(modality, f.name)) for f in fields(Modality) if f.name != "designs"}


def _plain(value: Any) -> Any:
    return [asdict(v) if isinstance(v, Plane) else v for v in value] if isinstance(value, tuple) else value


def _modality_from(content: dict[str, Any], folder: Path) -> Modality:
    row = _object(content, "modality", folder)
    rank = len(row.get("axes", ()))
    if tuple(row.get("axes", ())) not in (("y", "x"), ("t", "y", "x")):
        raise _damaged(folder, "axes")
    planes = row.get("planes")
    if not isinstance(planes, list) or not 1 <= len(planes) <= 8:
        raise _damaged(folder, "planes")
    return Modality(
        name=_text(row, "name", folder),
        axes=tuple(row["axes"]),
        stationary=_tuple(row, "stationary", bool, rank, 0, 1, folder),
        window=_tuple(row, "window", int, rank, 1, 4096, folder),
        size=_tuple(row, "size", int, rank, 1, 65536, folder),
        side=_number(row, "side", int, 0, 65536, folder),
        suffix=_text(row, "suffix", folder),
        designs={},
        planes=tuple(
            Plane(_text(p, "name", folder), _number(p, "channels", int, 1, 16, folder)) for p in map(dict, planes)
        ),
    )


def _design_from(content: dict[str, Any], folder: Path) -> Design:
    found = _object(content, "design", folder)
    rank = len(_object(content, "modality", folder)["axes"])

    def layer(row: Any) -> Layer:
        if not isinstance(row, dict):
            raise _damaged(folder, "layer")
        return Layer(
            _number(row, "channels", int, 0, 4096, folder),
            _tuple(row, "kernel", int, rank, 1, 64, folder),
            _tuple(row, "factor", int, rank, 1, 64, folder),
            bool(row.get("padded", True)),
        )

    def stack(name: str) -> tuple[Layer, ...]:
        rows = found.get(name)
        if not isinstance(rows, list) or not 1 <= len(rows) <= 16:
            raise _damaged(folder, name)
        return tuple(layer(row) for row in rows)

    if found.get("normalisation") not in ("batch", "none"):
        raise _damaged(folder, "normalisation")
    return Design(
        latent_channels=_number(found, "latent_channels", int, 1, 4096, folder),
        generator=stack("generator"),
        posterior=stack("posterior"),
        heads=layer(found.get("heads")),
        energy=stack("energy"),
        energy_scales=_number(found, "energy_scales", int, 1, 8, folder),
        constant_channels=_number(found, "constant_channels", int, 0, 4096, folder),
        coordinates=bool(found.get("coordinates")),
        normalisation=found["normalisation"],
        energy_mean=bool(found.get("energy_mean")),
        energy_rectified=bool(found.get("energy_rectified")),
        log_variance_bound=_number(found, "log_variance_bound", float, 0, 100, folder),
        edges=bool(found.get("edges")),
        equaliser=_tuple(found, "equaliser", int, rank, 1, 31, folder) if found.get("equaliser") else (),
    )


def _damaged(folder: Path, what: str) -> TexsynError:
    return TexsynError(f"{folder.name} is damaged: its {what} cannot be right")


def _object(content: dict[str, Any], name: str, folder: Path) -> dict[str, Any]:
    found = content.get(name)
    if not isinstance(found, dict):
        raise _damaged(folder, name)
    return found


def _text(row: dict[str, Any], name: str, folder: Path) -> str:
    found = row.get(name)
    if not isinstance(found, str) or len(found) > 100 or not found.replace(".", "").isalnum():
        raise _damaged(folder, name)
    return found


def _number(row: dict[str, Any], name: str, kind: type, low: float, high: float, folder: Path) -> Any:
    found = row.get(name)
    if isinstance(found, bool) != (kind is bool) or not isinstance(found, (int, float)) or not low <= found <= high:
        raise _damaged(folder, name)
    return kind(found)


def _tuple(
    row: dict[str, Any], name: str, kind: type, rank: int, low: float, high: float, folder: Path
) -> tuple[Any, ...]:
    found = row.get(name)
    if not isinstance(found, list) or len(found) != rank:
        raise _damaged(folder, name)
    return tuple(_number({name: each}, name, kind, low, high, folder) for each in found)


# ---------------------------------------------------------------- runs


@dataclass(frozen=True)
class Run:
    """A run folder that exists."""

    path: Path

    @classmethod
    def create(cls, path: str | Path, exemplar: Exemplar, recipe: Recipe, recipe_name: str = "") -> Run:
        """Lay out a new run. Raises TexsynError: exit 2 when the folder is in use, exit 5 when the disk refuses."""
        path = Path(path)
        media.refuse_overwrite(path, force=False)
        try:
            for part in ("checkpoints", "sheets"):
                (path / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TexsynError(f"{path.name} cannot be created: {error.strerror}", Exit.DISK) from error
        content = {
            "format": FORMAT,
            "recipe_name": recipe_name,
            "recipe": asdict(recipe),
            "modality": _row(exemplar.modality),
            "design": asdict(training.design_for(exemplar.modality, recipe)),
            "exemplar": {**exemplar.facts, "fps": exemplar.fps},
            "made_with": {"texsyn": __version__, "torch": torch.__version__, "python": platform.python_version()},
        }
        tensors = {"pixels": exemplar.pixels} | ({} if exemplar.held is None else {"held": exemplar.held})
        storage.store(path / "exemplar", tensors, {"facts": exemplar.facts})
        storage.replace_text(path / "run.json", json.dumps(content, indent=2) + "\n")
        return cls(path)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """An existing run. Raises TexsynError (exit 3) for anything else."""
        path = Path(path)
        if not (path / "run.json").exists():
            raise TexsynError(f"{path.name or path} is not a run of texsyn: it has no run.json")
        run = cls(path)
        if run.content.get("format") != FORMAT:
            raise TexsynError(f"{path.name} has format {run.content.get('format')!r}: this texsyn reads {FORMAT}")
        return run

    @property
    def content(self) -> dict[str, Any]:
        """run.json."""
        return storage.read_json(self.path / "run.json")

    @property
    def recipe(self) -> Recipe:
        found = _object(self.content, "recipe", self.path)
        known = {f.name: f.default for f in fields(Recipe)}
        if found.keys() != known.keys() or any(
            isinstance(value, (int, float)) != isinstance(known[name], (int, float)) for name, value in found.items()
        ):
            raise _damaged(self.path, "recipe")
        recipe = Recipe(**found)
        training.check_recipe(recipe)
        return recipe

    @property
    def fps(self) -> float:
        """Frames per second of the exemplar; 0 for stills."""
        return float(_number(_object(self.content, "exemplar", self.path), "fps", float, 0, 1000, self.path))

    def made_by(self) -> dict[str, Any]:
        """What goes into the metadata of every texture of this run: no paths, no names."""
        content = self.content
        exemplar = _object(content, "exemplar", self.path)
        return {
            "texsyn": __version__,
            "recipe": content.get("recipe_name"),
            "fit_seed": self.recipe.seed,
            "exemplar_sha256": exemplar.get("sha256"),
        }

    def exemplar(self) -> Exemplar:
        """The exemplar as it is learnt from."""
        content = self.content
        modality = _modality_from(content, self.path)
        stored = storage.read_content(self.path / "exemplar")
        tensors = storage.read_tensors(self.path / "exemplar")
        for tensor in tensors.values():
            if tensor.dim() != 1 + len(modality.axes) or tensor.shape[0] != modality.channels:
                raise _damaged(self.path, "exemplar")
        if "pixels" not in tensors:
            raise _damaged(self.path, "exemplar")
        return Exemplar(tensors["pixels"], modality, self.fps, dict(stored.get("facts", {})), tensors.get("held"))

    def checkpoints(self) -> list[Path]:
        """Stored checkpoints, the newest first."""
        found = (p for p in (self.path / "checkpoints").glob("[0-9]*") if p.is_dir() and p.name.isdigit())
        return sorted(found, key=lambda p: int(p.name), reverse=True)

    def triangle(self, device: str | torch.device = "cpu") -> Triangle:
        """The fitted networks, or those of the newest checkpoint that can be read."""
        if (self.path / "model" / "manifest.json").exists():
            return load(self.path / "model", device)
        triangle = _empty(self.content, self.path).to_empty(device=device)
        state = training.begin(triangle, self.recipe)
        if not self.restore(state, lambda text: None):
            raise TexsynError(f"{self.path.name} has learnt nothing yet: it has no checkpoint")
        pixels = self.exemplar().pixels.to(triangle.device)
        training.settle(triangle, training.resolve(self.recipe, triangle.device), pixels)
        return _ready(triangle, device)

    def restore(self, state: State, warn: Callable[[str], None]) -> bool:
        """Put `state` where the newest checkpoint left it that can be read; False when there is none."""
        for folder in self.checkpoints():
            try:
                tensors = storage.read_tensors(folder, state.tensors())
                numbers = storage.read_content(folder)
                checked = {
                    "step": _number(numbers, "step", int, 1, 2**53, folder),
                    "seconds": _number(numbers, "seconds", float, 0, 1e12, folder),
                    "caution": _number(numbers, "caution", float, 0, 1, folder),
                    "rollbacks": _number(numbers, "rollbacks", int, 0, 1e6, folder),
                    "bad": _number(numbers, "bad", int, 0, 1e6, folder),
                }
            except TexsynError as error:
                warn(f"{error}; trying the one before")
                continue
            state.restore(tensors, checked)
            return True
        return False

    def fresh(self, device: str | torch.device = "cpu") -> Triangle:
        """The run's networks as they were before the first step."""
        content = self.content
        modality, design = _modality_from(content, self.path), _design_from(content, self.path)
        return Triangle(modality, design, self.recipe.seed).to(device)

    def learn(
        self, triangle: Triangle, exemplar: Exemplar, recipe: Recipe, warn: Callable[[str], None]
    ) -> Iterator[Report]:
        """Fit from where the run stands, storing checkpoints, events, sheets and, whenever it ends, the model.

        Raises TexsynError, besides those of `fit`: exit 2 when another process is at it.
        """
        with storage.locked(self.path / ".lock"):
            yield from self._learn(triangle, exemplar, recipe, warn)

    def _learn(
        self, triangle: Triangle, exemplar: Exemplar, recipe: Recipe, warn: Callable[[str], None]
    ) -> Iterator[Report]:
        state = training.begin(triangle, recipe)
        self.restore(state, warn)
        content = self.content
        if asdict(recipe) != content["recipe"]:
            storage.replace_text(
                self.path / "run.json", json.dumps({**content, "recipe": asdict(recipe)}, indent=2) + "\n"
            )
        self._event(warn, event="start", step=state.step, device=str(triangle.device))
        sheets = _Sheets(state.seconds)
        ending = "stopped"
        last_event = -math.inf
        try:
            for report in training.fit(triangle, exemplar, recipe, state):
                if report.skipped:
                    self._event(warn, event="skipped", step=report.step, reason=report.skipped)
                    warn(f"step {report.step}: {report.skipped}")
                if report.checkpoint:
                    self._checkpoint(state, warn)
                if report.seconds - last_event >= 0.5 or report.done:
                    last_event = report.seconds
                    self._event(
                        warn, event="step", step=report.step, seconds=round(report.seconds, 2), terms=report.terms
                    )
                yield report
                if sheets.due(report.seconds):
                    training.settle(triangle, recipe, exemplar.pixels.to(triangle.device))
                    self._sheet(triangle, exemplar, report.step, warn)
            ending = "finished"
        except TexsynError as error:
            ending = "diverged" if error.exit is Exit.DIVERGED else "failed"
            raise
        finally:
            if state.step:
                if not (self.path / "checkpoints" / f"{state.step:08d}").exists():
                    self._checkpoint(state, warn)
                self._sheet(triangle, exemplar, state.step, warn)
                save(triangle, self.path / "model", self.made_by(), force=True)
            self._event(warn, event=ending, step=state.step, seconds=round(state.seconds, 2))

    def card(self, triangle: Triangle, exemplar: Exemplar) -> quality.Card:
        """Score samples of seeds 0 to 2 and keep the card in card.json. Raises TexsynError (exit 3) if too small."""
        moving = triangle.modality.moving
        count = triangle.modality.window[0] if moving else None
        samples = [quality.arrays(s) for s in sampling.sample(triangle, count=3, frames=count)]
        original = quality.arrays(exemplar.pixels)
        if moving:
            held = None if exemplar.held is None else quality.arrays(exemplar.held)
            card = quality.score_clips(samples, original[:count], held)
        else:
            card = quality.score_stills(samples, original[: samples[0].shape[0], : samples[0].shape[1]])
        storage.replace_text(self.path / "card.json", json.dumps(card.plain(), indent=2) + "\n")
        return card

    def _checkpoint(self, state: State, warn: Callable[[str], None]) -> None:
        """A full disk costs this checkpoint, not the fit."""
        folder = self.path / "checkpoints" / f"{state.step:08d}"
        try:
            storage.store(folder, state.tensors(), state.numbers())
        except TexsynError as error:
            warn(f"{error}; the fit goes on with the checkpoint before")
            return
        for old in self.checkpoints()[_KEEP:]:
            shutil.rmtree(old, ignore_errors=True)

    def _event(self, warn: Callable[[str], None], **content: Any) -> None:
        try:
            with (self.path / "events.jsonl").open("a") as file:
                file.write(json.dumps({"time": round(time.time(), 2), **content}) + "\n")
        except OSError as error:
            warn(f"events.jsonl cannot be written: {error.strerror}")

    def _sheet(self, triangle: Triangle, exemplar: Exemplar, step: int, warn: Callable[[str], None]) -> None:
        try:
            picture = sheet(triangle, exemplar)
            media.write(picture, self.path / "sheets" / f"{step:08d}.png", force=True)
        except TexsynError as error:
            warn(str(error))


class _Sheets:
    """When the next sample sheet is due: twice early on, then once a minute."""

    def __init__(self, seconds: float) -> None:
        self.times = [t for t in _FIRST_SHEETS if t > seconds]
        self.last = seconds

    def due(self, seconds: float) -> bool:
        if self.times and seconds >= self.times[0]:
            self.times.pop(0)
        elif self.times or seconds - self.last < _SHEET_EVERY:
            return False
        self.last = seconds
        return True


def sheet(triangle: Triangle, exemplar: Exemplar, count: int = 3) -> Tensor:
    """One picture, `channels y x` in [-1, 1]: the exemplar, then samples; a clip is a row of frames."""
    samples = sampling.sample(
        triangle, count=count, frames=triangle.modality.window[0] if triangle.modality.moving else None
    )
    shown = [_crop_like(exemplar.pixels, samples[0]), *samples]
    colour = [each[: triangle.modality.planes[0].channels] for each in shown]
    if triangle.modality.moving:
        moments = np.linspace(0, colour[1].shape[1] - 1, 8).round().astype(int)
        rows = [torch.cat([clip[:, moment] for moment in moments], -1) for clip in colour]
        return torch.cat(rows, -2)
    return torch.cat(colour, -1)


def _crop_like(pixels: Tensor, sample: Tensor) -> Tensor:
    for axis in range(1, pixels.dim()):
        have, wanted = pixels.shape[axis], sample.shape[axis]
        if have < wanted:
            pixels = torch.cat(
                [pixels, pixels.new_full((*pixels.shape[:axis], wanted - have, *pixels.shape[axis + 1 :]), -1)], axis
            )
        pixels = pixels.narrow(axis, 0, wanted)
    return pixels


def default_path(exemplar: Path, parent: Path = Path("runs")) -> Path:
    """`runs/NAME-N` with the first free N."""
    stem = "".join(c if c.isalnum() or c in "-_" else "-" for c in exemplar.stem)[:40] or "run"
    number = 1
    while (parent / f"{stem}-{number}").exists():
        number += 1
    return parent / f"{stem}-{number}"
