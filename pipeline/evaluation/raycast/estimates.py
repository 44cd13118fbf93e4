"""All estimates of a face: mean face, landmark fit, and the loop from both, as serving runs it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from keras import ops

from facemodel import camera, transforms
from facemodel.backend import compiled
from facemodel.fitting.alignment import crop_around, fit_face_pose
from facemodel.fitting.crop import grey_crop
from facemodel.fitting.landmark_fit import landmark_fit
from facemodel.morphable.geometry import decode_landmarks
from facemodel.morphable.landmarks import INNER_51
from facemodel.network.folding import for_inference
from facemodel.network.regressor import IterativeRegressor
from facemodel.saved_model.metadata import ExportConfig
from pipeline.evaluation.held_out import FROM_FIT, FROM_ZERO, MEAN_FACE
from pipeline.evaluation.raycast.detections import Detection
from serving.detection.window import cut_window

FIT = "landmark fit"


class Estimates(NamedTuple):
    """What is estimated of one picture.

    Attributes:
      name: of the scene.
      coefficients: method -> [n].
      landmarks_px: method -> [51, 2], the inner landmarks of the estimate in the picture.
      detected_px: [478, 2] by the detector.
      brightness: mean and standard deviation of the network's grey crop, in [0, 1].
    """

    name: str
    coefficients: dict[str, np.ndarray]
    landmarks_px: dict[str, np.ndarray]
    detected_px: np.ndarray
    brightness: tuple[float, float]


class Cut(NamedTuple):
    """A crop of a picture.

    Attributes:
      grey: [S, S].
      landmarks: [51, 2] px in the crop, as detected.
      linear, offset: [2, 2] and [2], picture_from_crop.
    """

    grey: np.ndarray
    landmarks: np.ndarray
    linear: np.ndarray
    offset: np.ndarray


class Estimator:
    """Estimates faces by every method.

    Args:
      regressor: the loop with trained weights.
      config: what the landmark fit expects of the detector.
    """

    def __init__(self, regressor: IterativeRegressor, config: ExportConfig | None = None):
        geometry = regressor.geometry
        self._geometry, self._regressor = geometry, regressor
        self._sigma_px = (config or ExportConfig()).landmark_noise_mm * camera.CROP_SCALE
        self._run = compiled(for_inference(regressor).run)
        self._fit = compiled(lambda pixels, sigma: landmark_fit(geometry, pixels, sigma))

    @property
    def default_method(self) -> str:
        """The one whose estimate the shipped SavedModel gives."""
        name = FROM_FIT if ExportConfig().start == "landmark_fit" else FROM_ZERO
        return name.format(self._regressor.iterations)

    def each(self, detections: Iterable[Detection], *, batch_size: int = 8) -> Iterator[Estimates]:
        """Estimates the faces that were found, some at a time."""
        waiting: list[Detection] = []
        for detection in detections:
            if detection.face is not None:
                waiting.append(detection)
            if len(waiting) == batch_size:
                yield from self._batch(waiting, batch_size)
                waiting = []
        if waiting:
            yield from self._batch(waiting, batch_size)

    def _batch(self, detections: list[Detection], size: int) -> Iterator[Estimates]:
        cuts = [self.cut(detection) for detection in detections]
        padded = [cuts[min(k, len(cuts) - 1)] for k in range(size)]
        grey, landmarks = (np.stack([cut[k] for cut in padded]) for k in range(2))
        found, places = self.estimate(grey, landmarks)
        points = {
            method: np.asarray(self._project(values, places[method]))
            for method, values in found.items()
        }
        for k, (detection, cut) in enumerate(zip(detections, cuts)):
            yield Estimates(
                detection.name,
                {method: values[k] for method, values in found.items()},
                {m: values[k] @ cut.linear.T + cut.offset for m, values in points.items()},
                detection.face.landmarks,
                (float(cut.grey.mean()), float(cut.grey.std())),
            )

    def cut(self, detection: Detection) -> Cut:
        """Window and crop as serving and the SavedModel make them."""
        window, zoom, corner = cut_window(detection.image, detection.face)
        pixels = ((detection.face.landmarks - corner) * zoom).astype(np.float32)
        inner = ops.convert_to_tensor(pixels[None, list(INNER_51)])
        crop_from_window = crop_around(self._geometry, inner)
        grey = grey_crop(window[None], crop_from_window)
        inside = transforms.apply_similarity(crop_from_window, inner)
        back = np.asarray(transforms.invert_similarity(crop_from_window), np.float64)[0]
        linear, offset = back[:, :2] / zoom[:, None], back[:, 2] / zoom + corner
        return Cut(np.asarray(grey)[0], np.asarray(inside)[0], linear, offset)

    def estimate(self, grey: np.ndarray, landmarks: np.ndarray) -> tuple[dict, dict]:
        """Coefficients [B, n] by method, and the landmarks [B, 51, 2] px that say its pose."""
        sigma = np.full(len(grey), self._sigma_px, np.float32)
        fit = np.asarray(self._fit(landmarks, sigma))
        zeros = np.zeros_like(fit)
        found, places = {MEAN_FACE: zeros, FIT: fit}, {MEAN_FACE: landmarks, FIT: landmarks}
        for name, start in ((FROM_ZERO, zeros), (FROM_FIT, fit)):
            result = self._run({"grey": grey, "landmarks": landmarks, "start": start})
            for k in range(1, self._regressor.iterations + 1):
                found[name.format(k)] = np.asarray(result.estimates[:, k])
                places[name.format(k)] = np.asarray(result.landmarks[:, k])
        return found, places

    def _project(self, coefficients: np.ndarray, landmarks: np.ndarray):
        """[B, 51, 2] px of the crop, the inner landmarks of faces under their own pose."""
        pose = fit_face_pose(self._geometry, coefficients, landmarks)
        return camera.project(decode_landmarks(self._geometry, coefficients), pose)[..., :2]
