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

from texsyn import __version__, models, quality, recipes, sampling, storage, training, writing
from texsyn.errors import Exit, TexsynError
from texsyn.media import Exemplar
from texsyn.recipes import Recipe
from texsyn.training import Report, State
from texsyn.triangle import Triangle

_KEEP = 2  # checkpoints
_FIRST_SHEETS = (10.0, 30.0)  # seconds
_SHEET_EVERY = 60.0  # seconds


@dataclass(frozen=True)
class Run:
    """A run folder that exists."""

    path: Path

    @classmethod
    def create(cls, path: str | Path, exemplar: Exemplar, recipe: Recipe, recipe_name: str = "") -> Run:
        """Lay out a new run. Raises TexsynError: exit 2 when the folder is in use, exit 5 when the disk refuses."""
        path = Path(path)
        writing.refuse_overwrite(path, force=False)
        try:
            for part in ("checkpoints", "sheets"):
                (path / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TexsynError(f"{path.name} cannot be created: {error.strerror}", Exit.DISK) from error
        content = {
            "format": models.FORMAT,
            "recipe_name": recipe_name,
            "recipe": asdict(recipe),
            "modality": models.row_of(exemplar.modality),
            "design": asdict(recipes.design_for(exemplar.modality, recipe)),
            "exemplar": {**exemplar.facts, "fps": exemplar.fps},
            "made_with": {"texsyn": __version__, "torch": torch.__version__, "python": platform.python_version()},
        }
        tensors = {"pixels": exemplar.pixels} | ({} if exemplar.held is None else {"held": exemplar.held})
        storage.store(path / "exemplar", tensors, {"facts": exemplar.facts})
        run = cls(path)
        run._write("run.json", content)
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """An existing run. Raises TexsynError (exit 3) for anything else."""
        path = Path(path)
        if not (path / "run.json").exists():
            raise TexsynError(f"{path.name or path} is not a run of texsyn: it has no run.json")
        run = cls(path)
        if run.content.get("format") != models.FORMAT:
            raise TexsynError(
                f"{path.name} has format {run.content.get('format')!r}: this texsyn reads {models.FORMAT}"
            )
        return run

    @property
    def content(self) -> dict[str, Any]:
        """run.json."""
        return storage.read_json(self.path / "run.json")

    @property
    def recipe(self) -> Recipe:
        found = models.object_in(self.content, "recipe", self.path)
        known = {f.name: f.default for f in fields(Recipe)}
        if found.keys() != known.keys() or any(
            isinstance(value, (int, float)) != isinstance(known[name], (int, float)) for name, value in found.items()
        ):
            raise models.damaged(self.path, "recipe")
        recipe = Recipe(**found)
        recipes.check_recipe(recipe)
        return recipe

    @property
    def fps(self) -> float:
        """Frames per second of the exemplar; 0 for stills."""
        return float(
            models.number_in(models.object_in(self.content, "exemplar", self.path), "fps", float, 0, 1000, self.path)
        )

    def made_by(self) -> dict[str, Any]:
        """What goes into the metadata of every texture of this run: no paths, no names."""
        content = self.content
        exemplar = models.object_in(content, "exemplar", self.path)
        return {
            "texsyn": __version__,
            "recipe": content.get("recipe_name"),
            "fit_seed": self.recipe.seed,
            "exemplar_sha256": exemplar.get("sha256"),
        }

    def exemplar(self) -> Exemplar:
        """The exemplar as it is learnt from."""
        content = self.content
        modality = models.modality_from(content, self.path)
        stored = storage.read_content(self.path / "exemplar")
        tensors = storage.read_tensors(self.path / "exemplar")
        for tensor in tensors.values():
            if tensor.dim() != 1 + len(modality.axes) or tensor.shape[0] != modality.channels:
                raise models.damaged(self.path, "exemplar")
        if "pixels" not in tensors:
            raise models.damaged(self.path, "exemplar")
        return Exemplar(tensors["pixels"], modality, self.fps, dict(stored.get("facts", {})), tensors.get("held"))

    def checkpoints(self) -> list[Path]:
        """Stored checkpoints, the newest first."""
        found = (p for p in (self.path / "checkpoints").glob("[0-9]*") if p.is_dir() and p.name.isdigit())
        return sorted(found, key=lambda p: int(p.name), reverse=True)

    def triangle(self, device: str | torch.device = "cpu") -> Triangle:
        """The fitted networks, or those of the newest checkpoint that can be read, where the fit went on since."""
        checkpoints = self.checkpoints()
        learnt = models.steps(self.path / "model")
        if learnt and (not checkpoints or learnt >= int(checkpoints[0].name)):
            return models.load(self.path / "model", device)
        triangle = models.empty(self.content, self.path).to_empty(device=device)
        state = training.begin(triangle, self.recipe)
        if not self.restore(state, lambda text: None):
            raise TexsynError(f"{self.path.name} has learnt nothing yet: it has no checkpoint")
        pixels = self.exemplar().pixels.to(triangle.device)
        training.settle(triangle, training.resolve(self.recipe, triangle.device), pixels)
        return models.ready(triangle, device)

    def restore(self, state: State, warn: Callable[[str], None]) -> bool:
        """Put `state` where the newest checkpoint left it that can be read; False when there is none."""
        for folder in self.checkpoints():
            try:
                tensors = storage.read_tensors(folder, state.tensors())
                numbers = storage.read_content(folder)
                checked = {
                    "step": models.number_in(numbers, "step", int, 1, 2**53, folder),
                    "seconds": models.number_in(numbers, "seconds", float, 0, 1e12, folder),
                    "caution": models.number_in(numbers, "caution", float, 0, 1, folder),
                    "rollbacks": models.number_in(numbers, "rollbacks", int, 0, 1e6, folder),
                    "bad": models.number_in(numbers, "bad", int, 0, 1e6, folder),
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
        modality, design = models.modality_from(content, self.path), models.design_from(content, self.path)
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
            self._write("run.json", {**content, "recipe": asdict(recipe)})
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
                models.save(triangle, self.path / "model", {**self.made_by(), "step": state.step}, force=True)
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
        self._write("card.json", card.plain())
        return card

    def _write(self, name: str, content: dict[str, Any]) -> None:
        storage.replace_text(self.path / name, json.dumps(content, indent=2) + "\n")

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
            writing.write(picture, self.path / "sheets" / f"{step:08d}.png", force=True)
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


def load(folder: str | Path, device: str | torch.device = "cpu") -> Triangle:
    """The triangle of a run or of a stored model, ready for `texsyn.sample`.

    A run that is still learning gives its last checkpoint. Raises TexsynError (exit 3) for a folder that is not one of
    texsyn's or is damaged.
    """
    folder = Path(folder)
    return Run.open(folder).triangle(device) if (folder / "run.json").exists() else models.load(folder, device)


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
