"""One run trained by several processes, one on each device: this one is number 0 and starts the others.

Started by torchrun or Ray Train instead, each process calls `texsyn fit --resume RUN --devices N`.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any

from texsyn.core.errors import Exit, TexsynError
from texsyn.jobs.options import BUDGET, FitOptions
from texsyn.jobs.process import COMMAND, environment

if TYPE_CHECKING:
    import torch

    from texsyn.core.group import Group
    from texsyn.runs.run import Run

_HELPER = "TEXSYN_HELPER"  # environment variable: number, count and port
_LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # those of torchrun and Ray Train
_LOCAL = "LOCAL_RANK"
_PATIENCE = 120.0  # seconds until started processes must have joined
_HOST = "127.0.0.1"


@dataclass(frozen=True)
class Helper:
    """What a process that helps another to train knows of them."""

    rank: int
    count: int
    port: int  # of process 0 on this machine; 0: those that a launcher started

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[tuple[Group, torch.device]]:
        """The group, and this process's device."""
        with _group(_own_device(device, self.rank, self.count), self.rank, self.count, self.port) as found:
            yield found


def helper() -> Helper | None:
    """What the environment says: this process helps another. None for process 0 and for one alone."""
    if _HELPER in os.environ:
        return Helper(*map(int, os.environ[_HELPER].split(",")))
    if _is_launched() and os.environ["RANK"] != "0":
        return Helper(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), 0)
    return None


def text(device: torch.device, group: Group) -> str:
    """The devices in words."""
    return str(device) if group.count == 1 else f"{group.count} x {device.type}"


@contextmanager
def together(run: Run, options: FitOptions, device: torch.device) -> Iterator[tuple[Group, torch.device]]:
    """The group that trains a run, of which this process is number 0, and its device.

    Raises TexsynError: exit 2 for more GPUs than there are, or where a launcher started another number; that of a
    process that cannot be started.
    """
    from texsyn.core.group import Group

    count = options.devices
    if _is_launched() and count > 1:
        if os.environ["WORLD_SIZE"] != str(count):
            started = os.environ["WORLD_SIZE"]
            raise TexsynError(f"--devices is {count}, but {started} processes were started", Exit.USAGE)
        with _group(_own_device(device, 0, count), 0, count, 0) as found:
            yield found
    elif count == 1:
        yield Group(), device
    else:
        with _group(_own_device(device, 0, count), 0, count, 0, (run, options)) as found:
            yield found


def _is_launched() -> bool:
    return all(name in os.environ for name in _LAUNCHED)


def _own_device(device: torch.device, rank: int, count: int) -> torch.device:
    """That of a process: each takes a GPU of its own, or its part of the cores."""
    import torch

    if device.type == "cpu":
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(1, torch.get_num_threads() // count))
        return device
    number, have = int(os.environ.get(_LOCAL, rank)), torch.cuda.device_count()
    if number >= have:
        raise TexsynError(f"--devices is {count}, but this machine has {have} CUDA device(s)", Exit.USAGE)
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


@contextmanager
def _group(
    device: torch.device, rank: int, count: int, port: int, start: tuple[Run, FitOptions] | None = None
) -> Iterator[tuple[Group, torch.device]]:
    """Join a group, and leave it. start: the run that processes started here help to train."""
    from torch import distributed

    from texsyn.core.group import Group

    started: list[_Started] = []
    how: dict[str, Any] = {}
    group = Group.joined()  # Ray Train has joined the processes before it calls
    try:
        if start or port:
            meet: Any = distributed  # whose stubs do not name the store
            store = meet.TCPStore(_HOST, port, count, is_master=start is not None, wait_for_workers=False)
            how = {"store": store, "rank": rank, "world_size": count}
            if start is None:
                store.set(f"here {rank}", "1")
            else:
                started += [_start(*start, number, store.port) for number in range(1, count)]
                _await(store, started)
        group = group if group.count > 1 else Group.join(device, **how)
        yield group, device
        for each in started:
            each.process.wait(_PATIENCE)
    finally:
        group.leave()
        for each in started:
            each.process.kill()
            each.process.wait()
            each.said.close()


@dataclass(frozen=True)
class _Started:
    """A process that was started here, and the file that it writes errors to."""

    process: subprocess.Popen[str]
    said: IO[str]


def _start(run: Run, options: FitOptions, rank: int, port: int) -> _Started:
    words = replace(
        options.select(*BUDGET), resume=run.path.resolve(), devices=options.devices, device=options.device, quiet=True
    ).to_args()
    said = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed with the group)
    process = subprocess.Popen(
        [*COMMAND, "fit", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=said,
        text=True,
        env={**environment(), _HELPER: f"{rank},{options.devices},{port}"},
    )
    return _Started(process, said)


def _await(store: Any, started: Sequence[_Started]) -> None:
    """Wait until all processes are there. Raises TexsynError where one ends instead."""
    names = [f"here {number}" for number in range(1, len(started) + 1)]
    deadline = time.monotonic() + _PATIENCE
    while not store.check(names):
        for each in started:
            if each.process.poll() is not None:
                each.said.seek(0)
                lines = each.said.read().strip().splitlines() or ["one of the processes has ended"]
                raise TexsynError(lines[-1].removeprefix("texsyn: "), Exit.BAD_INPUT)
        if time.monotonic() > deadline:
            raise TexsynError(f"processes did not start within {_PATIENCE:.0f} seconds", Exit.TERMINATED)
        time.sleep(0.05)
