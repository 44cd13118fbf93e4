"""Landmarks as places in the triangles of each level of a model file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from facemodel.morphable import npz
from facemodel.morphable.embedding import embed
from facemodel.morphable.landmarks import IBUG_68, MEDIAPIPE_COUNT
from facemodel.morphable.model import MorphableModel

INNER_LIPS = (
    *(191, 80, 81, 82, 13, 312, 311, 310, 415),
    *(95, 88, 178, 87, 14, 317, 402, 318, 324),
)
"""MediaPipe's landmarks of the upper, then the lower inner lip; one line on a closed mouth."""
IRIS_START = 468
_UPPER_LIP, _LOWER_LIP = 0, 17
_OPENING_MM, _LARGEST_WEIGHT = 18.0, 1.0


def opening(model: MorphableModel) -> np.ndarray:
    """[I + E] coefficients of the mean face with the mouth open.

    Of a unit jawOpen if there is one, else the shortest combination of expressions that parts the
    lips by 18 mm, no weight above 1.
    """
    coefficients = np.zeros(model.coefficient_count, np.float32)
    kinds = [name.rsplit("/", 1)[-1] for name in model.expression_names]
    if "jawOpen" in kinds:
        coefficients[model.identity_count + kinds.index("jawOpen")] = 0.5
        return coefficients
    apart = [_lip_heights(model, vector) for vector in model.expression]
    slopes = np.array([upper - lower for upper, lower in apart])
    weights = _OPENING_MM * slopes / max(float((slopes**2).sum()), 1e-6)
    weights *= min(1.0, _LARGEST_WEIGHT / max(float(np.abs(weights).max(initial=0)), 1e-6))
    coefficients[model.identity_count :] = weights
    return coefficients


def _lip_heights(model: MorphableModel, vertices: np.ndarray) -> tuple[float, float]:
    chosen = [_UPPER_LIP, _LOWER_LIP]
    corners = vertices[model.triangles[model.landmark_triangles[chosen]]]
    heights = (corners[..., 1] * model.landmark_barycentric[chosen]).sum(-1)
    return float(heights[0]), float(heights[1])


def landmark_arrays(
    models: Sequence[MorphableModel],
    closed: np.ndarray,
    opened: np.ndarray | None = None,
    opening_coefficients: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """The arrays of a model file that say where the landmarks lie.

    Args:
      models: the model at each level.
      closed: [478, 3] mm on the mean face.
      opened: [478, 3] mm on the face with the mouth open, of which the inner lips are taken.
      opening_coefficients: [I + E] of that face.
    """
    arrays: dict[str, np.ndarray] = {}
    lips = list(INNER_LIPS) if opened is not None else []
    irises = np.arange(IRIS_START, MEDIAPIPE_COUNT)
    rest = np.setdiff1d(np.arange(IRIS_START), lips)
    for level, model in enumerate(models):
        eyes, skin = _surfaces(model)
        parts = [(rest, closed, model.mean, skin), (irises, closed, model.mean, eyes)]
        if opened is not None and opening_coefficients is not None:
            parts.append((np.array(lips), opened, model.vertices(opening_coefficients), skin))
        chosen = np.empty(MEDIAPIPE_COUNT, np.int32)
        weights = np.empty((MEDIAPIPE_COUNT, 3), np.float32)
        for group, points, surface, allowed in parts:
            chosen[group], weights[group] = embed(points[group], surface, model.triangles, allowed)
        arrays[f"level{level}_landmark_triangles"] = chosen
        arrays[f"level{level}_landmark_barycentric"] = weights
    return arrays


def _surfaces(model: MorphableModel) -> tuple[np.ndarray, np.ndarray]:
    """[T] the triangles of the eyes, all skin if there are no eyeballs; and those of the skin."""
    names = model.region_names
    numbers = [number for number, name in enumerate(names) if name in ("eye_l", "eye_r")]
    corners = model.regions[model.triangles]
    skin = (corners == names.index("skin")).all(1)
    eyes = np.isin(corners, numbers).all(1)
    return (eyes if eyes.any() else skin), skin


def pinned(
    arrays: dict[str, np.ndarray],
    models: Sequence[MorphableModel],
    vertices: Sequence[np.ndarray],
    landmarks: np.ndarray,
) -> dict[str, np.ndarray]:
    """The same arrays, with iBUG points exactly at the vertices that a model's own list names.

    Args:
      arrays: of landmark_arrays.
      models: the model at each level.
      vertices: for each level, [V] which vertices of the full mesh its own are.
      landmarks: [68] vertices of the full mesh, -1 where unknown.
    """
    pinned_arrays = {name: values.copy() for name, values in arrays.items()}
    for level, (model, kept) in enumerate(zip(models, vertices, strict=True)):
        place = dict(zip(kept.tolist(), range(len(kept))))
        for point, vertex in zip(IBUG_68, landmarks.tolist(), strict=True):
            if vertex not in place:
                continue
            found = np.argwhere(model.triangles == place[vertex])
            if len(found):
                triangle, corner = found[0]
                pinned_arrays[f"level{level}_landmark_triangles"][point] = triangle
                pinned_arrays[f"level{level}_landmark_barycentric"][point] = np.eye(3)[corner]
    return pinned_arrays


def at_levels(arrays: Mapping[str, np.ndarray]) -> list[MorphableModel]:
    """The model at each level, from the arrays of its file."""
    return [MorphableModel(**npz.at_level(arrays, level)) for level in npz.LEVELS]
