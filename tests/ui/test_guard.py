"""What the server refuses."""

from __future__ import annotations

import urllib.error
import urllib.request

from server import ROOT, Server


def request(server: Server, path: str, method: str = "GET", **headers: str) -> int:
    """The HTTP status of an answer."""
    request = urllib.request.Request(server.address + path, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, data=b"{}" if method == "POST" else None, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_forged_requests_are_refused(server):
    assert request(server, "/") == 200
    assert request(server, "/", Host="evil.example") == 403
    assert request(server, "/gradio_api/upload", "POST", Origin="http://evil.example") == 403
    assert request(server, "/gradio_api/queue/join", "POST", **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert request(server, "/gradio_api/file=https://127.0.0.1:1/x") == 403
    assert request(server, "/openapi.json") == 404
    for path in ("/etc/passwd", str(server.folder / "server.log"), str(ROOT / "pyproject.toml")):
        assert request(server, f"/gradio_api/file={path}") in (403, 404)
