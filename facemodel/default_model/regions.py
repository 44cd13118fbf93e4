"""Which part of MakeHuman's head belongs to the face, and what each part is.

The control mesh takes every body quad that can be seen from the front half, with the mouth bag, the
teeth, the tongue and the front of the eyeballs. The mouth bag is kept because the background would
otherwise show through parted lips.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facemodel.default_model import makehuman, population, zbuffer

MM_PER_DM = 109.0
"""One MakeHuman decimetre as millimetres of this model; 100 would give faces 8 % too small."""

REGIONS = ("skin", "mouth", "tongue", "teeth", "eye_l", "eye_r")
"""Region names; a vertex's region is an index into this. "mouth" is the bag behind the lips."""

SKIN, MOUTH, TONGUE, TEETH, EYE_LEFT, EYE_RIGHT = range(len(REGIONS))

_HELPER_REGIONS = (
    ("helper-l-eye", EYE_LEFT),
    ("helper-r-eye", EYE_RIGHT),
    ("helper-upper-teeth", TEETH),
    ("helper-lower-teeth", TEETH),
    ("helper-tongue", TONGUE),
)
_EYEBALL_BACK_MM = -6.0
_BACK_LIMIT_MM = -115.0
_LOWER_LIMIT_MM = -170.0
_MOUTH_HALF_WIDTH_MM = 46.0
_MOUTH_FRONT_MM = 30.0
_MOUTH_BACK_MM = -105.0
_MOUTH_FLOOR_MM = -112.0
_MOUTH_CEILING_MM = -40.0
_THROAT_CEILING_MM = -22.0
_THROAT_FRONT_MM = 5.0

_VIEW_PX = 700
_VIEW_MM_PER_PX = 0.35
_VIEW_MM_PER_DM = 100.0
_NEUTRAL_VIEWS_DEG = [(yaw, pitch) for yaw in range(-75, 76, 15) for pitch in (-40, -20, 0, 20)]
_OPEN_VIEWS_DEG = [(yaw, pitch) for yaw in range(-60, 61, 20) for pitch in (-20, 0, 20)]
_SELDOM_SEEN_VIEWS = 1


@dataclasses.dataclass(frozen=True, eq=False)
class ControlMesh:
    """The quads from which the face is subdivided.

    Attributes:
      positions: [H, 3] mm, model space: the average person's head.
      origin: [3] mm, the middle of the eyeballs before it became the origin.
      quads: [F, 4] indices of head vertices.
      corner_uvs: [F, 4, 2].
      regions: [F] index into REGIONS.
    """

    positions: np.ndarray
    origin: np.ndarray
    quads: np.ndarray
    corner_uvs: np.ndarray
    regions: np.ndarray


def control_mesh(head: makehuman.Head) -> ControlMesh:
    """Selects the face's quads from the head."""
    average = population.shape(head, population.AVERAGE_PERSON)
    positions = average * MM_PER_DM
    origin = _eye_middle(positions, head.groups) * np.array([0, 1, 1])
    positions = positions - origin
    centres = positions[head.mesh.quads].mean(1)
    body = np.flatnonzero(head.mesh.groups == "body")
    neutral, opened = _views_of_body(head, average, body)
    selected = _select_body(centres[body], head.mesh.quads[body], neutral + opened)
    body, neutral = body[selected], neutral[selected]
    chosen, regions = [body], [_body_regions(centres[body], neutral)]
    for name, region in _HELPER_REGIONS:
        part = np.flatnonzero(head.mesh.groups == name)
        if region in (EYE_LEFT, EYE_RIGHT):
            part = part[centres[part, 2] >= _EYEBALL_BACK_MM]
        chosen.append(part)
        regions.append(np.full(len(part), region))
    kept = np.concatenate(chosen)
    return ControlMesh(
        positions=positions,
        origin=origin,
        quads=head.mesh.quads[kept],
        corner_uvs=head.mesh.corner_uvs[kept],
        regions=np.concatenate(regions),
    )


def inside_crop(centres: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Tells which quads lie within the face's outline.

    Args:
      centres: [F, 3] mm, model space.
      regions: [F] index into REGIONS.

    Returns:
      [F] bool.
    """
    x, y, z = centres.T
    radius = np.sqrt(x**2 + ((y + 29) * 0.92) ** 2 + (z - 26) ** 2)
    inside = {
        SKIN: (radius < 107) & (z > -68),
        MOUTH: z > -100,
        TONGUE: z > -25,
        TEETH: z > -16,
    }
    everywhere = np.ones(len(centres), bool)
    return np.select([regions == region for region in inside], list(inside.values()), everywhere)


def _eye_middle(positions: np.ndarray, groups: dict[str, np.ndarray]) -> np.ndarray:
    left, right = (positions[groups[name]].mean(0) for name in ("helper-l-eye", "helper-r-eye"))
    return (left + right) / 2


def _views_of_body(
    head: makehuman.Head, average: np.ndarray, body: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """In how many views each body quad is seen, with a neutral face and with an open jaw."""
    helpers = [np.flatnonzero(head.mesh.groups == name) for name, _ in _HELPER_REGIONS]
    quads = head.mesh.quads[np.concatenate([body, *helpers])]
    neutral = average * _VIEW_MM_PER_DM
    opened = neutral + head.target("arkit/jawOpen") * np.float32(_VIEW_MM_PER_DM)
    middle = _eye_middle(neutral, head.groups)
    counts = [
        _count_views(positions - middle, quads, views)[: len(body)]
        for positions, views in ((neutral, _NEUTRAL_VIEWS_DEG), (opened, _OPEN_VIEWS_DEG))
    ]
    return counts[0], counts[1]


def _count_views(
    positions: np.ndarray, quads: np.ndarray, views_deg: list[tuple[int, int]]
) -> np.ndarray:
    """[F] number of views in which a quad is seen from its front."""
    triangles = quads[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3)
    counts = np.zeros(len(quads), int)
    for yaw, pitch in views_deg:
        turned = positions @ zbuffer.rotation_deg(yaw, pitch).T
        screen = zbuffer.to_screen(turned, mm_per_px=_VIEW_MM_PER_PX, size=_VIEW_PX)
        # Sampled at whole pixels: half a pixel off the centres, which z-buffers sample.
        screen = screen + np.array([0.5, 0.5, 0.0])
        ids = zbuffer.triangle_ids(screen, triangles, height=_VIEW_PX, width=_VIEW_PX)
        seen = np.unique(ids[ids >= 0])
        a, b, c = (screen[triangles[seen, corner]] for corner in range(3))
        counts[np.unique(seen[np.cross(b - a, c - a)[:, 2] < 0] // 2)] += 1
    return counts


def _select_body(centres: np.ndarray, quads: np.ndarray, views: np.ndarray) -> np.ndarray:
    """Indices of body quads that are seen or line the mouth, and one more ring around them."""
    x, y, z = centres.T
    ceiling = np.where(z < _THROAT_FRONT_MM, _THROAT_CEILING_MM, _MOUTH_CEILING_MM)
    in_mouth = (np.abs(x) < _MOUTH_HALF_WIDTH_MM) & (y < ceiling) & (y > _MOUTH_FLOOR_MM)
    in_mouth &= z > _MOUTH_BACK_MM
    in_front = (z > _BACK_LIMIT_MM) & (y > _LOWER_LIMIT_MM)
    selected = ((views > 0) | in_mouth) & in_front
    touched = np.isin(quads, quads[selected]).sum(1) >= 2
    return np.flatnonzero((selected | touched) & in_front)


def _body_regions(centres: np.ndarray, neutral_views: np.ndarray) -> np.ndarray:
    """[F] SKIN, or MOUTH for quads in the mouth's box that a closed mouth hides."""
    x, y, z = centres.T
    ceiling = np.where(z < _THROAT_FRONT_MM, _THROAT_CEILING_MM, _MOUTH_CEILING_MM)
    in_box = (np.abs(x) < _MOUTH_HALF_WIDTH_MM) & (y > _MOUTH_FLOOR_MM) & (y < ceiling)
    in_box &= z < _MOUTH_FRONT_MM
    return np.where((neutral_views <= _SELDOM_SEEN_VIEWS) & in_box, MOUTH, SKIN)
