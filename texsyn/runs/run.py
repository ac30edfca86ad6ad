"""A run on disk: exemplars, one recipe, the trained model, and a record of its training.

RUN/run.json        recipe, modality, networks, facts about the exemplars, versions
RUN/exemplar/       the exemplars' tensors
RUN/checkpoints/N/  the whole state after N steps; the last two are kept
RUN/events.jsonl    one JSON object a line: start, steps with the five terms, warnings, quick metrics, the end
RUN/previews/       exemplar and samples as images, every so often: see `previews`
RUN/card.json       the quality card of the trained model; of several exemplars card-0.json, card-1.json, ...
RUN/model/          the trained networks

Other packages ask a `Run`; they read no file in its folder.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import locked
from texsyn.core.modality import Modality
from texsyn.core.recipes import Recipe, design_for, level_designs
from texsyn.core.text import short
from texsyn.core.version import __version__
from texsyn.media.collection import SHOWN, sheet
from texsyn.media.exemplar import Exemplar, OneOrMore, as_tuple, conditions
from texsyn.metrics.card import Card, describe
from texsyn.models.triangle import Triangle
from texsyn.runs import checkpoints, events, exemplars, previews, serialization, storage
from texsyn.runs.fields import number_in, object_in, to_json
from texsyn.runs.paths import refuse_used
from texsyn.synthesis.latent_field import End
from texsyn.training import loop
from texsyn.training.calibration import calibrate
from texsyn.training.data import Data
from texsyn.training.detail import Detail

_MAX_TITLE = 80  # characters


@dataclass(frozen=True)
class Run:
    """A run folder that exists."""

    path: Path

    # ------------------------------------------------------------ the folder

    @classmethod
    def create(cls, path: str | Path, exemplar: OneOrMore, recipe: Recipe, recipe_name: str = "") -> Run:
        """Lay out a new run. Raises TexsynError: exit 2 when the folder is in use, exit 5 when the disk refuses."""
        path, given = Path(path), as_tuple(exemplar)
        loop.check(given, recipe)
        refuse_used(path)
        run = cls(path)
        try:
            for folder in (run.checkpoint_folder, path / serialization.PREVIEWS[serialization.FORMAT]):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TexsynError(f"{path.name} cannot be created: {error.strerror}", Exit.DISK) from error
        exemplars.store(run.exemplar_folder, given)
        storage.write_json(path / "run.json", _describe_run(given, recipe, recipe_name))
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """An existing run. Raises TexsynError (exit 3) for anything else."""
        path = Path(path)
        if not (path / "run.json").exists():
            raise TexsynError(f"{path.name or path} is not a run of texsyn: it has no run.json")
        run = cls(path)
        _ = run.format
        return run

    @property
    def checkpoint_folder(self) -> Path:
        return self.path / "checkpoints"

    @property
    def exemplar_folder(self) -> Path:
        return self.path / "exemplar"

    @property
    def model_folder(self) -> Path:
        """Where the trained networks are stored; it is missing before the end of training."""
        return self.path / "model"

    @property
    def preview_folder(self) -> Path:
        return self.path / serialization.PREVIEWS[self.format]

    @property
    def event_file(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def lock(self) -> Path:
        """The file that the process which trains the run holds a lock on."""
        return self.path / ".lock"

    def discard(self) -> None:
        """Delete the run and its model. Raises TexsynError (exit 2) while a process trains it."""
        with locked(self.lock):
            shutil.rmtree(self.path, ignore_errors=True)

    @property
    def bytes(self) -> int:
        """Disk space that it takes."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    # ------------------------------------------------------------ run.json

    @property
    def content(self) -> dict[str, Any]:
        """run.json in today's names."""
        return serialization.upgrade(self._stored_content, self.path)

    @property
    def _stored_content(self) -> dict[str, Any]:
        return storage.read_json(self.path / "run.json")

    @cached_property
    def format(self) -> int:
        """The format of its files, 1 or 2. Raises TexsynError (exit 3) for any other."""
        return serialization.format_of(self._stored_content, self.path)

    @property
    def is_trainable(self) -> bool:
        """Whether it can be trained further: runs of older formats, and those that were packed, cannot."""
        return self.format == serialization.FORMAT and not self.is_packed

    @property
    def is_packed(self) -> bool:
        """Whether it was unpacked from a file that `texsyn.pack` wrote: it has no checkpoint to go on from."""
        return self.content.get("packed") is True

    def check_trainable(self) -> None:
        """Raise TexsynError (exit 3) unless the run can be trained further."""
        if self.is_packed:
            raise TexsynError(
                f"{self.path.name} was packed: it can be sampled, exported and scored; to train further, use the run "
                "that it was packed from, or start a new one with `texsyn fit`"
            )
        if not self.is_trainable:
            raise TexsynError(
                f"{self.path.name} was trained by an older version: it can be sampled, exported and scored; "
                "to train further, start a new run with `texsyn fit`"
            )

    @property
    def modality(self) -> Modality:
        """The kind of texture, without its designs."""
        return serialization.modality_from(self.content, self.path)

    @property
    def recipe_name(self) -> str:
        found = self.content.get("recipe_name")
        return found if isinstance(found, str) else ""

    @property
    def recipe_fields(self) -> dict[str, Any]:
        """The stored recipe. Runs of older versions may lack fields."""
        return object_in(self.content, "recipe", self.path)

    @property
    def recipe(self) -> Recipe:
        """Raises TexsynError (exit 3) where fields are missing, unknown or out of range."""
        version = short(str(object_in(self.content, "made_with", self.path).get("texsyn")))
        return serialization.recipe_from(self.recipe_fields, version, self.path)

    @property
    def seed(self) -> int:
        """The seed of its weights, crops and noise."""
        return int(number_in(self.recipe_fields, "seed", int, 0, 2**31 - 1, self.path))

    @property
    def facts(self) -> list[dict[str, Any]]:
        """Facts about each exemplar: name, sha256, width and height, frames, fps."""
        return exemplars.facts_in(self.content, self.path)

    @property
    def fps(self) -> float:
        """Frames per second of the first exemplar; 0 for stills."""
        return float(number_in(self.facts[0], "fps", float, 0, 1000, self.path))

    def made_by(self) -> dict[str, Any]:
        """Metadata for every texture of this run: no paths, no names."""
        hashes = [each.get("sha256") for each in self.facts]
        return {
            "texsyn": __version__,
            "recipe": self.recipe_name,
            "fit_seed": self.seed,
            "exemplar_sha256": hashes[0] if len(hashes) == 1 else hashes,
        }

    @property
    def title(self) -> str:
        """Its title: by default the names of its exemplars."""
        return str(self.content.get("title") or " + ".join(self.names()))

    def rename(self, title: str) -> None:
        """Give it another title. Raises TexsynError (exit 2) for none, or one of more than 80 characters."""
        title = " ".join(title.split())
        if not 0 < len(title) <= _MAX_TITLE:
            raise TexsynError(f"a title has 1 to {_MAX_TITLE} characters", Exit.USAGE)
        storage.write_json(self.path / "run.json", {**self._stored_content, "title": title})

    # ------------------------------------------------------------ exemplars

    def exemplars(self) -> tuple[Exemplar, ...]:
        """The exemplars that it is trained on."""
        return exemplars.load(self.exemplar_folder, self.modality, self.facts, self.fps, self.format)

    def exemplar_of(self, number: int) -> Exemplar:
        """The exemplar of that number, or the collection of which it is a class."""
        found = self.exemplars()
        return found[0 if found[0].modality.collection else number]

    def pixels_by_condition(self) -> list[Tensor]:
        """The exemplars, `channels *axes` each; of a collection with classes, a sheet of images of each class."""
        found = self.exemplars()
        pictures = found[0].pictures
        if pictures is None or not found[0].classes:
            return [each.pixels for each in found]
        each_class = [pictures.of_class(number) for number in range(len(found[0].classes))]
        return [sheet(each.read(range(min(SHOWN, len(each))))) for each in each_class]

    def names(self) -> list[str]:
        """The exemplars' names, in the order of their numbers."""
        return [str(each.get("name", "")) for each in self.facts]

    def classes(self) -> list[str]:
        """The names of the classes that a collection was trained with; [] where there are none."""
        return exemplars.classes_in(self.facts[0], self.path)

    def conditions(self) -> list[str]:
        """The names of what samples can be asked for: the classes of a collection, or the exemplars."""
        return self.classes() or self.names()

    def number(self, name: str | None) -> int:
        """The number of the exemplar, or class, of that name; 0 for None. Raises TexsynError (exit 2)."""
        names = self.conditions()
        if name is not None and name not in names:
            raise TexsynError(f"this run was trained on {', '.join(names)}, but not on {name}", Exit.USAGE)
        return 0 if name is None else names.index(name)

    def end(self, text: str) -> End:
        """One end of a morph: a seed, the name of an exemplar or class, or NAME:SEED. Raises TexsynError (exit 2).

        A class whose name is a number is named with a seed: 7:0.
        """
        name, colon, seed = text.rpartition(":")
        names = self.conditions()
        if text in names and not text.isdecimal():
            return End(0, self.number(text))
        if not (seed.isdecimal() and int(seed) < 2**31):
            raise TexsynError(f"{text!r} is no seed and none of {', '.join(names)}", Exit.USAGE)
        return End(int(seed), self.number(name) if colon else 0)

    # ------------------------------------------------------------ networks

    def fresh(self, device: str | torch.device = "cpu") -> Triangle:
        """The run's networks as they were before the first step."""
        design = serialization.design_from(self.content, self.path)
        exemplars = self.exemplars()
        levels = serialization.levels_from(self.content, self.path)
        return loop.begin(exemplars[0].modality, design, levels, exemplars, self.recipe).to(device)

    def checkpoints(self) -> list[Path]:
        """Stored checkpoints, the newest first."""
        return checkpoints.stored(self.checkpoint_folder)

    def triangle(self, device: str | torch.device = "cpu") -> Triangle:
        """The trained networks, or those of the newest checkpoint that can be read, where that is newer."""
        stored = self.checkpoints()
        step = serialization.stored_step(self.model_folder)
        if step and (not stored or step >= int(stored[0].name)):
            return serialization.load(self.model_folder, device)
        triangle = serialization.empty(self.content, self.path)
        exemplars = self.exemplars()
        found = checkpoints.load_triangle(self.checkpoint_folder, triangle, exemplars, self.format)
        if found is None:
            raise TexsynError(f"{self.path.name} has no model yet: it has no checkpoint")
        triangle = serialization.prepare_for_sampling(triangle, device)  # in another layout sums differ in the last bit
        data = Data.of(exemplars, [each.to(device) for each in found.pixels], triangle.modality, self.recipe)
        detail = Detail(triangle, found.level, [each.pixels.to(device) for each in exemplars]) if found.level else None
        finished = self.recipe.progress(found.step, found.seconds) >= 1
        calibrate(triangle, self.recipe, data, detail, finished)
        return triangle

    def estimated_pixels(self) -> list[Tensor]:
        """The exemplars, `channels *axes` each; masked pixels as the newest checkpoint estimates them."""
        return checkpoints.load_pixels(self.checkpoint_folder, self.exemplars(), self.format)

    # ------------------------------------------------------------ what was recorded

    def events(self) -> tuple[events.Event, ...]:
        """What happened so far: start, steps with the five terms, warnings, the end."""
        return events.read(self.event_file, self.format)

    def previews(self) -> list[previews.Preview]:
        """The stored previews, the oldest first."""
        return previews.stored(self.preview_folder)

    @property
    def exemplar_preview(self) -> Path | None:
        """The image of the first exemplar that goes with the previews; None where there is none yet."""
        path = previews.exemplar_path(self.preview_folder, 0, len(self.names()))
        return path if path.exists() else None

    def card_name(self, exemplar: int) -> str:
        """The file of an exemplar's quality card."""
        return "card.json" if len(self.names()) == 1 else f"card-{exemplar}.json"

    def card(self, exemplar: int = 0) -> Card | None:
        """The stored quality card; None where there is none. Raises TexsynError (exit 3) for a damaged one."""
        path = self.path / self.card_name(exemplar)
        if not path.exists():
            return None
        try:
            card = Card.from_dict(serialization.upgrade_card(storage.read_json(path), self.format))
            describe(card)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise TexsynError(f"{path.name} is damaged") from error
        return card

    @property
    def is_scored(self) -> bool:
        """Whether there is a card for each exemplar; of a collection, whether a reconstruction is its last event."""
        recorded = [event.get("event") for event in self.events() if event.get("event") in ("step", "reconstruction")]
        names = [self.card_name(number) for number in range(len(self.names()))]
        return recorded[-1:] == ["reconstruction"] or all((self.path / name).exists() for name in names)

    def describe_cards(self) -> list[str]:
        """The stored cards in words; of several exemplars, each after its name."""
        names, lines = self.names(), list[str]()
        for number, name in enumerate(names):
            card = self.card(number)
            if card is not None:
                lines += [name] * (len(names) > 1) + describe(card)
        return lines


def _describe_run(exemplars: Sequence[Exemplar], recipe: Recipe, recipe_name: str) -> dict[str, Any]:
    """run.json of a new run."""
    modality = loop.modality_for(exemplars, recipe)
    return {
        "format": serialization.FORMAT,
        "recipe_name": recipe_name,
        "recipe": asdict(recipe),
        "modality": to_json(modality),
        "design": to_json(design_for(modality, recipe, conditions(exemplars))),
        "levels": [to_json(each) for each in level_designs(modality, recipe, [each.size for each in exemplars])],
        "exemplars": [{**each.facts, "fps": each.fps} for each in exemplars],
        "made_with": {"texsyn": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def load(folder: str | Path, device: str | torch.device = "cpu") -> Triangle:
    """The triangle of a run or of a stored model, ready for `texsyn.sample`.

    A run that is still being trained gives its last checkpoint. Raises TexsynError (exit 3) for a folder that texsyn
    did not write, or that is damaged.
    """
    folder = Path(folder)
    return Run.open(folder).triangle(device) if (folder / "run.json").exists() else serialization.load(folder, device)
