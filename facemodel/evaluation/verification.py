"""How well distances between shapes tell whether two photos are of one person."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.stats import rankdata

from facemodel.evaluation.metrics import vertex_error_mm


@dataclasses.dataclass(frozen=True)
class Separation:
    """Distances within persons and between them.

    Attributes:
      same_pairs, other_pairs: how many pairs there are of one person, and of two.
      same_mean, other_mean: their mean distances.
      ratio: same_mean / other_mean; 0 is perfect, 1 means that shapes say nothing.
      auc: probability that a pair of one person is nearer than a pair of two (ties count half);
        1 is perfect, 0.5 is chance.
    """

    same_pairs: int
    other_pairs: int
    same_mean: float
    other_mean: float
    ratio: float
    auc: float


def pair_distances_mm(shapes: np.ndarray) -> np.ndarray:
    """Distances [N, N] mm between shapes [N, V, 3] mm: mean of vertices, similarity-aligned.

    Both directions are averaged, as aligning either to the other differs a little.
    """
    rows = np.stack([vertex_error_mm(shapes, np.broadcast_to(s, shapes.shape)) for s in shapes])
    return (rows + rows.T) / 2


def pair_angles(coefficients: np.ndarray) -> np.ndarray:
    """1 - cosine, [N, N] in [0, 2], of identity coefficients [N, I]."""
    length = np.linalg.norm(coefficients, axis=-1, keepdims=True)
    unit = coefficients / np.maximum(length, 1e-12)
    return 1 - unit @ unit.T


def separation(distances: np.ndarray, same: np.ndarray) -> Separation:
    """Sums up the distances [P] of pairs of one person (same [P] is true) and of two.

    Raises:
      ValueError: if either kind is missing.

    Source: the AUC is the Mann-Whitney statistic.
    """
    same = np.asarray(same, bool)
    if same.all() or not same.any():
        raise ValueError(
            f"expected pairs of one person and of two, got {same.sum()} and {(~same).sum()}"
        )
    ranks = rankdata(distances)
    count, others = int(same.sum()), int((~same).sum())
    below = ranks[~same].sum() - others * (others + 1) / 2
    within, between = float(distances[same].mean()), float(distances[~same].mean())
    return Separation(count, others, within, between, within / between, below / (count * others))


def nearest_is_same(distances: np.ndarray, persons: np.ndarray) -> float:
    """Share of photos whose nearest other photo is of the same person.

    Args:
      distances: [N, N].
      persons: [N] who is on each; those who are on one photo only do not count.
    """
    persons = np.asarray(persons)
    apart = distances + np.diag(np.full(len(distances), np.inf))
    several = (persons[:, None] == persons).sum(1) > 1
    return float((persons[apart.argmin(1)] == persons)[several].mean())
