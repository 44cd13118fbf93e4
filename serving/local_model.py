"""A SavedModel in this process."""

from __future__ import annotations

import os

import numpy as np

from serving.model_store import (
    ModelStoreError,
    SavedFaceModel,
    default_model_dir,
    read_saved_model,
)
from serving.native import OneCaller
from serving.quiet import without_notices


class LocalModel:
    """Runs a SavedModel of this project. Threads take turns; a forked process may not use it.

    Args:
      model_dir: Its folder, or a folder of numbered versions; the default model if None.

    Raises:
      ModelStoreError: if there is none, or a damaged one.
    """

    def __init__(self, model_dir: str | os.PathLike[str] | None = None):
        self._turn = OneCaller("LocalModel")
        with without_notices():
            import tensorflow as tf
        self.model = read_saved_model(model_dir or default_model_dir())
        try:
            self._saved = tf.saved_model.load(str(self.model.path))
            self._run = self._saved.signatures["serving_default"]
        except (tf.errors.OpError, LookupError, OSError, ValueError) as error:
            raise ModelStoreError(f"{self.model.path}: damaged SavedModel ({error})") from error

    def run(
        self, image: np.ndarray, landmarks: np.ndarray
    ) -> tuple[dict[str, np.ndarray], SavedFaceModel]:
        """See reconstructor.Predictor."""
        from facemodel.backend import without_grappler

        with self._turn, without_grappler():
            outputs = self._run(image=image, landmarks=landmarks)
        return {name: value.numpy() for name, value in outputs.items()}, self.model
