"""Calls of the gRPC services from inside the process, without a connection."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import grpc
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis.get_model_metadata_pb2 import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
)
from tensorflow_serving.apis.get_model_status_pb2 import (
    GetModelStatusRequest,
    GetModelStatusResponse,
)
from typing_extensions import Self

from serving.server.services import SIGNATURE_DEF, ModelService, PredictionService
from serving.server.status import ServingError

_T = TypeVar("_T")


class InProcessContext(grpc.ServicerContext):
    """What a method of a service wants to know of its call, which ends with the with block.

    Args:
      seconds: Time until the call's deadline.
    """

    def __init__(self, seconds: float):
        self._ends = time.monotonic() + seconds
        self._callbacks: list[Callable[[], None]] = []
        self._code: grpc.StatusCode | None = None
        self._details: str | None = None
        self._active = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.cancel()

    def time_remaining(self) -> float:
        return max(0.0, self._ends - time.monotonic())

    def is_active(self) -> bool:
        return self._active

    def add_callback(self, callback: Callable[[], None]) -> bool:
        if self._active:
            self._callbacks.append(callback)
        return self._active

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        raise ServingError(code, details)

    def abort_with_status(self, status) -> NoReturn:
        raise ServingError(status.code, status.details)

    def cancel(self) -> None:
        """Ends the call: a method that watches is_active or its callbacks gives up."""
        self._active = False
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def set_code(self, code: grpc.StatusCode) -> None:
        self._code = code

    def set_details(self, details: str) -> None:
        self._details = details

    def code(self) -> grpc.StatusCode | None:
        return self._code

    def details(self) -> str | None:
        return self._details

    def invocation_metadata(self) -> tuple:
        return ()

    def peer(self) -> str:
        return "in-process"

    def peer_identities(self) -> None:
        return None

    def peer_identity_key(self) -> None:
        return None

    def auth_context(self) -> dict[str, Any]:
        return {}

    def send_initial_metadata(self, initial_metadata) -> None:
        pass

    def set_trailing_metadata(self, trailing_metadata) -> None:
        pass


class Services:
    """TensorFlow Serving's services of a server, for callers in the same process.

    All methods raise ServingError where a client over gRPC would see the status.
    """

    def __init__(self, prediction: PredictionService, models: ModelService):
        self._prediction, self._models = prediction, models

    def predict(
        self, request: predict_pb2.PredictRequest, context: InProcessContext
    ) -> predict_pb2.PredictResponse:
        """PredictionService.Predict."""
        return _run(self._prediction.Predict, request, context)

    def metadata(self, spec, context: InProcessContext) -> GetModelMetadataResponse:
        """PredictionService.GetModelMetadata, all of it."""
        request = GetModelMetadataRequest(model_spec=spec, metadata_field=[SIGNATURE_DEF])
        return _run(self._prediction.GetModelMetadata, request, context)

    def status(self, spec, context: InProcessContext) -> GetModelStatusResponse:
        """ModelService.GetModelStatus; a label is that of its version."""
        request = GetModelStatusRequest(model_spec=spec)
        if spec.WhichOneof("version_choice") == "version_label":
            number = self.metadata(spec, context).model_spec.version.value
            request.model_spec.version.value = number
        return _run(self._models.GetModelStatus, request, context)


def _run(method: Callable[[Any, grpc.ServicerContext], _T], request, context) -> _T:
    response = method(request, context)
    code = context.code()
    if code not in (None, grpc.StatusCode.OK):
        raise ServingError(code, context.details() or "")
    return response
