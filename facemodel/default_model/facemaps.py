"""Where on the face each layer of colour applies: beard, blush, lashes, iris and the like."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from facemodel.default_model import regions, skins

_BEARD_LINE_MM = ((0, 32, 40, 52, 62, 80), (-60, -66, -64, -48, -25, -5))
"""Upper limit of the beard: height over distance from the middle."""
_IRIS_MM, _PUPIL_MM = 5.9, 2.0


@dataclasses.dataclass(frozen=True, eq=False)
class FaceMaps:
    """Where on the face each layer applies, per vertex.

    Attributes:
      labels: [V] index into regions.REGIONS.
      mirror: [V] the vertex on the other side of the face.
      positions: [V, 3] mm.
      skin: SkinMaps of these vertices.
      masks: [V] arrays in [0, 1]: beard, blush, nose, under_eyes, lashes, freckles, shaded_teeth,
        iris, iris_rim, pupil, eye_corner.
    """

    labels: np.ndarray
    mirror: np.ndarray
    positions: np.ndarray
    skin: skins.SkinMaps
    masks: dict[str, np.ndarray]

    @classmethod
    def create(
        cls,
        skin: skins.SkinMaps,
        *,
        positions: np.ndarray,
        labels: np.ndarray,
        average: sparse.csr_matrix,
        coarse_positions: np.ndarray,
        coarse_labels: np.ndarray,
    ) -> FaceMaps:
        """Computes masks on fine vertices and averages everything down.

        Args:
          skin: read at the fine vertices.
          positions: [F, 3] mm, fine vertices.
          labels: [F].
          average: [V, F] operator.
          coarse_positions: [V, 3] mm.
          coarse_labels: [V].
        """
        masks = {**_skin_masks(positions, labels, skin.lips), **_eye_masks(positions, labels)}
        coarse_skin = skins.SkinMaps(
            details=np.stack([average @ detail for detail in skin.details]),
            dark=skin.dark,
            lips=average @ skin.lips,
            brows=np.stack([average @ brow for brow in skin.brows]),
        )
        _, mirror = cKDTree(coarse_positions).query(coarse_positions * [-1, 1, 1])
        averaged = {name: average @ mask for name, mask in masks.items()}
        return cls(coarse_labels, mirror, coarse_positions, coarse_skin, averaged)


def _ramp(value: np.ndarray, start: float, stop: float) -> np.ndarray:
    return np.clip((value - start) / (stop - start), 0, 1)


def _bump(*terms: np.ndarray) -> np.ndarray:
    return np.exp(-sum(term**2 for term in terms))


def _skin_masks(
    positions: np.ndarray, labels: np.ndarray, lips: np.ndarray
) -> dict[str, np.ndarray]:
    """Masks of the skin's layers from positions in mm."""
    x, y, z = positions.T
    side, bare = np.abs(x), (labels == regions.SKIN) * (1 - lips)
    skin = (labels == regions.SKIN).astype(float)
    below_line = _ramp(np.interp(side, *_BEARD_LINE_MM) - y, -4, 9) * (y < -18)
    moustache = 1.1 * _bump((y + 61) / 6, (side - 14) / 14) * (side < 30)
    eyes = np.isin(labels, (regions.EYE_LEFT, regions.EYE_RIGHT))
    to_eye, _ = cKDTree(positions[eyes]).query(positions)
    return {
        "beard": np.clip(np.maximum(below_line, moustache) * bare, 0, 1),
        "blush": _bump((side - 40) / 17, (y + 38) / 16) * skin,
        "nose": _bump(x / 13, (y + 40) / 13) * (z > 25) * skin,
        "under_eyes": _bump((side - 31) / 14, (y + 15) / 6) * skin,
        "lashes": _bump(to_eye / 1.3) * skin * (y > -9),
        "freckles": _bump((side - 22) / 26, (y + 25) / 24) * skin,
        "shaded_teeth": _ramp(side, 10, 20) * (labels == regions.TEETH),
    }


def _eye_masks(positions: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Masks of the eyeballs from the distance to each one's axis."""
    radius = np.full(len(positions), np.inf)
    for eye in (regions.EYE_LEFT, regions.EYE_RIGHT):
        own = labels == eye
        radius[own] = np.linalg.norm((positions[own] - positions[own].mean(0))[:, :2], axis=1)
    radius = np.minimum(radius, 1e3)
    return {
        "eye_corner": _ramp(radius, 7, 12),
        "iris_rim": _ramp(radius, 3.5, 5.8),
        "iris": 1 - _ramp(radius, _IRIS_MM - 0.5, _IRIS_MM + 0.6),
        "pupil": 1 - _ramp(radius, _PUPIL_MM - 0.5, _PUPIL_MM + 0.6),
    }
