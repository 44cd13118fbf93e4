"""TensorFlow Serving's REST interface, and /v1/reconstruct, which is this project's own.

An ASGI application that calls the gRPC services in this process, so that both protocols give the
same answers and the same errors.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import anyio
import grpc
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2
from tensorflow_serving.apis.model_pb2 import ModelSpec

from serving.server import json_answers, json_requests
from serving.server.call import InProcessContext, Services
from serving.server.http_bodies import RestLimits, read_body
from serving.server.http_status import HttpError, http_error
from serving.server.metrics import REST, Metrics
from serving.server.rest_targets import find_target
from serving.server.status import ServingError

_log = logging.getLogger(__name__)

WORKERS = 16
JSON = "application/json"
METRICS_PATH, HEALTH_PATH = "/monitoring/prometheus/metrics", "/healthz"
RECONSTRUCT_PATH = "/v1/reconstruct"


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
        target = find_target(method, path)
        spec = target.spec
        if target.verb:
            return Response(self._run(spec, target.verb, body, context), media_type=JSON)
        if target.metadata:
            answer = json_answers.encode_metadata(self._services.metadata(spec, context))
        else:
            answer = json_answers.encode_status(self._services.status(spec, context))
        return Response(answer, media_type=JSON)

    def _run(self, spec: ModelSpec, verb: str, body: bytes, context: InProcessContext) -> bytes:
        """An answer to :predict, reported to the metrics."""
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
