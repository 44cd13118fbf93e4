"""Weights of ARKit's 52 expressions for coefficients that have other vectors beside them."""

from __future__ import annotations

import numpy as np

from facemodel.morphable.head import ARKIT_PREFIX, HeadModel

RIDGE = 0.02
"""Keeps weights small that hardly change the projection, as a share of a vector's own energy."""


def arkit_operator(head: HeadModel) -> tuple[tuple[str, ...], np.ndarray]:
    """What turns expression coefficients into weights of ARKit's expressions.

    ARKit's own coefficients pass unchanged. What the other vectors move is projected: least squares
    over the head's control vertices.

    Args:
      head: Model of the heads.

    Returns:
      [52] names in the order of HeadModel.arkit_targets, and [E, 52]: weights = expression @ it.
    """
    names, _ = head.arkit_targets()
    flat = head.expression.reshape(len(head.expression), -1).astype(np.float64)
    own = [name.startswith(ARKIT_PREFIX) for name in head.expression_names]
    arkit, other = flat[own], flat[np.logical_not(own)]
    gram = arkit @ arkit.T
    gram[np.diag_indices_from(gram)] *= 1.0 + RIDGE
    projected = np.linalg.solve(gram, arkit @ other.T).T
    columns = [
        names.index(name.removeprefix(ARKIT_PREFIX))
        for name, is_own in zip(head.expression_names, own)
        if is_own
    ]
    operator = np.zeros((len(flat), len(names)))
    operator[np.flatnonzero(own), columns] = 1.0
    operator[np.ix_(np.flatnonzero(np.logical_not(own)), np.array(columns))] = projected
    return names, operator
