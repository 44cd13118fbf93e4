"""Colours of the head outside the face: mean skins, shifted so that they meet the face's rim."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import splu

from facemodel.default_model import colour, skins

_DARKEST = 0.02
_SMOOTHING_ROUNDS = 12
"""Evens out the stubble that some skins have painted on; an ear's fine mesh keeps its shades."""


def rest_albedo(
    textures: Mapping[str, bytes],
    uv: np.ndarray,
    quads: np.ndarray,
    face: np.ndarray,
    face_albedo: np.ndarray,
) -> np.ndarray:
    """Mean skin colour of the vertices outside the face.

    The difference between the skins' mean and the face is carried on as a harmonic function, so
    that there is no step at the rim. What is no outer skin (backs of eyeballs, sockets, teeth)
    takes the face's colours alone.

    Args:
      textures: name -> content of the texture package.
      uv: [V, 2] texture coordinates of base.obj at the vertices of one level.
      quads: [F, 4] of that level.
      face: [Vf] the face's vertices.
      face_albedo: [Vf, 3] sRGB in [0, 1].

    Returns:
      [V - Vf, 3] sRGB in [0, 1], of the other vertices in ascending order.
    """
    rest = np.setdiff1d(np.arange(len(uv)), face)
    images = skins.skin_images(textures)
    mean = np.mean([colour.sample(image, uv) for image in images], axis=0)
    logs = np.log(np.maximum(mean, _DARKEST))
    links = neighbours(quads, len(uv))
    logs[~_outer(links, rest, face)] = 0
    logs = _smoothed(logs, links, rest)
    known = np.log(np.maximum(face_albedo, _DARKEST)) - logs[face]
    offset = harmonic(links, face, known)
    return np.clip(np.exp(logs[rest] + offset[rest]), 0, 1)


def neighbours(quads: np.ndarray, count: int) -> sparse.csr_matrix:
    """[count, count] with a 1 for each edge, both ways."""
    pairs = np.concatenate([quads[:, [k, (k + 1) % 4]] for k in range(4)])
    links = sparse.csr_matrix((np.ones(len(pairs)), pairs.T), shape=(count, count))
    return ((links + links.T) > 0).astype(np.float64)


def harmonic(links: sparse.csr_matrix, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Carries values over a graph so that each other vertex has the mean of its neighbours.

    Args:
      links: [V, V] symmetric, a 1 for each edge.
      known: [K] vertices.
      values: [K, D] their values; at least one in each connected part.

    Returns:
      [V, D].
    """
    unknown = np.setdiff1d(np.arange(links.shape[0]), known)
    laplacian = (sparse.diags(np.asarray(links.sum(1)).ravel()) - links).tocsr()[unknown]
    result = np.zeros((links.shape[0], values.shape[1]))
    result[known] = values
    result[unknown] = splu(laplacian[:, unknown].tocsc()).solve(-laplacian[:, known] @ values)
    return result


def _smoothed(values: np.ndarray, links: sparse.csr_matrix, where: np.ndarray) -> np.ndarray:
    """Values [V, D] of which those of some vertices were averaged with their neighbours'."""
    average = sparse.diags(1 / np.asarray(links.sum(1)).ravel()) @ links
    moved = np.zeros((len(values), 1))
    moved[where] = 0.5
    for _ in range(_SMOOTHING_ROUNDS):
        values = values + moved * (average @ values - values)
    return values


def _outer(links: sparse.csr_matrix, rest: np.ndarray, face: np.ndarray) -> np.ndarray:
    """[V] true on the largest connected part outside the face, and on the rim that it touches."""
    _, part = csgraph.connected_components(links[rest][:, rest])
    outer = np.zeros(links.shape[0], bool)
    outer[rest[part == np.bincount(part).argmax()]] = True
    touched = (links @ outer.astype(np.float64)) > 0
    outer[face] = touched[face]
    return outer
