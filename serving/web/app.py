"""The page's HTTP interface; docs/web.md lists it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import pathlib
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import anyio
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import facemodel
from serving.server.http_bodies import RestLimits, read_body
from serving.server.http_status import HttpError
from serving.web.flag_words import in_words
from serving.web.guard import Guard
from serving.web.kept import FaceJob, OpenPhoto
from serving.web.studio import MEDIA_TYPES, Studio
from serving.web.workshop import MadeHead

_log = logging.getLogger(__name__)

PAGE = pathlib.Path(__file__).parent / "page"
NAME_LENGTH = 80
"""Of a file's name, in errors."""
IMAGES = ("texture", "albedo", "normals")
Handler = Callable[[Request], Awaitable[Response]]


def create_app(
    studio: Studio, *, loopback: bool, model_server: str | None = None, body_mib: float = 32
) -> Callable[..., Any]:
    """The page and its interface.

    Args:
      studio: Has the photos.
      loopback: Whether only this machine can reach it.
      model_server: HOST:PORT that crops of photos go to; None if they stay here.
      body_mib: Largest image file.
    """
    about = {"version": facemodel.__version__, "loopback": loopback, "model_server": model_server}
    handlers = _Handlers(studio, about, RestLimits(body_bytes=int(body_mib * 2**20)))
    face = "/photos/{photo}/faces/{face:int}"
    routes = [
        Route("/about", _answering(handlers.about)),
        Route("/photos", _answering(handlers.open), methods=["POST"]),
        Route("/photos/{photo}", _answering(handlers.forget), methods=["DELETE"]),
        Route("/photos/{photo}/preview.jpg", _answering(handlers.preview)),
        Route(face, _answering(handlers.start), methods=["POST"]),
        Route(face, _answering(handlers.progress)),
        Route(face + "/head.bin", _answering(handlers.head)),
        Route(face + "/{image}.jpg", _answering(handlers.image)),
        Route(face + "/files/{form}", _answering(handlers.file)),
    ]
    pages = StaticFiles(directory=PAGE, html=True)
    errors: dict[Any, Any] = {404: _not_found, 405: _wrong_method}
    mounts = [Mount("/api", routes=routes), Mount("/", pages)]
    return Guard(Starlette(routes=mounts, exception_handlers=errors), loopback=loopback)


def _answering(handler: Handler) -> Handler:
    """The same handler, whose errors are answers."""

    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except HttpError as error:
            return _failure(error)
        except Exception:
            _log.exception("a request failed")
            return _failure(HttpError(500, "internal error; the terminal has more"))

    return answer


def _failure(error: HttpError) -> Response:
    # A body that was not read to its end cannot be followed by another request.
    headers = {"connection": "close"} if error.status in (408, 413, 503) else None
    return JSONResponse({"error": error.message}, error.status, headers)


async def _not_found(request: Request, _error: Exception) -> Response:
    return _failure(HttpError(404, f"not found: {request.url.path}"))


async def _wrong_method(request: Request, _error: Exception) -> Response:
    return _failure(HttpError(405, f"{request.method} is not for {request.url.path}"))


class _Handlers:
    """The endpoints."""

    def __init__(self, studio: Studio, about: dict[str, object], limits: RestLimits):
        self._studio, self._about, self._limits = studio, about, limits

    async def about(self, _request: Request) -> Response:
        """What the page says of itself."""
        limits = self._studio.limits
        shown = {
            "mib": self._limits.body_bytes / 2**20,
            "megapixels": limits.megapixels,
            "minutes": limits.seconds / 60,
        }
        return JSONResponse({**self._about, "limits": shown})

    async def open(self, request: Request) -> Response:
        """An image file as the body; its name may be in the query."""
        name = _clean(request.query_params.get("name", "")) or "photo"
        body = await self._photo_body(request)
        identifier = await asyncio.wrap_future(self._studio.open(body, name=name))
        if await request.is_disconnected():  # nobody will ever know the photo's id
            self._studio.kept.forget(identifier)
        photo = self._studio.kept.photo(identifier)
        height, width = photo.pixels.shape[:2]
        faces = [{"box": face.box, "score": face.score} for face in photo.faces]
        size = {"width": width, "height": height}
        found = {"photo": identifier, "name": photo.stem, **size, "faces": faces}
        return JSONResponse(found, 201)

    async def _photo_body(self, request: Request) -> bytes:
        """The body, kept only if there is a place in the queue."""
        try:
            with self._studio.arriving():
                return await read_body(request, self._limits)
        except HttpError as error:
            if error.status == 503:
                await _discard(request, self._limits)
            raise

    async def forget(self, request: Request) -> Response:
        """Drops a photo."""
        self._studio.kept.forget(request.path_params["photo"])
        return Response(status_code=204)

    async def preview(self, request: Request) -> Response:
        """The upright photo, at most 1600 px."""
        return Response(self._photo(request).preview, media_type="image/jpeg")

    async def start(self, request: Request) -> Response:
        """Begins to make a head."""
        job = self._studio.start(self._photo(request), request.path_params["face"])
        return JSONResponse(_progress(job), 202)

    async def progress(self, request: Request) -> Response:
        """How far a head is."""
        return JSONResponse(_progress(self._job(request)))

    async def head(self, request: Request) -> Response:
        """The viewer's arrays."""
        made = self._made(request)
        return Response(made.data, media_type="application/octet-stream")

    async def image(self, request: Request) -> Response:
        """A map of the head."""
        name = request.path_params["image"]
        images = self._made(request).images
        if name not in images:
            raise HttpError(404, f"this head has no {name[:20]!r}, but {', '.join(images)}")
        return Response(images[name], media_type="image/jpeg")

    async def file(self, request: Request) -> Response:
        """A file to keep."""
        form = request.path_params["form"]
        if form not in MEDIA_TYPES:
            raise HttpError(404, f"no format {form[:20]!r}: there are {', '.join(MEDIA_TYPES)}")
        head = self._made(request)
        name = f"{self._photo(request).stem}_{request.path_params['face']}"
        content = await asyncio.wrap_future(self._studio.file(head, form, name))
        headers = _download(f"{name}.{'zip' if form == 'obj' else form}")
        return Response(content, headers=headers, media_type=MEDIA_TYPES[form])

    def _photo(self, request: Request) -> OpenPhoto:
        return self._studio.kept.photo(request.path_params["photo"])

    def _job(self, request: Request) -> FaceJob:
        return self._studio.kept.job(self._photo(request), request.path_params["face"])

    def _made(self, request: Request) -> MadeHead:
        made = self._job(request).made
        if made is None:
            raise HttpError(409, "this head is not ready")
        return made


def _download(name: str) -> dict[str, str]:
    """The header that gives a file its name; for other alphabets in the way of RFC 6266."""
    if name.isascii():
        return {"content-disposition": f'attachment; filename="{name}"'}
    return {"content-disposition": f"attachment; filename*=UTF-8''{quote(name)}"}


async def _discard(request: Request, limits: RestLimits) -> None:
    """Reads a body away: a browser that still sends would not hear the answer."""
    size = 0
    with anyio.move_on_after(limits.body_seconds), contextlib.suppress(ClientDisconnect):
        async for chunk in request.stream():
            size += len(chunk)
            if size > limits.body_bytes:
                return


def _progress(job: FaceJob) -> dict[str, object]:
    made = job.made
    answer: dict[str, object] = {"stage": job.stage, "done": made is not None, "error": job.error}
    if made is not None:
        answer |= {
            "flags": made.flags,
            "words": in_words(made.flags),
            "facts": made.facts,
            "images": list(made.images),
        }
    return answer


def _clean(name: str) -> str:
    """A file's name as errors show it: its end, printable."""
    return "".join(letter for letter in name if letter.isprintable())[-NAME_LENGTH:]
