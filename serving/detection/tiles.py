"""Geometry of the face search: tiles of a photo, candidates in them, upright crops around these."""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol, TypeVar

import cv2
import numpy as np

VISIBLE_FRACTION = 0.09
"""Faces at least this share of a tile's side are found in it."""
OVERLAP = 0.25
"""Neighbouring tiles share this part of their side, so that no face of theirs is cut by all."""
TILE_PX = 384
"""Tiles are reduced to at most this side; the detectors look at 128 and 192 px."""

Box = tuple[float, float, float, float]


class _Found(Protocol):
    @property
    def score(self) -> float: ...
    @property
    def box(self) -> Box: ...


T = TypeVar("T", bound=_Found)


@dataclasses.dataclass(frozen=True)
class Tile:
    """A rectangle of a photo, px. It may reach beyond the photo: there it is filled with grey."""

    left: int
    top: int
    width: int
    height: int
    whole: bool = False


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A place in the photo where a face may be.

    Attributes:
      score: confidence in [0, 1].
      box: (left, top, right, bottom) px.
      roll: radians, how far the line from the subject's right to left eye is turned clockwise in
        the photo.
    """

    score: float
    box: Box
    roll: float

    @classmethod
    def from_tile(cls, tile: Tile, *, score: float, box: Box, eyes) -> Candidate:
        """Moves a detection from tile coordinates in [0, 1] into the photo."""
        origin, size = (
            np.array([tile.left, tile.top]),
            np.array([tile.width, tile.height]),
        )
        corners = np.array(box).reshape(2, 2) * size + origin
        right_eye, left_eye = np.array(eyes) * size
        roll = float(np.arctan2(*(left_eye - right_eye)[::-1]))
        return cls(score, tuple(corners.ravel().tolist()), roll)


def tiles(shape: tuple[int, ...], *, smallest_face_px: float) -> list[Tile]:
    """Covers a photo [H, W]: all of it, also with a margin, then ever smaller squares."""
    height, width = shape
    margin = max(height, width) // 2
    result = [
        Tile(0, 0, width, height, whole=True),
        Tile(-margin, -margin, width + 2 * margin, height + 2 * margin, whole=True),
    ]
    covered, shorter = float(max(height, width)), float(min(height, width))
    side = shorter if covered > 1.4 * shorter else covered / 2
    while smallest_face_px < VISIBLE_FRACTION * covered:
        size = math.ceil(side)
        result += [
            Tile(x, y, size, size) for y in _starts(height, size) for x in _starts(width, size)
        ]
        covered, side = side, side / 2
    return result


def _starts(length: int, side: int) -> list[int]:
    """Where tiles of this side begin so that they cover the length evenly."""
    count = 1 + int(np.ceil(max(0, length - side) / (side * (1 - OVERLAP))))
    return [round(start) for start in np.linspace(0, max(0, length - side), count)]


def cut(image: np.ndarray, tile: Tile) -> np.ndarray:
    """The part of image [H, W, 3] in the tile, reduced to at most TILE_PX."""
    height, width = image.shape[:2]
    left, top = max(0, tile.left), max(0, tile.top)
    right, bottom = (
        min(width, tile.left + tile.width),
        min(height, tile.top + tile.height),
    )
    part = image[top:bottom, left:right]
    zoom = min(1.0, TILE_PX / max(tile.width, tile.height))
    if zoom < 1.0:
        size = (
            max(1, round((right - left) * zoom)),
            max(1, round((bottom - top) * zoom)),
        )
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    borders = (
        top - tile.top,
        tile.top + tile.height - bottom,
        left - tile.left,
        tile.left + tile.width - right,
    )
    if any(borders):
        above, below, before, after = (round(border * zoom) for border in borders)
        part = cv2.copyMakeBorder(
            part, above, below, before, after, cv2.BORDER_CONSTANT, value=(128, 128, 128)
        )
    return np.ascontiguousarray(part)


def iou(first: Box, second: Box) -> float:
    """Intersection over union of two boxes, in [0, 1]."""
    a, b = np.array(first), np.array(second)
    overlap = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(overlap / max((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - overlap, 1e-9))


def without_doubles(found: list[T], *, limit: float) -> list[T]:
    """Keeps the most certain of things with a score and a box, where IoUs exceed the limit."""
    kept: list[T] = []
    for one in sorted(found, key=lambda one: (-one.score, one.box)):
        if all(iou(one.box, other.box) < limit for other in kept):
            kept.append(one)
    return kept


def upright_crop(
    image: np.ndarray, candidate: Candidate, *, margin: float, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts a square around a candidate, turned so that its eyes are level.

    Args:
      image: uint8 [H, W, 3].
      candidate: Place of the face.
      margin: side of the square in sides of the candidate's box.
      size: Side of the result, px.

    Returns:
      uint8 [size, size, 3] and the [2, 3] similarity image_from_crop.
    """
    box = np.array(candidate.box)
    side = margin * (box[2:] - box[:2]).max()
    cos, sin = (
        np.cos(candidate.roll) * side / size,
        np.sin(candidate.roll) * side / size,
    )
    linear = np.array([[cos, -sin], [sin, cos]])
    offset = (box[:2] + box[2:]) / 2 - linear @ np.full(2, size / 2)
    image_from_crop = np.concatenate([linear, offset[:, None]], 1)
    return warp(image, image_from_crop, size), image_from_crop


def warp(image: np.ndarray, image_from_crop: np.ndarray, size: int) -> np.ndarray:
    """Samples image [H, W, 3] at a square crop's pixels, averaging where the crop is coarser."""
    matrix = image_from_crop.copy()
    reduction = int(np.hypot(*matrix[:, 0]))
    if reduction > 1:
        height, width = image.shape[:2]
        small = (max(1, width // reduction), max(1, height // reduction))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        matrix *= np.array([[small[0] / width], [small[1] / height]])
    # OpenCV puts pixel centres on whole numbers, this project at +0.5.
    matrix[:, 2] += matrix[:, :2] @ np.full(2, 0.5) - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
