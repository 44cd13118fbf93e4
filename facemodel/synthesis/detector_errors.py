"""How a detector's landmarks err with the face that they are of, measured once, drawn for others.

A detector moves what it finds towards faces that it expects: a raised brow is followed halfway, a
turned nose is put elsewhere. So a part of its error follows from the true landmarks, and is no
noise. What is left differs from face to face and has more far errors than a normal distribution.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
from keras import ops
from scipy.spatial import cKDTree

from facemodel import camera, transforms
from facemodel.backend import Tensor
from facemodel.files import DATA, write_arrays
from facemodel.fitting.alignment import crop_around
from facemodel.morphable.geometry import FaceGeometry
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.streams import RandomStreams

MEASURED = DATA / "detector_errors.npz"
NEIGHBOURS = 1200
"""What is left of the error is that of one of so many measured faces of about the same turn."""
_RIDGE = 100.0
_FARTHEST = 3.0
"""Landmarks count as no more standard deviations from the mean: the response is linear."""
_NOSE_ROOT, _NOSE_TIP = 10, 13
_TURN_PX = 10.0


class DetectorErrors(NamedTuple):
    """Errors of the 51 inner landmarks in the upright crop of camera.CROP_SIZE px around them.

    Attributes:
      mean, sd: [102] of the true landmarks' places, px.
      response: [F, 102] px, the part that is linear in features of the true landmarks.
      rest: [N, 102] px, what was left of each measured face.
      turn: [N] of these, ascending: how far the nose lies to one side.
    """

    mean: np.ndarray
    sd: np.ndarray
    response: np.ndarray
    rest: np.ndarray
    turn: np.ndarray

    @classmethod
    def load(cls, path: str | os.PathLike[str] = MEASURED) -> DetectorErrors:
        """Reads what `facerelief landmark-noise --save-errors` measured."""
        with np.load(path) as archive:
            return cls(**{name: archive[name].astype(np.float32) for name in cls._fields})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a file for load, atomically; float16, which rounds errors by less than 0.02 px."""
        write_arrays(
            path, {name: value.astype(np.float16) for name, value in self._asdict().items()}
        )

    @classmethod
    def fit(cls, geometry: FaceGeometry, true: np.ndarray, found: np.ndarray) -> DetectorErrors:
        """Describes how found landmarks differ from true ones, and those of mirrored faces.

        Args:
          geometry: Face model tensors.
          true: [N, 51, 2] y down, in any units.
          found: [N, 51, 2] in the same.
        """
        true, found = np.asarray(true, np.float32), np.asarray(found, np.float32)
        upright = crop_around(geometry, true)
        places = np.asarray(transforms.apply_similarity(upright, true))
        errors = np.asarray(transforms.apply_similarity(upright, found)) - places
        partners = _mirror_partners(np.asarray(geometry.landmark_mean))
        flip = np.array([-1.0, 1.0], np.float32)
        places = np.concatenate([places, [camera.CROP_SIZE, 0] + flip * places[:, partners]])
        errors = np.concatenate([errors, flip * errors[:, partners]]).reshape(len(places), -1)
        flat = places.reshape(len(places), -1)
        nothing, any_turn = np.zeros(0), np.array([-np.inf, np.inf])
        empty = cls(flat.mean(0), flat.std(0), nothing, nothing, any_turn)
        features, turn = (np.asarray(part, np.float64) for part in empty.features(places))
        squares = features.T @ features + _RIDGE * np.eye(features.shape[1])
        response = np.linalg.solve(squares, features.T @ errors)
        order = np.argsort(turn, kind="stable")
        rest = (errors - features @ response)[order]
        fitted = empty._replace(response=response, rest=rest, turn=turn[order])
        return cls(*(np.asarray(part, np.float32) for part in fitted))

    def features(self, places) -> tuple[Tensor, Tensor]:
        """What the response is linear in, [B, F], and the turn [B], of landmarks [B, 51, 2] px."""
        flat = ops.reshape(places, (-1, self.mean.shape[0]))
        x = ops.clip((flat - self.mean) / self.sd, -_FARTHEST, _FARTHEST)
        turn = (places[:, _NOSE_TIP, 0] - camera.CROP_SIZE / 2) / _TURN_PX
        turn = ops.clip(turn, float(self.turn[0]), float(self.turn[-1]))
        nod = (places[:, _NOSE_TIP, 1] - places[:, _NOSE_ROOT, 1]) / _TURN_PX - 2.0
        bends = ops.stack([turn**2, nod**2, turn * nod, ops.abs(turn)], 1)
        return ops.concatenate([x, bends, x * turn[:, None], ops.ones_like(x[:, :1])], 1), turn


def sample_detector_errors(
    errors: DetectorErrors, geometry: FaceGeometry, landmarks, strength, rng: RandomStreams
) -> Tensor:
    """Draws landmarks as the detector would find them.

    Args:
      errors: What was measured.
      geometry: Face model tensors.
      landmarks: [B, 51, 2] px, ground truth.
      strength: [B] multiple of the measured errors.
      rng: Random streams.

    Returns:
      [B, 51, 2] px.
    """
    upright = crop_around(geometry, landmarks)
    features, turn = errors.features(transforms.apply_similarity(upright, landmarks))
    nearest = ops.sum(ops.cast(errors.turn < turn[:, None], "float32"), -1)
    count = len(errors.turn)
    neighbours = min(NEIGHBOURS, count - 1)
    first = ops.clip(nearest - neighbours / 2, 0, count - 1 - neighbours)
    shift = neighbours * rng.uniform("detector/neighbour")
    chosen = ops.cast(first + shift, "int32")
    moved = ops.matmul(features, errors.response) + ops.take(errors.rest, chosen, axis=0)
    moved = ops.reshape(strength[:, None] * moved, ops.shape(landmarks))
    back = transforms.invert_similarity(upright)
    return landmarks + ops.einsum("bij,blj->bli", back[:, :, :2], moved)


def sample_strength(config: SynthesisConfig, rng: RandomStreams) -> Tensor:
    """[B] multiple of the measured errors: 1 where the recipe's range goes beyond it."""
    drawn = config.detector_strength.from_uniform(rng.uniform("detector/strength"))
    return ops.minimum(drawn, 1.0)


def _mirror_partners(points: np.ndarray) -> np.ndarray:
    """[L] the landmark on the other side of the face, of points [L, 3] of a mean face."""
    centred = points - [points[:, 0].mean(), 0.0, 0.0]
    _, partners = cKDTree(centred).query(centred * [-1.0, 1.0, 1.0])
    return partners
