"""Many exemplars, each a fit of its own by the command line's own path: resumable, and a broken one costs nothing else.

Only the standard library is imported at first, as in the other modules of commands.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from texsyn import options as shared
from texsyn.errors import Exit, TexsynError, reason, short

_NORMALS = ("-normal", "_normal")  # at the end of the name of a picture's map of normals
_POLL = 1.0  # seconds between two looks at whether a run is free
_LARGEST = 500_000_000  # bytes of one exemplar that are sent to a node
_WORDS = {Exit.INTERRUPTED: "stopped", Exit.TERMINATED: "stopped", Exit.BAD_INPUT: "skipped"}

Files = tuple[Path, ...]  # of one exemplar


@dataclass(frozen=True)
class Row:
    """What came of one exemplar."""

    name: str
    run: str  # its folder
    state: str  # finished, skipped (it cannot be learnt), stopped or failed
    exit: int = 0
    reason: str = ""
    steps: int = 0
    seconds: float = 0.0  # of learning
    before: bool = False  # it had been learnt already
    card: dict[str, Any] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)  # of the card
    node: str = ""  # of a cluster, that learnt it

    @property
    def line(self) -> str:
        name = short(self.name)
        if self.state != "finished":
            return f"{name}: {self.state}: {self.reason}"
        told = ", ".join(self.words)
        when = "finished before" if self.before else "finished"
        return f"{name}: {when}, {self.steps} steps in {self.seconds / 60:.1f} min{': ' if told else ''}{told}"


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
) -> Iterator[Row]:
    """Fit every exemplar in `folder`, `jobs` at a time, each in a run of its name in `out`; a row as each one ends.

    how: options of `texsyn fit`, such as `["--minutes", "3"]`. An exemplar is a picture, a clip or a folder of frames;
    with a picture NAME-normal or NAME_normal beside it, NAME is a material.
    What was finished is not learnt again, unless `force`; what was begun goes on. At the end `out` holds summary.json
    and summary.html. only: names of files to take, without a summary. executor: "local", or "ray" for the cluster at
    `address`, whose nodes must share the folder `out`.
    Raises TexsynError: exit 2 where there is no Ray, exit 3 where there are no exemplars, exit 5 when the disk refuses.
    """
    folder, out = Path(folder), Path(out)
    named = {name: files for name, files in exemplars(folder).items() if not only or files[0].name in only}
    if not named:
        raise TexsynError(f"{folder.name} holds no {', '.join(only)}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TexsynError(f"{out.name} cannot be created: {error.strerror}", Exit.DISK) from error
    there = executor == "ray"
    done = _there(named, out, how, jobs, force, address) if there else _here(named, out, how, jobs, force)
    rows: list[Row] = []
    for row in done:
        rows.append(row)
        if not only:
            summarise(sorted(rows, key=lambda row: row.name), out)
        yield row


def _here(named: dict[str, Files], out: Path, how: Sequence[str], jobs: int, force: bool) -> Iterator[Row]:
    pool = ThreadPoolExecutor(jobs)
    try:
        waiting = [pool.submit(one, files, name, out, how, jobs, force) for name, files in named.items()]
        for each in as_completed(waiting):
            yield each.result()
    finally:  # whoever leaves the loop waits for the fits that are at it, and begins no others
        pool.shutdown(cancel_futures=True)


def _there(
    named: dict[str, Files], out: Path, how: Sequence[str], jobs: int, force: bool, address: str
) -> Iterator[Row]:
    """On a cluster; `jobs` fits share one GPU."""
    from texsyn import cluster

    given: dict[str, tuple[Any, ...]] = {}
    for name, files in named.items():
        try:
            given[name] = (files[0].name, _packed(files), name, str(out.resolve()), how, force)
        except (OSError, TexsynError) as error:
            yield Row(name, str(out / name), "skipped", int(Exit.BAD_INPUT), reason(error))
    for name, row in cluster.spread(_fit, given, share=1 / jobs, address=address):
        if isinstance(row, Exception):
            said = str(row).strip().splitlines()
            yield Row(name, str(out / name), "failed", int(Exit.BUG), said[-1] if said else "its task failed")
        elif row.state == "finished" and not (out / name / "run.json").exists():
            nobody = f"it was learnt on {row.node}, but {out} is not a folder that all nodes share"
            yield replace(row, run=str(out / name), state="failed", exit=int(Exit.DISK), reason=nobody)
        else:
            yield replace(row, run=str(out / name))


def _packed(exemplar: Files) -> dict[str, bytes]:
    """The files of an exemplar. Raises TexsynError (exit 3) for one that is too large to send."""
    first = exemplar[0]
    files = sorted(first.iterdir()) if first.is_dir() else exemplar
    if sum(file.stat().st_size for file in files) > _LARGEST:
        raise TexsynError(f"{first.name} is larger than the {_LARGEST / 1e6:.0f} MB that are sent to a node")
    return {file.name: file.read_bytes() for file in files if file.is_file()}


def _fit(file: str, blobs: dict[str, bytes], name: str, out: str, how: Sequence[str], force: bool) -> Row:
    """What a node does: the files are laid out under their own names, and learnt as a batch learns them."""
    with tempfile.TemporaryDirectory() as folder:
        alone = file in blobs  # or a folder of frames
        place = Path(folder) if alone else Path(folder) / file
        place.mkdir(exist_ok=True)
        for each, blob in blobs.items():
            (place / Path(each).name).write_bytes(blob)
        Path(out).mkdir(parents=True, exist_ok=True)
        files = tuple(place / Path(each).name for each in blobs) if alone else (place,)
        row = one(files, name, Path(out), how, jobs=os.cpu_count() or 1, force=force, bound=True)
        return replace(row, node=socket.gethostname())


def exemplars(folder: Path) -> dict[str, Files]:
    """What can be an exemplar, by the name of its run; a map of normals goes with its picture.

    Raises TexsynError (exit 3) where there is nothing.
    """
    from texsyn.decoding import ENDINGS, STILL_ENDINGS

    if not folder.is_dir():
        raise TexsynError(f"{folder.name} is not a folder")
    found = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    found = [path for path in found if _frames(path) and (path.is_dir() or path.suffix.lower() in ENDINGS)]
    if not found:
        raise TexsynError(f"{folder.name} holds no pictures, clips or folders of frames")
    stills = {path.stem: path for path in found if path.suffix.lower() in STILL_ENDINGS}
    maps = {stem: path for stem in stills for tail in _NORMALS if (path := stills.get(f"{stem}{tail}")) is not None}
    found = [path for path in found if path not in maps.values()]
    stems = Counter(path.stem for path in found)
    named = [
        (
            path.stem if stems[path.stem] == 1 else path.name.replace(".", "-"),
            (path, maps[path.stem]) if path.stem in maps and path.suffix.lower() in STILL_ENDINGS else (path,),
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


def one(
    files: Files, name: str, out: Path, how: Sequence[str], jobs: int = 1, force: bool = False, bound: bool = False
) -> Row:
    """Fit one exemplar, in a process of its own, from where its run stands; whoever learns it already ends first.

    jobs: how many share this machine's cores. bound: that process is killed when the thread that waits for it dies.
    """
    place = out.resolve() / name
    try:
        return _one(files, name, place, how, jobs, force, bound)
    except TexsynError as error:  # a damaged run, which costs nothing else
        return Row(name, str(place), "failed", int(error.exit), str(error))


def _one(files: Files, name: str, place: Path, how: Sequence[str], jobs: int, force: bool, bound: bool) -> Row:
    from texsyn import jobs as processes
    from texsyn.runs import Run

    begun = (place / "run.json").exists()
    while begun and processes.status(Run.open(place)).working:
        time.sleep(_POLL)
    if begun and not force and processes.status(Run.open(place)).state == "finished":
        return _learnt(name, place, before=True)
    again = [word for option in ("--minutes", "--steps", "--device", "--no-card") for word in _said(how, option)]
    asked = (
        [f"--resume={place}", *again]
        if begun
        else [*how, f"--out={place}", "--", *(str(file.absolute()) for file in files)]
    )
    threads = max(1, (os.cpu_count() or 1) // jobs)
    environment = processes.environment() | ({} if jobs == 1 else {"OMP_NUM_THREADS": str(threads)})
    command = [*processes.COMMAND, "fit", "--quiet", *asked]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        env=environment,
        check=False,
        preexec_fn=_die_with_parent if bound and sys.platform == "linux" else None,
    )
    if done.returncode == 0:
        return _learnt(name, place)
    said = [line.removeprefix("texsyn: ") for line in done.stderr.splitlines() if line.strip()]
    state = _WORDS.get(Exit(done.returncode) if done.returncode in set(Exit) else Exit.BUG, "failed")
    return Row(name, str(place), state, done.returncode, said[-1] if said else f"ended with {done.returncode}")


def _die_with_parent() -> None:
    import ctypes
    import signal

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _said(words: Sequence[str], option: str) -> list[str]:
    """An option, with its value if it has one, where it is among the words; the last, if it is said twice."""
    found: list[str] = []
    for index, word in enumerate(words):
        if word == option:
            found = [word] if option == "--no-card" else list(words[index : index + 2])
        elif word.startswith(f"{option}="):
            found = [word]
    return found


def _learnt(name: str, place: Path, before: bool = False) -> Row:
    from texsyn import jobs, quality, storage
    from texsyn.runs import Run

    run = Run.open(place)
    status = jobs.status(run)
    card = storage.read_json(place / "card.json") if (place / "card.json").exists() else {}
    try:
        words = [] if not card else quality.words(quality.Card.from_plain(card))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TexsynError(f"{name}: card.json is damaged") from error
    return Row(name, str(place), "finished", 0, "", status.step, status.seconds, before, card, words)


def summarise(rows: Sequence[Row], out: Path) -> None:
    """Write summary.json and summary.html."""
    from texsyn import storage

    plain = [asdict(row) for row in rows]
    storage.replace_text(out / "summary.json", json.dumps(plain, indent=2) + "\n")
    lines = "".join(_cells(row, out) for row in rows)
    storage.replace_text(out / "summary.html", _PAGE.replace("ROWS", lines).replace("WHEN", time.strftime("%Y-%m-%d")))


def _cells(row: Row, out: Path) -> str:
    sheets = sorted((out / row.name / "sheets").glob("*.png"))
    picture = f'<img src="{quote(os.fsencode(row.name))}/sheets/{sheets[-1].name}" alt="">' if sheets else ""
    told = "<br>".join(html.escape(word) for word in row.words) if row.state == "finished" else html.escape(row.reason)
    learnt = f"{row.steps:,} steps, {row.seconds / 60:.1f} min" if row.steps else ""
    cells = (html.escape(short(row.name)), picture, row.state, learnt, told)
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n"


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>texsyn batch</title>
<style>
body { font: 15px system-ui, sans-serif; margin: 2rem; color: #222; background: #fff; }
td, th { padding: .5rem 1rem .5rem 0; vertical-align: top; text-align: left; }
img { height: 112px; border-radius: 6px; }
</style>
<h1>texsyn batch, WHEN</h1>
<table><tr><th>exemplar</th><th>exemplar and samples</th><th>state</th><th>learnt</th><th>quality</th></tr>
ROWS</table>
</html>
"""


# ---------------------------------------------------------------- the command


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser(
        "batch",
        help="learn every exemplar in a folder",
        description="Learn every picture, clip and folder of frames in a folder, each in a run of its name. What is "
        "finished is skipped, what was begun goes on; a broken file is skipped, and the exit code is 3 then.",
        epilog=shared.EXIT_CODES,
    )
    command.add_argument("folder", type=Path, metavar="FOLDER")
    command.add_argument("--out", type=Path, default=Path("runs"), metavar="RUNS", help="(default runs)")
    command.add_argument("--jobs", type=int, default=1, metavar="N", help="fits at a time (default 1)")
    command.add_argument("--only", nargs="+", default=[], metavar="FILE", help="take these files of the folder alone")
    command.add_argument("--executor", choices=("local", "ray"), default="local", help="here, or on a Ray cluster")
    command.add_argument("--address", default="", help="of the Ray cluster: auto, or HOST:6379 (default: start one)")
    command.add_argument("--force", action="store_true", help="go on with what is finished, too: with a larger budget")
    command.add_argument("--json", action="store_true", help="print each row as a JSON line")
    for name, meaning in (
        ("recipe", "fast, best or paper"),
        ("minutes", "time budget of each, in minutes"),
        ("steps", "steps of each"),
        ("seed", "(default 0)"),
        ("side", "reduce the shorter sides to this many pixels"),
        ("device", "auto, cpu, cuda or cuda:N"),
    ):
        command.add_argument(f"--{name}", help=meaning)
    command.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field of the recipe"
    )
    command.add_argument("--untrusted", action="store_true", help="read files in processes with limits")
    command.add_argument("--no-card", action="store_true", help="do not score samples")
    command.set_defaults(command=_batch)


def _batch(options: argparse.Namespace) -> int:
    if not 1 <= options.jobs <= 256:
        raise TexsynError(f"--jobs must lie in 1 to 256, but is {options.jobs}", Exit.USAGE)
    how: list[str] = []
    for name in ("recipe", "minutes", "steps", "seed", "side", "device"):
        if getattr(options, name) is not None:
            how += [f"--{name}", str(getattr(options, name))]
    how += [word for text in options.set for word in ("--set", text)]
    how += [f"--{name}" for name in ("untrusted", "no-card") if getattr(options, name.replace("-", "_"))]
    worst = Exit.OK
    where = {"executor": options.executor, "address": options.address, "only": options.only}
    for row in batch(options.folder, options.out, how, jobs=options.jobs, force=options.force, **where):
        print(json.dumps(asdict(row)) if options.json else row.line, flush=True)
        if row.exit and (worst in (Exit.OK, Exit.BAD_INPUT)):
            worst = Exit(row.exit) if row.exit in set(Exit) else Exit.BUG
    if not options.only:
        print(options.out / "summary.html", file=sys.stderr)
    return int(worst)
