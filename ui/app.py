"""The browser app: texsyn app [--host H] [--port P] [--auth USER:PASS] [--runs DIR] [--device D] [--open]

It uses only the public names of texsyn. A fit is a process of its own that outlives the server.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import ipaddress
import os
import shutil
import signal
import socket
import sys
import tempfile
import webbrowser
from pathlib import Path
from types import FrameType
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent))

_TRIED = 50  # ports after a busy one
_QUEUE_CHECKS = 0.02  # seconds between Gradio's looks for work: its own 0.001 take 9 % of a core from what is trained
_M_MMAP_THRESHOLD, _THRESHOLD = -3, 262_144  # glibc's option, and bytes


def main() -> None:
    options = _parse_options()
    try:
        options.runs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _exit(f"--runs {options.runs} is not a folder and cannot be created: {error.strerror}")
    _check_port(options.host, options.port)
    temporary = tempfile.mkdtemp(prefix="texsyn-app-")
    # Gradio reads these when it is imported: no telemetry, no cache outside the temporary folder.
    os.environ.update(
        GRADIO_ANALYTICS_ENABLED="False",
        GRADIO_ANALYTICS_MAX_EVENTS="500",
        GRADIO_TEMP_DIR=temporary,
        HF_HUB_OFFLINE="1",
    )
    signal.signal(signal.SIGTERM, _interrupt)
    _return_freed_memory()
    try:
        serve(options, Path(temporary))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def serve(options: argparse.Namespace, temporary: Path) -> None:
    """Build the app and serve it until the process is told to end."""
    from common import HEAD, STYLE, theme
    from guard import Guard, limit_images, refuse_downloads
    from starlette.middleware import Middleware
    from studio import Studio
    from workspace import build

    limit_images()
    refuse_downloads()
    local = _is_loopback(options.host)
    hosts = frozenset({"127.0.0.1", "localhost", "::1", options.host.lower()} if local else ())
    studio = Studio(options.runs.resolve(), temporary, options.device)
    app = build(studio).queue(default_concurrency_limit=4, max_size=256)
    app._queue.sleep_when_free = _QUEUE_CHECKS
    _, address, _ = app.launch(
        server_name=options.host,
        server_port=options.port,
        auth=tuple(options.auth.split(":", 1)) if options.auth else None,
        share=False,
        quiet=True,  # no advice on how to publish it
        prevent_thread_lock=True,
        ssr_mode=False,
        enable_monitoring=False,
        run_history=False,
        footer_links=[],
        max_file_size="200mb",
        state_session_capacity=256,  # 0.25 MB each; every call without a session takes one
        app_kwargs={"openapi_url": None, "middleware": [Middleware(Guard, hosts=hosts)]},
        theme=theme(),
        css=STYLE,
        head=HEAD,
    )
    print(f"texsyn: {address} until Ctrl-C; training continues after that", flush=True)
    print(f"texsyn: trains on {_describe_device(options.device)}", flush=True)
    if not options.untimed:
        studio.time_machine()
    if options.open:
        webbrowser.open(address)
    app.block_thread()


def _describe_device(device: str) -> str:
    """What fits use: the name of a GPU, or the CPU."""
    import torch

    if device == "cpu" or not torch.cuda.is_available():
        return "the CPU"
    return f"{torch.cuda.get_device_name(None if device == 'auto' else device)} ({device})"


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("texsyn app", description="Serve the browser app.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; other than loopback needs --auth")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--auth", metavar="USER:PASS", help="require this login (or set TEXSYN_AUTH)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of runs (default runs)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--untimed", action="store_true", help="do not time this machine, so no minutes are said")
    parser.add_argument("--open", action="store_true", help="open the browser, too")
    options = parser.parse_args()
    options.auth = options.auth or os.environ.get("TEXSYN_AUTH")
    if options.auth and not all(options.auth.partition(":")[::2]):
        parser.error("--auth is USER:PASS")
    if not options.auth and not _is_loopback(options.host):
        parser.error(f"--host {options.host} can be reached by others, so it needs --auth USER:PASS")
    return options


def _check_port(host: str, port: int) -> None:
    """Exit with one line where the address cannot be listened on."""
    if not 0 <= port < 65536:  # the system would take it modulo 65536
        _exit(f"--port must lie in 0 to 65535, but is {port}")
    error = _refused(host, port)
    if error is not None:
        free = next((other for other in range(port + 1, min(port + _TRIED, 65536)) if not _refused(host, other)), None)
        busy = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        advice = f": --port {free} is free" if busy and free else ""
        _exit(f"cannot listen on {host}, port {port}: {getattr(error, 'strerror', None) or error}{advice}")


def _refused(host: str, port: int) -> Exception | None:
    """Why an address cannot be listened on; None where it can."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except (OSError, OverflowError) as error:
        return error
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _return_freed_memory() -> None:
    """Have glibc return large blocks to the system when they are freed."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _THRESHOLD)  # set once, or it grows by itself


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _exit(message: str) -> NoReturn:
    print(f"texsyn: {message}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
