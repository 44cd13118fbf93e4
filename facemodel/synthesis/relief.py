"""Wrinkles, folds and pores as heights, and sharp marks on the skin, for photos in fine detail.

Both are drawn on the unrolled face: a plane whose axes are the way around the head and the height,
in mm of the mean face. A point's place there follows from its place on the mean face, so wrinkles
stay where they belong on any face.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

CELL_MM = 0.2
LEFT_MM, TOP_MM = -130.0, 80.0
COLUMNS, ROWS = 1300, 1130
_RADIUS_MM, _AXIS_MM = 80.0, 55.0

UPPER_BROWS = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
LOWER_BROWS = ((46, 53, 52, 65, 55), (276, 283, 282, 295, 285))
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40,
              185)  # fmt: skip
EYE_CORNERS, NOSE_WINGS, MOUTH_CORNERS = (33, 263), (48, 278), (61, 291)
CHIN, JAW = 152, (172, 397)

MELANIN = np.array([0.42, 0.60, 1.0], np.float32)
HAEMOGLOBIN = np.array([0.12, 1.0, 0.75], np.float32)
"""How much more of red, green and blue light more of these pigments absorbs. Source: Jacques 2013,
"Optical properties of biological tissues": melanin by wavelength^-3.33."""


@dataclasses.dataclass(frozen=True, eq=False)
class Marks:
    """Sharp marks on the skin, each [ROWS, COLUMNS] on the unrolled face.

    Attributes:
      melanin, haemoglobin: optical density of freckles, moles and blotches.
      hair: share in [0, 1] of the skin that brow hairs, stubble or a beard cover.
      lips: share in [0, 1] that lipstick covers.
      areas: name of a kind of mark -> bool, where it is.
      hair_colour, lip_colour: [3] linear RGB.
    """

    melanin: np.ndarray
    haemoglobin: np.ndarray
    hair: np.ndarray
    lips: np.ndarray
    areas: dict[str, np.ndarray]
    hair_colour: np.ndarray
    lip_colour: np.ndarray


def unrolled(points: np.ndarray) -> np.ndarray:
    """Places on the mean face [..., 3] mm -> column and row [..., 2] on the unrolled face."""
    around = _RADIUS_MM * np.arctan2(points[..., 0], points[..., 2] + _AXIS_MM)
    return np.stack([(around - LEFT_MM) / CELL_MM, (TOP_MM - points[..., 1]) / CELL_MM], -1)


def sample_relief(rng: np.random.Generator, landmarks: np.ndarray) -> np.ndarray:
    """Samples the fine relief of a face.

    Args:
      rng: random numbers.
      landmarks: [478, 3] mm, on the mean face.

    Returns:
      float32 [ROWS, COLUMNS] mm outwards, on the unrolled face.
    """
    places = unrolled(landmarks)
    height = np.zeros((ROWS, COLUMNS), np.float32)
    age = rng.uniform(0.3, 1.0)
    lines = [*_forehead_lines(rng, places), *_crows_feet(rng, places), *_frowns(rng, places)]
    for width_mm, (low, high) in ((0.5, (0.03, 0.15)), (0.9, (0.06, 0.3)), (1.5, (0.1, 0.45))):
        chosen = [line for line in lines if rng.random() < 0.6]
        height -= _strokes(rng, chosen, width_mm, age * low, age * high)
    folds = _nasolabial_folds(rng, places)
    height -= _strokes(rng, folds, rng.uniform(1.5, 3.0), 0.4 * age, 1.2 * age)
    height += rng.uniform(0.01, 0.025) * _band_noise(rng, rng.uniform(0.35, 0.7))
    height += rng.uniform(0.03, 0.09) * _band_noise(rng, rng.uniform(1.2, 2.0))
    return height


def _band_noise(rng, sigma_mm: float) -> np.ndarray:
    """Noise of about one scale, root mean square 1."""
    noise = rng.standard_normal((ROWS, COLUMNS), np.float32)
    sigma = sigma_mm / CELL_MM
    fine = cv2.GaussianBlur(noise, (0, 0), sigma)
    band = fine - cv2.GaussianBlur(fine, (0, 0), 1.5 * sigma)
    return band / band.std()


def _strokes(rng, lines, width_mm: float, low: float, high: float) -> np.ndarray:
    """Grooves of Gaussian profile along lines [N, 2] in cells, depth 1 mm times low to high."""
    drawn = np.zeros((ROWS, COLUMNS), np.float32)
    for line in lines:
        depth = rng.uniform(low, high) * np.sin(np.linspace(0.15, np.pi - 0.15, len(line) - 1))
        points = np.round(line * 16).astype(np.int32)
        for first, second, value in zip(points, points[1:], depth):
            cv2.line(drawn, first.tolist(), second.tolist(), (float(value),), 1, cv2.LINE_8, 4)
    sigma = width_mm / CELL_MM
    groove = cv2.GaussianBlur(drawn, (0, 0), sigma) * (sigma * np.sqrt(2 * np.pi))
    return groove - 0.4 * cv2.GaussianBlur(groove, (0, 0), 1.5 * sigma)


def _wavy(rng, start, end, bend_mm: float, count: int = 24) -> np.ndarray:
    """A line [count, 2] between two places, bent and uneven."""
    share = np.linspace(0.0, 1.0, count)[:, None]
    way = np.asarray(end) - start
    across = np.array([-way[1], way[0]]) / max(float(np.hypot(*way)), 1e-6)
    bend = rng.normal(0, bend_mm / CELL_MM) * np.sin(np.pi * share)
    bend = bend + rng.normal(0, 0.15 * bend_mm / CELL_MM) * np.sin(
        5.0 * np.pi * share + rng.random()
    )
    return np.asarray(start) + share * way + bend * across


def _forehead_lines(rng, places):
    middle = places[[107, 336]].mean(0) - np.array([0.0, 6.0]) / CELL_MM
    for k in range(5):
        half, rise = rng.uniform(15, 45) / CELL_MM, k * rng.uniform(5, 8) / CELL_MM
        shift = rng.normal(0, 5) / CELL_MM
        left, right = (middle + np.array([shift + side * half, -rise]) for side in (-1, 1))
        yield _wavy(rng, left, right, 2.0)


def _crows_feet(rng, places):
    for corner, side in zip(EYE_CORNERS, (-1, 1)):
        for angle in np.deg2rad(rng.uniform(-50, 45, 5)):
            way = np.array([side * np.cos(angle), np.sin(angle)]) / CELL_MM
            start = places[corner] + rng.uniform(5, 8) * way
            yield _wavy(rng, start, start + rng.uniform(8, 20) * way, 1.0)


def _frowns(rng, places):
    middle = places[[107, 336]].mean(0)
    for side in (-1, 1):
        start = middle + np.array([side * rng.uniform(3, 8), rng.uniform(-8, 0)]) / CELL_MM
        yield _wavy(rng, start, start + np.array([side, rng.uniform(9, 16)]) / CELL_MM, 1.0)


def _nasolabial_folds(rng, places):
    for wing, mouth, side in zip(NOSE_WINGS, MOUTH_CORNERS, (-1, 1)):
        start = places[wing] + np.array([side * 6.0, -3.0]) / CELL_MM
        end = places[mouth] + np.array([side * rng.uniform(7, 11), rng.uniform(-4, 6)]) / CELL_MM
        yield _wavy(rng, start, end, 1.5)


def sample_marks(rng: np.random.Generator, landmarks: np.ndarray) -> Marks:
    """Samples brow hairs, stubble or a beard, freckles, moles and lipstick; arguments as above."""
    places = unrolled(landmarks)
    hair, areas = np.zeros((ROWS, COLUMNS), np.float32), {}
    areas["brows"] = _brow_hairs(rng, places, hair)
    areas["beard"] = _beard(rng, places, hair)
    melanin = np.zeros((ROWS, COLUMNS), np.float32)
    areas["moles"] = _spots(rng, melanin, rng.integers(6, 14), (0.8, 2.5), (0.5, 1.2))
    _spots(rng, melanin, rng.integers(50, 300), (0.4, 0.9), (0.1, 0.4))
    melanin += rng.uniform(0.01, 0.05) * _band_noise(rng, rng.uniform(1.0, 4.0))
    haemoglobin = rng.uniform(0.01, 0.06) * _band_noise(rng, rng.uniform(0.8, 4.0))
    lips = np.zeros((ROWS, COLUMNS), np.float32)
    _fill(lips, places[list(OUTER_LIPS)], rng.uniform(0.5, 0.95))
    areas["lipstick"] = lips > 0
    return Marks(
        melanin=cv2.GaussianBlur(melanin, (0, 0), 0.8),
        haemoglobin=haemoglobin,
        hair=cv2.GaussianBlur(hair, (0, 0), 0.5),
        lips=cv2.GaussianBlur(lips, (0, 0), 1.0),
        areas=areas,
        hair_colour=np.array([0.03, 0.02, 0.014]) * rng.uniform(0.5, 3.0),
        lip_colour=np.array([0.35, 0.03, 0.05]) * rng.uniform(0.5, 1.5),
    )


def _fill(image, points, value: float) -> None:
    cv2.fillPoly(image, [np.round(points * 16).astype(np.int32)], (value,), cv2.LINE_8, 4)


def _hairs(rng, hair, area, count: int, length_mm: tuple[float, float], way, alpha: float) -> None:
    """Strokes of 0.2 mm that begin inside an area; way(places [N, 2]) -> directions [N, 2]."""
    rows, columns = np.nonzero(area)
    chosen = rng.integers(0, max(len(rows), 1), count if len(rows) else 0)
    start = np.stack([columns[chosen], rows[chosen]], -1).astype(np.float64)
    turn = rng.normal(0, 0.35, len(start))
    along = way(start)
    along = np.stack([along[:, 0] * np.cos(turn) - along[:, 1] * np.sin(turn),
                      along[:, 0] * np.sin(turn) + along[:, 1] * np.cos(turn)], -1)  # fmt: skip
    end = start + along * rng.uniform(*length_mm, (len(start), 1)) / CELL_MM
    for first, second in zip(np.round(start * 16).astype(int), np.round(end * 16).astype(int)):
        cv2.line(hair, first.tolist(), second.tolist(), (alpha,), 1, cv2.LINE_8, 4)


def _brow_hairs(rng, places, hair) -> np.ndarray:
    area = np.zeros((ROWS, COLUMNS), np.uint8)
    for upper, lower in zip(UPPER_BROWS, LOWER_BROWS):
        _fill(area, places[[*upper, *lower[::-1]]], 1)
    middle = COLUMNS / 2

    def outwards(start):
        return np.stack([np.sign(start[:, 0] - middle), np.full(len(start), -0.4)], -1)

    _hairs(rng, hair, area, int(rng.uniform(300, 1200)), (4.0, 9.0), outwards, 0.85)
    return cv2.dilate(area, np.ones((25, 25), np.uint8)) > 0


def _beard(rng, places, hair) -> np.ndarray:
    """Stubble or a beard with a sharp edge, on the chin, around the mouth and on the cheeks."""
    area = np.zeros((ROWS, COLUMNS), np.uint8)
    jaw, wings, chin = (places[list(JAW)], places[list(NOSE_WINGS)], places[CHIN])
    shifts_mm = ((-15, 8), (0, 6), (0, 6), (15, 8), (0, 12))
    rim = np.stack([wings[0], wings[0], wings[1], wings[1], chin]) + np.array(shifts_mm) / CELL_MM
    edge = [jaw[0], *rim[:4], jaw[1], rim[4]]
    _fill(area, np.array(edge), 1)
    _fill(area, places[list(OUTER_LIPS)], 0)
    full = rng.random() < 0.4
    count, length = (int(rng.uniform(5000, 12000)), (3.0, 7.0)) if full else (
        int(rng.uniform(3000, 15000)), (0.2, 0.9))  # fmt: skip
    down = np.array([[0.0, 1.0]])
    _hairs(rng, hair, area, count, length, lambda start: np.repeat(down, len(start), 0), 0.7)
    return area > 0


def _spots(rng, density, count, radius_mm, strength) -> np.ndarray:
    area = np.zeros((ROWS, COLUMNS), np.uint8)
    for _ in range(count):
        place = (int(rng.uniform(0.2, 0.8) * COLUMNS * 16), int(rng.uniform(0.15, 0.9) * ROWS * 16))
        radius = int(rng.uniform(*radius_mm) / CELL_MM * 16)
        cv2.circle(density, place, radius, (rng.uniform(*strength),), -1, cv2.LINE_8, 4)
        cv2.circle(area, place, radius + int(16 * 1.5 / CELL_MM), (1,), -1, cv2.LINE_8, 4)
    return area > 0
