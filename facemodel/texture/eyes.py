"""Clean eyes: white, iris and pupil painted sharply, with the photo's iris colour and gaze."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from facemodel.texture.skin_model import SkinModel

IRIS_MM, PUPIL_MM, RIM_MM = 5.9, 2.1, 1.1
WHITE = np.array([0.83, 0.81, 0.79])
DARK_IRIS = np.array([0.24, 0.15, 0.10])
"""Where the photo doesn't show one; most irises are dark."""
_PUPIL = 0.03
_GAZE_MM = 4.0
"""So far the iris may lie from the middle of the eye's front."""
_LEAST_MM2 = 12.0
"""Less of the irises in view says nothing of their colour."""
_EDGE_MM = 0.9


@dataclasses.dataclass(frozen=True, eq=False)
class EyeTexels:
    """The texels of both eyes.

    Attributes:
      texel: [K] into the atlas's texels.
      place: [K, 2] mm to the subject's left and up from the eye's axis, on the mean shape.
      front: [K] bool, on the half that looks forward.
    """

    texel: np.ndarray
    place: np.ndarray
    front: np.ndarray


@functools.lru_cache(maxsize=4)
def eye_texels(model: SkinModel, size: int) -> EyeTexels:
    """Finds the texels of the eyes in the atlas of side `size` px; kept for the next photo."""
    atlas = model.atlas(size)
    texels, places, fronts = [], [], []
    for name in ("eye_l", "eye_r"):
        own = model.in_region(name)
        if not own.any():
            continue
        points = model.positions[own]
        centre = (points.min(0) + points.max(0)) / 2.0
        forward = points[:, 2] > points[:, 2].max() - 6.0
        centre[:2] = points[forward, :2].mean(0)
        inside = np.flatnonzero(atlas.from_vertices @ own.astype(np.float32) > 0.99)
        offset = atlas.from_vertices[inside] @ model.positions - centre
        texels.append(inside)
        places.append(offset[:, :2])
        fronts.append(offset[:, 2] > (points[:, 2].max() - centre[2]) - 9.0)
    if not texels:
        return EyeTexels(np.zeros(0, int), np.zeros((0, 2)), np.zeros(0, bool))
    return EyeTexels(np.concatenate(texels), np.concatenate(places), np.concatenate(fronts))


def paint_eyes(eyes: EyeTexels, gaze: np.ndarray, iris: np.ndarray, white: np.ndarray):
    """Paints eyes.

    Args:
      eyes: the texels.
      gaze: [2] mm, where the middle of the iris is.
      iris: [3] its colour, sRGB.
      white: [3] colour of the white.

    Returns:
      [K, 3] sRGB.
    """
    x, y = (eyes.place - gaze).T
    radius = np.where(eyes.front, np.hypot(x, y), 20.0)
    angle = np.arctan2(y, x)
    streaks = 1.0 + 0.10 * np.sin(17.0 * angle + 2.0 * np.sin(5.0 * angle)) * np.cos(2.0 * radius)
    ring = 1.0 - 0.55 * _step(radius, IRIS_MM - RIM_MM, 0.8)
    inner = 1.0 + 0.25 * (1.0 - _step(radius, 3.2, 1.2))
    colours = iris * (streaks * ring * inner)[:, None]
    shade = 1.0 - 0.12 * _step(radius, 8.5, 3.0)
    whites = white * shade[:, None] ** np.array([0.7, 1.1, 1.1])
    colours += _step(radius, IRIS_MM, _EDGE_MM)[:, None] * (whites - colours)
    pupil = 1.0 - _step(radius, PUPIL_MM, _EDGE_MM)
    return np.clip(colours + pupil[:, None] * (_PUPIL - colours), 0.0, 1.0)


def _step(values: np.ndarray, middle: float, width: float) -> np.ndarray:
    """From 0 to 1 around middle."""
    result: np.ndarray = np.clip((values - middle) / width + 0.5, 0.0, 1.0)
    return result


def find_gaze(eyes: EyeTexels, luma: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Finds where both irises lie: the darkest disc with a bright surround.

    Args:
      eyes: the texels.
      luma: [K] in [0, 1] of the photo there.
      seen: [K] in [0, 1].

    Returns:
      [2] mm; zero if too little is seen.
    """
    chosen = np.flatnonzero(eyes.front & (seen > 0.3))[:: max(1, len(eyes.texel) // 4000)]
    if len(chosen) < 40:
        return np.zeros(2)
    place, values = eyes.place[chosen], luma[chosen] / max(float(luma[chosen].mean()), 0.02)
    steps = np.arange(-_GAZE_MM, _GAZE_MM + 0.1, 0.5)
    offsets = np.stack(np.meshgrid(steps, steps[np.abs(steps) <= 2.5]), -1).reshape(-1, 2)
    radius = np.linalg.norm(place[None] - offsets[:, None], axis=-1)
    inside = np.clip((IRIS_MM - radius) / 0.8 + 0.5, 0.0, 1.0)
    around = 1.0 - inside
    enough = np.minimum(inside.sum(1), around.sum(1)) > 0.08 * len(chosen)
    bright = (around @ values) / np.maximum(around.sum(1), 1e-6)
    dark = (inside @ values) / np.maximum(inside.sum(1), 1e-6)
    score = (bright - dark) * np.sqrt(inside.mean(1)) * enough
    score -= 0.01 * np.linalg.norm(offsets, axis=1)
    best = int(np.argmax(score))
    return offsets[best] if score[best] > 0.08 else np.zeros(2)


def eye_colours(
    eyes: EyeTexels, colours: np.ndarray, seen: np.ndarray, gaze: np.ndarray, area_mm2: float
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Medians [3] of the iris and of the white, or None where too little is seen.

    Args:
      eyes: the texels.
      colours: [K, 3] sRGB of the photo there.
      seen: [K] in [0, 1].
      gaze: [2] mm, from find_gaze.
      area_mm2: surface of one texel.
    """
    radius = np.linalg.norm(eyes.place - gaze, axis=-1)
    good = eyes.front & (seen > 0.5)
    iris = good & (radius > PUPIL_MM + 0.4) & (radius < IRIS_MM - 0.7)
    white = good & (radius > IRIS_MM + 0.8)
    found = []
    for part, rank in ((iris, 0.5), (white, 0.7)):
        enough = part.sum() * area_mm2 > _LEAST_MM2
        found.append(np.quantile(colours[part], rank, axis=0) if enough else None)
    return found[0], found[1]
