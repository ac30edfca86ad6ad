"""In which numbers convolutions are computed: chosen by measuring, once a process."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import torch
from torch import nn

from texsyn.models import layers


def resolve(wanted: str, device: torch.device) -> str:
    """`float32` or `bfloat16` as wanted; for `auto`, what is quicker on this machine."""
    if wanted != "auto":
        return wanted
    return "bfloat16" if device.type == "cuda" or bfloat16_pays() else "float32"


@cache
@torch.inference_mode(False)
@torch.enable_grad()
def bfloat16_pays() -> bool:
    """Whether a convolution forward and backward is faster on this CPU in bfloat16: measured once, in 50 ms.

    In this thread's own time and on no other, so that it comes out the same beside other work.
    """
    x = torch.randn(2, 64, 64, 64).contiguous(memory_format=torch.channels_last)
    layer = layers.channels_last(nn.Conv2d(64, 64, 4, 2, 1), 2)
    best = {False: math.inf, True: math.inf}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for enabled in (False, True) * 3:
            start = time.thread_time()
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                out = layer(x)
            torch.autograd.backward(out.float().square().mean())
            best[enabled] = min(best[enabled], time.thread_time() - start)
    finally:
        torch.set_num_threads(threads)
    return best[True] < 0.9 * best[False]


def autocast(wanted: str, device: torch.device) -> AbstractContextManager[Any]:
    """Convolutions in bfloat16 where that is what `wanted` resolves to."""
    return torch.autocast(device.type, torch.bfloat16, enabled=resolve(wanted, device) == "bfloat16")
