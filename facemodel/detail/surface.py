"""The coarse face as detail needs it: a mesh with albedo statistics, and its image in a crop."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from scipy import sparse

from facemodel.morphable.mesh import SKIN, vertex_normals
from facemodel.morphable.model import MorphableModel
from facemodel.rendering.numpy_rasterizer import barycentric, corners_at, rasterize_numpy
from facemodel.vectors import unit

SMALLEST_ALBEDO = 0.004
NEIGHBOUR_STEPS = 2
"""Albedo of a scale below about this many edges of the mesh counts as fine."""
COVARIANCE = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""Entries of a symmetric matrix of three channels, in the order in which they are kept."""


class CameraPose(NamedTuple):
    """Weak perspective: px = scale * diag(1, -1) R[:2] X + translation.

    Attributes:
      rotation: [3, 3] camera_from_model.
      scale: px/mm.
      translation: [2] px.
    """

    rotation: np.ndarray
    scale: float
    translation: np.ndarray

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points [N, 3] mm -> [N, 3]: x px, y px, and depth in mm towards the viewer."""
        camera = points @ self.rotation.T
        pixels = camera[:, :2] * (self.scale, -self.scale) + self.translation
        return np.concatenate([pixels, camera[:, 2:]], 1)


@dataclasses.dataclass(frozen=True, eq=False)
class SkinStatistics:
    """What is known of skin colour at each vertex of a face model before any photo is seen.

    Attributes:
      mean: [V, 3] natural logarithm of linear RGB albedo.
      covariance: [V, 6] of the fine part of that logarithm, entries as in COVARIANCE.
      spread: [V] variance of that logarithm, grey, against the rest of the same face's skin.
    """

    mean: np.ndarray
    covariance: np.ndarray
    spread: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class CoarseSurface:
    """A face's coarse mesh.

    Attributes:
      vertices: [V, 3] mm, model space.
      triangles: [T, 3] counter-clockwise from outside.
      regions: [V] 0 on skin.
      skin: statistics of the albedo at the vertices.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    regions: np.ndarray
    skin: SkinStatistics


class Buffers(NamedTuple):
    """The coarse face in the pixels of a crop, [H, W, ...]; 0 outside the face but for normals.

    Attributes:
      mask: bool, where the face is seen.
      skin: [H, W] in [0, 1], share of skin.
      normals: [H, W, 3] unit, camera frame (x right, y up, z to the viewer); to the viewer outside.
      depth: [H, W] mm.
      albedo: [H, W, 3] log of linear RGB.
      covariance: [H, W, 6].
      spread: [H, W].
    """

    mask: np.ndarray
    skin: np.ndarray
    normals: np.ndarray
    depth: np.ndarray
    albedo: np.ndarray
    covariance: np.ndarray
    spread: np.ndarray


def linear_from_srgb(values: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] -> linear light. Source: IEC 61966-2-1."""
    low = values / 12.92
    return np.where(values <= 0.04045, low, (np.maximum(values, 0) + 0.055) ** 2.4 / 1.055**2.4)


def skin_statistics(model: MorphableModel) -> SkinStatistics:
    """Mean and fine covariance of a face model's albedo, from its stored basis.

    Args:
      model: Face model at the level of the mesh.
    """
    mean = np.maximum(linear_from_srgb(model.albedo_mean), SMALLEST_ALBEDO)
    slope = _log_slope(model.albedo_mean)
    basis = np.moveaxis(model.albedo, 0, -1) * slope[..., None]  # [V, 3, A]
    fine = _fine_part(basis, model.triangles)
    entries = [(fine[:, i] * fine[:, j]).sum(-1) for i, j in COVARIANCE]
    grey = basis.mean(1) - basis[model.inner_face].mean((0, 1))
    spread = (grey * grey).sum(-1)
    return SkinStatistics(np.log(mean).astype(np.float32), np.stack(entries, -1), spread)


def _log_slope(srgb: np.ndarray) -> np.ndarray:
    """Derivative of log(linear) by the sRGB value."""
    safe = np.maximum(srgb, 0.06)
    return (2.4 / (safe + 0.055)).astype(np.float32)


def _fine_part(values: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Values [V, ...] less their average over some steps of neighbours."""
    smooth = values.reshape(len(values), -1)
    average = _averaging(triangles, len(values))
    for _ in range(NEIGHBOUR_STEPS):
        smooth = average @ smooth
    return values - smooth.reshape(values.shape)


def _averaging(triangles: np.ndarray, count: int) -> sparse.csr_matrix:
    """[V, V] average of a vertex and its neighbours."""
    start, end = triangles.ravel(), np.roll(triangles, -1, axis=1).ravel()
    own = np.arange(count)
    rows, columns = np.r_[start, end, own], np.r_[end, start, own]
    pairs = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), (count, count))
    pairs.data[:] = 1.0
    return sparse.diags(1.0 / np.asarray(pairs.sum(1)).ravel()).astype(np.float32) @ pairs


def render_buffers(surface: CoarseSurface, pose: CameraPose, *, height: int, width: int) -> Buffers:
    """Renders the coarse face into a crop of height x width px, in which the pose is."""
    normals = vertex_normals(surface.vertices, surface.triangles) @ pose.rotation.T
    screen = pose.project(surface.vertices).astype(np.float32)
    is_skin = (surface.regions == SKIN)[:, None]
    values = np.concatenate(
        [
            normals,
            screen[:, 2:],
            is_skin,
            surface.skin.mean,
            surface.skin.covariance,
            surface.skin.spread[:, None],
        ],
        1,
    )
    mask, found = interpolate(screen, surface.triangles, values, height=height, width=width)
    normals = unit(found[..., :3])
    normals[~mask] = (0.0, 0.0, 1.0)
    return Buffers(
        mask,
        found[..., 4],
        normals,
        found[..., 3],
        found[..., 5:8],
        found[..., 8:14],
        found[..., 14],
    )


def interpolate(
    screen: np.ndarray, triangles: np.ndarray, values: np.ndarray, *, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Values of vertices at the pixels that see them.

    Args:
      screen: float32 [V, 3] px, px and depth in mm.
      triangles: [T, 3].
      values: [V, C].
      height: px.
      width: px.

    Returns:
      bool [height, width], where the mesh is; float32 [height, width, C], 0 elsewhere.
    """
    pixel, triangle = rasterize_numpy(screen, triangles, height=height, width=width)
    weights = barycentric(screen, triangles, pixel, triangle, width)
    values = np.ascontiguousarray(values, np.float32)
    corners = corners_at(triangles, triangle)
    sums = sum(values[corners[k]] * weights[k][:, None] for k in range(3))
    image = np.zeros((height * width, values.shape[1]), np.float32)
    image[pixel] = sums
    mask = np.zeros(height * width, bool)
    mask[pixel] = True
    return mask.reshape(height, width), image.reshape(height, width, -1)
