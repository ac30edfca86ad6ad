"""The app: forged requests, floods, slow uploads, no login, and many people at once."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from conftest import draw
from PIL import Image
from server import Server, serve

from trials.children import Outcome, new_run

_JSON = {"Content_Type": "application/json"}
_UPLOAD = {"Content_Type": "multipart/form-data; boundary=x"}
_HOSTS = ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "[::2]", "0.0.0.0", "")
_ORIGINS = ("http://evil.example", "null", "http://127.0.0.1:1", "https://localhost.evil.example")
_TRAVERSALS = (
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
_FILE_PATHS = (
    "/gradio_api/file=",
    "/gradio_api/file/",
    "/gradio_api/file/https://127.0.0.1:1/",
    "/file=",
    "/static/",
    "/assets/",
    "/theme.css/../",
)


@dataclass
class _Checks:
    """Counts checks, and keeps what failed."""

    count: int = 0
    good: int = 0
    failures: list[str] = field(default_factory=list)

    def check(self, right: bool, message: str) -> None:
        self.count, self.good = self.count + 1, self.good + right
        if not right:
            self.failures.append(message)


def _request(address: str, path: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """The status and the body of an answer."""
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
    """All files of a folder but runs, the server's temporary files and its log."""
    own = (folder / "runs", folder / "temporary", folder / "server.log")
    return {path for path in folder.rglob("*") if not any(path == each or each in path.parents for each in own)}


def web(tries: int, folder: Path) -> Outcome:
    """Forged hosts and origins, paths out of the app's folders, slow and many uploads, requests without login."""
    checks, secret = _Checks(), folder / "secret.png"  # an image that could be trained on, if it were reached
    Image.new("RGB", (64, 64), (200, 10, 10)).save(secret)
    with serve(folder) as server:
        before = _outside(folder)
        _check_hosts(server, checks)
        for path in _TRAVERSALS:
            _check_traversal(server, path.replace("SECRET", str(secret)), checks)
        _check_slow_uploads(server, checks)
        _check_floods(server, max(10, tries // 50), checks)
        checks.check(_outside(folder) == before, f"written outside: {_outside(folder) - before}")
    rate = _check_logins(folder / "locked", tries, checks)
    details = f"{tries} requests without login at {rate:.0f} a second"
    return Outcome(checks.count, checks.good, details + "".join(f"; {each}" for each in checks.failures[:5]))


def _check_hosts(server: Server, checks: _Checks) -> None:
    for name in _HOSTS:
        code, _ = _request(server.address, "/", Host=name)
        checks.check(code in (400, 403), f"Host {name!r}: {code}")
    for origin in _ORIGINS:
        for path in ("/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/call/status", "/login"):
            code, _ = _request(server.address, path, b"{}", Origin=origin, **_JSON)
            checks.check(code == 403, f"Origin {origin} {path}: {code}")
    for path in ("/gradio_api/file=", "/gradio_api/file/", "/gradio_api/proxy=", "/file="):
        code, _ = _request(server.address, f"{path}https://127.0.0.1:1/x")
        checks.check(code == 403, f"{path}https: {code}")


def _check_traversal(server: Server, target: str, checks: _Checks) -> None:
    """No address and no endpoint may read a file outside of the app's folders."""
    for path in _FILE_PATHS:
        code, body = _request(server.address, urllib.parse.quote(path + target, safe="/%=:"))
        checks.check(code >= 400 and b"root:" not in body and b"PNG" not in body, f"{path}{target}: {code}")
    file = {"path": target, "meta": {"_type": "gradio.FileData"}}
    for name, data in (
        ("status", [target]),
        ("sample", [target, 0, 64, 64, ""]),
        ("fit", [file, 1]),
        ("fit", [{"path": target}, 1]),
        ("fit", [{**file, "url": "http://127.0.0.1:1/x"}, 1]),
    ):
        place = f"/gradio_api/call/{name}"
        code, body = _request(server.address, place, json.dumps({"data": data}).encode(), **_JSON)
        if code == 200:
            _, body = _request(server.address, f"{place}/{json.loads(body)['event_id']}")
        refused = code >= 400 or b"event: error" in body
        checks.check(refused and b"root:" not in body, f"{name} {target}: {body[:90]!r}")


def _check_answers(server: Server, checks: _Checks, when: str) -> None:
    start = time.monotonic()
    code, _ = _request(server.address, "/")
    checks.check(code == 200 and time.monotonic() - start < 5, f"{when}: {code}")


def _check_slow_uploads(server: Server, checks: _Checks) -> None:
    """Twenty uploads that never end must not block the app."""
    head = "POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n"
    head += "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    connections = []
    for _ in range(20):
        connections.append(socket.create_connection(("127.0.0.1", server.port)))
        connections[-1].sendall(head.encode())
    _check_answers(server, checks, "beside 20 slow uploads")
    for connection in connections:
        connection.close()


def _check_floods(server: Server, count: int, checks: _Checks) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="../../../e.png"\r\n\r\n'
    for _ in range(count):
        data = body + os.urandom(1_000_000) + b"\r\n--x--\r\n"
        code, _ = _request(server.address, "/gradio_api/upload", data, **_UPLOAD)
        checks.check(code in (200, 413), f"upload: {code}")
    _check_answers(server, checks, "after a flood of uploads")


def _check_logins(folder: Path, tries: int, checks: _Checks) -> float:
    """Without a login nothing answers, and no name of a run is shown. Returns requests a second."""
    folder.mkdir()
    new_run(folder / "runs" / "private-run")
    with serve(folder, "--auth", "someone:secret") as server:
        posts = ("/gradio_api/call/status", "/gradio_api/queue/join", "/gradio_api/upload", "/gradio_api/call/fit")
        reads = ("/gradio_api/info", "/config", "/gradio_api/file=/etc/passwd", "/gradio_api/queue/data?session_hash=a")
        start = time.monotonic()
        for number in range(tries):
            path = (*posts, *reads)[number % 8]
            code, _ = _request(server.address, path, b"{}" if path in posts else None, **_JSON)
            checks.check(code in (401, 403, 404, 422), f"without login {path}: {code}")
        rate = tries / (time.monotonic() - start)
        code, body = _request(server.address, "/")
        checks.check(code in (200, 401) and b"private-run" not in body, f"the login page: {code}")
    return rate


def load_test(tries: int, folder: Path) -> Outcome:
    """For so many minutes 16 clients poll a fit and one samples: see benchmarks/load.py.

    0: 4 clients for 12 s, and a fit of a small picture, which begins sooner.
    """
    sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
    from load import measure

    small = folder / "small.png"
    draw(small)
    with serve(folder) as server:
        load = measure(server, 16, tries) if tries else measure(server, 4, 0.2, small)
    half = len(load.memory) // 2
    flat = tries < 4 or load.memory[-1] < 1.1 * load.memory[half] + 5
    few_files = load.temporary[-1] <= 300  # the app keeps the newest 128 files that it shows
    fast = load.late < 250 or tries < 4
    right = not load.failed and fast and flat and few_files and load.state == "running"
    return Outcome(len(load.taken), len(load.taken) if right else 0, f"{tries} minutes: {load.describe()}")
