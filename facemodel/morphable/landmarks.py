"""Which of MediaPipe's 478 face points are the 68 iBUG points, and where points lie on a mesh."""

from __future__ import annotations

import numpy as np

MEDIAPIPE_COUNT = 478

_JAW = (127, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 356)
_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
_NOSE = (168, 197, 5, 4, 75, 97, 2, 326, 305)
_EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
_OUTER_LIPS = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181)
_INNER_LIPS = (78, 82, 13, 312, 308, 317, 14, 87)

IBUG_68 = _JAW + _BROWS + _NOSE + _EYES + _OUTER_LIPS + _INNER_LIPS
"""The MediaPipe index of each of the 68 iBUG points, jaw first."""

INNER_51 = IBUG_68[len(_JAW) :]
"""The 68 without the jaw, whose points slide along the outline; poses and fits use these."""

IRISES = (468, 473)
"""The middle of each iris."""

SUBNASALE, CHIN = 2, 152
"""Below the nose, and the lowest point of the chin."""


def embedded_points(
    vertices: np.ndarray,
    triangles: np.ndarray,
    landmark_triangles: np.ndarray,
    barycentric: np.ndarray,
) -> np.ndarray:
    """Finds points that are fixed to a mesh.

    Args:
      vertices: [..., V, 3].
      triangles: [T, 3].
      landmark_triangles: [L] the triangle of each point.
      barycentric: [L, 3] its place there.

    Returns:
      [..., L, 3] in the units of vertices.
    """
    corners = vertices[..., triangles[landmark_triangles], :]
    return (corners * barycentric[:, :, None]).sum(-2).astype(vertices.dtype)
