"""Colours of vertices from a texture, for formats that have no textures."""

from __future__ import annotations

import numpy as np

from serving.output.ply import FaceMesh
from serving.output.textured_mesh import TexturedMesh
from serving.output.views import fetch

_INWARDS = np.array(
    [[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]],
    np.float32,
)
"""Where in a triangle the colour of each corner is taken from."""


def coloured_by_vertex(mesh: TexturedMesh) -> FaceMesh:
    """The same surface with a colour at each vertex in place of the texture.

    A vertex gets the mean of what the texture has beside it in the triangles around it: less of a
    chance than one texel, and never a colour from beyond a seam.
    """
    count = len(mesh.vertices)
    places = np.einsum("kc,tcd->tkd", _INWARDS, mesh.uv[mesh.uv_triangles])
    colours = fetch(mesh.texture, places.reshape(-1, 2).T)
    corners = mesh.triangles.ravel()
    uses = np.maximum(np.bincount(corners, minlength=count), 1)
    means = [np.bincount(corners, channel, count) / uses for channel in colours]
    rounded = np.rint(np.stack(means, -1)).astype(np.uint8)
    return FaceMesh(mesh.vertices, mesh.triangles, rounded, mesh.name)
