"""FaceInfraValidator: starts a model server with the candidate and asks it for faces.

The server is the binary that TF_SERVING_BIN names, as `tensorflow_model_server`, else
`facerelief serve`; either is a process on the loopback address. TFX's own InfraValidator needs
Docker.
"""

import contextlib
import logging
import os
import pathlib
import tempfile

import tensorflow as tf
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import Examples, InfraBlessing, Model
from tfx.utils import path_utils

from components.model_process import ServerError, running_server
from components.record_batches import record_files
from components.settings import InfraValidatorSettings
from components.warmup import predict_requests

_log = logging.getLogger("components.infra_validator")


def check_answers(stub, records: list[bytes], *, name: str, timeout: float) -> None:
    """Asks for each record's face by every signature.

    Args:
      stub: of the prediction service.
      records: serialized tf.Examples.
      name: of the model.
      timeout: s, for each answer.

    Raises:
      ServerError: if an answer is missing or not finite, or signatures disagree.
    """
    for record in records:
        answers = {}
        for request in predict_requests([record], name=name):
            signature = request.model_spec.signature_name
            response = stub.Predict(request, timeout=timeout)
            answers[signature] = tf.make_ndarray(response.outputs["coefficients"])
            vertices = tf.make_ndarray(response.outputs["vertices"])
            if vertices.shape[0] != 1 or not tf.reduce_all(tf.math.is_finite(vertices)):
                raise ServerError(f"{signature}: vertices {vertices.shape} are not finite")
        first = answers.pop("serving_default")
        for signature, values in answers.items():
            if abs(values - first).max() > 1e-3:
                raise ServerError(f"{signature} and serving_default disagree")


@component
def FaceInfraValidator(
    model: InputArtifact[Model],
    examples: InputArtifact[Examples],
    blessing: OutputArtifact[InfraBlessing],
    settings: Parameter[str],
    model_name: Parameter[str],
    code: Parameter[str],
) -> None:
    """Blesses the model if a server takes it and its answers are right.

    Args:
      model: the candidate.
      examples: of whose eval split requests are made.
      blessing: has the file INFRA_BLESSED, or INFRA_NOT_BLESSED with the reason.
      settings: InfraValidatorSettings as JSON.
      model_name: under which it will be served.
      code: digest of the code that runs.
    """
    del code
    limits = InfraValidatorSettings.from_json(settings)
    folder = artifact_utils.get_split_uri([examples], "eval")
    dataset = tf.data.TFRecordDataset(record_files(folder)).take(limits.requests)
    records = list(dataset.as_numpy_iterator())
    reason = ""
    try:
        with contextlib.ExitStack() as stack:
            base = stack.enter_context(tempfile.TemporaryDirectory())
            pathlib.Path(base, "1").symlink_to(path_utils.serving_model_path(model.uri))
            server = running_server(base, name=model_name, start_seconds=limits.start_seconds)
            stub = stack.enter_context(server)
            check_answers(stub, records, name=model_name, timeout=limits.request_seconds)
    except ServerError as error:
        reason = str(error)
        _log.error("not blessed: %s", reason)
    blessing.set_int_custom_property("blessed", int(not reason))
    os.makedirs(blessing.uri, exist_ok=True)
    name = "INFRA_NOT_BLESSED" if reason else "INFRA_BLESSED"
    pathlib.Path(blessing.uri, name).write_text(reason, encoding="utf-8")
