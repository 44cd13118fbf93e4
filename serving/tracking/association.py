"""Who is who from one frame to the next: by where faces are, and by their identity."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

FAR = 1.0
"""Mean distance of landmarks, in sizes of the face, beyond which places say nothing."""
SAME_PERSON_MM = 2.2
"""RMS distance of neutral shapes up to which a face is taken for somebody who was lost."""
OTHER_PERSON_MM = 4.5
"""Beyond it a face is not taken for somebody wherever it is."""
_MM_FOR_A_SIZE = 4.0
"""This difference of neutral shapes counts as much as a face's size of distance."""
_NEVER = 1e6


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
    """A person as the last frames left them.

    Attributes:
      landmarks: [L, 2] px, where the face is expected; None after a cut, or lost for long.
      identity: [I] coefficients.
    """

    landmarks: np.ndarray | None
    identity: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """A face in the new frame: landmarks [L, 2] px, and its own estimate of identity [I]."""

    landmarks: np.ndarray
    identity: np.ndarray


def assign(
    known: Sequence[Known], seen: Sequence[Seen], identity_metric: np.ndarray
) -> list[int | None]:
    """Finds the person for each face, so that places and identities fit best over all.

    Args:
      known: the people.
      seen: the faces.
      identity_metric: [I, K] M such that |d M| is the RMS distance in mm of two neutral shapes
        whose coefficients differ by d.

    Returns:
      For each face the number of its person; None for a new one.
    """
    if not known or not seen:
        return [None] * len(seen)
    cost = np.array([[_cost(one, face, identity_metric) for one in known] for face in seen])
    padded = np.concatenate([cost, np.full((len(seen), len(seen)), _NEVER / 2)], 1)
    faces, people = linear_sum_assignment(padded)
    chosen: list[int | None] = [None] * len(seen)
    for face, person in zip(faces.tolist(), people.tolist()):
        chosen[face] = person if person < len(known) else None
    return chosen


def _cost(one: Known, face: Seen, metric: np.ndarray) -> float:
    apart = identity_distance(one.identity, face.identity, metric)
    away = FAR if one.landmarks is None else distance(one.landmarks, face.landmarks)
    far = away >= FAR
    if apart > (SAME_PERSON_MM if far else OTHER_PERSON_MM):
        return _NEVER
    return min(away, FAR) + apart / _MM_FOR_A_SIZE


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Mean distance of two sets of landmarks [L, 2], in sizes of the second face."""
    size = float(np.ptp(second, axis=0).max())
    return float(np.linalg.norm(first - second, axis=1).mean() / max(size, 1e-6))


def identity_distance(first: np.ndarray, second: np.ndarray, metric: np.ndarray) -> float:
    """RMS distance in mm of the neutral shapes of two identities [I]."""
    return float(np.linalg.norm((np.asarray(first) - np.asarray(second)) @ metric))


def without_copies(landmarks: Sequence[np.ndarray], ages: Sequence[int], *, limit: float = 0.25):
    """Which of several faces to keep, where two searches ended at the same one.

    Args:
      landmarks: [L, 2] px of each.
      ages: For how many frames each has been seen; of two the older one stays.
      limit: Faces whose landmarks are closer than this, in sizes of the face, are the same.

    Returns:
      Their numbers, in order.
    """
    kept: list[int] = []
    for number in sorted(range(len(ages)), key=lambda number: (-ages[number], number)):
        if all(distance(landmarks[number], landmarks[other]) > limit for other in kept):
            kept.append(number)
    return sorted(kept)
