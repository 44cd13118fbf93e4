"""Lets in what comes from the page itself, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from serving.server_access import is_loopback

POLICY = "; ".join(
    (
        "default-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
"""Of every answer: the browser loads nothing from elsewhere and keeps nothing."""
_ENCODED = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


class Guard:
    """ASGI middleware against other sites in the user's browser.

    On this machine's own address, requests whose Host is another name are refused: a site may have
    its name point here (DNS rebinding). Everywhere, those of a page of another origin are.

    Args:
      app: Behind it.
      loopback: Whether it listens on this machine's own address only.
    """

    def __init__(self, app: Callable[..., Any], *, loopback: bool):
        self._app, self._loopback = app, loopback

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        reason = refusal(scope["headers"], loopback=self._loopback)

        async def send_guarded(message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_ENCODED]}
            await send(message)

        if reason is None:
            await self._app(scope, receive, send_guarded)
        else:
            await _refuse(send_guarded, reason)


def refusal(headers: list[tuple[bytes, bytes]], *, loopback: bool) -> str | None:
    """Why a request is refused, by its headers; None if it is not."""
    values = {name: value.decode("latin-1") for name, value in headers}
    host, origin = values.get(b"host", ""), values.get(b"origin")
    if loopback and not is_loopback(_host_name(host)):
        return f"this page is for this machine only, not for {host[:80]!r}"
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        return f"requests of other sites are refused: {origin[:80]!r}"
    return None


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _refuse(send, reason: str) -> None:
    content = json.dumps({"error": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": content})
