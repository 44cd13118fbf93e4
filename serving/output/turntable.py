"""A short film of a head: it turns once, a lamp goes round it, and it makes a few faces."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from facemodel.transforms import euler_rotation
from serving.output.lights import two_lights
from serving.output.panels import backdrop
from serving.output.pictures import over
from serving.output.textured_mesh import TexturedMesh
from serving.output.textured_views import relit
from serving.output.views import look_centred

TURN_ENDS, LIGHT_ENDS = 0.40, 0.64
"""Parts of the film: the turn, then the lamp, then the expressions."""
LAMP = ((0.0, 40.0), (0.35, -72.0), (0.75, 76.0), (1.0, 40.0))
"""Where the lamp is, degrees, over the second part."""
SWAY_DEG = 14.0
EXPRESSIONS: tuple[Mapping[str, float], ...] = (
    {
        "mouthSmileLeft": 0.55,
        "mouthSmileRight": 0.55,
        "cheekSquintLeft": 0.5,
        "cheekSquintRight": 0.5,
    },
    {
        "jawOpen": 0.4,
        "browInnerUp": 0.8,
        "browOuterUpLeft": 0.6,
        "browOuterUpRight": 0.6,
        "eyeWideLeft": 0.6,
        "eyeWideRight": 0.6,
    },
    {
        "mouthPucker": 0.7,
        "browDownLeft": 0.5,
        "eyeLookOutLeft": 0.6,
        "eyeLookInRight": 0.6,
    },
)
"""Weights of the targets at the height of each expression of the third part."""
_FILL, _AHEAD = 0.86, 4


class Moment(NamedTuple):
    """What a frame shows.

    Attributes:
      yaw_deg: How far the head is turned to image right.
      lamp_deg: Where the lamp is, to the right of the camera.
      weights: of the targets.
    """

    yaw_deg: float
    lamp_deg: float
    weights: Mapping[str, float]


def moment(time: float) -> Moment:
    """What the film shows at a time in [0, 1); it ends as it began."""
    if time < TURN_ENDS:
        return Moment(360.0 * _eased(time / TURN_ENDS), LAMP[0][1], {})
    if time < LIGHT_ENDS:
        part = (time - TURN_ENDS) / (LIGHT_ENDS - TURN_ENDS)
        return Moment(0.0, _between(LAMP, part), {})
    part = (time - LIGHT_ENDS) / (1.0 - LIGHT_ENDS)
    number, within = divmod(part * len(EXPRESSIONS), 1.0)
    height = math.sin(math.pi * within) ** 2
    full = EXPRESSIONS[min(int(number), len(EXPRESSIONS) - 1)]
    yaw = SWAY_DEG * math.sin(2 * math.pi * part)
    return Moment(yaw, LAMP[0][1], {name: height * weight for name, weight in full.items()})


def _eased(part: float) -> float:
    """From 0 to 1, slow at both ends."""
    return part * part * (3.0 - 2.0 * part)


def _between(keys, part: float) -> float:
    """A value between (part, value) pairs, which it comes to and leaves slowly."""
    for (begin, first), (end, last) in itertools.pairwise(keys):
        if part <= end:
            return first + (last - first) * _eased((part - begin) / (end - begin))
    return keys[-1][1]


def render_frame(mesh: TexturedMesh, shown: Moment, *, size: int) -> np.ndarray:
    """Renders a moment of the film.

    Args:
      mesh: the head. Expressions that it has no target for are left out.
      shown: what of it.
      size: px, side of the frame.

    Returns:
      uint8 [size, size, 3] sRGB.
    """
    weights = {name: weight for name, weight in shown.weights.items() if name in mesh.targets}
    moved = mesh.with_vertices(mesh.moved(weights)) if any(weights.values()) else mesh
    angles = np.radians([shown.yaw_deg, 0.0, 0.0]).astype(np.float32)
    rotation = np.asarray(euler_rotation(*angles), np.float64)
    view = look_centred(
        moved.vertices,
        moved.triangles,
        rotation=rotation,
        height=size,
        width=size,
        fill=_FILL,
        frame=mesh.vertices,
    )
    colours, cover = relit(view, moved, rotation, two_lights(shown.lamp_deg))
    return (255 * over(backdrop(size, size), colours, cover) + 0.5).astype(np.uint8)


def render_frames(mesh: TexturedMesh, *, size: int, count: int) -> Iterator[np.ndarray]:
    """Renders the film's frames in order, two at a time.

    Args:
      mesh: the head.
      size: px, side of the frames.
      count: How many.

    Yields:
      uint8 [size, size, 3] sRGB.
    """
    moments = [moment(number / count) for number in range(count)]
    with ThreadPoolExecutor(2) as pool:
        waiting = []
        for shown in moments:
            waiting.append(pool.submit(render_frame, mesh, shown, size=size))
            if len(waiting) > _AHEAD:
                yield waiting.pop(0).result()
        for frame in waiting:
            yield frame.result()
