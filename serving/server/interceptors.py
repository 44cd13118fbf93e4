"""What happens to every gRPC call before and after its method: token, metrics, malformed bytes."""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc

from serving.server.metrics import GRPC, Metrics
from serving.server.security import Tokens

OPEN_METHODS = ("/grpc.health.v1.Health/",)
"""Need no token: probes cannot send one."""
COUNTED_METHODS = ("/tensorflow.serving.",)
NO_TOKEN = "a valid bearer token is needed: authorization: Bearer TOKEN"


class TokenInterceptor(grpc.ServerInterceptor):
    """Answers calls without a valid token with UNAUTHENTICATED, before their message is read."""

    def __init__(self, tokens: Tokens):
        self._tokens = tokens

    def intercept_service(self, continuation: Callable, details: grpc.HandlerCallDetails):
        metadata = dict(details.invocation_metadata or ())
        if details.method.startswith(OPEN_METHODS) or self._tokens.accept(
            metadata.get("authorization")
        ):
            return continuation(details)
        return _refusal(continuation(details))


def _refusal(handler: grpc.RpcMethodHandler | None):
    def refuse(_request, context: grpc.ServicerContext):
        context.abort(grpc.StatusCode.UNAUTHENTICATED, NO_TOKEN)

    if handler is not None and handler.request_streaming:
        return grpc.stream_stream_rpc_method_handler(refuse)
    return grpc.unary_unary_rpc_method_handler(refuse)


class MetricsInterceptor(grpc.ServerInterceptor):
    """Reports each call of TensorFlow Serving's services."""

    def __init__(self, metrics: Metrics):
        self._metrics = metrics

    def intercept_service(self, continuation: Callable, details: grpc.HandlerCallDetails):
        handler = continuation(details)
        if handler is None or not handler.unary_unary:
            return handler
        if not details.method.startswith(COUNTED_METHODS):
            return handler
        return grpc.unary_unary_rpc_method_handler(
            self._measured(handler.unary_unary, details.method.rpartition("/")[2]),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _measured(self, answer: Callable, method: str) -> Callable:
        def call(request, context: grpc.ServicerContext):
            began, code = time.perf_counter(), None
            try:
                response = answer(request, context)
                code = context.code() or grpc.StatusCode.OK
                return response
            finally:  # abort raises, with the code in the context
                spec = getattr(request, "model_spec", None)
                self._metrics.request(
                    getattr(spec, "name", ""),
                    getattr(spec, "signature_name", ""),
                    method=method,
                    protocol=GRPC,
                    code=(code or context.code() or grpc.StatusCode.UNKNOWN).name,
                    seconds=time.perf_counter() - began,
                )

        return call


class MalformedInterceptor(grpc.ServerInterceptor):
    """Answers bytes that are not the method's message with INVALID_ARGUMENT, not as our fault."""

    def intercept_service(self, continuation: Callable, details: grpc.HandlerCallDetails):
        handler = continuation(details)
        if handler is None or not handler.unary_unary or not handler.request_deserializer:
            return handler
        answer, read = handler.unary_unary, handler.request_deserializer

        def read_or_note(content: bytes):
            try:
                return read(content)
            except Exception:  # of protobuf, which raises more than one kind
                return _Malformed(len(content))

        def call(request, context: grpc.ServicerContext):
            if isinstance(request, _Malformed):
                method = details.method.rpartition("/")[2]
                context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"{request.size} bytes were sent that are no request of {method}",
                )
            return answer(request, context)

        return grpc.unary_unary_rpc_method_handler(call, read_or_note, handler.response_serializer)


class _Malformed:
    """Stands for a request of so many bytes; the logs ask for its size."""

    def __init__(self, size: int):
        self.size = size

    def ByteSize(self) -> int:
        return self.size
