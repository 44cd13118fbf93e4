"""The fine detail of a face as a normal map for its mesh."""

from __future__ import annotations

import numpy as np

from facemodel.detail.relief import Relief
from facemodel.texture.atlas import Atlas
from facemodel.texture.projection import sample
from facemodel.vectors import dot, largest_channel, unit
from serving.output.textured_mesh import TexturedMesh

DEPTH_TOLERANCE_MM = 3.0
STRAIGHT = (128, 128, 255)
"""A normal along the surface's own: where there is no detail."""


def bake_normal_map(
    mesh: TexturedMesh,
    atlas: Atlas,
    relief: Relief,
    rotation: np.ndarray,
    *,
    share: np.ndarray | None = None,
) -> np.ndarray:
    """Moves the difference between refined and coarse normals from the photo into the texture.

    Args:
      mesh: the coarse head.
      atlas: of its texture coordinates.
      relief: of the face in its photo.
      rotation: [3, 3] camera_from_model.
      share: [S, S] in [0, 1], the photo's share of the texture, which fades the detail; None for 1.

    Returns:
      uint8 [S, S, 3] unit vectors in tangent space, 255 (n + 1) / 2, +y along growing v.
    """
    screen = relief.pose.project(mesh.vertices)
    change = np.concatenate([relief.normals - relief.coarse_normals, relief.depth[..., None]], -1)
    values = np.concatenate([screen, mesh.normals @ rotation.T], 1).astype(np.float32)
    places = atlas.from_vertices @ values
    found = sample(change.astype(np.float32), places[:, :2])
    shown = _shown(places, found, relief.depth.shape)
    if share is not None:
        found[:, :3] *= share.ravel()[atlas.texel][:, None]
    change = np.flatnonzero(shown & (largest_channel(np.abs(found[:, :3])) > 1 / 512))
    normal = unit(places[change, 3:])
    tilted = unit(normal + found[change, :3])
    texels = np.broadcast_to(np.array(STRAIGHT, np.uint8), (len(atlas.texel), 3)).copy()
    texels[change] = _encoded(_in_tangent_space(mesh, atlas, change, normal, tilted, rotation))
    return atlas.spread(texels)


def _shown(places: np.ndarray, found: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """[N] bool, which texels the photo shows: inside, turned to it, nothing before them."""
    (x, y), (height, width) = places[:, :2].T, size
    inside = (x >= 0.5) & (x <= width - 0.5) & (y >= 0.5) & (y <= height - 0.5)
    return inside & (places[:, 5] > 0) & (places[:, 2] > found[:, 3] - DEPTH_TOLERANCE_MM)


def _in_tangent_space(mesh, atlas, texels, normal, tilted, rotation) -> np.ndarray:
    """Vectors [M, 3] of the camera frame at some texels, in the basis of tangent and normal."""
    corners = mesh.corners.triangles[atlas.triangle[texels]]
    weights = atlas.weights[texels]
    tangent = sum(weights[:, k, None] * mesh.tangents[corners[:, k]] for k in range(3))
    along_u = tangent[:, :3] @ rotation.T
    along_u = unit(along_u - normal * dot(along_u, normal)[:, None])
    along_v = np.sign(tangent[:, 3:]) * np.cross(normal, along_u)
    return np.stack([dot(tilted, axis) for axis in (along_u, along_v, normal)], 1)


def _encoded(vectors: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(127.5 * (vectors + 1.0)), 0, 255).astype(np.uint8)
