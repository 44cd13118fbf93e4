"""Aligns a mesh with a scan: by landmarks, then by the distances of the scan's points to it."""

from __future__ import annotations

import dataclasses

import numpy as np

from facemodel.evaluation.closest_points import Closest, Surface
from facemodel.evaluation.similarity import Similarity

COARSE_POINTS = 2000
"""The first steps look at so many of the scan's points; all of them decide in the end."""
MOST_STEPS = 30
_SMALLEST_MOVE = 1e-8
_SMALLEST_GAIN = 1e-5
"""Alignment ends when a step moves the points by a smaller part of their spread, or lessens the sum
of squared distances by a smaller part."""
_MOST_DAMPING = 1e8


@dataclasses.dataclass(frozen=True, eq=False)
class Aligned:
    """A mesh on a scan.

    Attributes:
      scan_from_mesh: the transform.
      closest: what the moved mesh has closest to each point of the scan, in the scan's units.
    """

    scan_from_mesh: Similarity
    closest: Closest

    @property
    def distances(self) -> np.ndarray:
        """[N] of the scan's points, in the scan's units."""
        return self.closest.distances

    @property
    def cost(self) -> float:
        """Sum of squared distances."""
        return float((self.distances**2).sum())


def measure(
    surface: Surface,
    points: np.ndarray,
    scan_from_mesh: Similarity,
    *,
    hint: np.ndarray | None = None,
) -> Aligned:
    """Distances of a scan's points [N, 3] to a mesh that was moved; hint as of Surface.closest."""
    found = surface.closest(scan_from_mesh.inverse().apply(points), hint=hint)
    moved = scan_from_mesh.apply(found.points)
    distances = float(scan_from_mesh.scale) * found.distances
    return Aligned(scan_from_mesh, Closest(moved, distances, found.triangles))


def align(
    surface: Surface, points: np.ndarray, start: Similarity, *, scaled: bool = True
) -> Aligned:
    """Moves a mesh so that the squared distances of a scan's points to it are least.

    Gauss-Newton steps on the distances themselves with damping (Levenberg-Marquardt), first on a
    part of the points.

    Args:
      surface: the mesh, in its own frame and units.
      points: [N, 3] of the scan that count.
      start: scan_from_mesh, close enough: from landmarks.
      scaled: whether the size may change.

    Returns:
      The best place that was found, and the distances there.

    Source: NoW evaluation, rigid alignment by scan-to-mesh distance (Sanyal et al. 2019, sec. 5.3).
    """
    points = np.asarray(points, np.float64)
    stride = -(-len(points) // COARSE_POINTS)
    coarse = _descend(surface, points[::stride], start, scaled)
    return coarse if stride == 1 else _descend(surface, points, coarse.scan_from_mesh, scaled)


def _descend(surface: Surface, points: np.ndarray, start: Similarity, scaled: bool) -> Aligned:
    """Damped Gauss-Newton steps until nothing moves any more."""
    centre = points.mean(0)
    spread = float(np.sqrt(((points - centre) ** 2).sum(-1).mean()))
    best, damping = measure(surface, points, start), 1e-6
    for _ in range(MOST_STEPS):
        step = _step(surface, points, best, centre, spread, damping, scaled)
        place = _moved(best.scan_from_mesh, step, centre, spread)
        tried = measure(surface, points, place, hint=best.closest.triangles)
        gain, better = best.cost - tried.cost, tried.cost <= best.cost
        small = np.linalg.norm(step) < _SMALLEST_MOVE or 0 <= gain <= _SMALLEST_GAIN * best.cost
        best = tried if better else best
        damping = max(damping / 10, 1e-9) if better else 10 * max(damping, 1e-6)
        if small or damping > _MOST_DAMPING:
            break
    return best


def _step(surface, points, best, centre, spread, damping, scaled) -> np.ndarray:
    """[7] turn in radians, shift in units of spread, change of the logarithm of the scale."""
    place = (best.closest.points - centre) / spread
    away = (points - best.closest.points) / spread
    length = np.linalg.norm(away, axis=-1)
    normals = surface.normals(best.closest.triangles) @ best.scan_from_mesh.rotation.T
    on_surface = length < 1e-9
    direction = np.where(on_surface[:, None], normals, away / np.maximum(length, 1e-300)[:, None])
    growth = (direction * place).sum(-1, keepdims=True) * scaled
    jacobian = np.concatenate([np.cross(place, direction), direction, growth], -1)
    normal_matrix = jacobian.T @ jacobian
    normal_matrix += np.diag(damping * np.diag(normal_matrix) + 1e-12 * len(points))
    return np.linalg.solve(normal_matrix, jacobian.T @ length)


def _moved(similarity: Similarity, step: np.ndarray, centre: np.ndarray, spread: float):
    """The transform followed by a step about a centre."""
    turn, growth = _rotation(step[:3]), np.exp(step[6])
    shift = centre + spread * step[3:6]
    translation = growth * turn @ (similarity.translation - centre) + shift
    return Similarity(similarity.scale * growth, turn @ similarity.rotation, translation)


def _rotation(vector: np.ndarray) -> np.ndarray:
    """[3, 3] about a vector [3] by its length in radians (Rodrigues)."""
    angle = np.linalg.norm(vector)
    if angle < 1e-300:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
