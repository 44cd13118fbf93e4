"""What reaches a face besides one directional light: its surroundings, and what the face shades.

Both are found at the vertices and interpolated, as colours are.
"""

from __future__ import annotations

from keras import ops

from facemodel.backend import Tensor, xla_step

_CELL_MM = 6.0
_CELLS = (48, 40)
"""Rows and columns of the height map: 288 mm x 240 mm."""
_STEPS_MM = (8.0, 12.0, 16.0, 21.0, 27.0, 34.0, 42.0, 52.0)
_BIAS_MM, _SOFTNESS = 1.5, 0.25
"""A part shades if it rises this far above the way to the light; and how fast that sets in."""
_LOWEST_MM = -1e3


def irradiance(coefficients, normals) -> Tensor:
    """Ambient light on surfaces, times its mean.

    Args:
      coefficients: [B, 9, C] of real spherical harmonics, bands 0 to 2.
      normals: [B, V, 3] unit vectors, camera frame.

    Returns:
      [B, V, C], >= 0.

    Source: Ramamoorthi and Hanrahan 2001; signs as in tensorflow-graphics.
    """
    return ops.maximum(ops.matmul(harmonics(normals), coefficients), 0.0)


def harmonics(normals) -> Tensor:
    """The nine real spherical harmonics of bands 0 to 2: unit [..., 3] -> [..., 9]."""
    x, y, z = normals[..., 0], normals[..., 1], normals[..., 2]
    values = [
        0.2820948 * ops.ones_like(x),
        -0.4886025 * y,
        0.4886025 * z,
        -0.4886025 * x,
        1.0925484 * x * y,
        -1.0925484 * y * z,
        0.3153916 * (3.0 * z * z - 1.0),
        -1.0925484 * x * z,
        0.5462742 * (x * x - y * y),
    ]
    return ops.stack(values, -1)


@xla_step
def light_visibility(vertices, centre, direction, strength) -> Tensor:
    """How much of a directional light the face itself leaves, at its vertices.

    Looks from each vertex along the way to the light whether the face, as a map of heights above
    its frontal plane, rises above it; the further away, the softer.

    Args:
      vertices: [B, V, 3] mm, model space.
      centre: [3] mm, middle of the mean face.
      direction: [B, 3] unit, towards the light, model space.
      strength: [B] in [0, 1], how much of the light is taken away.

    Returns:
      [B, V] in [0, 1], 1 = all of the light.
    """
    heights = _height_map(vertices, centre)
    own = ops.maximum(_height_at(heights, vertices - centre), vertices[..., 2])
    shade = 0.0
    for step in _STEPS_MM:
        place = vertices + step * direction[:, None, :]
        way = own + step * direction[:, None, 2]
        rise = _height_at(heights, place - centre) - way - _BIAS_MM
        shade = ops.maximum(shade, ops.clip(rise / (1.0 + _SOFTNESS * step), 0.0, 1.0))
    return 1.0 - strength[:, None] * shade


def _cells(place):
    """Row and column of places [..., 3] mm from the face's middle, as floats."""
    rows, columns = _CELLS
    return place[..., 1] / _CELL_MM + rows / 2.0, place[..., 0] / _CELL_MM + columns / 2.0


def _height_map(vertices, centre):
    """[B * rows * columns] mm, the highest vertex in each cell."""
    rows, columns = _CELLS
    row, column = (ops.cast(ops.floor(axis), "int32") for axis in _cells(vertices - centre))
    images = ops.arange(vertices.shape[0], dtype="int32")[:, None]
    row, column = ops.clip(row, 0, rows - 1), ops.clip(column, 0, columns - 1)
    cell = (images * rows + row) * columns + column
    count = vertices.shape[0] * rows * columns
    highest = ops.segment_max(
        ops.reshape(vertices[..., 2], (-1,)), ops.reshape(cell, (-1,)), num_segments=count
    )
    return ops.maximum(highest, _LOWEST_MM)


def _height_at(heights, place):
    """[B, V] mm, between the middles of the four cells around each place."""
    rows, columns = _CELLS
    row, column = (axis - 0.5 for axis in _cells(place))
    top, left = ops.floor(row), ops.floor(column)
    down, right = row - top, column - left
    images = ops.arange(place.shape[0], dtype="int32")[:, None] * (rows * columns)
    found = 0.0
    for i, across in ((0, 1.0 - down), (1, down)):
        for j, along in ((0, 1.0 - right), (1, right)):
            at_row = ops.cast(ops.clip(top + i, 0, rows - 1), "int32")
            at_column = ops.cast(ops.clip(left + j, 0, columns - 1), "int32")
            cell = images + at_row * columns + at_column
            found = found + across * along * ops.take(heights, cell, axis=0)
    return found
