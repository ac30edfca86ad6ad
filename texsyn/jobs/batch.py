"""Fit every exemplar of a folder, several at a time: resumable, and a broken exemplar does not stop the others."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.formats import ENDINGS
from texsyn.core.modality import STILL
from texsyn.core.text import short
from texsyn.jobs import cluster, summary
from texsyn.jobs.options import FitOptions, as_options
from texsyn.jobs.worker import Files, fit_one
from texsyn.media import material

_SUMMARY_INTERVAL = 5.0  # seconds


def batch(
    folder: str | Path,
    out: str | Path,
    options: FitOptions | Sequence[str] = (),
    *,
    jobs: int = 1,
    force: bool = False,
    only: Sequence[str] = (),
    executor: str = "local",
    address: str = "",
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[summary.Row]:
    """Fit every exemplar in `folder`, `jobs` at a time, each in the run `out/NAME`; yield a row as each one ends.

    An exemplar is an image, a clip, a folder of frames or of maps; images whose names tell the maps of one material,
    such as NAME.png and NAME-normal.png, are one exemplar. Finished runs are skipped unless `force`; unfinished ones
    are resumed. `out` gets summary.json and summary.html.

    options: of `texsyn fit`, as `FitOptions` or words. only: names of files to take; no summary is written then.
    executor: "local", or "ray" for the cluster at `address`, whose nodes must share the folder `out`. say: called with
    messages about progress.
    Raises TexsynError: exit 2 for wrong options or a missing Ray, exit 3 for no exemplars, exit 5 on a disk error.
    """
    folder, out, options = Path(folder), Path(out), _checked(as_options(options))
    named = _select(exemplars(folder), only, folder)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TexsynError(f"{out.name} cannot be created: {error.strerror}", Exit.DISK) from error
    if executor == "ray":
        rows = cluster.run_ray(named, out, options, jobs, force, address)
    else:
        rows = _run_local(named, out, options, jobs, force)
    if only:
        yield from rows
    else:
        say(f"{len(named)} exemplars, {jobs} at a time; a line is printed as each one ends")
        yield from _summarised(rows, out)


def exemplars(folder: Path) -> dict[str, Files]:
    """The exemplars of a folder by the names of their runs; the maps of a material go together.

    Raises TexsynError (exit 3) where there are none, or where two would have the same name.
    """
    if not folder.is_dir():
        raise TexsynError(f"{folder.name} is not a folder")
    paths = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".") and _is_exemplar(path)]
    if not paths:
        raise TexsynError(f"{folder.name} holds no images, clips or folders of frames")
    sets = material.sets(paths)
    groups = list(dict.fromkeys(sets.get(path, (path,)) for path in paths))
    titles = [material.title(group) for group in groups]
    count = Counter(titles)
    names = [
        title if count[title] == 1 else group[0].name.replace(".", "-")
        for title, group in zip(titles, groups, strict=True)
    ]
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise TexsynError(f"two exemplars in {short(folder.name)} would both be called {twice}: rename one")
    return dict(zip(names, groups, strict=True))


def _is_exemplar(path: Path) -> bool:
    """Whether a path may be an exemplar: of folders, all but runs and folders of runs."""
    if path.is_dir():
        return not ((path / "run.json").exists() or (path / "summary.json").exists())
    return path.suffix.lower() in ENDINGS


def _select(named: dict[str, Files], only: Sequence[str], folder: Path) -> dict[str, Files]:
    """The exemplars with a file of these names; all where none is named. Raises TexsynError (exit 3)."""
    if not only:
        return named
    files = {file.name for files in named.values() for file in files}
    if missing := [name for name in only if name not in files]:
        raise TexsynError(f"{folder.name} holds no {', '.join(missing)}")
    return {name: files for name, files in named.items() if any(file.name in only for file in files)}


def _checked(options: FitOptions) -> FitOptions:
    """Options that go with a batch, checked once for all fits. Raises TexsynError (exit 2)."""
    if refused := options.given(("out", "resume", "prepare", "maps")):
        raise TexsynError(f"--{refused[0]} does not go with a batch", Exit.USAGE)
    options.new_recipe(STILL)
    return options


def _run_local(
    named: dict[str, Files], out: Path, options: FitOptions, jobs: int, force: bool
) -> Iterator[summary.Row]:
    devices = SimpleQueue[str]()  # one for each of the fits that may run at a time
    for number in range(jobs):
        devices.put(_device(options.device, number))

    def fit(name: str, files: Files) -> summary.Row:
        device = devices.get()
        try:
            return fit_one(files, name, out, replace(options, device=device), jobs, force)
        finally:
            devices.put(device)

    pool = ThreadPoolExecutor(jobs)
    try:
        futures = [pool.submit(fit, name, files) for name, files in named.items()]
        for future in as_completed(futures):
            yield future.result()
    finally:  # a caller that leaves the loop waits for running fits, and no others begin
        pool.shutdown(cancel_futures=True)


def _device(device: str, number: int) -> str:
    """The device of the fits with a number: all GPUs take turns, unless the options name one device."""
    import torch

    count = torch.cuda.device_count()
    return f"cuda:{number % count}" if count > 1 and device in ("auto", "cuda") else device


def _summarised(rows: Iterable[summary.Row], out: Path) -> Iterator[summary.Row]:
    """The rows as they come, written to the summary now and then, and at the end."""
    written, collected = -math.inf, dict[str, tuple[summary.Row, str]]()
    try:
        for row in rows:
            collected[row.name] = row, summary.cells(row, out)
            if time.monotonic() - written > _SUMMARY_INTERVAL:
                summary.write(collected, out)
                written = time.monotonic()
            yield row
    finally:
        if collected:
            summary.write(collected, out)
