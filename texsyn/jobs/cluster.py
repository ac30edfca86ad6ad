"""One function, called with many arguments on many machines: Ray's core tasks, tried again where a node dies."""

from __future__ import annotations

import secrets
import signal
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from texsyn.core.errors import Exit, TexsynError, reason
from texsyn.jobs import summary
from texsyn.jobs.options import option_value
from texsyn.jobs.worker import Files, fit_one, usable_cores

_TRIES = 10  # of a call whose node died


def spread(
    call: Callable[..., Any], given: Iterable[tuple[str, tuple[Any, ...]]], *, share: float = 1.0, address: str = ""
) -> Iterator[tuple[str, Any]]:
    """The name of each call and, as it ends, its result, or the Exception that it raised.

    given: names and arguments, asked for as the cluster has room for them. share: of a GPU, where the cluster has some
    and it is not 0; otherwise a call takes one core. address: "auto" for the cluster that this machine is part of,
    HOST:PORT for another, nothing for what Ray finds: RAY_ADDRESS, or one of this machine alone. Raises TexsynError
    (exit 2) where Ray is missing or no cluster answers.
    """
    try:
        import ray as module
    except ImportError as error:
        raise TexsynError("--executor ray needs Ray: pip install texsyn[ray]", Exit.USAGE) from error
    ray: Any = module  # its functions have no types
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(address=address or None, log_to_driver=False, include_dashboard=False, configure_logging=False)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise TexsynError(f"no Ray cluster at {address or 'this machine'}: {error}", Exit.USAGE) from error
    try:
        gpus = share if ray.cluster_resources().get("GPU") else 0
        # A worker ends with its call, so that a GPU's memory is free again.
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=_TRIES, max_calls=1)(call)
        left = iter(given)
        waiting: dict[Any, str] = {}
        while True:
            for name, arguments in islice(left, max(0, _room(ray, gpus) - len(waiting))):
                waiting[task.remote(*arguments)] = name
            if not waiting:
                break
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            try:
                result = ray.get(done)
            except Exception as error:  # whatever the call raised, on whichever machine  # noqa: BLE001
                result = error
            yield waiting.pop(done), result
    finally:
        if ours:
            ray.shutdown()


def _room(ray: Any, gpus: float) -> int:
    """How many calls may be at work or in line: enough that none waits for us, and that a cluster that can grows."""
    has = ray.cluster_resources()
    return 8 + 2 * int(has.get("GPU", 0) / gpus if gpus else has.get("CPU", 0))


_LARGEST = 500_000_000  # bytes of one exemplar that are sent to a node


def run_ray(
    named: dict[str, Files], out: Path, how: Sequence[str], jobs: int, force: bool, address: str
) -> Iterator[summary.Row]:
    """On a cluster; `jobs` fits share one GPU."""

    broken: list[summary.Row] = []
    token = out.resolve() / f".shared-{secrets.token_hex(8)}"  # which a node sees only where the folder is the same

    def given() -> Iterator[tuple[str, tuple[Any, ...]]]:
        for name, files in named.items():
            try:
                yield name, (files[0].name, _packed(files), name, str(token), how, force)
            except (OSError, TexsynError) as error:
                broken.append(summary.Row(name, str(out / name), "skipped", int(Exit.BAD_INPUT), reason(error)))

    share = 0 if option_value(how, "--device") == "cpu" else 1 / jobs
    token.touch()
    try:
        for name, row in spread(_fit, given(), share=share, address=address):
            if isinstance(row, Exception):
                said = str(row).strip().splitlines()
                yield summary.Row(
                    name, str(out / name), "failed", int(Exit.BUG), said[-1] if said else "its task failed"
                )
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


def _fit(file: str, blobs: dict[str, bytes], name: str, token: str, how: Sequence[str], force: bool) -> summary.Row:
    """What a node does: the files are laid out under their own names, and learnt as a batch learns them."""
    node, out = socket.gethostname(), Path(token).parent
    if not Path(token).exists():
        said = f"{node} does not share {out}: on a cluster --out must be a folder that all nodes share"
        return summary.Row(name, str(out / name), "failed", int(Exit.DISK), said, node=node)
    with tempfile.TemporaryDirectory() as folder:
        alone = file in blobs  # or a folder of frames
        place = Path(folder) if alone else Path(folder) / file
        place.mkdir(exist_ok=True)
        for each, blob in blobs.items():
            (place / Path(each).name).write_bytes(blob)
        files = tuple(place / Path(each).name for each in blobs) if alone else (place,)
        # A node that dies takes its fits with it at once, so that another can go on with them.
        return replace(fit_one(files, name, out, how, usable_cores(), force, dies_by=signal.SIGKILL), node=node)
