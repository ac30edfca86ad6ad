"""What the pages work with: the folder of runs, by their ids, and the files made from them."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from budgets import Machine
from files import Files
from previews import Previews
from samples import Samples

import texsyn
from texsyn import FitOptions, Run, TexsynError

_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_DRAFT_AGE = 24 * 3600  # seconds after which a draft that was not started is deleted


class Studio:
    """A folder of runs. A draft is a run that was prepared and has not been started.

    temporary: folder for files that are shown or downloaded. device: as `--device` of the command line.
    """

    def __init__(self, folder: Path, temporary: Path, device: str) -> None:
        self.folder, self.device = folder, device
        self.drafts = folder / ".drafts"
        self.drafts.mkdir(exist_ok=True)
        self._delete_old_drafts()
        self.files = Files(temporary)
        self.samples = Samples(self.files, device)
        self.previews = Previews(self.files)
        self._machine = Machine(device)

    @property
    def step_seconds(self) -> dict[str, float]:
        """Seconds of a step of each kind; empty as long as the machine is not timed."""
        return self._machine.step_seconds

    def time_machine(self) -> None:
        """Begin to time a step of each kind on this machine."""
        self._machine.measure()

    def list_runs(self) -> list[tuple[str, str]]:
        """Title and id of every run, the newest first. Runs of the same title are told apart by their time."""
        paths = [path for path in self.folder.iterdir() if _ID.fullmatch(path.name)]
        runs = []
        for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
            try:
                runs.append((Run.open(path).title, path.name))
            except TexsynError:
                continue  # damaged, or not a run of texsyn
        count = Counter(title for title, _ in runs)
        return [(title if count[title] == 1 else f"{title}, {self._created(name)}", name) for title, name in runs]

    def open_run(self, name: str | None) -> Run:
        """The run or draft of that id, looked up among those that exist. Raises TexsynError for any other name."""
        for folder in (self.folder, self.drafts):
            if name and _ID.fullmatch(name) and name in {path.name for path in folder.iterdir()}:
                return Run.open(folder / name)
        raise TexsynError("this run does not exist any more")

    def add_fitted(self, path: Path) -> Run:
        """Unpack a run that is shipped with the app."""
        return texsyn.unpack(path, self.folder / f"{path.stem}-{secrets.token_hex(4)}")

    def create_draft(self, files: list[Path], options: FitOptions) -> Run:
        """Read uploaded files in a sandboxed process, and prepare a draft."""
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", texsyn.title(files))[:30].strip("-") or "texture"
        return texsyn.prepare(files, self.drafts / f"{stem}-{secrets.token_hex(8)}", options)

    def delete_draft(self, name: str) -> None:
        """Delete a draft, if it is still one."""
        shutil.rmtree(self.drafts / Path(name).name, ignore_errors=True)

    def start_training(self, draft: Run, budget: FitOptions) -> Run:
        """Make a draft a run, and train it for a number of steps or minutes."""
        run = Run.open(draft.path.rename(self.folder / draft.path.name))
        self.resume_training(run, budget)
        return run

    def resume_training(self, run: Run, budget: FitOptions | None = None) -> None:
        """Train a run on, with this budget in total; None: its own. Raises TexsynError for old formats."""
        run.check_trainable()
        texsyn.start(run, replace(budget or FitOptions(), device=self.device))

    def delete_run(self, name: str) -> None:
        """Stop a run, and delete it."""
        run = self.open_run(name)
        texsyn.stop(run)
        run.discard()

    def _created(self, name: str) -> str:
        """When a run's exemplar was stored."""
        return time.strftime("%d %b %H:%M:%S", time.localtime(Run(self.folder / name).exemplar_folder.stat().st_mtime))

    def _delete_old_drafts(self) -> None:
        for draft in self.drafts.iterdir():
            if time.time() - draft.stat().st_mtime > _DRAFT_AGE:
                shutil.rmtree(draft, ignore_errors=True)
