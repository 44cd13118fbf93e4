"""Photos of the mean head, rendered without light."""

from types import SimpleNamespace

import numpy as np

from facemodel.texture import projection


def turned(yaw_deg):
    y = np.deg2rad(yaw_deg)
    rotation = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    return SimpleNamespace(rotation=rotation, scale=1.0, translation=np.array([150.0, 130.0]))


def photograph(skin, colours, pose, *, background=(40, 90, 60)):
    """uint8 [H, W, 3] and its view, of colours [V, 3] at the vertices of the mean head."""
    blank = np.zeros((330, 300, 3), np.uint8)
    view = projection.view_of(
        blank, skin.positions, skin.triangles, pose, px_per_mm=9.0, margin_mm=900.0
    )
    covered = projection.footprint(view, skin.triangles)
    image = np.round(255 * np.clip(covered.image(colours), 0, 1)).astype(np.uint8)
    image[~np.isfinite(covered.depth)] = background
    return image, view
