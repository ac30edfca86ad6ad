"""What OpenMP and the C library are told so that tensors are quick; results stay the same."""

from __future__ import annotations

import os
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h


def tune() -> None:
    """Tell this process, best before torch is loaded, as every `texsyn` command does; it keeps up to 1 GB it has freed.

    What it gives is in tests/benchmarks/FINDINGS.md. Nothing happens where the C library is not glibc.
    """
    import ctypes  # not cheap, and `texsyn --help` does without

    # Beside other work on the same cores OpenMP's threads wait for one another at every layer, by default spinning so
    # long that a step takes ten times as long; with a shorter wait it takes five times, and 2 % more when all is quiet.
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")
    # glibc gives the memory of large tensors back to the system and asks for it anew, page by page. Both are set: the
    # trim threshold alone would pin the other at 128 KB.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, 1 << 30)
        mallopt(_MMAP_THRESHOLD, 32 << 20)
