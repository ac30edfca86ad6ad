"""What the server refuses: requests from pages of other sites, forged hosts, and downloads on behalf of a caller."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote, urlsplit

Scope = dict[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]

_MAX_PIXELS = 40_000_000
_FORMATS = {"PNG", "JPEG", "WEBP"}
_DOWNLOAD_PATH = re.compile(r"(file|proxy)[=/]+(\w+:|//)|/proxy=")
_UNSAFE_METHODS = ("POST", "PUT", "PATCH", "DELETE")
_OTHER_SITE = "requests from other sites are refused"
_NO_DOWNLOADS = "nothing is fetched from elsewhere"


class Guard:
    """ASGI middleware: answers 403 to requests that the app's own page cannot have made.

    hosts: accepted names in the Host header; any name, where there are none.
    """

    def __init__(self, app: App, hosts: frozenset[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        reason = self.refusal(scope) if scope["type"] in ("http", "websocket") else ""
        if not reason:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
        else:
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": reason.encode()})

    def refusal(self, scope: Scope) -> str:
        """Why a request is refused; empty if it is not."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if self.hosts and _without_port(headers.get("host", "")) not in self.hosts:
            return "this host is not served here"
        unsafe = scope["type"] == "websocket" or scope.get("method") in _UNSAFE_METHODS
        if unsafe and _is_from_other_site(headers):
            return _OTHER_SITE
        path = unquote(unquote(scope.get("path", ""))).lower()
        return _NO_DOWNLOADS if _DOWNLOAD_PATH.search(path) else ""


def limit_images() -> None:
    """Limit what this process itself decodes to PNG, JPEG and WebP of at most 40 megapixels."""
    from PIL import Image

    Image.init()
    Image.MAX_IMAGE_PIXELS = _MAX_PIXELS // 2  # Pillow warns from there on, and refuses twice as many
    for name in set(Image.OPEN) - _FORMATS:
        del Image.OPEN[name]
        Image.ID.remove(name)  # or a file of no format ends in a KeyError


def refuse_downloads() -> None:
    """Replace the functions by which gradio downloads files that a call names by URL."""
    import safehttpx
    from gradio import processing_utils

    async def refuse(*_: Any, **__: Any) -> Any:
        raise ValueError(_NO_DOWNLOADS)

    processing_utils.async_ssrf_protected_download = refuse
    safehttpx.async_validate_url = refuse


def _is_from_other_site(headers: dict[str, str]) -> bool:
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return bool(origin) and (origin == "null" or _host_of(str(origin)) != headers.get("host", "").lower())


def _host_of(origin: str) -> str:
    """Host and port of an Origin header; empty where it is malformed."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _without_port(host: str) -> str:
    """The name in a Host header."""
    return (host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host).strip("[]").lower()
