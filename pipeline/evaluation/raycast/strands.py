"""Strands of hair as polylines that grow out of a surface and keep out of it."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree


class Roots(NamedTuple):
    """Where strands begin.

    Attributes:
      points: [N, 3] mm; normals: [N, 3] unit.
      places: [N, 3] mm, the same points on the mean head.
    """

    points: np.ndarray
    normals: np.ndarray
    places: np.ndarray

    def where(self, chosen: np.ndarray) -> Roots:
        """Some of them."""
        return Roots(*(values[chosen] for values in self))


class Strands(NamedTuple):
    """Polylines one after the other.

    Attributes:
      sizes: [N] int32 points of each.
      points: [sum of sizes, 3] float32 mm.
      radius: [sum of sizes] float32 mm.
    """

    sizes: np.ndarray
    points: np.ndarray
    radius: np.ndarray

    @classmethod
    def of(cls, lines: np.ndarray, radius: float, *, tapered: bool = True) -> Strands:
        """Lines [N, P, 3], whose last fifth becomes thin if they are tapered."""
        count, length = lines.shape[:2]
        share = np.clip(5 * (1 - np.linspace(0, 1, length)), 0.15, 1) if tapered else 1.0
        thick = np.broadcast_to(radius * share, (count, length)).ravel()
        flat = lines.reshape(-1, 3).astype(np.float32)
        return cls(np.full(count, length, np.int32), flat, thick.astype(np.float32))


def join(parts: list[Strands]) -> Strands:
    """All strands of several sets; none is possible."""
    empty = Strands.of(np.zeros((0, 2, 3)), 0.1)
    return Strands(*(np.concatenate(values) for values in zip(empty, *parts)))


@dataclasses.dataclass(frozen=True, eq=False)
class Body:
    """A surface that strands keep out of.

    Attributes:
      vertices: [V, 3] mm; normals: [V, 3] unit.
    """

    vertices: np.ndarray
    normals: np.ndarray
    tree: cKDTree

    @classmethod
    def of(cls, vertices: np.ndarray, normals: np.ndarray) -> Body:
        """Sorts the vertices for the search."""
        return cls(vertices, normals, cKDTree(vertices))

    def pushed_out(self, points: np.ndarray, margin: np.ndarray) -> np.ndarray:
        """Points [N, 3] moved outwards until they are `margin` [N] mm above the surface."""
        distance, nearest = self.tree.query(points)
        normals = self.normals[nearest]
        above = ((points - self.vertices[nearest]) * normals).sum(1)
        lacking = np.where(distance < 40.0, np.maximum(margin - above, 0.0), 0.0)
        return points + lacking[:, None] * normals


def sample_roots(
    rng: np.random.Generator,
    vertices: np.ndarray,
    normals: np.ndarray,
    places: np.ndarray,
    triangles: np.ndarray,
    count: int,
) -> Roots:
    """Points evenly spread over triangles.

    Args:
      rng: random numbers.
      vertices: [V, 3] mm.
      normals: [V, 3] unit.
      places: [V, 3] mm, of the vertices on the mean head.
      triangles: [T, 3] those that may be chosen; none gives no roots.
      count: how many points.
    """
    if not len(triangles):
        return Roots(*np.zeros((3, 0, 3)))
    corners = vertices[triangles]
    areas = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    chosen = triangles[rng.choice(len(triangles), count, p=areas / areas.sum())]
    share = rng.dirichlet((1, 1, 1), count)[..., None]
    points, turned, flat = (
        (values[chosen] * share).sum(1) for values in (vertices, normals, places)
    )
    return Roots(points, turned / np.linalg.norm(turned, axis=1, keepdims=True), flat)


class Growth(NamedTuple):
    """How strands grow.

    Attributes:
      length: [N] mm.
      comb: [N, 3] direction that the hair is combed to, at most of length 1.
      gravity: [3] unit, where down is.
      lift: share of the surface's normal at the root.
      weight: how much gravity bends a strand over 50 mm.
      margin: [N] mm above the surface.
      steps: points of each strand.
      noise: of the direction.
    """

    length: np.ndarray
    comb: np.ndarray
    gravity: np.ndarray
    lift: float
    weight: float
    margin: np.ndarray
    steps: int
    noise: float


def grow(rng: np.random.Generator, roots: Roots, body: Body, growth: Growth) -> np.ndarray:
    """Grows strands step by step: [N, steps, 3] mm."""
    count = len(roots.points)
    step = growth.length[:, None] / (growth.steps - 1)
    way = _unit(growth.lift * roots.normals + growth.comb)
    way = _unit(way + growth.noise * rng.standard_normal((count, 3)))
    points = [roots.points]
    for number in range(1, growth.steps):
        combed = growth.comb * max(0.0, 1.0 - 2.0 * number / growth.steps)
        bend = growth.weight * step / 50.0 * growth.gravity + 0.3 * combed
        way = _unit(way + bend + 0.3 * growth.noise * rng.standard_normal((count, 3)))
        rising = np.minimum(growth.margin, 0.5 + 0.7 * number * step[:, 0])
        ahead = body.pushed_out(points[-1] + step * way, rising)
        way = _unit(ahead - points[-1])
        points.append(points[-1] + step * way)
    return np.stack(points, 1)


def clumped(rng: np.random.Generator, lines: np.ndarray, share: float, size: int) -> np.ndarray:
    """Draws lines [N, P, 3] towards one of each about `size` neighbours, more at their tips."""
    if len(lines) < 2 * size or share <= 0:
        return lines
    guides = lines[rng.choice(len(lines), len(lines) // size, replace=False)]
    _, nearest = cKDTree(guides[:, 0]).query(lines[:, 0])
    along = share * np.linspace(0, 1, lines.shape[1])[:, None] ** 0.7
    return lines + along * (guides[nearest] - lines)


def curled(rng: np.random.Generator, lines: np.ndarray, radius: float, length: float) -> np.ndarray:
    """Winds lines [N, P, 3] into curls of a radius and a wavelength in mm; neighbours alike."""
    if radius <= 0 or not len(lines):
        return lines
    travelled = np.linalg.norm(np.diff(lines, axis=1, prepend=lines[:, :1]), axis=-1).cumsum(1)
    phase = 0.15 * lines[:, 0] @ rng.standard_normal(3) + rng.normal(0, 0.4, len(lines))
    angle = 2 * np.pi * travelled / length + phase[:, None]
    along = _unit(lines[:, -1] - lines[:, 0])
    first = _unit(np.cross(along, rng.standard_normal(3)))
    second = np.cross(along, first)
    grown = radius * np.linspace(0, 1, lines.shape[1]) ** 0.5
    offset = np.cos(angle)[..., None] * first[:, None] + np.sin(angle)[..., None] * second[:, None]
    return lines + grown[None, :, None] * offset


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
