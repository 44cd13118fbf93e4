"""What REST answers when something is wrong: HTTP status codes, and gRPC's as HTTP ones."""

from __future__ import annotations

import grpc

from serving.server.status import ServingError

_CODE = grpc.StatusCode
_HTTP = {
    _CODE.OK: 200,
    _CODE.CANCELLED: 499,
    _CODE.INVALID_ARGUMENT: 400,
    _CODE.FAILED_PRECONDITION: 400,
    _CODE.OUT_OF_RANGE: 400,
    _CODE.UNAUTHENTICATED: 401,
    _CODE.PERMISSION_DENIED: 403,
    _CODE.NOT_FOUND: 404,
    _CODE.ALREADY_EXISTS: 409,
    _CODE.ABORTED: 409,
    _CODE.RESOURCE_EXHAUSTED: 429,
    _CODE.UNIMPLEMENTED: 501,
    _CODE.UNAVAILABLE: 503,
    _CODE.DEADLINE_EXCEEDED: 504,
}
ERROR = 500


class HttpError(Exception):
    """An answer that only HTTP has.

    Attributes:
      status: HTTP status code.
      message: Text for the client.
    """

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status, self.message = status, message


def http_error(error: ServingError) -> HttpError:
    """The answer of TensorFlow Serving's REST interface to an error; 500 if the server's fault."""
    return HttpError(_HTTP.get(error.code, ERROR), error.message)
