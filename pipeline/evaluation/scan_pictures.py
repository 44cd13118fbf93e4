"""Pictures of scans coloured by the distance of a face from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.report_page import error_colours
from pipeline.evaluation.scans import ScanResult
from serving.output.pictures import camera_normals, clay, over, render_attributes

SIZE_PX = 260
VIEWS_DEG = {"right cheek": 50.0, "front": 0.0, "left cheek": -50.0}
"""By the subject's sides."""
TOPS_MM = (1.0, 2.0, 5.0, 10.0)
"""Where the colours may end."""
_SHARE = 0.95
RAMP = error_colours(np.linspace(0, 1, 5), 1)
"""Colours of distances from 0 to the top."""
_FILL = 0.9
_SHADING = 0.55
"""How much of the colour is the light's."""


def top_mm(results: Sequence[ScanResult]) -> float:
    """Where the colours of all faces end: 95 % of the worst face's distances are below it.

    One of TOPS_MM; the last one if none is so large.
    """
    most = max(float(np.quantile(result.distances, _SHARE)) for result in results)
    return next((top for top in TOPS_MM if most <= top), TOPS_MM[-1])


def error_map(result: ScanResult, top: float) -> dict[str, np.ndarray]:
    """Pictures of the measured part of a scan by caption: uint8 [H, W, 3].

    None for a cloud of points, which has no surface to show.

    Args:
      result: of a face.
      top: mm at which the colours end.
    """
    scan, counted = result.scan.scan, result.scan.counted
    numbers = np.full(len(scan.mesh.vertices), -1)
    numbers[counted] = np.arange(len(counted))
    triangles = numbers[scan.mesh.triangles]
    triangles = triangles[(triangles >= 0).all(-1)]
    if not len(triangles):
        return {}
    upright = (result.scan.points - result.scan.points.mean(0)) @ _frame(scan.landmarks).T
    colours = error_colours(result.distances, top)
    return {
        caption: _picture(upright, triangles, colours, np.deg2rad(yaw))
        for caption, yaw in VIEWS_DEG.items()
    }


def _frame(landmarks: np.ndarray) -> np.ndarray:
    """[3, 3] that turns a scan upright and towards the viewer, from its landmarks [7, 3]."""
    left = landmarks[3] - landmarks[0]
    eyes, mouth = landmarks[:4].mean(0), landmarks[5:].mean(0)
    up = eyes - mouth
    left = left / np.linalg.norm(left)
    up = up - (up @ left) * left
    up = up / np.linalg.norm(up)
    return np.stack([left, up, np.cross(left, up)])


def _picture(
    points: np.ndarray, triangles: np.ndarray, colours: np.ndarray, yaw: float
) -> np.ndarray:
    rotation = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    normals = camera_normals(points, triangles, rotation)
    shade = clay(normals).mean(-1, keepdims=True)
    lit = np.clip(colours * (1 - _SHADING + _SHADING * shade), 0, 1)
    scale = _FILL * SIZE_PX / 2 / np.linalg.norm(points, axis=-1).max()
    image, cover = render_attributes(
        points,
        triangles,
        lit,
        rotation=rotation,
        scale=scale,
        translation=np.full(2, SIZE_PX / 2),
        height=SIZE_PX,
        width=SIZE_PX,
    )
    return np.uint8(np.round(255 * over(np.ones_like(image), image, cover)))
