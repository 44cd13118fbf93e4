"""A small made-up face model for tests: every field a real model has, in a few hundred vertices."""

from __future__ import annotations

import numpy as np

from facemodel.morphable import landmarks
from facemodel.morphable.mesh import CoarseMesh

_ROWS, _COLUMNS = 24, 24
_RADII_MM = np.array([72.0, 95.0, 70.0])
_CENTRE_MM = np.array([0.0, -28.0, -20.0])


def fields(seed: int) -> dict:
    """The arguments of MorphableModel for a bumpy half ellipsoid with a nose, from a seed."""
    rng = np.random.default_rng(seed)
    grid = _grid()
    mean = _surface(grid)
    triangles = _grid_triangles(_ROWS, _COLUMNS)
    landmark_triangles, landmark_barycentric = _landmarks(rng, grid)
    mean = mean.astype(np.float32)
    identity = _smooth_fields(rng, grid, count=6, size_mm=2.5)
    expression = _smooth_fields(rng, grid, count=4, size_mm=6.0)
    return {
        "name": "tiny",
        "version": f"seed-{seed}",
        "mean": mean,
        "identity": identity,
        "expression": expression,
        "albedo_mean": np.broadcast_to(np.array([0.7, 0.5, 0.4], np.float32), mean.shape).copy(),
        "albedo": _smooth_fields(rng, grid, count=5, size_mm=0.05),
        "albedo_scores": rng.normal(size=(32, 5)).astype(np.float32),
        "triangles": triangles,
        "coarse": _coarse(mean, np.concatenate([identity, expression])),
        "regions": np.zeros(len(mean), np.uint8),
        "region_names": ("skin",),
        "landmark_triangles": landmark_triangles,
        "landmark_barycentric": landmark_barycentric,
        "inner_face": np.linalg.norm(grid, axis=1) < 0.8,
        "uv": ((grid + 1) / 2).astype(np.float32),
        "expression_names": tuple(f"bump_{k}" for k in range(4)),
    }


def _coarse(mean: np.ndarray, basis: np.ndarray) -> CoarseMesh:
    """Every second row and column, and the last ones."""
    rows, columns = (np.unique([*range(0, n, 2), n - 1]) for n in (_ROWS, _COLUMNS))
    kept = (rows[:, None] * _COLUMNS + columns).ravel()
    return CoarseMesh(mean[kept], basis[:, kept], _grid_triangles(len(rows), len(columns)))


def _grid() -> np.ndarray:
    """[V, 2] parameters in [-1, 1], x fastest."""
    y, x = np.meshgrid(np.linspace(-1, 1, _ROWS), np.linspace(-1, 1, _COLUMNS), indexing="ij")
    return np.stack([x.ravel(), y.ravel()], -1)


def _surface(grid: np.ndarray) -> np.ndarray:
    """[V, 3] mm: a half ellipsoid that faces the viewer, with a nose."""
    angle = grid * np.array([1.25, 1.2])
    direction = np.stack(
        [
            np.sin(angle[:, 0]) * np.cos(angle[:, 1]),
            np.sin(angle[:, 1]),
            np.cos(angle[:, 0]) * np.cos(angle[:, 1]),
        ],
        -1,
    )
    nose = 18 * np.exp(-(((grid - np.array([0, -0.1])) / np.array([0.12, 0.25])) ** 2).sum(-1))
    return direction * _RADII_MM + _CENTRE_MM + nose[:, None] * np.array([0, 0, 1.0])


def _grid_triangles(rows: int, columns: int) -> np.ndarray:
    """[T, 3] two triangles for each cell, counter-clockwise seen from the viewer."""
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    right, up, both = corner + 1, corner + columns, corner + columns + 1
    lower, upper = np.stack([corner, right, both], -1), np.stack([corner, both, up], -1)
    return np.concatenate([lower, upper]).astype(np.int32)


def _landmarks(rng: np.random.Generator, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spreads 478 points over the inner part; the inner 51 over a wide ring of it."""
    spread = rng.uniform(-0.6, 0.6, size=(landmarks.MEDIAPIPE_COUNT, 2))
    inner = np.asarray(landmarks.INNER_51)
    turn = np.linspace(0, 2 * np.pi, len(inner), endpoint=False)
    radius = np.linspace(0.15, 0.6, len(inner))
    spread[inner] = np.stack([radius * np.cos(5 * turn), radius * np.sin(5 * turn)], -1)
    cell = (spread + 1) / 2 * np.array([_COLUMNS - 1, _ROWS - 1])
    column, row = np.floor(cell).astype(int).T
    x, y = (cell - np.floor(cell)).T
    lower = x >= y
    quad = row * (_COLUMNS - 1) + column
    triangle = np.where(lower, quad, quad + (_ROWS - 1) * (_COLUMNS - 1)).astype(np.int32)
    weights = np.where(
        lower[:, None], np.stack([1 - x, x - y, y], -1), np.stack([1 - y, x, y - x], -1)
    )
    return triangle, weights.astype(np.float32)


def _smooth_fields(rng: np.random.Generator, grid: np.ndarray, *, count: int, size_mm: float):
    """[count, V, 3] float32 fields of a few waves each, about size_mm large."""
    waves = rng.uniform(-4, 4, size=(count, 3, 4, 2))
    phases = rng.uniform(0, 2 * np.pi, size=(count, 3, 4, 1))
    field = np.cos(np.einsum("kcwd,vd->kcwv", waves, grid) + phases).mean(2)
    return np.ascontiguousarray(size_mm * np.moveaxis(field, 1, 2), np.float32)
