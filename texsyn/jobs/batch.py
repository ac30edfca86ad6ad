"""Many exemplars, each a fit of its own by the command line's own path: resumable, and a broken one costs nothing else.

Only the standard library is imported at first, as in the other modules of commands.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue

from texsyn.core.errors import Exit, TexsynError, short
from texsyn.jobs import cluster, summary
from texsyn.jobs.options import option_value
from texsyn.jobs.worker import Files, fit_one

_NORMALS = ("-normal", "_normal")  # at the end of the name of a picture's map of normals
_SUMMARY = 5.0  # seconds from one writing of the summary to the next, until the last


def batch(
    folder: str | Path,
    out: str | Path,
    how: Sequence[str] = (),
    *,
    jobs: int = 1,
    force: bool = False,
    only: Sequence[str] = (),
    executor: str = "local",
    address: str = "",
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[summary.Row]:
    """Fit every exemplar in `folder`, `jobs` at a time, each in a run of its name in `out`; a row as each one ends.

    how: options of `texsyn fit`, such as `["--minutes", "3"]`. An exemplar is a picture, a clip or a folder of frames;
    with a picture NAME-normal or NAME_normal beside it, NAME is a material.
    What was finished is not learnt again, unless `force`; what was begun goes on. At the end `out` holds summary.json
    and summary.html. only: names of files to take, without a summary. executor: "local", or "ray" for the cluster at
    `address`, whose nodes must share the folder `out`. say: is told what begins.
    Raises TexsynError: exit 2 where there is no Ray, exit 3 where there are no exemplars, exit 5 when the disk refuses.
    """
    folder, out = Path(folder), Path(out)
    named = exemplars(folder)
    if only:
        there = {file.name for files in named.values() for file in files}
        if missing := [name for name in only if name not in there]:
            raise TexsynError(f"{folder.name} holds no {', '.join(missing)}")
        named = {name: files for name, files in named.items() if any(file.name in only for file in files)}
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TexsynError(f"{out.name} cannot be created: {error.strerror}", Exit.DISK) from error
    if not only:
        say(f"exemplars: {len(named)}, {jobs} at a time; a line as each one ends")
    on_ray = executor == "ray"
    done = (
        cluster.run_ray(named, out, how, jobs, force, address) if on_ray else _run_local(named, out, how, jobs, force)
    )
    rows, written = dict[str, tuple[summary.Row, str]](), -math.inf
    try:
        for row in done:
            rows[row.name] = row, summary.cells(row, out)
            if not only and time.monotonic() - written > _SUMMARY:
                summary.write(rows, out)
                written = time.monotonic()
            yield row
    finally:
        if rows and not only:
            summary.write(rows, out)


def _run_local(named: dict[str, Files], out: Path, how: Sequence[str], jobs: int, force: bool) -> Iterator[summary.Row]:
    places = SimpleQueue[Sequence[str]]()  # where a fit may be: each is one fit's at a time
    for number in range(jobs):
        places.put(_device(number, how))

    def learn(name: str, files: Files) -> summary.Row:
        place = places.get()
        try:
            return fit_one(files, name, out, [*how, *place], jobs, force)
        finally:
            places.put(place)

    pool = ThreadPoolExecutor(jobs)
    try:
        waiting = [pool.submit(learn, name, files) for name, files in named.items()]
        for each in as_completed(waiting):
            yield each.result()
    finally:  # whoever leaves the loop waits for the fits that are at it, and begins no others
        pool.shutdown(cancel_futures=True)


def _device(number: int, how: Sequence[str]) -> list[str]:
    """The option that spreads fits over a machine's GPUs, where it has several and nobody asked for one."""
    import torch

    count = torch.cuda.device_count()
    return (
        [f"--device=cuda:{number % count}"]
        if count > 1 and option_value(how, "--device") in ("", "auto", "cuda")
        else []
    )


def exemplars(folder: Path) -> dict[str, Files]:
    """What can be an exemplar, by the name of its run; a map of normals goes with its picture.

    Raises TexsynError (exit 3) where there is nothing.
    """
    from texsyn.media import decoding

    if not folder.is_dir():
        raise TexsynError(f"{folder.name} is not a folder")
    found = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    found = [path for path in found if _frames(path) and (path.is_dir() or path.suffix.lower() in decoding.ENDINGS)]
    if not found:
        raise TexsynError(f"{folder.name} holds no pictures, clips or folders of frames")
    stills = {path.stem: path for path in found if path.suffix.lower() in decoding.STILL_ENDINGS}
    maps = {stem: path for stem in stills for tail in _NORMALS if (path := stills.get(f"{stem}{tail}")) is not None}
    found = [path for path in found if path not in maps.values()]
    stems = Counter(path.stem for path in found)
    named = [
        (
            path.stem if stems[path.stem] == 1 else path.name.replace(".", "-"),
            (path, maps[path.stem]) if path.stem in maps and path.suffix.lower() in decoding.STILL_ENDINGS else (path,),
        )
        for path in found
    ]
    twice = [name for name, count in Counter(name for name, _ in named).items() if count > 1]
    if twice:
        raise TexsynError(f"two exemplars in {short(folder.name)} would both be called {twice[0]}: rename one")
    return dict(named)


def _frames(path: Path) -> bool:
    """Whether a folder may be one of frames: it is no run, and holds no runs."""
    return not path.is_dir() or not ((path / "run.json").exists() or (path / "summary.json").exists())
