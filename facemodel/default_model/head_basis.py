"""The rest of the head for a face model that exists already: regressed on its coefficients.

The face's own mean and vectors come from its file, because another processor rounds differently and
eigenvectors may change sign. The same random people over the whole head say what goes with them.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.linalg
from scipy import sparse

from facemodel.default_model import expressions, head_mesh, identity, levels, makehuman, regions

_BORDER_FADE_MM = 25.0
"""Expressions fade out within this distance of the neck's border."""
_FLAT_TOLERANCE = 1e-9


@dataclasses.dataclass(frozen=True, eq=False)
class FaceBasis:
    """Mean and identity vectors of a face model on its control vertices.

    Attributes:
      mean: [Cf, 3] mm.
      identity: [I, Cf, 3] mm per standard deviation.
    """

    mean: np.ndarray
    identity: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class RestBasis:
    """Mean and identity vectors of the control vertices outside the face model.

    Attributes:
      mean: [R, 3] mm.
      identity: [I, R, 3] mm per standard deviation.
      residual_mm: [R] root mean square over the people of what the regression leaves.
      spread_mm: [R] root mean square distance of the people from their mean.
    """

    mean: np.ndarray
    identity: np.ndarray
    residual_mm: np.ndarray
    spread_mm: np.ndarray


def rest_basis(
    head: makehuman.Head,
    face: regions.ControlMesh,
    control: head_mesh.HeadControl,
    mesh: levels.LevelMesh,
    basis: FaceBasis,
    *,
    count: int = 3000,
    gain: float = 0.65,
    seed: int = 7,
) -> RestBasis:
    """Regresses the rest of the head on the identity coefficients of a face model.

    Args:
      head: base mesh and targets.
      face: the face model's control mesh, for the origin.
      control: the head's control mesh.
      mesh: level 1 of the face model, as facemodel.default_model.identity uses it.
      basis: the face model's own.
      count: people sampled; this and what follows as the face model was built.
      gain: factor on the spread of all sliders.
      seed: Random seed.
    """
    people = identity.sample_people(
        head, control.source, face.origin, count=count, gain=gain, seed=seed
    )
    skin = mesh.operator[mesh.regions == regions.SKIN]
    people = identity.align(people, _padded(skin, len(control.source)))
    measured = mesh.operator[np.isin(mesh.regions, identity.MEASURED_REGIONS)]
    scores = face_scores(people[:, : control.face_count], basis, measured)
    return regress(scores, people[:, control.face_count :])


def face_scores(faces: np.ndarray, basis: FaceBasis, measured: sparse.csr_matrix) -> np.ndarray:
    """Identity coefficients of faces by least squares.

    Args:
      faces: [N, Cf, 3] mm.
      basis: the face model's.
      measured: [S, Cf] operator to the vertices where differences count.

    Returns:
      [N, I] standard deviations.
    """
    metric = (measured.T @ measured).astype(np.float64)
    gram = np.zeros((len(basis.identity), len(basis.identity)))
    products = np.zeros((len(faces), len(basis.identity)))
    for axis in range(3):
        vectors = np.ascontiguousarray(basis.identity[..., axis].T, np.float64)
        weighted = np.ascontiguousarray(metric @ vectors)
        gram += vectors.T @ weighted
        products += (faces[..., axis] - basis.mean[:, axis]).astype(np.float64) @ weighted
    return scipy.linalg.solve(gram, products.T, assume_a="pos").T


def regress(scores: np.ndarray, rest: np.ndarray) -> RestBasis:
    """Linear regression of control vertices [N, R, 3] mm on scores [N, I], with an intercept."""
    centre, mean = scores.mean(0), rest.mean(0, dtype=np.float64)
    centred = scores - centre
    targets = (rest - mean).reshape(len(rest), -1)
    vectors = scipy.linalg.solve(centred.T @ centred, (centred.T @ targets), assume_a="pos")
    residual = targets - centred @ vectors
    shape = (len(rest), *mean.shape)
    rms = [np.sqrt((values.reshape(shape) ** 2).sum(-1).mean(0)) for values in (residual, targets)]
    return RestBasis(
        mean=mean - (centre @ vectors).reshape(mean.shape),
        identity=vectors.reshape(-1, *mean.shape),
        residual_mm=rms[0],
        spread_mm=rms[1],
    )


def rest_expressions(
    head: makehuman.Head, control: head_mesh.HeadControl, names: tuple[str, ...], mean: np.ndarray
) -> np.ndarray:
    """Expression vectors of the control vertices outside the face model, zero at the neck's border.

    Args:
      head: base mesh and targets.
      control: the head's control mesh.
      names: [E] the face model's expressions, in its order.
      mean: [C, 3] mm, the mean head.

    Returns:
      [E, R, 3] mm at weight 1.

    Raises:
      ValueError: if the sources have no expression of a name.
    """
    rest = control.source[control.face_count :]
    known, vectors = expressions.expression_basis(head, rest)
    missing = sorted(set(names) - set(known))
    if missing:
        raise ValueError(f"the sources have no expressions {missing}")
    fade = border_fade(control.quads, mean)[control.face_count :]
    return vectors[[known.index(name) for name in names]] * fade[:, None]


def border_fade(quads: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """[C] 0 on the lowest border of a mesh, rising smoothly to 1 some 25 mm away."""
    border = mean[neck_border(quads, mean)]
    distance = np.linalg.norm(mean[:, None] - border, axis=2).min(1)
    share = np.clip(distance / _BORDER_FADE_MM, 0, 1)
    return share * share * (3 - 2 * share)


def neck_border(quads: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Vertices of the lowest closed border of a mesh."""
    topology = head_mesh.subdivision.Topology.of(len(mean), quads)
    ends = topology.edges[np.bincount(topology.quad_edges.ravel()) == 1]
    links = sparse.csr_matrix((np.ones(len(ends)), ends.T), shape=(len(mean),) * 2)
    _, part = sparse.csgraph.connected_components(links)
    heights = {p: mean[part == p, 1].mean() for p in np.unique(part[ends[:, 0]])}
    return np.flatnonzero(part == min(heights, key=heights.__getitem__))


def _padded(operator: sparse.csr_matrix, columns: int) -> sparse.csr_matrix:
    """The operator with columns of zeros added."""
    operator = operator.tocsr()
    shape = (operator.shape[0], columns)
    return sparse.csr_matrix((operator.data, operator.indices, operator.indptr), shape=shape)
