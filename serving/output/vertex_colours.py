"""Colours of vertices from a texture, for formats that have no textures."""

from __future__ import annotations

import cv2
import numpy as np

from serving.output.ply import FaceMesh
from serving.output.textured_mesh import TexturedMesh
from serving.output.views import fetch


def coloured_by_vertex(mesh: TexturedMesh) -> FaceMesh:
    """The same surface with a colour at each vertex in place of the texture.

    The texture is reduced first until a texel is about as large as the triangles, so that colours
    are means and no chance samples.
    """
    edges = np.diff(mesh.uv[mesh.uv_triangles], axis=1)
    length = np.median(np.linalg.norm(edges, axis=-1)) * mesh.texture.shape[0]
    size = max(1, round(mesh.texture.shape[0] / max(1.0, float(length))))
    small = cv2.resize(mesh.texture, (size, size), interpolation=cv2.INTER_AREA)
    uv = mesh.corners.uv
    colours = fetch(small, uv[: len(mesh.vertices)].T).T
    return FaceMesh(mesh.vertices, mesh.triangles, np.ascontiguousarray(colours), mesh.name)
