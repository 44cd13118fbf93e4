"""A face model behind something that answers TensorFlow Serving's Predict requests."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import grpc
import numpy as np

from facemodel.saved_model.metadata import MESH_OUTPUTS
from serving.model_store import SavedFaceModel

ATTEMPTS = 6
ARRAYS = ("mean", "triangles", "albedo_mean", "regions")
LANDMARK_ARRAYS = ("landmark_triangles", "landmark_barycentric")


class RemoteModelError(ConnectionError):
    """A server that cannot be reached or does not answer as it should; one line with HOST:PORT.

    Attributes:
      code: the grpc.StatusCode of the answer; None if there was an answer that cannot be used.
    """

    def __init__(self, address: str, message: str, code: grpc.StatusCode | None = None):
        super().__init__(f"{address}: {message}")
        self.code = code


class ServedModel:
    """Makes Predict requests and reads their answers; usable from several threads.

    Args:
      predict: Answers a PredictRequest.
      address: HOST:PORT, for errors.
      name: Name of the model there.
      label: Label of the version; the newest if None.
      attempts: Tries while the served version changes.

    Raises:
      RemoteModelError: if the model isn't one of this project.
    """

    def __init__(
        self,
        predict: Callable,
        *,
        address: str,
        name: str,
        label: str | None = None,
        attempts: int = ATTEMPTS,
    ):
        self.address, self._name, self._label = address, name, label
        self._call, self._attempts = predict, attempts
        self._models: dict[int, SavedFaceModel] = {}
        self._last = self._describe(self._ask_metadata(None))

    @property
    def model(self) -> SavedFaceModel:
        """What the server says of the version that answered last."""
        return self._last

    def run(
        self, image: np.ndarray, landmarks: np.ndarray
    ) -> tuple[dict[str, np.ndarray], SavedFaceModel]:
        """See reconstructor.Predictor.

        Raises:
          RemoteModelError: if there is no answer in time, or not the expected one.
        """
        inputs = {"image": image, "landmarks": landmarks}
        for _ in range(self._attempts):
            response = self._call(self._request("serving_default", inputs, outputs=MESH_OUTPUTS))
            outputs = self._outputs(response, MESH_OUTPUTS)
            try:
                self._last = self._model_of(response)
            except RemoteModelError as error:
                if error.code is not grpc.StatusCode.NOT_FOUND:
                    raise
            else:
                return outputs, self._last
        raise RemoteModelError(self.address, "the served version changes with every call")

    def _model_of(self, response) -> SavedFaceModel:
        """What is known of the version that made a response; asks for it if it is a new one."""
        version = response.model_spec.version.value
        if version not in self._models:
            self._models[version] = self._describe(self._ask_metadata(version))
        return self._models[version]

    def _ask_metadata(self, version: int | None):
        inputs = {"request": np.array([b""], object)}
        return self._call(self._request("metadata", inputs, version=version))

    def _describe(self, response) -> SavedFaceModel:
        names = {*ARRAYS, *LANDMARK_ARRAYS, "description"}
        outputs = {name: value[0] for name, value in self._outputs(response, names).items()}
        try:
            facts = json.loads(outputs.pop("description"))
        except ValueError:
            raise RemoteModelError(
                self.address, f"model {self._name} has damaged metadata"
            ) from None
        saved = SavedFaceModel(None, facts, outputs)
        self._models[response.model_spec.version.value] = saved
        return saved

    def _request(
        self,
        signature: str,
        inputs: Mapping,
        *,
        version: int | None = None,
        outputs: Sequence[str] = (),
    ):
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = self._name, signature
        if version is not None:
            request.model_spec.version.value = version
        elif self._label is not None:
            request.model_spec.version_label = self._label
        request.output_filter.extend(outputs)
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        return request

    def _outputs(self, response, names) -> dict[str, np.ndarray]:
        import tensorflow as tf

        missing = sorted(set(names) - set(response.outputs))
        if missing:
            raise RemoteModelError(
                self.address,
                f"model {self._name} does not give {', '.join(missing)}: "
                "not a SavedModel of this version of facerelief",
            )
        return {name: tf.make_ndarray(response.outputs[name]) for name in names}
