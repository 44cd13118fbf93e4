"""FaceInfraValidator: starts a model server with the candidate and asks it for faces.

The server is the binary that TF_SERVING_BIN names, as `tensorflow_model_server`, else
`facerelief serve`; either is a process on the loopback address. TFX's own InfraValidator needs
Docker.
"""

import itertools
import logging
import os
import pathlib
import tempfile

import numpy as np
import tensorflow as tf
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import Examples, InfraBlessing, Model
from tfx.utils import path_utils

from components.deployment.inference import ExportedModel
from components.deployment.server_process import ServerError, running_server
from components.deployment.warmup_requests import predict_requests
from components.records.batches import record_files
from components.settings import InfraValidatorSettings
from facemodel.records import read_records

_TOLERANCE = 1e-3
"""Largest difference of coefficients between the server and this process."""

_log = logging.getLogger(__name__)


def check_answers(
    stub, records: list[bytes], *, name: str, timeout: float, expected: np.ndarray
) -> None:
    """Asks for each record's face by every signature.

    Args:
      stub: Stub of the prediction service.
      records: serialized tf.Examples, at least one.
      expected: [N, n] what the model gives for them in this process.
      name: Name of the served model.
      timeout: s, for each answer.

    Raises:
      ServerError: if an answer is missing, not finite or not the expected one.
    """
    if not records:
        raise ServerError("there are no records to ask with")
    for record, coefficients in zip(records, expected, strict=True):
        for request in predict_requests([record], name=name):
            signature = request.model_spec.signature_name
            outputs = stub.Predict(request, timeout=timeout).outputs
            if missing := {"coefficients", "vertices"} - set(outputs):
                raise ServerError(f"{signature}: lacks {', '.join(sorted(missing))}")
            vertices = tf.make_ndarray(outputs["vertices"])
            if vertices.shape[0] != 1 or not np.isfinite(vertices).all():
                raise ServerError(f"{signature}: vertices {vertices.shape} are not finite")
            difference = np.abs(tf.make_ndarray(outputs["coefficients"])[0] - coefficients).max()
            if not difference <= _TOLERANCE:
                raise ServerError(f"{signature}: differs from the model itself by {difference:.3g}")


def try_in_server(
    path: str, records: list[bytes], name: str, limits: InfraValidatorSettings
) -> None:
    """Starts a server with a model and asks it for faces.

    Args:
      path: Path of the SavedModel.
      records: serialized tf.Examples.
      name: Name under which it is served.
      limits: Time limits of the server.

    Raises:
      ServerError: if the model is to blame.
      ServerBusy: if the server was too slow, killed or without its port.
    """
    expected = ExportedModel(path)(records)["coefficients"] if records else np.empty((0, 0))
    with tempfile.TemporaryDirectory() as base:
        pathlib.Path(base, "1").symlink_to(path)
        with running_server(base, name=name, start_seconds=limits.start_seconds) as stub:
            check_answers(
                stub, records, name=name, timeout=limits.request_seconds, expected=expected
            )


@component
def FaceInfraValidator(
    model: InputArtifact[Model],
    examples: InputArtifact[Examples],
    blessing: OutputArtifact[InfraBlessing],
    settings: Parameter[str],
    model_name: Parameter[str],
    server: Parameter[str],
    code: Parameter[str],
) -> None:
    """Blesses the model if a server takes it and its answers are right.

    A server that is late, killed or without its port says nothing of the model: then the step
    fails, to be run again, and there is no verdict for the cache to keep.

    Args:
      model: the candidate.
      examples: Records; requests are made of the eval split.
      blessing: has the file INFRA_BLESSED, or INFRA_NOT_BLESSED with the reason.
      settings: InfraValidatorSettings as JSON.
      model_name: Name under which it will be served.
      server: name of the server, so that no verdict of another is taken from the cache.
      code: digest of the code that runs.
    """
    del code, server
    limits = InfraValidatorSettings.from_json(settings)
    folder = artifact_utils.get_split_uri([examples], "eval")
    records = list(itertools.islice(read_records(record_files(folder)), limits.requests))
    reason = ""
    try:
        try_in_server(path_utils.serving_model_path(model.uri), records, model_name, limits)
    except ServerError as error:
        reason = str(error)
        _log.error("not blessed: %s", reason)
    blessing.set_int_custom_property("blessed", int(not reason))
    os.makedirs(blessing.uri, exist_ok=True)
    name = "INFRA_NOT_BLESSED" if reason else "INFRA_BLESSED"
    pathlib.Path(blessing.uri, name).write_text(reason, encoding="utf-8")
