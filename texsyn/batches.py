"""Many exemplars, each a fit of its own by the command line's own path: resumable, and a broken one costs nothing else.

Only the standard library is imported at first, as in the other modules of commands.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from texsyn import options as shared
from texsyn import summary
from texsyn.errors import Exit, TexsynError, reason, short
from texsyn.summary import Row

if TYPE_CHECKING:
    from texsyn.runs import Run

_NORMALS = ("-normal", "_normal")  # at the end of the name of a picture's map of normals
_POLL = 1.0  # seconds between two looks at whether a run is free
_SUMMARY = 5.0  # seconds from one writing of the summary to the next, until the last
_LARGEST = 500_000_000  # bytes of one exemplar that are sent to a node
_WORDS = {Exit.INTERRUPTED: "stopped", Exit.TERMINATED: "stopped", Exit.BAD_INPUT: "skipped"}

Files = tuple[Path, ...]  # of one exemplar


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
) -> Iterator[Row]:
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
    done = _there(named, out, how, jobs, force, address) if on_ray else _here(named, out, how, jobs, force)
    rows, written = dict[str, tuple[Row, str]](), -math.inf
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


def _here(named: dict[str, Files], out: Path, how: Sequence[str], jobs: int, force: bool) -> Iterator[Row]:
    places = SimpleQueue[Sequence[str]]()  # where a fit may be: each is one fit's at a time
    for number in range(jobs):
        places.put(_device(number, how))

    def learn(name: str, files: Files) -> Row:
        place = places.get()
        try:
            return one(files, name, out, [*how, *place], jobs, force)
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
    return [f"--device=cuda:{number % count}"] if count > 1 and _value(how, "--device") in ("", "auto", "cuda") else []


def _there(
    named: dict[str, Files], out: Path, how: Sequence[str], jobs: int, force: bool, address: str
) -> Iterator[Row]:
    """On a cluster; `jobs` fits share one GPU."""
    from texsyn import cluster

    broken: list[Row] = []
    token = out.resolve() / f".shared-{secrets.token_hex(8)}"  # which a node sees only where the folder is the same

    def given() -> Iterator[tuple[str, tuple[Any, ...]]]:
        for name, files in named.items():
            try:
                yield name, (files[0].name, _packed(files), name, str(token), how, force)
            except (OSError, TexsynError) as error:
                broken.append(Row(name, str(out / name), "skipped", int(Exit.BAD_INPUT), reason(error)))

    share = 0 if _value(how, "--device") == "cpu" else 1 / jobs
    token.touch()
    try:
        for name, row in cluster.spread(_fit, given(), share=share, address=address):
            if isinstance(row, Exception):
                said = str(row).strip().splitlines()
                yield Row(name, str(out / name), "failed", int(Exit.BUG), said[-1] if said else "its task failed")
            else:
                yield replace(row, run=str(out / name))
    finally:
        token.unlink(missing_ok=True)
    yield from broken


def _packed(exemplar: Files) -> dict[str, bytes]:
    """The files of an exemplar. Raises TexsynError (exit 3) for one that is too large to send."""
    first = exemplar[0]
    files = sorted(first.iterdir()) if first.is_dir() else exemplar
    if sum(file.stat().st_size for file in files) > _LARGEST:
        raise TexsynError(f"{first.name} is larger than the {_LARGEST / 1e6:.0f} MB that are sent to a node")
    return {file.name: file.read_bytes() for file in files if file.is_file()}


def _fit(file: str, blobs: dict[str, bytes], name: str, token: str, how: Sequence[str], force: bool) -> Row:
    """What a node does: the files are laid out under their own names, and learnt as a batch learns them."""
    node, out = socket.gethostname(), Path(token).parent
    if not Path(token).exists():
        said = f"{node} does not share {out}: on a cluster --out must be a folder that all nodes share"
        return Row(name, str(out / name), "failed", int(Exit.DISK), said, node=node)
    with tempfile.TemporaryDirectory() as folder:
        alone = file in blobs  # or a folder of frames
        place = Path(folder) if alone else Path(folder) / file
        place.mkdir(exist_ok=True)
        for each, blob in blobs.items():
            (place / Path(each).name).write_bytes(blob)
        files = tuple(place / Path(each).name for each in blobs) if alone else (place,)
        # A node that dies takes its fits with it at once, so that another can go on with them.
        return replace(one(files, name, out, how, _cores(), force, dies_by=signal.SIGKILL), node=node)


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
    files: Files,
    name: str,
    out: Path,
    how: Sequence[str],
    jobs: int = 1,
    force: bool = False,
    dies_by: int = signal.SIGTERM,
) -> Row:
    """Fit one exemplar, in a process of its own, from where its run stands; whoever learns it already ends first.

    jobs: how many share this machine's cores. dies_by: the signal that process gets when the thread that waits for it
    dies; by SIGTERM it keeps what it has learnt.
    """
    place = out.resolve() / name
    try:
        return _one(files, name, place, how, jobs, force, dies_by)
    except TexsynError as error:  # a damaged run, which costs nothing else
        return Row(name, str(place), "failed", int(error.exit), str(error))
    except OSError as error:  # no memory for another process, or a disk that is gone
        return Row(name, str(place), "failed", int(Exit.DISK), reason(error))


def _one(files: Files, name: str, place: Path, how: Sequence[str], jobs: int, force: bool, dies_by: int) -> Row:
    from texsyn import jobs as processes
    from texsyn.runs import Run

    begun = Run.open(place) if (place / "run.json").exists() else None
    if begun:
        _same(begun, files)
    while begun and processes.status(begun).working:
        time.sleep(_POLL)
    learnt = begun is not None and processes.status(begun).state == "finished"
    if begun and learnt and not force and (_said(how, "--no-card") or begun.scored):
        return _learnt(name, place, how, before=True)
    # A finished run without a card was killed while it was scored.
    budget = [] if learnt and not force else ["--minutes", "--steps"]
    again = [word for option in (*budget, "--device", "--no-card") for word in _said(how, option)]
    asked = (
        [f"--resume={place}", *again]
        if begun
        else [*how, f"--out={place}", "--", *(str(file.absolute()) for file in files)]
    )
    threads = max(1, _cores() // jobs)
    environment = processes.environment() | ({} if jobs == 1 else {"OMP_NUM_THREADS": str(threads)})
    command = [*processes.COMMAND, "fit", "--quiet", *asked]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        env=environment,
        check=False,
        preexec_fn=partial(_die_with_parent, dies_by) if sys.platform == "linux" else None,
    )
    if done.returncode == 0:
        return _learnt(name, place, how, before=learnt and not force)
    if done.returncode < 0:
        said = [f"its process was ended by {signal.Signals(-done.returncode).name}, as where memory runs out"]
    else:
        said = [line for line in done.stderr.splitlines() if line.strip() and "warning: " not in line]
    state = _WORDS.get(Exit(done.returncode) if done.returncode in set(Exit) else Exit.BUG, "failed")
    why = said[-1].removeprefix("texsyn: ") if said else f"ended with {done.returncode}"
    return Row(name, str(place), state, done.returncode, why)


def _same(run: Run, files: Files) -> None:
    """Raise TexsynError (exit 3) where a run was begun from other files than these."""
    from texsyn import media

    if len(run.facts) == 1 and run.facts[0].get("sha256") != media.digest(files):
        raise TexsynError(f"{run.path.name} was begun from another file of this name: rename one, or remove {run.path}")


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _die_with_parent(number: int) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG


def _said(words: Sequence[str], option: str) -> list[str]:
    """An option, with its value if it has one, where it is among the words; the last, if it is said twice."""
    found: list[str] = []
    for index, word in enumerate(words):
        if word == option:
            found = [word] if option == "--no-card" else list(words[index : index + 2])
        elif word.startswith(f"{option}="):
            found = [word]
    return found


def _value(words: Sequence[str], option: str) -> str:
    """What an option says, or nothing where it is not among the words."""
    return _said(words, option)[-1].removeprefix(f"{option}=") if _said(words, option) else ""


def _learnt(name: str, place: Path, how: Sequence[str], before: bool = False) -> Row:
    from texsyn import jobs, quality, storage
    from texsyn.runs import Run

    run = Run.open(place)
    status = jobs.status(run)
    card = storage.read_json(place / "card.json") if (place / "card.json").exists() else {}
    try:
        words = [] if not card else quality.words(quality.Card.from_plain(card))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TexsynError(f"{name}: card.json is damaged") from error
    kept = _kept(run, how)
    return Row(name, str(place), "finished", 0, kept, status.step, status.seconds, before, card, words)


def _kept(run: Run, how: Sequence[str]) -> str:
    """What a run that was begun before keeps as it is, though the options ask for something else."""
    from texsyn.options import field_value

    recipe = asdict(run.recipe)
    has = {"--recipe": run.content.get("recipe_name"), "--seed": str(recipe["seed"])}
    kept = [option for option, value in has.items() if _value(how, option) not in ("", value)]
    for option, text in pairwise(how):
        field_name, _, value = text.partition("=")
        field_name = field_name.replace("-", "_")
        if option == "--set" and field_name in recipe:
            kept += [f"--set {text}"] * (field_value(field_name, value, recipe[field_name]) != recipe[field_name])
    return f"as it was begun, without {', '.join(kept)}" if kept else ""


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
    command.add_argument("--out", type=shared.folder, default=Path("runs"), metavar="RUNS", help="(default runs)")
    command.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="fits at a time, or on a GPU of a cluster (default 1)"
    )
    command.add_argument("--only", nargs="+", default=[], metavar="FILE", help="take these files of the folder alone")
    command.add_argument("--executor", choices=("local", "ray"), default="local", help="here, or on a Ray cluster")
    command.add_argument(
        "--address",
        default="",
        help="of the Ray cluster: auto, or HOST:6379 (default: what Ray finds, or one of this machine alone)",
    )
    command.add_argument("--force", action="store_true", help="go on with what is finished, too: with a larger budget")
    command.add_argument("--json", action="store_true", help="print each row as a JSON line")
    command.add_argument("--recipe", choices=shared.RECIPES, help="(default fast)")
    command.add_argument("--minutes", type=float, metavar="M", help="time budget of each, in minutes")
    command.add_argument("--steps", type=int, metavar="N", help="steps of each")
    command.add_argument("--seed", type=int, help="(default 0)")
    command.add_argument("--side", type=int, metavar="PIXELS", help="reduce the shorter sides to this")
    command.add_argument("--device", help="auto, cpu, cuda or cuda:N (default: auto, on all GPUs of this machine)")
    command.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field of the recipe"
    )
    command.add_argument("--untrusted", action="store_true", help="read files in processes with limits")
    command.add_argument("--no-card", action="store_true", help="do not score samples")
    # Its fits get the signal when it dies, and keep what they have learnt; asked to end, it would wait for them.
    command.set_defaults(command=_batch, dies_at_once=True)


def _batch(options: argparse.Namespace) -> int:
    if not 1 <= options.jobs <= 256:
        raise TexsynError(f"--jobs must lie in 1 to 256, but is {options.jobs}", Exit.USAGE)
    how: list[str] = []
    for name in ("recipe", "minutes", "steps", "seed", "side", "device"):
        if getattr(options, name) is not None:
            how += [f"--{name}", str(getattr(options, name))]
    how += [word for text in options.set for word in ("--set", text)]
    how += [f"--{name}" for name in ("untrusted", "no-card") if getattr(options, name.replace("-", "_"))]
    from texsyn import modality, recipes

    recipes.recipe_for(options.recipe or "fast", modality.STILL, **shared.changes(options))  # said once, not by each
    worst = Exit.OK
    say = partial(print, file=sys.stderr, flush=True)
    where = {"executor": options.executor, "address": options.address, "only": options.only, "say": say}
    for row in batch(options.folder, options.out, how, jobs=options.jobs, force=options.force, **where):
        print(json.dumps(asdict(row)) if options.json else row.line, flush=True)
        if row.exit and (worst in (Exit.OK, Exit.BAD_INPUT)):
            worst = Exit(row.exit) if row.exit in set(Exit) else Exit.BUG
    if not options.only:
        print(options.out / "summary.html", file=sys.stderr)
    return int(worst)
