"""A seamless transition from the photo's colours to the model's, in the gradient domain."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from facemodel.morphable.mesh import SKIN
from facemodel.texture.skin_model import SkinModel

FIDELITY = 30.0
"""How strongly a fully seen vertex keeps its value, in units of one edge."""


def membrane(
    model: SkinModel,
    values: np.ndarray,
    seen: np.ndarray,
    guide: np.ndarray,
    rest: np.ndarray,
    *,
    decay_mm: float,
) -> np.ndarray:
    """Continues values from seen to hidden skin with the gradients of a guide.

    Minimises, over skin, the sum over edges of |difference - guide's difference|^2, plus the sum
    over vertices of seen^2 |value - given|^2 and of a weak pull towards guide plus the mean offset.

    Args:
      model: the mesh.
      values: [V, C] known where seen.
      seen: [V] in [0, 1].
      guide: [V, C] whose gradients the hidden part of the face takes over.
      rest: [V, C] whose gradients the rest of the head takes over; it needs to be smooth across the
        face's rim, where guide may have a step.
      decay_mm: Over this distance what is not seen returns to guide plus the mean offset.

    Returns:
      [V, C]; vertices that are no skin get guide plus the mean over C of the mean offset.

    Source: Perez, Gangnet and Blake 2003, on the mesh instead of an image.
    """
    skin = np.flatnonzero(model.regions == SKIN)
    gradient, trust = model.gradients[:, skin], FIDELITY * seen[skin] ** 2
    within = (model.skin_edges < model.face_count).all(1)[:, None]
    wanted = np.where(within, model.gradients @ guide, model.gradients @ rest)
    level = seen[skin] @ (values - guide)[skin] / max(seen[skin].sum(), 1e-6)
    pull = (model.spacing[skin] / decay_mm) ** 2
    matrix = model.skin_laplacian + sparse.diags(trust + pull)
    right = gradient.T @ wanted + trust[:, None] * values[skin]
    right += pull[:, None] * (guide[skin] + level)
    factor = splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    result = guide + level.mean()
    result[skin] = factor.solve(right)
    return result
