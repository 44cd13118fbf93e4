"""Bodies of HTTP requests: read whole, within limits of size and time."""

from __future__ import annotations

import contextlib
import dataclasses

import anyio
from starlette.requests import ClientDisconnect, Request

from serving.server.http_status import HttpError


@dataclasses.dataclass(frozen=True)
class RestLimits:
    """What one request may take.

    Attributes:
      body_bytes: Largest body.
      body_seconds: Time for the whole body to arrive, s.
      seconds: Deadline of the answer, s; TensorFlow Serving's default.
    """

    body_bytes: int = 32 * 2**20
    body_seconds: float = 30.0
    seconds: float = 30.0


LINGER_SECONDS, LINGER_BYTES = 15.0, 64 * 2**20
"""So much of a body that is too large is read and thrown away."""


async def read_body(request: Request, limits: RestLimits) -> bytes:
    """The whole body of a request.

    Raises:
      HttpError: 413 if it is too large, 408 if it is too slow, 415 if it is compressed, 400 if its
        length is nonsense or it has no end.
    """
    body = bytearray()
    try:
        _check_headers(request, limits.body_bytes)
        with anyio.fail_after(limits.body_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limits.body_bytes:
                    raise _too_large(limits.body_bytes)
    except HttpError:
        await _discard(request)
        raise
    except TimeoutError:
        raise HttpError(408, f"the body took longer than {limits.body_seconds:g} s") from None
    except ClientDisconnect:
        raise HttpError(400, "the body ended early") from None
    return bytes(body)


async def _discard(request: Request) -> None:
    """Reads on for a while, so that a client that still sends gets its answer.

    A connection that is closed on it is reset, and with it the answer may be lost. A client that
    waits for '100 Continue' sends nothing.
    """
    if "expect" in request.headers:
        return
    size = 0
    with anyio.move_on_after(LINGER_SECONDS), contextlib.suppress(ClientDisconnect):
        async for chunk in request.stream():
            size += len(chunk)
            if size > LINGER_BYTES:
                return


def _check_headers(request: Request, limit: int) -> None:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise HttpError(415, f"content-encoding {encoding!r} is not read, only plain bodies")
    declared = request.headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdecimal()):
        raise HttpError(400, f"content-length should be a number, got {declared[:40]!r}")
    if len(declared) > 18 or int(declared) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> HttpError:
    return HttpError(413, f"the body is larger than {limit / 2**20:g} MiB")
