"""A trained run as one small file, to keep, to give away, and to ship with the app.

It is a ZIP of run.json, the last events, the quality cards, the exemplars in 8 bits and the model in 6; or of the
model only what samples need, in 5. Unpacked, it is a run folder like any other; without a checkpoint it cannot be
trained further. `unpack` trusts nothing in it.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import existing, refuse_overwrite, replacing
from texsyn.core.text import short
from texsyn.runs import events, exemplars, previews, serialization, storage
from texsyn.runs.paths import refuse_used
from texsyn.runs.run import Run

_FOLDERS = ("exemplar", "model")
_NAME = re.compile(
    r"run\.json|events\.jsonl|card(-\d{1,4})?\.json|(exemplar|model)/(tensors\.safetensors|(content|manifest)\.json)"
)
_MOST_FILES, _MOST_BYTES = 2_000, 2_000_000_000  # of all together, unpacked
_PIECE = 1 << 20  # bytes read at a time


def pack(run: Run, path: str | Path, force: bool = False, samples_only: bool = False) -> None:
    """Write a run with its newest model as one file, about a seventh of the model's size.

    samples_only: without the inference network, the energy-based model and frames that were held out, which takes less
    than half as much; nothing is reconstructed, completed, ranked or searched for anomalies with such a run. Raises
    TexsynError: exit 2 when the file exists, exit 3 for a run that has no model, exit 5 when the disk refuses.
    """
    path = Path(path)
    refuse_overwrite(path, force)
    triangle, shown = run.triangle(), run.exemplars()
    if samples_only:
        triangle.leave_out_inference()
        shown = tuple(replace(each, held=None) for each in shown)
    with _temporary_folder(path.parent) as folder:
        exemplars.store(folder / "exemplar", shown, packed=True)
        made_by = {**run.made_by(), "step": _step(run)}
        serialization.save(triangle, folder / "model", made_by, packed=True)
        content = {**run.content, "format": serialization.FORMAT, "title": run.title, "packed": True}
        storage.write_json(folder / "run.json", content)
        for event in {event.get("event"): event for event in run.events()}.values():  # the last of each sort
            events.append(folder / "events.jsonl", _refuse, **event)
        for number in range(len(run.names())):
            card = run.path / run.card_name(number)
            if card.exists():
                shutil.copyfile(card, folder / card.name)
        with replacing(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for file in sorted(each for each in folder.rglob("*") if each.is_file()):
                archive.write(file, file.relative_to(folder).as_posix())


def unpack(path: str | Path, folder: str | Path) -> Run:
    """Make a packed run a run folder again, with a preview. It can be sampled, exported and scored.

    Raises TexsynError: exit 2 when the folder is in use, exit 3 for a file that `pack` did not write or that is
    damaged, exit 5 when the disk refuses.
    """
    path, folder = existing(Path(path)), Path(folder)
    refuse_used(folder)
    with _temporary_folder(folder.parent) as part:
        try:
            with zipfile.ZipFile(path) as archive:
                _extract(archive, part)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
            raise TexsynError(f"{path.name} is not a packed run, or is damaged") from error
        run = Run.open(part)
        if run.format != serialization.FORMAT or not run.is_packed:
            raise TexsynError(f"{path.name} is not a packed run")
        pixels = [each.pixels for each in run.exemplars()]
        previews.make(run.preview_folder, _step(run), run.triangle(), pixels, fps=run.fps)
        try:
            shutil.rmtree(folder, ignore_errors=True)  # empty, or half laid out
            part.rename(folder)
        except OSError as error:
            raise TexsynError(f"{folder.name} cannot be created: {error.strerror}", Exit.DISK) from error
    return Run.open(folder)


def _extract(archive: zipfile.ZipFile, folder: Path) -> None:
    """Write the files of a packed run. Raises TexsynError (exit 3) for other files, and for more than `_MOST_BYTES`."""
    members = archive.infolist()
    if len(members) > _MOST_FILES or len({each.filename for each in members}) < len(members):
        raise ValueError
    left = _MOST_BYTES
    for member in members:
        if not _NAME.fullmatch(member.filename):
            raise TexsynError(f"{short(repr(member.filename))} is no file of a packed run")
        target = folder / member.filename
        try:
            target.parent.mkdir(exist_ok=True)
            with archive.open(member) as source, target.open("wb") as file:
                while piece := source.read(min(_PIECE, left + 1)):
                    left -= len(piece)
                    if left < 0:
                        raise TexsynError(f"a packed run has at most {_MOST_BYTES / 1e9:.0f} GB")
                    file.write(piece)
        except OSError as error:
            raise TexsynError(f"{folder.name} cannot be written: {error.strerror}", Exit.DISK) from error


def _step(run: Run) -> int:
    """The training step of its newest model."""
    stored = [int(each.name) for each in run.checkpoints()]
    return max([serialization.stored_step(run.model_folder), *stored])


def _refuse(message: str) -> None:
    raise TexsynError(message, Exit.DISK)


@contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    """A folder beside what is written, on the same disk; deleted afterwards where it was not renamed."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=parent))
        folder.chmod(0o755)
    except OSError as error:
        raise TexsynError(f"{parent} cannot be written: {error.strerror}", Exit.DISK) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
