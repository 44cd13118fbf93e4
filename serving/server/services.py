"""TensorFlow Serving's services, answered from the models of a server."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    status_pb2,
)

from serving.server.model_config import ModelEntry, model_entries
from serving.server.models import Models
from serving.server.status import ServingError, VersionStatus, invalid

_log = logging.getLogger(__name__)
SIGNATURE_DEF = "signature_def"
"""The only metadata field that there is."""


def _answers(method):
    """Turns a ServingError that a method raises into the call's status."""

    @functools.wraps(method)
    def call(self, request, context):
        try:
            if "model_spec" in request.DESCRIPTOR.fields_by_name and not request.HasField(
                "model_spec"
            ):
                raise invalid("Missing ModelSpec")
            return method(self, request, context)
        except ServingError as error:
            _log.debug("%s: %s: %s", method.__name__, error.code.name, error.message)
            context.abort(error.code, error.message)

    return call


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; the rest of the service answers UNIMPLEMENTED."""

    def __init__(self, models: Models):
        self._models = models

    @_answers
    def Predict(
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        with self._models.use(request.model_spec) as (number, model):
            response = model.predict(
                request, seconds=context.time_remaining(), on_end=context.add_callback
            )
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = number
        return response

    @_answers
    def GetModelMetadata(
        self,
        request: get_model_metadata_pb2.GetModelMetadataRequest,
        context: grpc.ServicerContext,
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != SIGNATURE_DEF:
                raise invalid(f"Metadata field {field} is not supported")
        definitions = get_model_metadata_pb2.SignatureDefMap()
        with self._models.use(request.model_spec) as (number, model):
            for name, signature in model.signatures.items():
                definitions.signature_def[name].CopyFrom(signature)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = number
        response.metadata[SIGNATURE_DEF].Pack(definitions)
        return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest.

    Args:
      models: The models of the server.
      reload: Function that serves other models; None if requests may not ask for that.
    """

    def __init__(self, models: Models, *, reload: Callable[[list[ModelEntry]], None] | None = None):
        self._models, self._reload = models, reload

    @_answers
    def HandleReloadConfigRequest(
        self, request: model_management_pb2.ReloadConfigRequest, context: grpc.ServicerContext
    ) -> model_management_pb2.ReloadConfigResponse:
        if self._reload is None:
            raise ServingError(
                grpc.StatusCode.PERMISSION_DENIED,
                "this server takes no configuration from requests, as it was started without "
                "--allow-reload-requests",
            )
        self._reload(model_entries(request.config))
        return model_management_pb2.ReloadConfigResponse(status=status_pb2.StatusProto())

    @_answers
    def GetModelStatus(
        self, request: get_model_status_pb2.GetModelStatusRequest, context: grpc.ServicerContext
    ) -> get_model_status_pb2.GetModelStatusResponse:
        spec = request.model_spec
        known = self._models.statuses(spec.name)
        if spec.HasField("version"):
            number = spec.version.value
            known = [status for status in known if status.number == number]
            missing = f"Could not find version {number} of model {spec.name}"
        else:
            missing = f"Could not find any versions of model {spec.name}"
        if not known:
            raise ServingError(grpc.StatusCode.NOT_FOUND, missing)
        return get_model_status_pb2.GetModelStatusResponse(
            model_version_status=[_status_proto(status) for status in known]
        )


def _status_proto(status: VersionStatus) -> get_model_status_pb2.ModelVersionStatus:
    proto = status_pb2.StatusProto()
    if status.problem is not None:
        proto.error_code = status.problem.code.value[0]
        proto.error_message = status.problem.message
    return get_model_status_pb2.ModelVersionStatus(
        version=status.number, state=status.state.value, status=proto
    )
