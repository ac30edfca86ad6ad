"""The app: what is forged, what floods it, and many who look on."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from trials.children import Found, new_run


@contextmanager
def serving(folder: Path, *more: str) -> Iterator[Any]:
    """The real app in a folder of its own."""
    from server import Server

    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder / "temporary")  # where the tickets of its fits lie
    tempfile.tempdir = None
    server = Server(folder, *more)
    try:
        yield server
    finally:
        server.stop_fits()
        server.stop()
        os.environ.pop("TMPDIR") if before is None else os.environ.update(TMPDIR=before)
        tempfile.tempdir = None


def _ask(address: str, path: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """The status of an answer, and what it says."""
    request = urllib.request.Request(
        address + path, data=data, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status), answer.read(2_000_000)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(10_000)


def _outside(folder: Path) -> set[Path]:
    """Everything that is there but runs, the server's own temporary files and its log."""
    own = (folder / "runs", folder / "temporary", folder / "server.log")
    return {path for path in folder.rglob("*") if not any(path == each or each in path.parents for each in own)}


TRAVERSALS = (
    "/etc/passwd",
    "../../../../../../../../etc/passwd",
    "..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "....//....//....//etc/passwd",
    "..\\..\\..\\etc\\passwd",
    "/proc/self/environ",
    "file:///etc/passwd",
    "SECRET",
)


def web(tries: int, folder: Path) -> Found:
    """Forged hosts and origins, ways out of the folder through every endpoint, floods and slow uploads."""
    import socket

    secret = folder / "secret.png"  # a picture that could be learnt, were it reached
    Image.new("RGB", (64, 64), (200, 10, 10)).save(secret)
    good = count = 0
    odd: list[str] = []

    def judged(right: bool, words: str) -> None:
        nonlocal good, count
        count, good = count + 1, good + right
        if not right:
            odd.append(words)

    with serving(folder) as server:
        before = _outside(folder)
        json_type = {"Content_Type": "application/json"}
        for name in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "[::2]", "0.0.0.0", ""):
            code, _ = _ask(server.address, "/", Host=name)
            judged(code in (400, 403), f"Host {name!r}: {code}")
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "https://localhost.evil.example"):
            for path in ("/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/call/status", "/login"):
                code, _ = _ask(server.address, path, b"{}", Origin=origin, **json_type)
                judged(code == 403, f"Origin {origin} {path}: {code}")
        for way in TRAVERSALS:
            way = way.replace("SECRET", str(secret))
            for path in (
                "/gradio_api/file=",
                "/gradio_api/file/",
                "/gradio_api/file/https://127.0.0.1:1/",
                "/file=",
                "/static/",
                "/assets/",
                "/theme.css/../",
            ):
                code, said = _ask(server.address, urllib.parse.quote(path + way, safe="/%=:"))
                judged(code >= 400 and b"root:" not in said and b"PNG" not in said, f"{path}{way}: {code}")
            for name, data in (
                ("status", [way]),
                ("sample", [way, 0, 64, 64]),
                ("fit", [{"path": way, "meta": {"_type": "gradio.FileData"}}, 1]),
                ("fit", [{"path": way}, 1]),
                ("fit", [{"path": way, "url": "http://127.0.0.1:1/x", "meta": {"_type": "gradio.FileData"}}, 1]),
            ):
                place = f"/gradio_api/call/{name}"
                code, said = _ask(server.address, place, json.dumps({"data": data}).encode(), **json_type)
                if code == 200:
                    _, said = _ask(server.address, f"{place}/{json.loads(said)['event_id']}")
                judged(
                    (code >= 400 or b"event: error" in said) and b"root:" not in said, f"{name} {way}: {said[:90]!r}"
                )
        for path in ("/gradio_api/file=", "/gradio_api/file/", "/gradio_api/proxy=", "/file="):
            code, _ = _ask(server.address, f"{path}https://127.0.0.1:1/x")
            judged(code == 403, f"{path}https: {code}")
        slow = []
        for _ in range(20):
            guest = socket.create_connection(("127.0.0.1", server.port))
            head = "POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n"
            guest.sendall((head + "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n").encode())
            slow.append(guest)
        start = time.monotonic()
        code, _ = _ask(server.address, "/")
        judged(code == 200 and time.monotonic() - start < 5, f"beside 20 slow uploads: {code}")
        for guest in slow:
            guest.close()
        body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="../../../e.png"\r\n\r\n'
        for _ in range(max(10, tries // 50)):
            data = body + os.urandom(1_000_000) + b"\r\n--x--\r\n"
            code, _ = _ask(server.address, "/gradio_api/upload", data, Content_Type="multipart/form-data; boundary=x")
            judged(code in (200, 413), f"upload: {code}")
        start = time.monotonic()
        code, _ = _ask(server.address, "/")
        judged(code == 200 and time.monotonic() - start < 5, f"after a flood of uploads: {code}")
        judged(_outside(folder) == before, f"written outside: {_outside(folder) - before}")
    locked = folder / "locked"
    locked.mkdir()
    new_run(locked / "runs" / "unspoken")
    with serving(locked, "--auth", "someone:secret") as server:
        places = ("/gradio_api/call/status", "/gradio_api/queue/join", "/gradio_api/upload", "/gradio_api/call/fit")
        reads = ("/gradio_api/info", "/config", "/gradio_api/file=/etc/passwd", "/gradio_api/queue/data?session_hash=a")
        start = time.monotonic()
        for number in range(tries):
            path = (*places, *reads)[number % 8]
            code, _ = _ask(server.address, path, b"{}" if path in places else None, **json_type)
            judged(code in (401, 403, 404, 422), f"without login {path}: {code}")
        rate = tries / (time.monotonic() - start)
        code, said = _ask(server.address, "/")
        judged(code in (200, 401) and b"unspoken" not in said, f"the login page: {code}")
    return Found(
        count, good, f"{tries} requests without login at {rate:.0f} a second" + "".join(f"; {e}" for e in odd[:5])
    )


def load_test(tries: int, folder: Path) -> Found:
    """Sixteen people look on at a fit for so many minutes (0: four, for 12 s), and samples are made: see load.py."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
    from load import measure

    with serving(folder) as server:
        found = measure(server, 16 if tries else 4, tries or 0.2)
    half = len(found.memory) // 2
    flat = tries < 4 or found.memory[-1] < 1.1 * found.memory[half] + 5
    kept = found.temporary[-1] <= 300  # what is shown is kept for a while, the newest 128
    right = not found.failed and (found.late < 250 or tries < 4) and flat and kept and found.state == "running"
    return Found(len(found.taken), len(found.taken) if right else 0, f"{tries} minutes: {found.words()}")
