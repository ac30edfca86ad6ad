"""A batch on a Ray cluster: each fit is a task, which is tried again if its node dies."""

from __future__ import annotations

import secrets
import signal
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.text import reason
from texsyn.jobs.options import FitOptions
from texsyn.jobs.summary import Row
from texsyn.jobs.worker import Files, fit_one, usable_cores

_RETRIES = 10  # of a task whose node died
_LARGEST = 500_000_000  # bytes of one exemplar that are sent to a node


def run_ray(
    named: dict[str, Files], out: Path, options: FitOptions, jobs: int, force: bool, address: str
) -> Iterator[Row]:
    """Fit exemplars on a Ray cluster, `jobs` on one GPU; yield a row as each one ends.

    Raises TexsynError (exit 2) where Ray is missing or no cluster answers.
    """
    unreadable: list[Row] = []
    token = out.resolve() / f".shared-{secrets.token_hex(8)}"  # a node sees this file if it shares the folder

    def calls() -> Iterator[tuple[str, tuple[Any, ...]]]:
        for name, files in named.items():
            try:
                yield name, (files[0].name, _read_files(files), name, str(token), options, force)
            except (OSError, TexsynError) as error:
                unreadable.append(Row(name, str(out / name), "skipped", int(Exit.BAD_INPUT), reason(error)))

    gpu_share = 0 if options.device == "cpu" else 1 / jobs
    token.touch()
    try:
        for name, result in map_calls(_fit_on_node, calls(), gpu_share=gpu_share, address=address):
            if isinstance(result, Exception):
                lines = str(result).strip().splitlines() or ["its task failed"]
                yield Row(name, str(out / name), "failed", int(Exit.BUG), lines[-1])
            else:
                yield replace(result, run=str(out / name))
    finally:
        token.unlink(missing_ok=True)
    yield from unreadable


def map_calls(
    function: Callable[..., Any],
    calls: Iterable[tuple[str, tuple[Any, ...]]],
    *,
    gpu_share: float = 1.0,
    address: str = "",
) -> Iterator[tuple[str, Any]]:
    """Call a function on a cluster; yield each call's name with its result, or the Exception it raised, as it ends.

    calls: names and arguments, consumed as the cluster has room. gpu_share: of a GPU for each call, if the cluster has
    GPUs and it is not 0; otherwise a call takes one core. address: "auto" for the cluster that this machine is part of,
    HOST:PORT for another, "" for RAY_ADDRESS or else a cluster of this machine alone. Raises TexsynError (exit 2) where
    Ray is missing or no cluster answers.
    """
    with _connected(address) as ray:
        gpus = gpu_share if ray.cluster_resources().get("GPU") else 0
        # A worker ends with its call, so that the memory of its GPU is free again.
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=_RETRIES, max_calls=1)(function)
        remaining = iter(calls)
        pending: dict[Any, str] = {}
        while True:
            for name, arguments in islice(remaining, max(0, _capacity(ray, gpus) - len(pending))):
                pending[task.remote(*arguments)] = name
            if not pending:
                break
            (done,), _ = ray.wait(list(pending), num_returns=1)
            try:
                result = ray.get(done)
            except Exception as error:  # whatever the call raised, on any machine  # noqa: BLE001
                result = error
            yield pending.pop(done), result


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """The module ray (which has no types), connected to a cluster. Raises TexsynError (exit 2)."""
    try:
        import ray
    except ImportError as error:
        raise TexsynError("--executor ray needs Ray: pip install texsyn[ray]", Exit.USAGE) from error
    was_connected = ray.is_initialized()
    if not was_connected:
        try:
            ray.init(address=address or None, log_to_driver=False, include_dashboard=False, configure_logging=False)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise TexsynError(f"no Ray cluster at {address or 'this machine'}: {error}", Exit.USAGE) from error
    try:
        yield ray
    finally:
        if not was_connected:
            ray.shutdown()


def _capacity(ray: Any, gpus: float) -> int:
    """How many calls to submit: some more than fit, so that no node waits and an autoscaling cluster grows."""
    resources = ray.cluster_resources()
    return 8 + 2 * int(resources.get("GPU", 0) / gpus if gpus else resources.get("CPU", 0))


def _read_files(exemplar: Files) -> dict[str, bytes]:
    """The contents of an exemplar's files by name. Raises TexsynError (exit 3) for too many bytes."""
    first = exemplar[0]
    files = sorted(first.iterdir()) if first.is_dir() else exemplar
    if sum(file.stat().st_size for file in files) > _LARGEST:
        raise TexsynError(f"{first.name} is larger than the {_LARGEST / 1e6:.0f} MB that are sent to a node")
    return {file.name: file.read_bytes() for file in files if file.is_file()}


def _fit_on_node(file: str, contents: dict[str, bytes], name: str, token: str, options: FitOptions, force: bool) -> Row:
    """Fit one exemplar on a node, from copies of its files; `file` names the first of them, or their folder."""
    node, out = socket.gethostname(), Path(token).parent
    if not Path(token).exists():
        why = f"{node} does not share {out}: on a cluster --out must be a folder that all nodes share"
        return Row(name, str(out / name), "failed", int(Exit.DISK), why, node=node)
    with tempfile.TemporaryDirectory() as temporary:
        is_folder = file not in contents
        folder = Path(temporary) / file if is_folder else Path(temporary)
        folder.mkdir(exist_ok=True)
        for each, content in contents.items():
            (folder / Path(each).name).write_bytes(content)
        files = (folder,) if is_folder else tuple(folder / Path(each).name for each in contents)
        # A node that dies takes its fits with it at once, so that another node can resume them.
        row = fit_one(files, name, out, options, usable_cores(), force, death_signal=signal.SIGKILL)
        return replace(row, node=node)
