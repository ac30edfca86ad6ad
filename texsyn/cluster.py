"""One function, called with many arguments on many machines: Ray's core tasks, tried again where a node dies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from texsyn.errors import Exit, TexsynError

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
