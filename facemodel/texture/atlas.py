"""Which point of the surface each texel of a texture shows."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from scipy import sparse

from facemodel.rendering.numpy_rasterizer import barycentric, rasterize_numpy


@dataclasses.dataclass(frozen=True, eq=False)
class Atlas:
    """The texels of a square texture and the surface points at their centres.

    Row r and column c of a texture of side S lie at u = (c + 0.5) / S, v = 1 - (r + 0.5) / S.

    Attributes:
      size: S, side of the texture, px.
      texel: [N] in order, into all S * S texels: those inside the islands.
      triangle: [N] int32 which triangle of the mesh each of them shows.
      weights: [N, 3] float32 barycentric coordinates in it.
      nearest: [S * S] int32 into the N texels: the nearest one, itself inside the islands.
      from_vertices: [N, V] float32 sparse; values at vertices to values at texels.
    """

    size: int
    texel: np.ndarray
    triangle: np.ndarray
    weights: np.ndarray
    nearest: np.ndarray
    from_vertices: sparse.csr_matrix

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Makes an image of values at texels: [N, ...] -> [S, S, ...].

        Texels outside the islands take the nearest one's value, so that neither bilinear sampling
        nor mip-mapping mixes in a colour from outside.
        """
        image = values.take(self.nearest, axis=0, mode="clip")
        return image.reshape(self.size, self.size, *values.shape[1:])


def make_atlas(
    triangles: np.ndarray,
    uv: np.ndarray,
    uv_triangles: np.ndarray,
    *,
    size: int = 1024,
    vertex_count: int | None = None,
) -> Atlas:
    """Finds the triangle and the barycentric coordinates of each texel.

    Args:
      triangles: [T, 3] into the vertices.
      uv: [U, 2] in [0, 1], v up.
      uv_triangles: [T, 3] into uv; either winding.
      size: Side of the texture, px.
      vertex_count: V; one more than the largest index if None.

    Raises:
      ValueError: if no triangle covers the centre of a texel.
    """
    places = np.concatenate([uv * (size, -size) + (0, size), np.zeros((len(uv), 1))], 1)
    places = places.astype(np.float32)
    texel, triangle = rasterize_numpy(
        places, _facing(places, uv_triangles), height=size, width=size
    )
    if not len(texel):
        raise ValueError("no triangle covers the centre of a texel")
    weights = np.ascontiguousarray(barycentric(places, uv_triangles, texel, triangle, size).T)
    count = vertex_count or int(triangles.max()) + 1
    begins = np.arange(0, 3 * len(texel) + 1, 3)
    table = (weights.ravel(), triangles[triangle].ravel(), begins)
    from_vertices = sparse.csr_matrix(table, shape=(len(texel), count))
    nearest = _nearest(texel, size)
    return Atlas(size, texel, triangle, weights, nearest, from_vertices)


def _facing(places: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Triangles in the winding that the z-buffer calls front; mirrored islands are turned over."""
    first, second, third = (places[triangles[:, k], :2] for k in range(3))
    ahead, aside = second - first, third - first
    behind = ahead[:, 0] * aside[:, 1] - ahead[:, 1] * aside[:, 0] > 0
    return np.where(behind[:, None], triangles[:, ::-1], triangles)


def _nearest(texel: np.ndarray, size: int) -> np.ndarray:
    """[S * S] which of the texels lies nearest to each one of the texture."""
    outside = np.full(size * size, 255, np.uint8)
    outside[texel] = 0
    _, labels = cv2.distanceTransformWithLabels(
        outside.reshape(size, size), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    labels = labels.ravel()
    number = np.zeros(labels.max() + 1, np.int32)
    number[labels[texel]] = np.arange(len(texel), dtype=np.int32)
    return number[labels]
