"""The coarse mesh of a face model, and what all meshes need."""

from __future__ import annotations

import dataclasses

import numpy as np

SKIN = 0
"""Number of that region in a face model; the others are eyes, teeth, tongue and mouth."""


class ModelError(ValueError):
    """A face model file that cannot be read, or a model whose arrays do not fit together."""


@dataclasses.dataclass(frozen=True, eq=False)
class CoarseMesh:
    """The face with the fewest vertices, for where it is only looked at.

    Attributes:
      mean: [V0, 3] mm.
      basis: [I + E, V0, 3] mm per unit of each coefficient.
      triangles: [T0, 3] counter-clockwise seen from outside.
    """

    mean: np.ndarray
    basis: np.ndarray
    triangles: np.ndarray


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Outward unit normals [V, 3], averaged over the triangles around each vertex by area."""
    first, second, third = (vertices[triangles[:, k]] for k in range(3))
    faces = np.cross(second - first, third - first)
    columns = [
        np.bincount(triangles.ravel(), np.repeat(faces[:, k], 3), len(vertices)) for k in range(3)
    ]
    normals = np.stack(columns, -1)
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
