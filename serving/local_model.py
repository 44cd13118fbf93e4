"""A SavedModel in this process."""

from __future__ import annotations

import os

import numpy as np

from facemodel.morphable.landmarks import MEDIAPIPE_COUNT
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
            self._run = _open(self.model)
        except (tf.errors.OpError, LookupError, OSError, ValueError) as error:
            raise ModelStoreError(f"{self.model.path}: damaged SavedModel ({error})") from error

    def warm_up(self) -> None:
        """Runs it on a black picture: TensorFlow prepares a graph when it first runs, for 1.3 s.

        Raises:
          ModelStoreError: if it cannot be run.
        """
        import tensorflow as tf

        image, landmarks = np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, MEDIAPIPE_COUNT, 2))
        try:
            self.run(image, landmarks.astype(np.float32))
        except tf.errors.OpError as error:
            raise ModelStoreError(f"{self.model.path}: cannot be run ({error})") from error

    def run(
        self, image: np.ndarray, landmarks: np.ndarray
    ) -> tuple[dict[str, np.ndarray], SavedFaceModel]:
        """See reconstructor.Predictor."""
        with self._turn:
            return self._run(image=image, landmarks=landmarks), self.model


def _open(model: SavedFaceModel):
    """The signature without pictures; that with them of a model that an earlier version wrote."""
    from serving.saved_function import SavedFunction

    assert model.path
    fused = model.facts.get("precision") == "mixed_bfloat16"
    return SavedFunction(model.path, "mesh", "serving_default", fused=fused)
