"""How detected landmarks differ from the model's: measured once, sampled for all data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from facemodel.files import DATA, write_arrays
from facemodel.morphable.landmarks import MEDIAPIPE_COUNT

MEASURED = DATA / "landmark_noise.npz"


class LandmarkNoise(NamedTuple):
    """Normal distribution of detected minus ground-truth landmarks, mm at the face's scale, y down.

    Attributes:
      mean: [L, 2] what the detector always gets wrong.
      factor: [L, 2, K] errors that landmarks share: shifts, scale, a whole mouth.
      rest_sd: [L, 2] standard deviation of what each landmark errs on its own.
    """

    mean: np.ndarray
    factor: np.ndarray
    rest_sd: np.ndarray

    @classmethod
    def load(cls, path: str | os.PathLike[str] = MEASURED) -> LandmarkNoise:
        """Reads what `facerelief landmark-noise` measured: 478 landmarks."""
        with np.load(path) as archive:
            return cls(**{name: archive[name].astype(np.float32) for name in cls._fields})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a file for load, atomically."""
        write_arrays(path, self._asdict())

    @classmethod
    def isotropic(cls, sd_mm: float, *, count: int = MEDIAPIPE_COUNT) -> LandmarkNoise:
        """Independent noise of one strength in both directions, for comparisons and tests."""
        zero = np.zeros((count, 2), np.float32)
        return cls(zero, np.zeros((count, 2, 0), np.float32), zero + np.float32(sd_mm))

    def select(self, indices: Sequence[int]) -> LandmarkNoise:
        """The same for some of the landmarks, for example INNER_51."""
        chosen = list(indices)
        return LandmarkNoise(
            mean=self.mean[chosen], factor=self.factor[chosen], rest_sd=self.rest_sd[chosen]
        )

    @property
    def sigma_mm(self) -> float:
        """Root mean square error of a coordinate."""
        return float(np.sqrt((self.landmark_sigma_mm**2).mean()))

    @property
    def landmark_sigma_mm(self) -> np.ndarray:
        """[L, 2] root mean square error of each coordinate: eyes err far less than brows."""
        return np.sqrt(self.mean**2 + (self.factor**2).sum(-1) + self.rest_sd**2)

    @property
    def second_moment(self) -> np.ndarray:
        """[2 L, 2 L] mm^2, the mean product of any two coordinates' errors."""
        factor, mean = self.factor.reshape(2 * len(self.mean), -1), self.mean.ravel()
        own = np.diag(self.rest_sd.ravel().astype(np.float64) ** 2)
        return own + factor @ factor.T + np.outer(mean, mean)
