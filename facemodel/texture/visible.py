"""Colours for the vertices of a face: from the photo where it shows them, else from the model."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from facemodel.morphable.mesh import SKIN
from facemodel.texture import projection
from facemodel.texture.projection import View

SAMPLE_PX_PER_MM = 1.0
"""The photo is reduced to this before it is sampled: vertices lie 1 to 3 mm apart."""
SMOOTHING_STEPS = 3


def photo_colours(photo: np.ndarray, face) -> tuple[np.ndarray, np.ndarray]:
    """Takes the colours of a face from the photo it was found in.

    The light of the photo stays in them. Vertices that the photo doesn't show keep the model's mean
    albedo, brought to the brightness and tone of the visible skin; between the two the change is
    gradual.

    Args:
      photo: uint8 [H, W, 3] sRGB.
      face: Reconstruction from it.

    Returns:
      uint8 [V, 3] sRGB, and how much of each vertex is the photo's, [V] in [0, 1].
    """
    arrays = face.model.arrays
    albedo, skin = arrays["albedo_mean"], arrays["regions"] == SKIN
    view = projection.view_of(
        photo, face.vertices, face.triangles, face, px_per_mm=SAMPLE_PX_PER_MM
    )
    seen = visibility(view, face.triangles)
    seen = np.where(skin, _smoothed(seen, face.triangles), seen)
    sampled = projection.sample(view.image, view.pixels)
    gain = _gain(sampled[skin], albedo[skin], seen[skin])
    hidden = np.clip(albedo * np.where(skin[:, None], gain, gain.mean()), 0.0, 1.0)
    colours = sampled * seen[:, None] + hidden * (1.0 - seen[:, None])
    return np.round(255.0 * colours).astype(np.uint8), seen


def visibility(view: View, triangles: np.ndarray) -> np.ndarray:
    """How well a view shows each vertex of its mesh.

    Returns:
      [V] in [0, 1]; 0 for vertices behind others, turned away, or outside the image.
    """
    covered = projection.footprint(view, triangles)
    return projection.visible(view, covered, (view.pixels, view.depth, view.normals[:, 2]))


def _smoothed(values: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Spreads low values over neighbours, so that no seam shows; never raises a value."""
    start = triangles.ravel()
    end = np.roll(triangles, -1, axis=1).ravel()
    pairs = (np.ones(2 * len(start)), (np.r_[start, end], np.r_[end, start]))
    neighbours = sparse.csr_matrix(pairs, shape=(len(values), len(values)))
    count = np.maximum(np.asarray(neighbours.sum(1)).ravel(), 1.0)
    for _ in range(SMOOTHING_STEPS):
        values = np.minimum(values, neighbours @ values / count)
    return values


def _gain(sampled: np.ndarray, albedo: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """[3] what the mean albedo is multiplied by to look like the skin that is seen."""
    if seen.sum() < 1.0:
        return np.ones(3)
    weights = seen / seen.sum()
    return np.clip(weights @ sampled / np.maximum(weights @ albedo, 1e-3), 0.1, 3.0)
