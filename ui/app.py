"""The browser app: python ui/app.py [--host H] [--port P] [--auth USER:PASS] [--runs DIR] [--device D]

A user of the package like any other: a fit is a process with a folder, and this server only looks on.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import ipaddress
import os
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


def main() -> None:
    options = _options()
    try:
        options.runs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _refuse(f"--runs {options.runs} is no folder and cannot become one: {error.strerror}")
    _check_port(options)
    temporary = tempfile.mkdtemp(prefix="texsyn-app-")
    # Read by gradio when it is imported: nothing leaves this machine, and nothing stays in the machine's own folders.
    os.environ.update(
        GRADIO_ANALYTICS_ENABLED="False",
        GRADIO_ANALYTICS_MAX_EVENTS="500",
        GRADIO_TEMP_DIR=temporary,
        HF_HUB_OFFLINE="1",
    )
    signal.signal(signal.SIGTERM, _interrupt)
    _give_back()
    try:
        serve(options, Path(temporary))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_port(options: argparse.Namespace) -> None:
    if not 0 <= options.port < 65536:  # which the system would take modulo 65536
        _refuse(f"--port must lie in 0 to 65535, but is {options.port}")
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)
        with socket.socket(found[0][0], socket.SOCK_STREAM) as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(found[0][4])
    except (OSError, OverflowError) as error:
        said = getattr(error, "strerror", None) or error
        _refuse(f"cannot listen on {options.host}, port {options.port}: {said}")


def _refuse(reason: str) -> NoReturn:
    print(f"texsyn: {reason}", file=sys.stderr)
    raise SystemExit(2)


def _give_back() -> None:
    """Have the C library return large blocks to the system when they are freed, rather than keep them in pieces."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # where it is not glibc
            ctypes.CDLL(None).mallopt(-3, 262_144)  # M_MMAP_THRESHOLD, which otherwise grows


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; any but this machine's needs --auth")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--auth", metavar="USER:PASS", help="ask for this login (or set TEXSYN_AUTH)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of runs (default runs)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    options = parser.parse_args()
    options.auth = options.auth or os.environ.get("TEXSYN_AUTH")
    if options.auth and not all(options.auth.partition(":")[::2]):
        parser.error("--auth is USER:PASS")
    if not options.auth and not _is_loopback(options.host):
        parser.error(f"--host {options.host} can be reached by others, so it needs --auth USER:PASS")
    return options


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(options: argparse.Namespace, temporary: Path) -> None:
    """Build the app and serve it until the process is told to end."""
    from guard import Guard, fetch_nothing, limit_pictures
    from pages import build
    from starlette.middleware import Middleware
    from studio import Studio
    from wiring import HEAD, STYLE, theme

    limit_pictures()
    fetch_nothing()
    local = _is_loopback(options.host)
    hosts = frozenset({"127.0.0.1", "localhost", "::1", options.host.lower()} if local else ())
    app = build(Studio(options.runs.resolve(), temporary, options.device))
    how: dict[str, Any] = {"openapi_url": None, "middleware": [Middleware(Guard, hosts=hosts)]}
    _, address, _ = app.queue(default_concurrency_limit=4, max_size=256).launch(
        server_name=options.host,
        server_port=options.port,
        auth=tuple(options.auth.split(":", 1)) if options.auth else None,
        share=False,
        quiet=True,  # of how to publish it
        prevent_thread_lock=True,
        ssr_mode=False,
        enable_monitoring=False,
        run_history=False,
        footer_links=[],
        max_file_size="200mb",
        state_session_capacity=256,  # a quarter of a megabyte each, and one for each call without a session
        app_kwargs=how,
        theme=theme(),
        css=STYLE,
        head=HEAD,
    )
    print(f"texsyn: {address} until Ctrl-C; fits go on after that", flush=True)
    app.block_thread()


if __name__ == "__main__":
    main()
