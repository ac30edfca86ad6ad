"""What the pages ask for, as plain functions: runs by their id, pictures as files, figures as text."""

from __future__ import annotations

import html
import re
import secrets
import shutil
import time
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import texsyn
from texsyn import End, Run, Status, TexsynError, Triangle

SHIPPED = Path(__file__).resolve().parent.parent / "videos"
FORMATS = {False: ("png", "jpg", "webp"), True: ("mp4", "gif", "webp", "frames", "sheet")}
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_KEPT = 128  # files that were made to be shown or downloaded
_DRAFT_AGE = 24 * 3600  # seconds after which a run that was prepared and never begun is thrown away


class Studio:
    """One folder of runs, and one of files that live as long as the server."""

    def __init__(self, folder: Path, temporary: Path, device: str) -> None:
        self.folder, self.temporary, self.device = folder, temporary, device
        self.drafts = folder / ".drafts"
        self.drafts.mkdir(exist_ok=True)
        for draft in self.drafts.iterdir():
            if time.time() - draft.stat().st_mtime > _DRAFT_AGE:
                shutil.rmtree(draft, ignore_errors=True)
        self.triangle = lru_cache(maxsize=2)(self._load)
        self.covers = lru_cache(maxsize=256)(self._cover)
        self.picture = lru_cache(maxsize=256)(self._sample)

    # ------------------------------------------------------------ runs

    def runs(self) -> list[tuple[str, str]]:
        """Title and id of every run, the newest first; of one title, with the time when each was begun."""
        found = [path for path in self.folder.iterdir() if (path / "run.json").exists() and _ID.fullmatch(path.name)]
        listed = []
        for path in sorted(found, key=lambda p: p.stat().st_mtime, reverse=True):
            try:
                listed.append((Run.open(path).title, path.name))
            except TexsynError:
                continue  # a stranger's folder, or a damaged one: not ours to show
        often = Counter(title for title, _ in listed)
        return [(title if often[title] == 1 else f"{title}, {self._begun(name)}", name) for title, name in listed]

    def _begun(self, name: str) -> str:
        """When a run's exemplar was stored."""
        return time.strftime("%d %b %H:%M:%S", time.localtime((self.folder / name / "exemplar").stat().st_mtime))

    def run(self, name: str | None) -> Run:
        """The run of that id, looked up among those that are there. Raises TexsynError for any other name."""
        for folder in (self.folder, self.drafts):
            if name and _ID.fullmatch(name) and name in {path.name for path in folder.iterdir()}:
                return Run.open(folder / name)
        raise TexsynError("this run is not here any more")

    def prepare(self, files: list[Path], **how: Any) -> Run:
        """Read an upload in a process of its own and lay out a draft that may become a run."""
        options: list[str] = []
        for name, value in how.items():
            if value not in (None, "", "auto"):
                options += [f"--{name}", str(value)]
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", files[0].stem)[:30].strip("-") or "texture"
        return texsyn.prepare(files, self.drafts / f"{stem}-{secrets.token_hex(8)}", options)

    def begin(self, draft: Run, minutes: float) -> Run:
        """Make a draft a run, and let it learn."""
        path = draft.path.rename(self.folder / draft.path.name)
        run = Run.open(path)
        texsyn.start(run, minutes, self.device)
        return run

    def uploaded(self, path: object) -> Path:
        """A file that somebody sent. Raises TexsynError for any other path: a call may name whatever it likes."""
        try:
            found = Path(str(path)).resolve(strict=True)
        except (OSError, ValueError):
            raise TexsynError("this file was not sent") from None
        if self.temporary.resolve() not in found.parents or not found.is_file():
            raise TexsynError("this file was not sent")
        return found

    # ------------------------------------------------------------ files to show

    def file(self, suffix: str, lasting: bool = False) -> Path:
        """A new name for a file that is shown or downloaded; the oldest are deleted, but for those that last."""
        made = self.temporary / ("lasting" if lasting else "made")
        folder = made / secrets.token_hex(12)
        folder.mkdir(parents=True)
        if not lasting:
            for old in sorted(made.iterdir(), key=lambda path: path.stat().st_mtime_ns)[:-_KEPT]:
                shutil.rmtree(old, ignore_errors=True)
        return folder / f"texture{suffix}"

    def shown(self, texture: torch.Tensor, moving: bool, fps: float, lasting: bool = False) -> Path:
        """A texture as a file that a browser shows."""
        path = self.file(".mp4" if moving else ".png", lasting)
        colour = texture[:3] if len(texture) != 1 else texture
        texsyn.write(colour, path, fps=fps or 25.0)
        return path

    def exemplar(self, run: Run) -> Path:
        """The first exemplar as it is learnt."""
        exemplar = run.exemplars()[0]
        return self.shown(exemplar.pixels, exemplar.modality.moving, exemplar.fps)

    def sheet(self, run: Run) -> Path | None:
        """The newest sample sheet."""
        sheets = sorted((run.path / "sheets").glob("*.png"))
        return sheets[-1] if sheets else None

    def compared(self, run: Run) -> tuple[np.ndarray, np.ndarray] | None:
        """Exemplar and newest sample, side by side in the newest sheet, as pictures of one size."""
        path = self.sheet(run)
        if path is None:
            return None
        with Image.open(path) as image:
            sheet = np.asarray(image.convert("RGB"))
        rows = len(run.exemplars()) if not moving(run) else 4
        height = sheet.shape[0] // rows
        if moving(run):
            return sheet[:height], sheet[height : 2 * height]
        width = sheet.shape[1] // (2 if run.content["modality"].get("collection") else 4)
        return sheet[:height, :width], sheet[:height, width : 2 * width]

    def cover(self, name: str) -> Path | None:
        """A sample of a run for the shelf, as a file that may be shown; None where there is none yet."""
        run = self.run(name)
        sheet = self.sheet(run)
        if sheet is None:
            return None
        path = self.covers(name, sheet.name)
        if not path.exists():
            self.covers.cache_clear()
            path = self.covers(name, sheet.name)
        return path

    def _cover(self, name: str, sheet: str) -> Path:
        pictures = self.compared(self.run(name))
        assert pictures is not None
        path, sample = self.file(".png"), pictures[1]
        Image.fromarray(sample[:, : sample.shape[0]]).save(path)
        return path

    # ------------------------------------------------------------ textures

    def _load(self, name: str, stamp: int) -> Triangle:
        return texsyn.load(self.run(name).path, "cpu" if self.device == "auto" else self.device)

    def model(self, run: Run) -> Triangle:
        """The newest model of a run; read once for as long as it stays the newest."""
        stamp = _stamp(run)
        if not stamp:
            raise TexsynError("this run has learnt nothing yet")
        return self.triangle(run.path.name, stamp)

    def _sample(self, name: str, stamp: int, seed: int, near: int, closeness: float, how: tuple[Any, ...]) -> Path:
        run, asked = self.run(name), dict(how)
        triangle = self.model(run)
        if near >= 0:
            texture = texsyn.between(triangle, End(near), End(10_000 + seed), 1 - closeness, **asked)
        else:
            texture = texsyn.sample(triangle, seed=seed, **asked)[0]
        return self.shown(texture, triangle.modality.moving, run.fps)

    def sample(self, run: Run, seed: int, near: int = -1, closeness: float = 0.7, **asked: Any) -> Path:
        """A texture of a seed, or one like that of the seed `near`."""
        how = tuple(sorted((k, v) for k, v in asked.items() if v is not None))
        asked_for = (run.path.name, _stamp(run), seed, near, closeness, how)
        path = self.picture(*asked_for)
        if not path.exists():  # so many were made since
            self.picture.cache_clear()
            path = self.picture(*asked_for)
        return path

    def download(self, run: Run, seed: int, format: str, **asked: Any) -> Path:
        """A texture in a format, with what made it inside; frames come as a zip file."""
        triangle = self.model(run)
        goal = texsyn.target(triangle.modality, asked.get("size"), asked.get("frames"))
        ending = {"frames": "", "sheet": ".png"}.get(format, f".{format}")
        path = self.file(ending).with_name(f"{run.path.name}-{seed}{ending}")
        texsyn.write_bands(
            texsyn.bands(triangle, seed=seed, **{k: v for k, v in asked.items() if v is not None}),
            (triangle.modality.channels, *goal),
            path,
            planes=triangle.modality.planes,
            format=format,
            fps=run.fps or 25.0,
            metadata={**run.made_by(), "seed": seed, "size": list(goal)},
        )
        made = list(path.parent.iterdir())
        if len(made) == 1 and made[0].is_file():
            return made[0]
        packed = shutil.make_archive(str(self.file(".zip").with_suffix("")), "zip", path.parent)
        return Path(packed).rename(Path(packed).with_name(f"{run.path.name}-{seed}.zip"))

    # ------------------------------------------------------------ words

    def understood(self, run: Run) -> str:
        """What was understood of an upload, as HTML."""
        exemplar = run.exemplars()[0]
        facts = exemplar.facts
        size = f"{facts['width']} x {facts['height']} pixels"
        if "frames" in facts:
            size += f", {facts['used_frames']} of {facts['frames']} frames"
        learnt = " x ".join(str(n) for n in exemplar.size[:-3:-1])
        lines = [f"<b>{html.escape(exemplar.modality.name.capitalize())}</b>, {size}, learnt at {learnt} pixels."]
        if exemplar.mask is not None:
            lines.append(f"{100 * float(exemplar.mask.mean()):.0f} % of it is missing, and will be estimated.")
        lines += [html.escape(remark) for remark in texsyn.remarks(exemplar)]
        return "<br>".join(lines)


def _stamp(run: Run) -> int:
    """When the newest model or checkpoint of a run was stored; 0 where there is none."""
    marks = [path.stat().st_mtime_ns for path in (run.path / "model", *run.checkpoints()) if path.exists()]
    return max(marks, default=0)


def moving(run: Run) -> bool:
    """Whether a run's textures are clips."""
    return "t" in run.content["modality"]["axes"]


def duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def told(status: Status) -> str:
    """A status in one sentence."""
    steps = f"{status.step:,} steps in {duration(status.seconds)}"
    return {
        "new": "Not begun yet.",
        "queued": f"Waiting for {status.ahead} other fit{'s' if status.ahead != 1 else ''} on this machine.",
        "running": f"Learning: {steps}, {duration(status.remaining)} to go." if status.step else "Starting up.",
        "finished": f"Finished: {steps}.",
        "stopped": f"Stopped: {steps}. What was learnt is kept.",
        "interrupted": f"Interrupted after {steps}: the process ended. Continue goes on from the last checkpoint.",
        "diverged": f"Diverged after {steps}: {status.message}",
        "failed": f"Failed: {status.message or 'see log.txt in the run folder'}",
    }[status.state]
