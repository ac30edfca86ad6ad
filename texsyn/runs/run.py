"""A run on disk: its exemplars, one recipe, what was learnt, and how it went.

RUN/run.json        recipe, kind, networks, facts about the exemplars, versions: readable
RUN/exemplar/       the exemplars as they are learnt from
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from texsyn.core.errors import Exit, TexsynError, short
from texsyn.core.files import locked, replace_text
from texsyn.core.recipes import Recipe, check_recipe, design_for
from texsyn.core.version import __version__
from texsyn.media import writing
from texsyn.media.collection import pictures_of
from texsyn.media.exemplar import Exemplar, OneOrMore, as_tuple
from texsyn.metrics.card import Card, describe, quick_metrics, score_clips, score_stills, to_numpy
from texsyn.models.triangle import Triangle
from texsyn.runs import checkpoints as checkpoints_
from texsyn.runs import previews, serialization, storage
from texsyn.synthesis import inversion, sampling
from texsyn.synthesis.latent_field import End
from texsyn.training import loop
from texsyn.training.calibration import calibrate

_PARTS = ("pixels", "held", "mask")  # of an exemplar that are stored
_COUNTS = ("width", "height", "frames", "used_frames", "pictures")  # among the facts of an exemplar


@dataclass(frozen=True)
class Run:
    """A run folder that exists."""

    path: Path

    @classmethod
    def create(cls, path: str | Path, exemplar: OneOrMore, recipe: Recipe, recipe_name: str = "") -> Run:
        """Lay out a new run. Raises TexsynError: exit 2 when the folder is in use, exit 5 when the disk refuses."""
        path, exemplars = Path(path), as_tuple(exemplar)
        modality = exemplars[0].modality
        loop.check(exemplars, recipe)
        refuse_used(path)
        try:
            for part in ("checkpoints", "sheets"):
                (path / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TexsynError(f"{path.name} cannot be created: {error.strerror}", Exit.DISK) from error
        content = {
            "format": serialization.FORMAT,
            "recipe_name": recipe_name,
            "recipe": asdict(recipe),
            "modality": serialization.row_of(modality),
            "design": asdict(design_for(modality, recipe, len(exemplars))),
            "exemplars": [{**each.facts, "fps": each.fps} for each in exemplars],
            "made_with": {"texsyn": __version__, "torch": torch.__version__, "python": platform.python_version()},
        }
        tensors = {
            f"{part}.{number}": getattr(each, part)
            for number, each in enumerate(exemplars)
            for part in _PARTS
            if getattr(each, part) is not None
        }
        storage.store(path / "exemplar", tensors, {})
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
        if run.content.get("format") != serialization.FORMAT:
            raise TexsynError(
                f"{path.name} has format {run.content.get('format')!r}: this texsyn reads {serialization.FORMAT}"
            )
        return run

    @property
    def content(self) -> dict[str, Any]:
        """run.json."""
        return storage.read_json(self.path / "run.json")

    @property
    def recipe(self) -> Recipe:
        found = serialization.object_in(self.content, "recipe", self.path)
        known = {f.name: f.default for f in fields(Recipe)}
        if found.keys() != known.keys():
            version = short(str(serialization.object_in(self.content, "made_with", self.path).get("texsyn")))
            raise TexsynError(
                f"{self.path.name} has other settings than this texsyn {__version__} (it was begun by {version}): "
                "what it has learnt can be sampled, but not gone on with"
            )
        if any(
            isinstance(value, (int, float)) != isinstance(known[name], (int, float)) for name, value in found.items()
        ):
            raise serialization.damaged(self.path, "recipe")
        recipe = Recipe(**found)
        check_recipe(recipe)
        return recipe

    @property
    def facts(self) -> list[dict[str, Any]]:
        """What is known of each exemplar: name, sha256, width and height, frames, fps."""
        found = self.content.get("exemplars")
        if not isinstance(found, list) or not found or not all(isinstance(each, dict) for each in found):
            raise serialization.damaged(self.path, "list of exemplars")
        for each in found:
            for name in _COUNTS:
                if name in each:
                    serialization.number_in(each, name, int, 1, 10**9, self.path)
            if not isinstance(each.get("name", ""), str):
                raise serialization.damaged(self.path, "list of exemplars")
        return found

    @property
    def fps(self) -> float:
        """Frames per second of the first exemplar; 0 for stills."""
        return float(serialization.number_in(self.facts[0], "fps", float, 0, 1000, self.path))

    def made_by(self) -> dict[str, Any]:
        """What goes into the metadata of every texture of this run: no paths, no names."""
        hashes = [each.get("sha256") for each in self.facts]
        return {
            "texsyn": __version__,
            "recipe": self.content.get("recipe_name"),
            "fit_seed": serialization.number_in(
                serialization.object_in(self.content, "recipe", self.path), "seed", int, 0, 2**31 - 1, self.path
            ),
            "exemplar_sha256": hashes[0] if len(hashes) == 1 else hashes,
        }

    def exemplars(self) -> tuple[Exemplar, ...]:
        """The exemplars as they are learnt from."""
        modality = serialization.modality_from(self.content, self.path)
        tensors = storage.read_tensors(self.path / "exemplar")
        found = []
        for number, facts in enumerate(self.facts):
            parts = {part: tensors.pop(f"{part}.{number}", None) for part in _PARTS}
            for part, tensor in parts.items():
                channels = 1 if part == "mask" else modality.channels
                if tensor is not None and (tensor.dim() != 1 + len(modality.axes) or tensor.shape[0] != channels):
                    raise serialization.damaged(self.path, "exemplar")
            pixels, mask = parts["pixels"], parts["mask"]
            if pixels is None or (mask is not None and mask.shape[1:] != pixels.shape[1:]):
                raise serialization.damaged(self.path, "exemplar")
            found.append(Exemplar(pixels, modality, self.fps, facts, parts["held"], mask))
        if tensors:
            raise serialization.damaged(self.path, "exemplar")
        return tuple(found)

    @property
    def title(self) -> str:
        """What people call it: by default the names of its exemplars."""
        return str(self.content.get("title") or " + ".join(self.names()))

    def rename(self, title: str) -> None:
        """Give it another title. Raises TexsynError (exit 2) for none, or one of more than 80 characters."""
        title = " ".join(title.split())
        if not 0 < len(title) <= 80:
            raise TexsynError("a title has 1 to 80 characters", Exit.USAGE)
        self._write("run.json", {**self.content, "title": title})

    def discard(self) -> None:
        """Delete it, and all that was learnt. Raises TexsynError (exit 2) while a process is at it."""
        with locked(self.path / ".lock"):
            shutil.rmtree(self.path, ignore_errors=True)

    @property
    def bytes(self) -> int:
        """Disk space that it takes."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def names(self) -> list[str]:
        """The exemplars' names, in the order of their numbers."""
        return [str(each.get("name", "")) for each in self.facts]

    def number(self, name: str | None) -> int:
        """The number of the exemplar of that name; the first where none is named. Raises TexsynError (exit 2)."""
        names = self.names()
        if name is not None and name not in names:
            raise TexsynError(f"this run learnt {', '.join(names)}, but no {name}", Exit.USAGE)
        return 0 if name is None else names.index(name)

    def end(self, text: str) -> End:
        """One end of a morph: a seed, the name of an exemplar, or NAME:SEED. Raises TexsynError (exit 2)."""
        name, colon, seed = text.rpartition(":")
        if text in self.names():
            return End(0, self.number(text))
        if not (seed.isdecimal() and int(seed) < 2**31):
            raise TexsynError(f"{text!r} is no seed and none of {', '.join(self.names())}", Exit.USAGE)
        return End(int(seed), self.number(name) if colon else 0)

    def checkpoints(self) -> list[Path]:
        """Stored checkpoints, the newest first."""
        return checkpoints_.stored(self.path / "checkpoints")

    def triangle(self, device: str | torch.device = "cpu") -> Triangle:
        """The fitted networks, or those of the newest checkpoint that can be read, where the fit went on since."""
        stored = self.checkpoints()
        learnt = serialization.steps(self.path / "model")
        if learnt and (not stored or learnt >= int(stored[0].name)):
            return serialization.load(self.path / "model", device)
        triangle = serialization.empty(self.content, self.path).to_empty(device=device)
        exemplars = self.exemplars()
        state = loop.init_state(triangle, self.recipe, exemplars)
        if not checkpoints_.restore(self.path / "checkpoints", state, lambda text: None):
            raise TexsynError(f"{self.path.name} has learnt nothing yet: it has no checkpoint")
        calibrate(triangle, self.recipe, state.pixels(exemplars))
        return serialization.ready(triangle, device)

    def _pixels(self, exemplars: Sequence[Exemplar]) -> list[Tensor]:
        """The exemplars, `channels *axes` each; what was missing in them as the newest checkpoint estimates it."""
        if all(each.mask is None for each in exemplars):
            return [each.pixels for each in exemplars]
        state = loop.init_state(self.fresh(), self.recipe, exemplars)
        checkpoints_.restore(self.path / "checkpoints", state, lambda text: None)
        return state.pixels(exemplars)

    def fresh(self, device: str | torch.device = "cpu") -> Triangle:
        """The run's networks as they were before the first step."""
        content = self.content
        modality, design = (
            serialization.modality_from(content, self.path),
            serialization.design_from(content, self.path),
        )
        return Triangle(modality, design, self.recipe.seed).to(device)

    def learn(
        self, triangle: Triangle, exemplar: OneOrMore, recipe: Recipe, warn: Callable[[str], None]
    ) -> Iterator[loop.Report]:
        """Fit from where the run stands, storing checkpoints, events, sheets and, whenever it ends, the model.

        Raises TexsynError, besides those of `fit`: exit 2 when another process is at it.
        """
        with locked(self.path / ".lock"):
            for folder in (self.path, self.path / "checkpoints", self.path / "sheets"):
                storage.tidy(folder)
            yield from self._learn(triangle, as_tuple(exemplar), recipe, warn)

    def _learn(
        self, triangle: Triangle, exemplars: tuple[Exemplar, ...], recipe: Recipe, warn: Callable[[str], None]
    ) -> Iterator[loop.Report]:
        state = loop.init_state(triangle, recipe, exemplars)
        places = self.path / "checkpoints"
        checkpoints_.restore(places, state, warn)
        content = self.content
        if asdict(recipe) != content["recipe"]:
            other = any(content["recipe"].get(name) != getattr(recipe, name) for name in ("steps", "minutes"))
            if other and state.step and loop.progress(state, recipe) >= 1:
                budget = f"--minutes {recipe.minutes:g}" if recipe.minutes else f"--steps {recipe.steps}"
                learnt = f"{state.seconds / 60:.1f} minutes" if recipe.minutes else f"{state.step} steps"
                raise TexsynError(f"{self.path.name} has learnt {learnt} already: {budget} must be more", Exit.USAGE)
            self._write("run.json", {**content, "recipe": asdict(recipe)})
        self._event(warn, event="start", step=state.step, device=str(triangle.device))
        times, begun = previews.Times(state.seconds), state.step
        ending = "stopped"
        last_event = -math.inf
        try:
            for report in loop.fit(triangle, exemplars, recipe, state):
                if report.step == begun + 1:
                    for number in range(len(exemplars)):  # of what it was before
                        (self.path / self._card_name(number)).unlink(missing_ok=True)
                if report.skipped:
                    self._event(warn, event="skipped", step=report.step, reason=report.skipped)
                    warn(f"step {report.step}: {report.skipped}")
                if report.checkpoint:
                    checkpoints_.store(places, state, warn)
                if report.seconds - last_event >= min(10.0, max(0.5, report.seconds / 500)) or report.done:
                    last_event = report.seconds
                    self._event(
                        warn,
                        event="step",
                        step=report.step,
                        progress=round(report.progress, 4),
                        seconds=round(report.seconds, 2),
                        remaining=round(report.remaining, 1),
                        terms=report.terms,
                    )
                yield report
                if times.due(report.seconds):
                    calibrate(triangle, recipe, state.pixels(exemplars))
                    self._sheet(triangle, state.pixels(exemplars), report.step, warn)
                    self._event(warn, event="glance", step=report.step, **self._glance(triangle, state, exemplars))
            ending = "finished"
        except TexsynError as error:
            ending = "diverged" if error.exit is Exit.DIVERGED else "failed"
            raise
        finally:
            if state.step:
                if not (places / checkpoints_.name_of(state)).exists():
                    checkpoints_.store(places, state, warn)
                self._sheet(triangle, state.pixels(exemplars), state.step, warn)
                serialization.save(triangle, self.path / "model", {**self.made_by(), "step": state.step}, force=True)
            self._event(warn, event=ending, step=state.step, seconds=round(state.seconds, 2))

    @property
    def scored(self) -> bool:
        """Whether there is a card for each exemplar; a collection has an event instead."""
        learnt = [event.get("event") for event in self.events() if event.get("event") in ("step", "reconstruction")]
        return learnt[-1:] == ["reconstruction"] or all(
            (self.path / self._card_name(n)).exists() for n in range(len(self.names()))
        )

    def card(self, triangle: Triangle, exemplar: int = 0) -> Card:
        """Score samples of seeds 0 to 2 and keep the card in card.json. Raises TexsynError (exit 3) if too small.

        What was missing in the exemplar is scored as it was estimated. A clip's reference are frames that were held out
        of the fit, or else the exemplar's last. Seams, which cost little and vary much, are those of twelve stills.
        """
        exemplars, moving = self.exemplars(), triangle.modality.moving
        count = triangle.modality.window[0] if moving else None
        many = sampling.sample(triangle, count=3 if moving else 12, frames=count, exemplar=exemplar)
        wholes = [to_numpy(each) for each in many]
        samples, original = wholes[:3], to_numpy(self._pixels(exemplars)[exemplar])
        if moving:
            held = exemplars[exemplar].held
            others = original[-count:] if count and len(original) >= 2 * count else None
            card = score_clips(samples, original[:count], others if held is None else to_numpy(held))
        else:
            card = score_stills(samples, original[: samples[0].shape[0], : samples[0].shape[1]], wholes)
        self._write(self._card_name(exemplar), card.to_dict())
        return card

    def reconstructed(self, triangle: Triangle) -> tuple[float, float]:
        """Mean squared error for each value in [0, 1] of at most 500 pictures of a collection: learnt, and held out.

        It is kept as an event.
        """
        exemplar = self.exemplars()[0]
        if exemplar.held is None:
            raise serialization.damaged(self.path, "exemplar")
        side = triangle.modality.window[0]
        seen, held = (
            inversion.reconstruction_error(triangle, pictures_of(sheet, side)[:500])
            for sheet in (exemplar.pixels, exemplar.held)
        )
        self._event(lambda text: None, event="reconstruction", learnt=seen, held=held)
        return seen, held

    def _glance(self, triangle: Triangle, state: loop.TrainState, exemplars: Sequence[Exemplar]) -> dict[str, float]:
        frames = triangle.modality.window[0] if triangle.modality.moving else None
        if triangle.modality.collection:
            return {}
        sample = to_numpy(sampling.sample(triangle, frames=frames)[0])
        found = quick_metrics(sample, to_numpy(state.pixels(exemplars)[0]))
        return {name: round(value, 4) for name, value in found.items()}

    def events(self) -> tuple[dict[str, Any], ...]:
        """What happened so far: start, steps with the five terms, warnings, the end. Broken lines are left out."""
        path = self.path / "events.jsonl"
        try:
            facts = path.stat()
        except OSError:
            return ()
        return _events(path, facts.st_size, facts.st_mtime_ns)

    def _card_name(self, exemplar: int) -> str:
        return "card.json" if len(self.names()) == 1 else f"card-{exemplar}.json"

    def card_words(self) -> list[str]:
        """The card that was kept, as a person reads it; nothing where there is none."""
        names = self.names()
        found = []
        for number, name in enumerate(names):
            file = self.path / self._card_name(number)
            if file.exists():
                found += [f"{name}", *describe(Card.from_dict(storage.read_json(file)))][len(names) == 1 :]
        return found

    def _write(self, name: str, content: dict[str, Any]) -> None:
        replace_text(self.path / name, json.dumps(content, indent=2) + "\n")

    def _event(self, warn: Callable[[str], None], **content: Any) -> None:
        try:
            with (self.path / "events.jsonl").open("ab+") as file:
                if file.tell():
                    file.seek(-1, 2)
                    file.write(b"" if file.read(1) == b"\n" else b"\n")  # a process that was killed left half a line
                file.write(json.dumps({"time": round(time.time(), 2), **content}).encode() + b"\n")
        except OSError as error:
            warn(f"events.jsonl cannot be written: {error.strerror}")

    def _sheet(self, triangle: Triangle, pixels: list[Tensor], step: int, warn: Callable[[str], None]) -> None:
        try:
            picture = torch.cat([previews.drawn(triangle, each.cpu(), exemplar=n) for n, each in enumerate(pixels)], -2)
            writing.write(picture, self.path / "sheets" / f"{step:08d}.png", force=True)
        except TexsynError as error:
            warn(str(error))


def refuse_used(path: Path) -> None:
    """Raise TexsynError (exit 2) for a path that is taken: by more than an empty folder, or a run half laid out."""
    known = {"checkpoints", "sheets", "exemplar"}
    half = path.is_dir() and all(p.name in known or p.name.endswith((".part", ".old")) for p in path.iterdir())
    if path.exists() and not half:
        raise TexsynError(f"{short(str(path))} exists already: --out names another folder", Exit.USAGE)


@lru_cache(maxsize=4)
def _events(path: Path, size: int, changed: int) -> tuple[dict[str, Any], ...]:
    """Read once for as long as the file stays as it is: many look on at one run."""
    found = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return tuple(event for event in found if isinstance(event, dict))


def load(folder: str | Path, device: str | torch.device = "cpu") -> Triangle:
    """The triangle of a run or of a stored model, ready for `texsyn.sample`.

    A run that is still learning gives its last checkpoint. Raises TexsynError (exit 3) for a folder that is not one of
    texsyn's or is damaged.
    """
    folder = Path(folder)
    return Run.open(folder).triangle(device) if (folder / "run.json").exists() else serialization.load(folder, device)


def default_path(exemplar: Path, parent: Path = Path("runs")) -> Path:
    """`runs/NAME-N` with the first free N."""
    stem = "".join(c if c.isalnum() or c in "-_" else "-" for c in exemplar.stem)[:40] or "run"
    number = 1
    while (parent / f"{stem}-{number}").exists():
        number += 1
    return parent / f"{stem}-{number}"
