"""The head and a skin that the tests of textures share."""

import numpy as np
import pytest

from facemodel.morphable.head import HeadModel
from facemodel.texture.skin_model import SkinModel


@pytest.fixture(scope="session")
def skin(default_model):
    head = HeadModel.load()
    mesh = head.mesh(1)
    return SkinModel.from_head(mesh, mesh.operator @ head.mean, default_model)


@pytest.fixture(scope="session")
def coefficients(default_model):
    """A stored skin of medium lightness."""
    tone = default_model.albedo[:, default_model.inner_face].mean((1, 2))
    order = np.argsort(default_model.albedo_scores @ tone)
    return default_model.albedo_scores[order[len(order) // 2]].astype(np.float64)
