"""The identity basis: many random people, aligned rigidly, and their principal components.

Source: paper section 4, eq. 1; the alignment keeps size, as size differs among people.
"""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import scipy.linalg
from scipy import sparse

from facemodel.default_model import levels, makehuman, population, regions

_LOG = logging.getLogger(__name__)

SIZE_SPREAD = 0.03
SIZE_LIMITS = (0.91, 1.09)
_ALIGNMENT_ROUNDS = 2
MEASURED_REGIONS = (regions.SKIN, regions.EYE_LEFT, regions.EYE_RIGHT)


@dataclasses.dataclass(frozen=True, eq=False)
class IdentityBasis:
    """Mean face and identity vectors on the control vertices.

    Attributes:
      mean: [C, 3] mm.
      vectors: [K, C, 3] mm per standard deviation, by falling variance.
      rms_mm: root mean square distance of people from the mean, per measured vertex.
      explained: [K] share of the variance that the first 1, 2, ... K vectors explain.
    """

    mean: np.ndarray
    vectors: np.ndarray
    rms_mm: float
    explained: np.ndarray


def identity_basis(
    head: makehuman.Head,
    control: regions.ControlMesh,
    used: np.ndarray,
    mesh: levels.LevelMesh,
    *,
    count: int = 3000,
    gain: float = 0.65,
    vectors: int = 200,
    seed: int = 7,
) -> IdentityBasis:
    """Draws people and finds the mean and the main directions in which they differ.

    Args:
      head: base mesh and targets.
      control: for the origin.
      used: [C] the control vertices among the head's.
      mesh: level 1, on whose skin and eyeballs differences are measured.
      count: people drawn.
      gain: factor on the spread of all sliders.
      vectors: K, vectors kept.
      seed: Random seed.
    """
    people = sample_people(head, used, control.origin, count=count, gain=gain, seed=seed)
    _LOG.info("drew %d people", count)
    people = align(people, mesh.operator[mesh.regions == regions.SKIN])
    measured = mesh.operator[np.isin(mesh.regions, MEASURED_REGIONS)]
    return principal_components(people, measured, vectors=vectors)


def sample_people(
    head: makehuman.Head,
    used: np.ndarray,
    origin: np.ndarray,
    *,
    count: int,
    gain: float,
    seed: int,
) -> np.ndarray:
    """Draws random people: [count, C, 3] float32 mm, before alignment."""
    rng = np.random.default_rng(seed)
    controls = population.Controls.among(head.target_names)
    rows = {name: row for row, name in enumerate(head.target_names)}
    weights = np.zeros((count, len(rows)), np.float32)
    sizes = np.empty(count)
    for person in range(count):
        for name, weight in population.sample_sliders(rng, controls, gain=gain).items():
            if name in rows:
                weights[person, rows[name]] += weight
        sizes[person] = np.clip(rng.normal(1, SIZE_SPREAD), *SIZE_LIMITS)
    needed = np.flatnonzero(weights.any(0))
    offsets = head.offsets[needed][:, used].reshape(len(needed), -1)
    shapes = (weights[:, needed] @ offsets).reshape(count, len(used), 3)
    millimetres = (shapes + head.mesh.vertices[used]) * regions.MM_PER_DM - origin
    return (millimetres * sizes[:, None, None]).astype(np.float32)


def align(people: np.ndarray, surface: sparse.csr_matrix) -> np.ndarray:
    """Turns and moves each person onto the mean, without scaling.

    Args:
      people: [N, C, 3] mm.
      surface: [S, C] operator to the vertices that are brought together.

    Returns:
      [N, C, 3] mm.

    Source: Arun, Huang and Blostein, "Least-squares fitting of two 3-D point sets", 1987.
    """
    average = surface.mean(0).A1
    for _ in range(_ALIGNMENT_ROUNDS):
        reference = surface.astype(np.float64) @ people.mean(0)
        middle = reference.mean(0)
        weighted = surface.T @ (reference - middle)
        covariance = np.einsum("ca,ncb->nab", weighted, people, optimize=True)
        rotation = _nearest_rotation(covariance)
        centre = np.einsum("c,nca->na", average, people, optimize=True)
        shift = middle - np.einsum("nab,nb->na", rotation, centre)
        people = np.einsum("nab,ncb->nca", rotation, people, optimize=True) + shift[:, None]
    return people


def principal_components(
    people: np.ndarray, measured: sparse.csr_matrix, *, vectors: int
) -> IdentityBasis:
    """Finds the main directions in which people differ.

    Args:
      people: [N, C, 3] mm, aligned.
      measured: [S, C] operator to the vertices where differences count.
      vectors: K, vectors kept.
    """
    count = len(people)
    mean = people.mean(0)
    offsets = people - mean
    metric = (measured.T @ measured).astype(np.float64)
    gram = np.zeros((count, count))
    for axis in np.moveaxis(offsets, -1, 0):
        # Contiguous, as numpy hands strided matrices not to BLAS but to a far slower loop.
        columns = np.ascontiguousarray(axis.T)
        gram += np.ascontiguousarray((metric @ columns).T) @ columns
    gram /= count - 1
    variances, modes = scipy.linalg.eigh(gram, subset_by_index=(count - vectors, count - 1))
    variances, modes = variances[::-1], modes[:, ::-1]
    # An eigenvector's sign is arbitrary: the person who differs most differs positively.
    modes = modes * np.sign(modes[np.abs(modes).argmax(0), np.arange(vectors)])
    basis = np.einsum("nk,nca->kca", modes, offsets, optimize=True) / np.sqrt(count - 1)
    total = np.trace(gram)
    return IdentityBasis(
        mean=mean,
        vectors=basis,
        rms_mm=float(np.sqrt(total / measured.shape[0])),
        explained=np.cumsum(variances) / total,
    )


def _nearest_rotation(matrices: np.ndarray) -> np.ndarray:
    """[N, 3, 3] -> the rotations that maximise trace(R^T M)."""
    left, _, right = np.linalg.svd(matrices)
    flip = np.ones((len(matrices), 3))
    flip[:, 2] = np.sign(np.linalg.det(left @ right))
    return left * flip[:, None] @ right
