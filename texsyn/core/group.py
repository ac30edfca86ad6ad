"""Processes that train one model together: each has a part of every batch, and all have the same weights.

Gradients, batch statistics and terms are summed over the processes by torch.distributed (gloo on CPU, NCCL on GPUs), so
a step is that of one process with the whole batch, to rounding. `DistributedDataParallel` does not fit: the gradient
penalty takes gradients of gradients, and one backward pass goes through three networks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from texsyn.core.errors import Exit, TexsynError

_PATIENCE = timedelta(minutes=10)  # with a process that does not answer; one that ended is noticed at once


@dataclass
class Group:
    """The processes, seen from number `rank` of `count`. One process alone needs no torch.distributed."""

    rank: int = 0
    count: int = 1
    stop: bool = False  # set in process 0: all stop after the same step

    @classmethod
    def joined(cls) -> Group:
        """That of torch.distributed, where a caller, such as Ray Train, has started it; else this process alone."""
        distributed = torch.distributed
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    @classmethod
    def join(cls, device: torch.device, **how: Any) -> Group:
        """Join other processes: those that the environment names, as torchrun sets it, or those that meet at a `store`.

        how: of `init_process_group`. Raises TexsynError (exit 2) where the environment is wrong.
        """
        try:
            torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE, **how)
        except (ValueError, RuntimeError) as error:
            raise TexsynError(f"processes cannot be joined: {str(error).splitlines()[0]}", Exit.USAGE) from error
        return cls.joined()

    def leave(self) -> None:
        """End the connection with the others."""
        if self.count > 1:
            torch.distributed.destroy_process_group()

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over all processes. Raises TexsynError (exit 143) where one has ended."""
        given = list(tensors)
        if self.count == 1 or not given:
            return
        flat = torch.cat([each.reshape(-1) for each in given])
        self._all_reduce(flat)
        for each, summed in zip(given, torch.split(flat, [each.numel() for each in given]), strict=True):
            each.copy_(summed.view_as(each))

    def agree(self, number: float, device: torch.device) -> float:
        """Process 0's `number` in every process, and its wish to stop in `stop`."""
        if self.count == 1:
            return number
        own = [number, float(self.stop)] if self.rank == 0 else [0.0, 0.0]
        told = torch.tensor(own, dtype=torch.float64, device=device)
        self._all_reduce(told)
        number, stop = told.tolist()
        self.stop = bool(stop)
        return number

    def _all_reduce(self, values: Tensor) -> None:
        try:
            torch.distributed.all_reduce(values)
        except RuntimeError as error:
            raise TexsynError(
                f"one of the {self.count} processes has ended: continue with --resume", Exit.TERMINATED
            ) from error


class _Sum(torch.autograd.Function):
    """The sum over all processes, through which gradients flow."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group) -> Tensor:
        ctx.group = group
        total = x.clone()
        group.add([total])
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.contiguous().clone()
        ctx.group.add([total])
        return total, None


def total(x: Tensor, group: Group) -> Tensor:
    """The sum of `x` over all processes; its gradient is the sum of theirs."""
    summed: Tensor = _Sum.apply(x, group)  # type: ignore[no-untyped-call]
    return summed
