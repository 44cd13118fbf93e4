"""A picture of what a face model can do: its mean, people, expressions and landmarks."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from facemodel.default_model import portrait, zbuffer
from facemodel.morphable.conversion import transfer
from facemodel.morphable.landmarks import INNER_51
from facemodel.morphable.model import MorphableModel

PANEL_PX = 256
_SEED = 5
_VIEWS_DEG = ((-60, 0), (-30, 0), (0, 0), (0, 20), (30, 0), (60, 0))
_DOT = {True: (255, 230, 0), False: (0, 140, 255)}


def render_sheet(path: str | os.PathLike[str], *, level: int = 1) -> np.ndarray:
    """Renders a model file.

    Rows: the mean face from six sides; with its landmarks (yellow: the 51 that poses use), its
    coarse mesh, and the strongest identity vectors at 2 standard deviations; random people; the
    strongest expressions.

    Returns:
      uint8 [H, W, 3].

    Raises:
      ModelError: if the file is no face model.
    """
    model = MorphableModel.load(path, level=level)
    rows = (_mean_row(model), _vector_row(model), _people_row(model), _expression_row(model))
    return np.concatenate([np.concatenate(list(row), 1) for row in rows], 0)


def _frame(model: MorphableModel) -> portrait.Frame:
    low, high = model.mean.min(0), model.mean.max(0)
    extent = float((high - low).max()) * 1.15
    centre = tuple(((low + high) / 2).tolist())
    return portrait.Frame(centre, extent / PANEL_PX)


def _panel(model, vertices, colours, yaw=0.0, pitch=0.0, triangles=None) -> np.ndarray:
    mesh = model.triangles if triangles is None else triangles
    picture = portrait.render_portrait(
        vertices, mesh, colours, yaw=yaw, pitch=pitch, size=PANEL_PX, frame=_frame(model)
    )
    return picture.image


def _mean_row(model: MorphableModel) -> Iterator[np.ndarray]:
    for yaw, pitch in _VIEWS_DEG:
        yield _panel(model, model.mean, model.albedo_mean, yaw, pitch)


def _vector_row(model: MorphableModel) -> Iterator[np.ndarray]:
    yield _with_landmarks(model)
    coarse = np.full_like(model.coarse.mean, 0.7)
    yield _panel(model, model.coarse.mean, coarse, 20, triangles=model.coarse.triangles)
    clay = np.full_like(model.mean, 0.7)
    for vector in range(2):
        for side in (-2.0, 2.0):
            offset = model.identity[vector] if vector < model.identity_count else 0.0
            yield _panel(model, model.mean + side * offset, clay, 20)


def _people_row(model: MorphableModel) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(_SEED)
    for _ in _VIEWS_DEG:
        identity = rng.normal(size=model.identity_count)
        coefficients = np.concatenate([identity, np.zeros(model.expression_count)])
        first, second = model.albedo_scores[rng.integers(len(model.albedo_scores), size=2)]
        colours = model.albedo_rgb((first + second) / 2)
        yield _panel(model, model.vertices(coefficients), colours, 15)


def _expression_row(model: MorphableModel) -> Iterator[np.ndarray]:
    size = np.linalg.norm(model.expression, axis=-1).sum(1)
    strongest = np.argsort(-size, kind="stable")[: len(_VIEWS_DEG)]
    for place in range(len(_VIEWS_DEG)):
        offset = model.expression[strongest[place]] if place < len(strongest) else 0.0
        yield _panel(model, model.mean + offset, model.albedo_mean, 15)


def _with_landmarks(model: MorphableModel) -> np.ndarray:
    image, frame = _panel(model, model.mean, model.albedo_mean).copy(), _frame(model)
    points = transfer.landmark_points(model) - np.array(frame.centre)
    screen = zbuffer.to_screen(points, mm_per_px=frame.mm_per_px, size=PANEL_PX)
    inner = np.isin(np.arange(len(points)), INNER_51)
    for number in np.argsort(inner, kind="stable"):
        column, row = np.floor(screen[number, :2]).astype(int)
        image[max(row - 1, 0) : row + 1, max(column - 1, 0) : column + 1] = _DOT[inner[number]]
    return image
