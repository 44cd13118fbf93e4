"""The network on frames of a film: a full loop for a new face, one iteration for a known one.

The paper (section 9) lets each frame start from the one before. Measured, errors then add up: the
network was not trained on its own answers. So a known face starts from its identity so far, with
the expression that explains the frame's landmarks; one iteration is then as accurate as three from
the landmark fit (docs/video.md).
"""

from __future__ import annotations

import functools
import os

import numpy as np
from keras import ops

from facemodel import camera, transforms
from facemodel.backend import Tensor, compiled, deterministic
from facemodel.fitting.alignment import crop_around
from facemodel.fitting.crop import grey_crop
from facemodel.fitting.expression_fit import KnownFace, fit_expressions, fit_poses
from facemodel.fitting.landmark_fit import landmark_fit
from facemodel.morphable.geometry import EXPRESSION_MEAN, EXPRESSION_SD
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.landmarks import INNER_51
from facemodel.morphable.model import MorphableModel
from facemodel.morphable.served_noise import LANDMARK_NOISE_MM
from facemodel.network.folding import for_inference
from facemodel.network.pretrained import load_pretrained
from facemodel.network.regressor import IterativeRegressor
from serving.detection import tiles
from serving.detection.detector import DetectedFace
from serving.native import OneCaller
from serving.quality import euler_angles

WINDOW_PX, WINDOW_MARGIN = 416, 1.9
"""Side of what is cut out of a frame for the network, px, and in sizes of the face."""
_FIT_ROUNDS = 2


class FilmEstimator:
    """Estimates coefficients of faces in frames. Threads take turns.

    Args:
      weights: The network's weights, .npz; the shipped ones if None.
    """

    def __init__(self, weights: str | os.PathLike[str] | None = None):
        self._turn = OneCaller("FilmEstimator")
        self.model = MorphableModel.load(level=0)
        self._full = for_inference(load_pretrained(self.model, weights=weights))
        geometry = self._full.geometry
        self._once = IterativeRegressor(geometry, self._full.network, iterations=1)
        count, inner = self.model.identity_count, len(INNER_51)
        basis = np.asarray(geometry.landmark_basis, np.float64).reshape(-1, inner, 3)
        self._mean = np.asarray(geometry.landmark_mean, np.float64)
        self._identity_basis, self._expression_basis = basis[:count], basis[count:]
        factor = np.asarray(geometry.gram_factor, np.float64)
        self.identity_metric = factor[:count]
        self._first, self._next = compiled(self._from_landmarks), compiled(self._from_start)

    @property
    def identity_count(self) -> int:
        """I, how many of the coefficients are identity."""
        return len(self._identity_basis)

    @functools.cached_property
    def _errors(self) -> LandmarkNoise:
        return LandmarkNoise.load().select(INNER_51)

    @functools.cached_property
    def _mean_face(self) -> KnownFace:
        return KnownFace.create(self._mean, self._expression_basis, self._errors)

    def face(self, identity: np.ndarray) -> KnownFace:
        """The inner landmarks of a person with identity [I]."""
        moves = np.tensordot(np.asarray(identity, np.float64), self._identity_basis, 1)
        return self._mean_face.with_neutral(self._mean + moves)

    def first(self, image: np.ndarray, found: DetectedFace) -> np.ndarray:
        """Coefficients [n] of a face of which nothing is known, by the full loop.

        Args:
          image: uint8 [H, W, 3].
          found: where it is.
        """
        window, landmarks = _cut(image, found)
        with self._turn, deterministic():
            return np.asarray(self._first(window[None], landmarks[None]))[0]

    def next(self, image: np.ndarray, found: DetectedFace, identity: np.ndarray) -> np.ndarray:
        """Coefficients [n] of a face whose identity [I] is about known, by one iteration."""
        start = self.known(found, identity)
        window, landmarks = _cut(image, found)
        with self._turn, deterministic():
            return np.asarray(self._next(window[None], landmarks[None], start[None]))[0]

    def known(self, found: DetectedFace, identity: np.ndarray) -> np.ndarray:
        """Coefficients [n] of a face whose identity [I] is known, by its landmarks alone."""
        inner = found.landmarks[list(INNER_51)].astype(np.float64)
        expected = np.full((1, len(self._expression_basis)), EXPRESSION_MEAN)
        expression, _ = fit_expressions(
            self.face(identity), inner[None], expected=expected, sd=EXPRESSION_SD,
            rounds=_FIT_ROUNDS,
        )  # fmt: skip
        return np.concatenate([identity, expression[0]]).astype(np.float32)

    def angles_deg(
        self, found: DetectedFace, coefficients: np.ndarray
    ) -> tuple[float, float, float]:
        """Yaw, pitch and roll of a face with coefficients [n]."""
        face = self.face(coefficients[: self.identity_count])
        points = face.points(coefficients[None, self.identity_count :])
        inner = found.landmarks[list(INNER_51)].astype(np.float64)
        pose = fit_poses(face, points, inner[None])
        yaw, pitch, roll = np.degrees(euler_angles(pose.rotation[0])).tolist()
        return yaw, pitch, roll

    def sharpness(self, image: np.ndarray, found: DetectedFace) -> float:
        """See the function of that name."""
        return sharpness(image, found)

    def _from_landmarks(self, image, landmarks) -> Tensor:
        grey, inside = self._crop(image, landmarks)
        sigma = np.full(1, LANDMARK_NOISE_MM * camera.CROP_SCALE, np.float32)
        start = landmark_fit(self._full.geometry, inside, ops.convert_to_tensor(sigma))
        inputs = {"grey": grey, "landmarks": inside, "start": start}
        return self._full(inputs, training=False)[:, -1]

    def _from_start(self, image, landmarks, start) -> Tensor:
        grey, inside = self._crop(image, landmarks)
        inputs = {"grey": grey, "landmarks": inside, "start": start}
        return self._once(inputs, training=False)[:, -1]

    def _crop(self, image, landmarks):
        inner = ops.take(landmarks, np.asarray(INNER_51), axis=1)
        crop_from_image = crop_around(self._full.geometry, inner)
        grey = grey_crop(image, crop_from_image)
        return grey, transforms.apply_similarity(crop_from_image, inner)


def _cut(image: np.ndarray, found: DetectedFace) -> tuple[np.ndarray, np.ndarray]:
    """A window of fixed size around a face, and the landmarks [478, 2] px in it."""
    place = tiles.Candidate(found.score, found.box, 0.0)
    window, frame_from_window = tiles.upright_crop(
        image, place, margin=WINDOW_MARGIN, size=WINDOW_PX
    )
    zoom = frame_from_window[0, 0]
    landmarks = (found.landmarks - frame_from_window[:, 2]) / zoom
    return window, landmarks.astype(np.float32)


def sharpness(image: np.ndarray, found: DetectedFace) -> float:
    """How sharp a face is: mean strength of edges in it, at the network's resolution."""
    window, landmarks = _cut(image, found)
    low = np.clip(landmarks.min(0), 0, WINDOW_PX - 2).astype(int)
    high = np.clip(landmarks.max(0), low + 2, WINDOW_PX).astype(int)
    face = window[low[1] : high[1], low[0] : high[0]].mean(-1, dtype=np.float32)
    contrast = float(face.std()) + 1.0
    across, down = np.diff(face, axis=1), np.diff(face, axis=0)
    return float((np.abs(across).mean() + np.abs(down).mean()) / contrast)
