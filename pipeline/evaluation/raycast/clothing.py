"""What else is in a picture of a head: shoulders in a shirt, and glasses."""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.raycast.strands import Strands

AROUND = 64
_RINGS = np.array([
    # down, half width, half depth, share of the neck's own outline
    (-9, 1.03, 1.03, 1.0), (-8, 1.12, 1.12, 1.0), (6, 1.2, 1.2, 1.0), (16, 85, 78, 0.3),
    (32, 120, 88, 0.0), (55, 165, 100, 0.0), (85, 200, 110, 0.0), (130, 222, 118, 0.0),
    (220, 220, 120, 0.0), (420, 205, 115, 0.0),
])  # fmt: skip
"""Of the shoulders in mm, from the collar down."""


def neck_rim(triangles: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Vertices at the open lower end of a head.

    Args:
      triangles: [T, 3].
      places: [V, 3] mm, on the mean head.
    """
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]],
                                    triangles[:, [2, 0]]]), 1)  # fmt: skip
    unique, count = np.unique(edges, axis=0, return_counts=True)
    rim = np.unique(unique[count == 1])
    return rim[places[rim, 1] < -120.0]


def shoulders(
    rng: np.random.Generator, rim: np.ndarray, yaw: float
) -> tuple[np.ndarray, np.ndarray]:
    """Shoulders below a neck.

    Args:
      rng: random numbers.
      rim: [N, 3] mm, the neck's end, camera frame.
      yaw: of the shoulders, radians.

    Returns:
      Vertices [len(_RINGS) * AROUND, 3] mm in the camera frame and triangles.
    """
    middle = rim.mean(0)
    arms = rim - middle
    angle = np.arctan2(arms[:, 2], arms[:, 0])
    order = np.argsort(angle)
    around = np.linspace(-np.pi, np.pi, AROUND, endpoint=False)
    own = np.stack([np.interp(around, angle[order], arms[order, k], period=2 * np.pi)
                    for k in range(3)], 1)  # fmt: skip
    size = rng.uniform(0.88, 1.1)
    cos, sin = np.cos(around - yaw), np.sin(around - yaw)
    rings = []
    for down, width, depth, share in _RINGS:
        if share == 1.0:
            rings.append(own * (width, 1.0, depth) - np.array([0, down, 0]))
            continue
        x, z = size * width * cos, size * depth * sin
        turned = np.stack([x * np.cos(yaw) - z * np.sin(yaw), np.full(AROUND, -down),
                           x * np.sin(yaw) + z * np.cos(yaw) - 10.0], 1)  # fmt: skip
        rings.append(share * (own * 1.3 - np.array([0, down, 0])) + (1 - share) * turned)
    return (np.concatenate(rings) + middle).astype(np.float32), _ring_triangles(len(rings))


def _ring_triangles(count: int) -> np.ndarray:
    k = np.arange(AROUND)
    after = (k + 1) % AROUND
    rows = []
    for ring in range(count - 1):
        top, low = ring * AROUND, (ring + 1) * AROUND
        rows += [np.stack([top + k, top + after, low + k], 1)]
        rows += [np.stack([top + after, low + after, low + k], 1)]
    return np.concatenate(rows).astype(np.int32)


def glasses(rng: np.random.Generator, landmarks: np.ndarray) -> Strands:
    """A frame of glasses as thick lines, on a head with landmarks [478, 3] mm."""
    eyes = [landmarks[[33, 133]].mean(0), landmarks[[263, 362]].mean(0)]
    front = max(landmarks[168, 2], eyes[0][2] + 12, eyes[1][2] + 12) + 2.0
    wide, tall = rng.uniform(22, 27), rng.uniform(16, 23)
    power, radius = rng.uniform(2, 4.5), rng.uniform(0.7, 1.9)
    angle = np.linspace(0, 2 * np.pi, 41)
    shape = np.stack([np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / power) * wide,
                      np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / power) * tall - 3,
                      0 * angle], 1)  # fmt: skip
    lines, ears = [], landmarks[[234, 454]]
    for eye, ear, side in zip(eyes, ears, (-1, 1)):
        bowed = shape.copy()
        bowed[:, 2] = -0.08 * side * shape[:, 0]
        ring = np.array([eye[0], eye[1], front]) + bowed
        lines.append(ring)
        hinge = ring[np.argmax(side * ring[:, 0])]
        end = np.array([ear[0] + 6 * side, hinge[1] + 3, ear[2] - 40])
        corner = np.array([max(abs(ear[0]) + 4, abs(hinge[0]) + 4) * side, hinge[1], hinge[2] - 8])
        lines.append(np.linspace(0, 1, 12)[:, None] * (end - corner) + corner)
        lines.append(np.stack([hinge, (hinge + corner) / 2, corner]))
    inner = [ring[np.argmin(np.abs(ring[:, 0]))] for ring in (lines[0], lines[3])]
    share = np.linspace(0, 1, 9)[:, None]
    arch = 3 * np.sin(np.pi * share) * np.array([0, 1, 0])
    lines.append(inner[0] + share * (inner[1] - inner[0]) + arch)
    sizes = np.array([len(line) for line in lines], np.int32)
    points = np.concatenate(lines).astype(np.float32)
    return Strands(sizes, points, np.full(len(points), radius, np.float32))
