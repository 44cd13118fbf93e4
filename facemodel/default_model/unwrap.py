"""Relaxes texture coordinates until triangles in the texture have the shapes that they should.

Source: the symmetric Dirichlet energy of Smith and Schaefer, "Bijective Parameterization with Free
Boundaries", ACM Transactions on Graphics 34(4), 2015; descent preconditioned by the Laplacian as in
Kovalsky, Galun and Lipman, "Accelerated Quadratic Proxy for Geometric Optimization", 35(4), 2016.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

_ARMIJO = 1e-4
_SMALLEST_STEP = 1e-10
_TOLERANCE = 1e-8


@dataclasses.dataclass(frozen=True, eq=False)
class Rest:
    """The shapes that triangles should have.

    Attributes:
      triangles: [T, 3] vertex indices.
      area: [T] square millimetres, times how much each counts.
      gradient: [2T, U] operator: from values of vertices to their derivatives along two axes in
        each triangle of the surface, first all along one, then all along the other.
    """

    triangles: np.ndarray
    area: np.ndarray
    gradient: sparse.csr_matrix

    @classmethod
    def of(cls, corners: np.ndarray, triangles: np.ndarray, count: int, shares: np.ndarray) -> Rest:
        """Flattens triangles.

        Args:
          corners: [T, 3, 3] mm, where the corners of each are.
          triangles: [T, 3] indices of texture coordinates.
          count: U, texture coordinates.
          shares: [T] how much each triangle counts.
        """
        along, across = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        length = np.linalg.norm(along, axis=1)
        x = (across * along).sum(1) / length
        y = np.linalg.norm(np.cross(along, across), axis=1) / length
        # Derivatives of the three corners' hat functions in the frame of the first edge.
        rows = np.stack(
            [
                np.stack([-1 / length, 1 / length, 0 * x], 1),
                np.stack([(x / length - 1) / y, -x / (length * y), 1 / y], 1),
            ]
        )
        row = np.repeat(np.arange(2 * len(triangles)), 3)
        column = np.concatenate([triangles, triangles]).ravel()
        shape = (2 * len(triangles), count)
        gradient = sparse.csr_matrix((rows.ravel(), (row, column)), shape)
        return cls(triangles, shares * length * y / 2, gradient)


def energy(rest: Rest, uv: np.ndarray) -> tuple[float, np.ndarray]:
    """Symmetric Dirichlet energy of [U, 2], 4 for each unit of area at best, and its gradient.

    Infinite where a triangle is turned over.
    """
    derivatives = (rest.gradient @ uv).reshape(2, len(rest.area), 2)
    (a, c), (b, d) = np.moveaxis(derivatives, 2, 1)
    determinant = a * d - b * c
    if determinant.min() <= 0:
        return np.inf, np.zeros_like(uv)
    square = a * a + b * b + c * c + d * d
    value = (rest.area * square * (1 + determinant**-2)).sum()
    plain = 2 * rest.area * (1 + determinant**-2)
    turned = -2 * rest.area * square * determinant**-3
    slopes = np.stack(
        [
            np.stack([plain * a + turned * d, plain * c - turned * b], 1),
            np.stack([plain * b - turned * c, plain * d + turned * a], 1),
        ]
    )
    return float(value), rest.gradient.T @ slopes.reshape(-1, 2)


def relax(rest: Rest, uv: np.ndarray, *, rounds: int = 1000) -> np.ndarray:
    """Lowers the energy of texture coordinates without turning a triangle over.

    Args:
      rest: shapes to reach.
      uv: [U, 2] start, in which no triangle is turned over.
      rounds: steps at most.

    Returns:
      [U, 2] in the unit of rest; its mean is zero.
    """
    uv = uv * np.sqrt(rest.area.sum() / _area(rest, uv))
    solver = _laplacian_solver(rest, len(uv))
    value, gradient = energy(rest, uv)
    memory: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(rounds):
        direction = _descent(gradient, memory, solver)
        step = min(1.0, 0.9 * _largest_step(rest, uv, direction))
        slope = float((gradient * direction).sum())
        while step > _SMALLEST_STEP:
            tried, new_gradient = energy(rest, uv + step * direction)
            if tried <= value + _ARMIJO * step * slope:
                break
            step /= 2
        else:
            break
        memory = [*memory[-9:], (step * direction, new_gradient - gradient)]
        gain, value = value - tried, tried
        uv, gradient = uv + step * direction, new_gradient
        if gain < _TOLERANCE * value:
            break
    return uv - uv.mean(0)


def _area(rest: Rest, uv: np.ndarray) -> float:
    first, second, third = (uv[rest.triangles[:, k]] for k in range(3))
    return float(np.cross(second - first, third - first).sum() / 2)


def _laplacian_solver(rest: Rest, count: int):
    weights = sparse.diags(np.tile(rest.area, 2))
    laplacian = rest.gradient.T @ weights @ rest.gradient
    # The energy's curvature at the optimum is four times the Laplacian; a little keeps it regular.
    return splu((4 * laplacian + 1e-6 * sparse.identity(count)).tocsc())


def _descent(gradient: np.ndarray, memory: list, solver) -> np.ndarray:
    """Limited-memory BFGS direction, from the Laplacian's inverse as first guess."""
    q, factors = gradient.copy(), []
    for step, change in reversed(memory):
        factor = (step * q).sum() / (step * change).sum()
        q -= factor * change
        factors.append(factor)
    direction = solver.solve(q)
    for (step, change), factor in zip(memory, reversed(factors), strict=True):
        direction += step * (factor - (change * direction).sum() / (step * change).sum())
    return -direction


def _largest_step(rest: Rest, uv: np.ndarray, direction: np.ndarray) -> float:
    """The step at which the first triangle collapses: roots of a quadratic in the step."""
    edges, moves = (
        [values[rest.triangles[:, k]] - values[rest.triangles[:, 0]] for k in (1, 2)]
        for values in (uv, direction)
    )
    c = np.cross(edges[0], edges[1])
    b = np.cross(edges[0], moves[1]) + np.cross(moves[0], edges[1])
    a = np.cross(moves[0], moves[1])
    root = np.sqrt(np.maximum(b * b - 4 * a * c, 0))
    # In this form small a does no harm; negative discriminants never collapse.
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.stack([2 * c / (-b + root), 2 * c / (-b - root)])
    steps[:, b * b - 4 * a * c < 0] = np.inf
    steps = steps[np.isfinite(steps) & (steps > 0)]
    return float(steps.min(initial=np.inf))
