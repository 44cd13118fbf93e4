"""TensorFlow Serving's REST interface, and /v1/reconstruct, which is this project's own.

An ASGI application that calls the gRPC services in this process, so that both protocols give the
same answers and the same errors.
"""

from __future__ import annotations

import dataclasses
import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import anyio
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2
from tensorflow_serving.apis.model_pb2 import ModelSpec

from serving.server import json_answers, json_requests
from serving.server.call import InProcessContext, Services
from serving.server.http_status import HttpError, http_error
from serving.server.metrics import REST, Metrics
from serving.server.status import ServingError, invalid

_log = logging.getLogger(__name__)

WORKERS = 16
JSON = "application/json"
METRICS_PATH, HEALTH_PATH = "/monitoring/prometheus/metrics", "/healthz"
RECONSTRUCT_PATH = "/v1/reconstruct"
_LARGEST_INT64 = 2**63 - 1
_TARGET = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
    r"(?::(?P<verb>classify|regress|predict)|/(?P<metadata>metadata))?",
    re.IGNORECASE,
)


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


class PhotoService(Protocol):
    """Turns photos into faces; reconstruction.PhotoReconstructor does."""

    seconds: float
    """Deadline of one photo, s."""

    def answer(
        self, photo: bytes, options: Mapping[str, str], context: InProcessContext
    ) -> tuple[bytes, str]:
        """The content and media type for an image file; raises HttpError or ServingError."""


@dataclasses.dataclass(frozen=True)
class RestParts:
    """What the application answers from.

    Attributes:
      services: of the model server.
      metrics: Told of each request.
      metrics_text: Gives the metrics page.
      healthy: Whether requests are taken.
      photos: For /v1/reconstruct; None if that is off.
      limits: Of a request.
    """

    services: Services
    metrics: Metrics
    metrics_text: Callable[[], bytes]
    healthy: Callable[[], bool]
    photos: PhotoService | None = None
    limits: RestLimits = RestLimits()


def create_app(parts: RestParts) -> Starlette:
    """The application; it has no state but that of its parts."""
    handlers = _Handlers(parts)
    routes = [
        Route(METRICS_PATH, handlers.metrics_page),
        Route(HEALTH_PATH, handlers.health),
        Route(RECONSTRUCT_PATH, handlers.reconstruct, methods=["POST"]),
        Route("/v1/{rest:path}", handlers.models, methods=["GET", "POST"]),
    ]
    errors = {404: _not_found, 405: _wrong_method}
    return Starlette(routes=routes, exception_handlers=errors)


async def _not_found(request: Request, _error: Exception) -> Response:
    return _failure(HttpError(404, f"Not found: {request.url.path}"))


async def _wrong_method(request: Request, _error: Exception) -> Response:
    return _failure(HttpError(405, f"{request.method} is not for {request.url.path}"))


def _failure(error: HttpError) -> Response:
    # A body that was not read to its end cannot be followed by another request.
    headers = {"connection": "close"} if error.status in (408, 413) else None
    return Response(json_answers.encode_error(error.message), error.status, headers, JSON)


class _Handlers:
    """The endpoints."""

    def __init__(self, parts: RestParts):
        self._parts = parts
        self._services, self._limits = parts.services, parts.limits
        self._threads = anyio.CapacityLimiter(WORKERS)
        self._photo_threads = anyio.CapacityLimiter(WORKERS)

    async def metrics_page(self, _request: Request) -> Response:
        from prometheus_client.exposition import CONTENT_TYPE_LATEST

        return Response(self._parts.metrics_text(), headers={"content-type": CONTENT_TYPE_LATEST})

    async def health(self, _request: Request) -> Response:
        """For probes that speak no gRPC."""
        serving = self._parts.healthy()
        text = "SERVING" if serving else "NOT_SERVING"
        return Response(f"{text}\n", 200 if serving else 503, media_type="text/plain")

    async def models(self, request: Request) -> Response:
        """Everything under /v1/ that TensorFlow Serving has."""
        try:
            body = await read_body(request, self._limits)
        except HttpError as error:
            return _failure(error)
        method, path = request.method, request.url.path
        return await _work(
            request,
            lambda context: self._model(method, path, body, context),
            seconds=self._limits.seconds,
            threads=self._threads,
        )

    def _model(self, method: str, path: str, body: bytes, context: InProcessContext) -> Response:
        found = _TARGET.fullmatch(path)
        verb = found and found["verb"]
        if not found or (method == "POST") != bool(verb):
            raise invalid(f"Malformed request: {method} {path}")
        spec = _model_spec(found)
        if verb:
            return Response(self._run(spec, verb.lower(), body, context), media_type=JSON)
        if found["metadata"]:
            answer = json_answers.encode_metadata(self._services.metadata(spec, context))
        else:
            answer = json_answers.encode_status(self._services.status(spec, context))
        return Response(answer, media_type=JSON)

    def _run(self, spec: ModelSpec, verb: str, body: bytes, context: InProcessContext) -> bytes:
        """An answer to :predict, reported to the metrics."""
        import grpc

        began, code = time.perf_counter(), grpc.StatusCode.UNKNOWN
        try:
            if verb != "predict":
                raise ServingError(grpc.StatusCode.UNIMPLEMENTED, f":{verb} is not offered")
            answer = self._predict(spec, body, context)
            code = grpc.StatusCode.OK
            return answer
        except ServingError as error:
            code = error.code
            raise
        finally:
            self._parts.metrics.request(
                spec.name,
                spec.signature_name,
                method=verb.capitalize(),
                protocol=REST,
                code=code.name,
                seconds=time.perf_counter() - began,
            )

    def _predict(self, spec: ModelSpec, body: bytes, context: InProcessContext) -> bytes:
        content = json_requests.read_json(body)
        spec.signature_name = json_requests.signature_name(content)
        definitions = get_model_metadata_pb2.SignatureDefMap()
        metadata = self._services.metadata(spec, context)
        metadata.metadata["signature_def"].Unpack(definitions)
        request = predict_pb2.PredictRequest(model_spec=spec)
        rows = json_requests.fill_request(request, content, definitions.signature_def)
        return json_answers.encode_predict(self._services.predict(request, context), rows=rows)

    async def reconstruct(self, request: Request) -> Response:
        """An image file to the description of a face or to its head."""
        photos = self._parts.photos
        if photos is None:
            return _failure(HttpError(404, "this server was started without --reconstruct"))
        try:
            body = await read_body(request, self._limits)
        except HttpError as error:
            return _failure(error)
        options = dict(request.query_params)

        def answer(context: InProcessContext) -> Response:
            content, media_type = photos.answer(body, options, context)
            return Response(content, media_type=media_type)

        threads = self._photo_threads
        return await _work(request, answer, seconds=photos.seconds, threads=threads)


async def _work(
    request: Request,
    answer: Callable[[InProcessContext], Response],
    *,
    seconds: float,
    threads: anyio.CapacityLimiter,
) -> Response:
    """Answers in a thread; a client that goes away cancels the call."""
    async with anyio.create_task_group() as group:
        with InProcessContext(seconds) as context:
            group.start_soon(_cancel_when_gone, request, context)
            response = await anyio.to_thread.run_sync(_answered, answer, context, limiter=threads)
        group.cancel_scope.cancel()
    return response


def _answered(
    answer: Callable[[InProcessContext], Response], context: InProcessContext
) -> Response:
    """The answer, or that to its error."""
    try:
        return answer(context)
    except HttpError as error:
        return _failure(error)
    except ServingError as error:
        return _failure(http_error(error))
    except Exception:
        _log.exception("a request failed")
        return _failure(HttpError(500, "internal error; the server's log has more"))


async def _cancel_when_gone(request: Request, context: InProcessContext) -> None:
    message = await request.receive()
    if message["type"] == "http.disconnect":
        context.cancel()


def _model_spec(found: re.Match[str]) -> ModelSpec:
    spec = ModelSpec(name=found["name"])
    if found["label"]:
        spec.version_label = found["label"]
    elif found["version"]:
        number = int(found["version"]) if len(found["version"]) < 20 else _LARGEST_INT64 + 1
        if number > _LARGEST_INT64:
            raise invalid(f"Failed to convert version: {found['version']} to numeric.")
        spec.version.value = number
    return spec


async def read_body(request: Request, limits: RestLimits) -> bytes:
    """The whole body of a request.

    Raises:
      HttpError: 413 if it is too large, 408 if it is too slow, 415 if it is compressed, 400 if its
        length is nonsense or it has no end.
    """
    _check_headers(request, limits.body_bytes)
    body = bytearray()
    try:
        with anyio.fail_after(limits.body_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limits.body_bytes:
                    raise _too_large(limits.body_bytes)
    except TimeoutError:
        raise HttpError(408, f"the body took longer than {limits.body_seconds:g} s") from None
    except ClientDisconnect:
        raise HttpError(400, "the body ended early") from None
    return bytes(body)


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
