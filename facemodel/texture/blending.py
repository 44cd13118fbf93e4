"""A seamless transition from the photo's colours to the model's, in the gradient domain."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from facemodel.texture.skin_model import SKIN, SkinModel

FIDELITY = 30.0
"""How strongly a fully seen vertex keeps its value, in units of one edge."""
DECAY_MM = 60.0
"""Over this distance what is not seen returns to the level of all that is."""


def membrane(
    model: SkinModel, values: np.ndarray, seen: np.ndarray, guide: np.ndarray
) -> np.ndarray:
    """Continues values from seen to hidden skin with the gradients of a guide.

    Minimises sum over edges |difference - guide's difference|^2 + sum over vertices of
    seen |value - given|^2 and a weak pull towards guide plus the mean offset from it.

    Args:
      model: the mesh.
      values: [V, C] known where seen.
      seen: [V] in [0, 1].
      guide: [V, C] whose gradients the hidden part takes over.

    Returns:
      [V, C]; vertices that are no skin get the guide plus the mean offset.

    Source: Perez, Gangnet and Blake 2003, on the mesh instead of an image.
    """
    skin = np.flatnonzero(model.regions == SKIN)
    gradient = model.gradients[:, skin]
    offset = values - guide
    trust = seen[skin]
    level = (trust @ offset[skin]) / max(trust.sum(), 1e-6)
    pull = (model.spacing[skin] / DECAY_MM) ** 2
    matrix = gradient.T @ gradient + sparse.diags(FIDELITY * trust**2 + pull)
    right = (FIDELITY * trust**2)[:, None] * offset[skin] + pull[:, None] * level
    factor = splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    result = guide + level
    result[skin] = guide[skin] + factor.solve(right)
    return result
