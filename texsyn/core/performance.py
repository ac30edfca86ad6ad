"""Settings of OpenMP and the C library that make tensors faster; results stay the same."""

from __future__ import annotations

import os
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h


def tune() -> None:
    """Tune this process, best before torch is loaded; every `texsyn` command does. It keeps up to 1 GB of freed memory.

    The effect is measured in tests/benchmarks/FINDINGS.md. Without glibc only OpenMP is tuned.
    """
    import ctypes  # slow to import, and `texsyn --help` does not need it

    # With other work on the same cores, OpenMP's threads wait for each other at every layer. By default they spin so
    # long that a step takes ten times as long; with a shorter wait five times, and 2 % more on an idle machine.
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")
    # glibc returns the memory of large tensors to the system and requests it again, page by page. Both thresholds are
    # set, because setting the first alone would fix the second at 128 KB.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, 1 << 30)
        mallopt(_MMAP_THRESHOLD, 32 << 20)
