"""A texture for a mesh that has only colours of vertices, for face models without a head."""

from __future__ import annotations

import cv2
import numpy as np

from facemodel.morphable.mesh import vertex_normals
from serving.output.ply import FaceMesh
from serving.output.textured_mesh import TexturedMesh
from serving.output.views import look_centred

SIZE = 512
_FILL = 0.98


def frontal_texture(mesh: FaceMesh, *, regions: np.ndarray | None = None) -> TexturedMesh:
    """Gives a face the texture that it has seen from in front.

    A face is almost a relief above its frontal plane, so its places in that plane serve as texture
    coordinates. What is hidden from in front, inside the mouth, gets the colours in front of it.

    Args:
      mesh: [V] vertices.
      regions: [V] as in MorphableModel; skin if None.
    """
    front = np.eye(3)
    view = look_centred(
        mesh.vertices,
        mesh.triangles,
        rotation=front,
        height=SIZE,
        width=SIZE,
        fill=_FILL,
        samples=1,
    )
    colours, cover = view.picture(view.interpolate(mesh.colours, mesh.triangles))
    empty = (cover == 0).astype(np.uint8)
    texture = cv2.inpaint(
        np.rint(colours).astype(np.uint8), empty * _near(cover), 3, cv2.INPAINT_TELEA
    )
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    uv = 0.5 + _FILL * (mesh.vertices - (low + high) / 2)[:, :2] / (high - low).max()
    return TexturedMesh(
        name=mesh.name,
        vertices=mesh.vertices,
        triangles=mesh.triangles,
        normals=vertex_normals(mesh.vertices, mesh.triangles),
        uv=uv.astype(np.float32),
        uv_triangles=mesh.triangles,
        regions=np.zeros(len(mesh.vertices), np.uint8) if regions is None else regions,
        texture=texture,
    )


def _near(cover: np.ndarray) -> np.ndarray:
    """uint8 [S, S], 1 on the mesh and a few texels around it, which filters reach."""
    return cv2.dilate((cover > 0).astype(np.uint8), np.ones((7, 7), np.uint8))
