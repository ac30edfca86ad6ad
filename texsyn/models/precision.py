"""The type in which convolutions are computed: float32 or bfloat16, chosen by timing both once per process."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import nn

from texsyn.models import layers


def resolve(wanted: str, device: torch.device) -> str:
    """`float32` or `bfloat16` as wanted; for `auto` the faster one on this machine."""
    if wanted != "auto":
        return wanted
    return "bfloat16" if device.type == "cuda" or bfloat16_is_faster() else "float32"


def autocast(wanted: str, device: torch.device) -> AbstractContextManager[Any]:
    """Within it convolutions are computed in the type that `wanted` resolves to; an exported graph's in float32.

    A region of its own would also be traced once more by the exporter, in half as much time again.
    """
    if torch.compiler.is_exporting():
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16, enabled=resolve(wanted, device) == "bfloat16")


@cache
@torch.inference_mode(False)
@torch.enable_grad()
def bfloat16_is_faster() -> bool:
    """Whether a convolution, forward and backward, is faster on this CPU in bfloat16: measured once, in 50 ms.

    The clock is this thread's CPU time, so that other work on the machine does not change the answer.
    """
    x = torch.randn(2, 64, 64, 64).contiguous(memory_format=torch.channels_last)
    layer = layers.channels_last(nn.Conv2d(64, 64, 4, 2, 1), 2)
    fastest = {False: math.inf, True: math.inf}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for enabled in (False, True) * 3:
            start = time.thread_time()
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                out = layer(x)
            torch.autograd.backward(out.float().square().mean())
            fastest[enabled] = min(fastest[enabled], time.thread_time() - start)
    finally:
        torch.set_num_threads(threads)
    return fastest[True] < 0.9 * fastest[False]
