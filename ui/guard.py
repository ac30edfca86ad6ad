"""What a web server on one's own machine must refuse: other sites' pages, forged hosts, and fetching for strangers."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote, urlsplit

Scope = dict[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]

_PIXELS = 40_000_000
_FETCHES = re.compile(r"(file|proxy)[=/]+(\w+:|//)|/proxy=")
_UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


class Guard:
    """ASGI middleware: answers 403 before the app sees a request that no page of its own can have made."""

    def __init__(self, app: App, hosts: frozenset[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket") and (reason := self.refuses(scope)):
            if scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": reason})
                return
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": reason.encode()})
            return
        await self.app(scope, receive, send)

    def refuses(self, scope: Scope) -> str:
        """Why a request is refused, or nothing."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = _name(headers.get("host", ""))
        if self.hosts and host not in self.hosts:
            return "this host is not served here"
        if scope["type"] == "websocket" or scope.get("method") in _UNSAFE:
            if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
                return "requests from other sites are refused"
            origin = headers.get("origin")
            if origin and (origin == "null" or _place(origin) != headers.get("host", "").lower()):
                return "requests from other sites are refused"
        path = unquote(unquote(scope.get("path", ""))).lower()
        if _FETCHES.search(path):
            return "nothing is fetched from elsewhere"
        return ""


def limit_pictures() -> None:
    """What gradio itself decodes, pictures that were painted on, are PNG, JPEG or WebP, and of a bounded size."""
    from PIL import Image

    Image.init()
    Image.MAX_IMAGE_PIXELS = _PIXELS // 2  # Pillow warns there, and refuses twice as many
    for name in set(Image.OPEN) - {"PNG", "JPEG", "WEBP"}:
        del Image.OPEN[name]


def fetch_nothing() -> None:
    """Gradio downloads what a call names by an address; here nothing is fetched from elsewhere."""
    import safehttpx
    from gradio import processing_utils

    async def refused(*_: Any, **__: Any) -> Any:
        raise ValueError("nothing is fetched from elsewhere")

    processing_utils.async_ssrf_protected_download = refused
    safehttpx.async_validate_url = refused


def _place(origin: str) -> str:
    """The host and port of an Origin header; nothing where it is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _name(host: str) -> str:
    """A Host header without its port."""
    return (host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host).strip("[]").lower()
