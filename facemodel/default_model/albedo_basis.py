"""The albedo basis: principal components of many drawn skin textures.

Gaussian draws from this basis show ghost eyebrows; mixtures of the stored scores of drawn textures
are clean, so the scores are kept with the basis.

Source: paper section 4, eq. 2.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.linalg

from facemodel.default_model import albedo


@dataclasses.dataclass(frozen=True, eq=False)
class AlbedoBasis:
    """Mean colours and their main variations.

    Attributes:
      mean: [V, 3] sRGB.
      vectors: [K, V, 3] sRGB per standard deviation.
      scores: [N, K] of the drawn textures, unit variance.
      explained: [K] share of the variance that the first 1, 2, ... K vectors explain.
    """

    mean: np.ndarray
    vectors: np.ndarray
    scores: np.ndarray
    explained: np.ndarray


def albedo_basis(
    generator: albedo.AlbedoGenerator, *, count: int = 1500, vectors: int = 200, seed: int = 3
) -> AlbedoBasis:
    """Draws count textures and keeps the first principal components.

    Args:
      generator: Generator of textures.
      count: N, textures drawn.
      vectors: K.
      seed: Random seed.
    """
    rng = np.random.default_rng(seed)
    textures = np.stack([generator.draw(rng) for _ in range(count)])
    shape = textures.shape[1:]
    textures = textures.reshape(count, -1)
    mean = textures.mean(0, dtype=np.float64)
    offsets = (textures - mean.astype(np.float32)).astype(np.float32)
    gram = _gram(offsets) / (count - 1)
    variances, modes = scipy.linalg.eigh(gram, subset_by_index=(count - vectors, count - 1))
    variances, modes = variances[::-1], modes[:, ::-1]
    modes = modes * np.sign(modes[np.abs(modes).argmax(0), np.arange(vectors)])
    basis = modes.T.astype(np.float32) @ offsets / np.float32(np.sqrt(count - 1))
    return AlbedoBasis(
        mean=mean.reshape(shape),
        vectors=basis.reshape(vectors, *shape),
        scores=modes * np.sqrt(count - 1),
        explained=np.cumsum(variances) / np.trace(gram),
    )


def _gram(rows: np.ndarray, *, block: int = 8192) -> np.ndarray:
    """[N, D] float32 -> [N, N] products of all pairs, summed in double precision."""
    result = np.zeros((len(rows), len(rows)))
    for start in range(0, rows.shape[1], block):
        part = np.ascontiguousarray(rows[:, start : start + block], np.float64)
        result += part @ part.T
    return result
