"""One line in the log for each request, without anything of what was sent."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import grpc

_log = logging.getLogger(__name__)
_SERVICES = "/tensorflow.serving."


class RequestLog(grpc.ServerInterceptor):
    """Logs the calls of TensorFlow Serving's services.

    Args:
      as_json: Whether a line is a JSON object, or words.
    """

    def __init__(self, *, as_json: bool):
        self._format = json.dumps if as_json else in_words

    def intercept_service(self, continuation: Callable, details: grpc.HandlerCallDetails):
        """Wraps what answers a call."""
        handler = continuation(details)
        if handler is None or not handler.unary_unary:
            return handler
        if not details.method.startswith(_SERVICES):
            return handler
        answer, method = handler.unary_unary, details.method.rpartition("/")[2]

        def logged(request, context):
            began, response = time.perf_counter(), None
            try:
                response = answer(request, context)
                return response
            finally:
                milliseconds = 1e3 * (time.perf_counter() - began)
                line = describe(method, request, response, context, milliseconds=milliseconds)
                _log.info("%s", self._format(line))

        return grpc.unary_unary_rpc_method_handler(
            logged, handler.request_deserializer, handler.response_serializer
        )


def describe(
    method: str, request, response, context: grpc.ServicerContext, *, milliseconds: float
) -> dict[str, Any]:
    """What is logged of a call: names, sizes, status and time, and no value of a tensor.

    Args:
      method: Such as Predict.
      request: Message that came.
      response: Message that goes; None if there is none.
      context: The call.
      milliseconds: Time from the whole request to the whole answer, ms.
    """
    spec = getattr(request, "model_spec", None)
    answered = getattr(response, "model_spec", None)
    code = context.code() or (grpc.StatusCode.UNKNOWN if response is None else grpc.StatusCode.OK)
    return {
        "method": method,
        "model": getattr(spec, "name", ""),
        "version": answered.version.value if answered else None,
        "signature": getattr(spec, "signature_name", ""),
        "code": code.name,
        "ms": round(milliseconds, 1),
        "bytes_in": request.ByteSize(),
        "bytes_out": response.ByteSize() if response is not None else 0,
        "peer": context.peer(),
    }


def in_words(line: dict[str, Any]) -> str:
    """A line as a person reads it; what a client sent as a name is quoted."""
    version = "" if line["version"] is None else f" version {line['version']}"
    signature = f" {line['signature']!r}" if line["signature"] else ""
    return (
        f"{line['method']} {line['model']!r}{version}{signature}: {line['code']} in "
        f"{line['ms']} ms, {line['bytes_in']} bytes in, {line['bytes_out']} out, {line['peer']}"
    )
