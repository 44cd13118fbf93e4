"""Hair of a head: on the scalp in several styles, brows, lashes and beards."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import cv2
import numpy as np

from facemodel.synthesis import relief
from pipeline.evaluation.raycast.strands import (
    Body,
    Growth,
    Roots,
    Strands,
    clumped,
    curled,
    grow,
    join,
    sample_roots,
)

STYLES = ("bald", "stubble", "short", "medium", "fringe", "long")
STYLE_SHARES = (0.08, 0.12, 0.22, 0.16, 0.2, 0.22)
COLOURS = {
    "black": ((0.008, 0.006, 0.005), 0.35),
    "dark brown": ((0.025, 0.013, 0.008), 0.25),
    "brown": ((0.07, 0.035, 0.018), 0.15),
    "blond": ((0.3, 0.18, 0.08), 0.1),
    "red": ((0.2, 0.06, 0.02), 0.03),
    "grey": ((0.3, 0.29, 0.28), 0.12),
}
"""Linear reflectance of hair, and how frequent it is."""
BEARD_FRACTION, STUBBLE_FRACTION = 0.2, 0.2
BROW_LIMIT = np.array([0.05, 0.035, 0.025])
"""Brows of light hair are darker than it."""
_HAIRLINE = ((0, 25, 45, 60, 72, 85, 100, 120, 180), (64, 62, 52, 28, 2, -20, -42, -68, -92))
"""Angle around the head in degrees, 0 in front, and height in mm where the scalp begins."""
_MIDDLE = np.array([0.0, 10.0, -75.0])
_UPPER_LASHES = ((33, 246, 161, 160, 159, 158, 157, 173), (263, 466, 388, 387, 386, 385, 384, 398))


class HeadSurface(NamedTuple):
    """A head that hair grows on.

    Attributes:
      vertices: [V, 3] mm; normals: [V, 3].
      places: [V, 3] mm, on the mean head.
      triangles: [T, 3] of the skin.
      landmarks: [478, 3] mm, on this head.
      mean_landmarks: [478, 3] mm, on the mean head.
      down: [3] unit, where gravity pulls, in the head's own axes.
    """

    vertices: np.ndarray
    normals: np.ndarray
    places: np.ndarray
    triangles: np.ndarray
    landmarks: np.ndarray
    mean_landmarks: np.ndarray
    down: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Hair:
    """What grows on a head.

    Attributes:
      style: one of STYLES; colour_name: one of COLOURS; beard: "none", "stubble" or "full".
      colour, brow_colour: [3] linear.
      strands: on the scalp and of a beard.
      brows: and lashes.
      scalp: [V] in [0, 1], how much of the skin at a vertex is dark with hair.
    """

    style: str
    colour_name: str
    beard: str
    colour: np.ndarray
    brow_colour: np.ndarray
    strands: Strands
    brows: Strands
    scalp: np.ndarray


def scalp_share(places: np.ndarray, lift_mm: float = 0.0, soft_mm: float = 4.0) -> np.ndarray:
    """[N] in [0, 1], whether places [N, 3] of the mean head are above the hairline."""
    x, _, z = (places - _MIDDLE).T
    around = np.degrees(np.arctan2(np.abs(x), z))
    above = places[:, 1] - np.interp(around, *_HAIRLINE) - lift_mm * (around < 75)
    share = np.clip(above / soft_mm + 0.5, 0, 1)
    ear = (np.abs(places[:, 0]) > 71) & (places[:, 1] < 8) & (places[:, 1] > -70)
    return share * ~(ear & (np.abs(places[:, 2] + 68) < 28))


def sample_hair(rng: np.random.Generator, head: HeadSurface) -> Hair:
    """Draws a style and a colour and grows the hair.

    Args:
      rng: random numbers.
      head: what it grows on.
    """
    style = str(rng.choice(STYLES, p=STYLE_SHARES))
    shares = np.array([share for _, share in COLOURS.values()])
    name = str(rng.choice(list(COLOURS), p=shares / shares.sum()))
    colour = np.array(COLOURS[name][0]) * np.exp(rng.normal(0, 0.25))
    beard = "none"
    if style not in ("long", "fringe"):
        shares = (BEARD_FRACTION, STUBBLE_FRACTION, 1 - BEARD_FRACTION - STUBBLE_FRACTION)
        beard = str(rng.choice(["full", "stubble", "none"], p=shares))
    body = Body.of(head.vertices, head.normals)
    scalp = scalp_share(head.places, rng.normal(0, 4))
    brows = join([_brows(rng, head, body), _lashes(rng, head)])
    parts = [_scalp_hair(rng, head, body, style, scalp)] if style != "bald" else []
    parts += [_beard(rng, head, body, full=beard == "full")] if beard != "none" else []
    dark = np.minimum(0.6 * colour, BROW_LIMIT * np.exp(rng.normal(0, 0.4)))
    scalp = scalp * (style != "bald")
    return Hair(style, name, beard, colour, dark, join(parts), brows, scalp)


def _scalp_hair(rng, head: HeadSurface, body: Body, style: str, scalp) -> Strands:
    growing = head.triangles[scalp[head.triangles].mean(1) > 0.5]
    count = {"stubble": 8000, "short": 7000, "medium": 6500, "fringe": 6500, "long": 6500}[style]
    roots = sample_roots(rng, head.vertices, head.normals, head.places, growing, count)
    length = _lengths(rng, style, roots)
    comb, lift = _combing(rng, style, roots)
    steps = {"stubble": 3, "short": 5}.get(style, 11)
    top = np.clip((roots.places[:, 1] - 20) / 60, 0, 1)
    margin = {"stubble": 0.3, "short": 2.0}.get(style, 4.0) + rng.gamma(2.0, 1.5, count) * top
    growth = Growth(
        length, comb, head.down, lift, _weight(rng, style), margin, steps,
        rng.uniform(0.05, 0.25),
    )  # fmt: skip
    lines = grow(rng, roots, body, growth)
    if style != "stubble":
        lines = clumped(rng, lines, rng.uniform(0.2, 0.7), int(rng.integers(15, 60)))
    if style in ("medium", "fringe", "long") and rng.random() < 0.45:
        lines = curled(rng, lines, rng.uniform(1, 6), rng.uniform(20, 60))
    if style in ("medium", "long"):
        lines = _cut_over_face(rng, lines)
    radius = {"stubble": 0.12, "short": 0.32, "long": 0.5}.get(style, 0.45)
    return Strands.of(lines, radius)


def _weight(rng, style: str) -> float:
    """How much gravity bends the hair."""
    low, high = {"stubble": (0.0, 0.0), "short": (0.3, 1.0)}.get(style, (1.5, 3.0))
    return float(rng.uniform(low, high))


def _cut_over_face(rng, lines: np.ndarray) -> np.ndarray:
    """Lines [N, P, 3] that end where they would hang over the face, but for a few."""
    x, y, z = np.moveaxis(lines, -1, 0)
    inside = (np.abs(x) < 56) & (y < 42) & (y > -135) & (z > -5)
    steps = lines.shape[1]
    cut = inside.any(1) & (rng.random(len(lines)) > 0.04)
    last = np.where(cut, inside.argmax(1) - 1, steps - 1)
    place = np.maximum(last, 0.5)[:, None] * np.linspace(0, 1, steps)
    low = np.minimum(place.astype(int), steps - 2)
    share = (place - low)[..., None]
    row = np.arange(len(lines))[:, None]
    return lines[row, low] * (1 - share) + lines[row, low + 1] * share


def _lengths(rng, style: str, roots: Roots) -> np.ndarray:
    low, high = {
        "stubble": (1.5, 4.0), "short": (12.0, 35.0), "medium": (50.0, 100.0),
        "fringe": (60.0, 130.0), "long": (180.0, 330.0),
    }[style]  # fmt: skip
    length = rng.uniform(low, high) * rng.uniform(0.8, 1.1, len(roots.points))
    if style == "fringe":
        front = _front(roots)
        length = np.where(front, rng.uniform(35, 75) * rng.uniform(0.85, 1.1, len(front)), length)
    if style in ("short", "medium"):
        low_sides = np.clip((roots.places[:, 1] + 20) / 80, 0.35, 1)
        length = length * low_sides
    return length


def _front(roots: Roots) -> np.ndarray:
    return (roots.places[:, 1] > 40) & (roots.places[:, 2] > -30)


def _combing(rng, style: str, roots: Roots) -> tuple[np.ndarray, float]:
    """Directions [N, 3] that hair is combed to, and how far it stands up."""
    x = roots.places[:, 0]
    part = rng.uniform(-35, 35)
    side = np.tanh((x - part) / 10)
    aside = np.stack([side, np.full_like(x, -0.2), np.full_like(x, -0.35)], 1)
    back = np.stack([0.1 * side, np.full_like(x, 0.0), -np.ones_like(x)], 1)
    ahead = np.stack([0.3 * np.sign(part) + 0.2 * side, -0.3 + 0 * x, np.ones_like(x)], 1)
    if style == "stubble":
        return 0.3 * ahead, 1.0
    if style == "fringe":
        comb = np.where(_front(roots)[:, None], ahead, aside)
        return comb, 0.35
    ways = {"short": (aside, back, ahead), "medium": (aside, back), "long": (aside, aside, back)}
    chosen = ways[style][rng.integers(len(ways[style]))]
    return chosen, rng.uniform(0.4, 1.2) if style == "short" else rng.uniform(0.3, 0.6)


def _inside(head: HeadSurface, outlines: list[np.ndarray]) -> np.ndarray:
    """Triangles of the skin [T, 3] in front whose middle is in outlines on the unrolled face."""
    picture = np.zeros((relief.ROWS, relief.COLUMNS), np.uint8)
    for outline in outlines:
        cv2.fillPoly(picture, [np.round(outline).astype(np.int32)], (1,))
    middles = head.places[head.triangles].mean(1)
    column, row = np.round(relief.unrolled(middles)).astype(int).T
    known = (row >= 0) & (row < relief.ROWS) & (column >= 0) & (column < relief.COLUMNS)
    known &= middles[:, 2] > -40
    hit = picture[row.clip(0, relief.ROWS - 1), column.clip(0, relief.COLUMNS - 1)]
    return head.triangles[known & (hit > 0)]


def _brows(rng, head: HeadSurface, body: Body) -> Strands:
    flat = relief.unrolled(head.mean_landmarks)
    outlines = [
        flat[[*upper, *lower[::-1]]] for upper, lower in zip(relief.UPPER_BROWS, relief.LOWER_BROWS)
    ]
    count = int(rng.uniform(200, 700))
    triangles = _inside(head, outlines)
    roots = sample_roots(rng, head.vertices, head.normals, head.places, triangles, count)
    outwards = np.sign(roots.places[:, :1])
    comb = np.concatenate([outwards, np.full_like(outwards, 0.35), 0 * outwards], 1)
    length = rng.uniform(4, 9, count)
    growth = Growth(length, comb, head.down, 0.4, 0.0, np.full(count, 0.5), 4, 0.2)
    return Strands.of(grow(rng, roots, body, growth), rng.uniform(0.1, 0.2))


def _lashes(rng, head: HeadSurface) -> Strands:
    lines = []
    for lid in _UPPER_LASHES:
        corners = head.landmarks[list(lid)]
        count = int(rng.integers(40, 70))
        share = np.linspace(0.3, len(lid) - 1, count)
        rows = np.stack([np.interp(share, np.arange(len(lid)), corners[:, k]) for k in range(3)], 1)
        outwards = np.sign(corners[0, 0] - corners[-1, 0]) * (1 - share / len(lid))
        way = np.stack([outwards, np.full(count, 0.25), np.ones(count)], 1)
        way = way + 0.15 * rng.standard_normal((count, 3))
        along = np.linspace(0, 1, 4)[:, None] * rng.uniform(4, 8)
        bend = 0.06 * along**2 * np.array([0.0, 1.0, 0.0])
        lines.append(rows[:, None] + along * way[:, None] + bend)
    return Strands.of(np.concatenate(lines), rng.uniform(0.05, 0.12))


def _beard(rng, head: HeadSurface, body: Body, *, full: bool) -> Strands:
    flat = relief.unrolled(head.mean_landmarks)
    mm = 1 / relief.CELL_MM
    jaw = flat[[127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365,
                397, 288, 361, 323, 454, 356]]  # fmt: skip
    low = jaw[3:-3] + np.array([0.0, rng.uniform(5, 15)]) * mm
    cheek = flat[[435, 426, 322, 164, 92, 206, 215]] + np.array([0.0, rng.uniform(-4, 6)]) * mm
    lips = flat[list(relief.OUTER_LIPS)]
    triangles = _inside(head, [np.concatenate([low, cheek])])
    mouth = {tuple(row) for row in _inside(head, [lips])}
    triangles = np.array([row for row in triangles if tuple(row) not in mouth], int).reshape(-1, 3)
    count = int(rng.uniform(3500, 6000))
    roots = sample_roots(rng, head.vertices, head.normals, head.places, triangles, count)
    count = len(roots.points)
    length = np.full(count, rng.uniform(6, 22) if full else rng.uniform(0.8, 2.0))
    comb = np.tile([0.0, -0.6, 0.0], (count, 1))
    growth = Growth(
        length * rng.uniform(0.7, 1.2, count), comb, head.down, 0.6, 0.6 * full,
        np.full(count, 0.3), 7 if full else 3, 0.3,
    )  # fmt: skip
    return Strands.of(grow(rng, roots, body, growth), 0.18 if full else 0.09)
