"""Spots and blotches of skin that a face model's albedo basis cannot express."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from facemodel.morphable.mesh import SKIN
from facemodel.texture.skin_model import SkinModel

BROWN, RED, GREY = np.array([0.5, 1.0, 1.3]), np.array([0.2, 1.0, 0.9]), np.ones(3)
"""Logarithms of red, green and blue by which spots darken."""
_BLOTCHES = ((25.0, 0.05, GREY), (9.0, 0.03, RED), (4.0, 0.03, GREY))
"""Wavelength in mm over 2 pi, standard deviation and tint of each smooth field."""
_WAVES = 30
_FRECKLED = 0.4


def sample_detail(places: np.ndarray, skin: SkinModel, rng: np.random.Generator) -> np.ndarray:
    """Samples detail as natural logarithms of colour factors.

    Moles, freckles, a birthmark and blotches, none of them alike on both sides.

    Args:
      places: [N, 3] mm, texels on the mean shape.
      skin: the mesh.
      rng: Source of random numbers.

    Returns:
      [N, 3].
    """
    tree, logs = cKDTree(places), np.zeros((len(places), 3))
    kinds = [
        (rng.integers(3, 13), (1.0, 2.5), (0.3, 0.9), BROWN),
        (rng.integers(1, 3), (6.0, 14.0), (-0.1, 0.2), RED),
        (rng.integers(60, 250) * (rng.random() < _FRECKLED), (0.7, 1.5), (0.1, 0.35), BROWN),
    ]
    on_face = (skin.regions == SKIN) & (np.arange(len(skin.regions)) < skin.face_count)
    for count, radius_mm, depth, tint in kinds:
        for vertex in rng.choice(np.flatnonzero(on_face), count):
            radius, middle = rng.uniform(*radius_mm), skin.positions[vertex]
            near = tree.query_ball_point(middle, 1.5 * radius)
            away = np.linalg.norm(places[near] - middle, axis=1) / radius
            edge = np.clip((1.2 - away) / 0.4, 0.0, 1.0)
            logs[near] -= rng.uniform(*depth) * edge[:, None] * tint
    return logs + _blotches(places, rng)


def _blotches(places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[N, 3] sums of smooth random fields."""
    logs = np.zeros((len(places), 3))
    for wavelength, spread, tint in _BLOTCHES:
        directions = (rng.normal(size=(_WAVES, 3)) / wavelength).astype(np.float32)
        waves = np.cos(places @ directions.T + rng.uniform(0.0, 2 * np.pi, _WAVES))
        logs += (spread * np.sqrt(2 / _WAVES) * waves.sum(1))[:, None] * tint
    return logs
