"""The panels of the overview: the photo, and pictures of the head that was found in it.

All panels are float [PANEL_HEIGHT, PANEL_WIDTH, 3] sRGB in [0, 1].
"""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np
from PIL import Image, ImageDraw

from facemodel.camera import CROP_SIZE
from facemodel.rendering.numpy_rasterizer import rasterize_numpy
from serving.output import pictures
from serving.output.lights import two_lights
from serving.output.textured_mesh import TexturedMesh
from serving.output.textured_views import photographed, relit, surface_normals
from serving.output.views import View, look, look_centred
from serving.reconstructor import Reconstruction

PANEL_WIDTH, PANEL_HEIGHT = 360, 432
ACCENT = (228, 110, 56)
FRONT = np.eye(3)
ALBEDO_EXPOSURE = 1.7
"""Skin without the photo's light is about so much darker than in it."""
LAMP_DEG = 58.0
_BACKDROP_TOP = np.array([0.955, 0.950, 0.940], np.float32)
_BACKDROP_BOTTOM = np.array([0.825, 0.820, 0.815], np.float32)
_STRIPE_PX, _EDGE_PX = 7, 0.6
_MARGIN = 1.45
"""Of the mesh over the photo: how much wider than the mesh the panel looks."""


def photo_panel(photo: np.ndarray, face: Reconstruction) -> np.ndarray:
    """All of the photo, fitted into the panel, with the crop's outline."""
    height, width = photo.shape[:2]
    zoom = min(PANEL_WIDTH / width, PANEL_HEIGHT / height)
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    way = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    small = Image.fromarray(cv2.resize(photo, size, interpolation=way))
    canvas = Image.fromarray(np.uint8(np.round(255 * backdrop())))
    left, top = (PANEL_WIDTH - size[0]) // 2, (PANEL_HEIGHT - size[1]) // 2
    canvas.paste(small, (left, top))
    corners = _crop_corners(face) * (np.array(size) / (width, height)) + (left, top)
    outline = Image.new("L", (2 * PANEL_WIDTH, 2 * PANEL_HEIGHT))
    points = [tuple(corner) for corner in (2 * corners).tolist()]
    ImageDraw.Draw(outline).line([*points, points[0], points[1]], fill=255, width=5, joint="curve")
    canvas.paste(ACCENT, mask=outline.resize(canvas.size, Image.Resampling.LANCZOS))
    return np.asarray(canvas) * np.float32(1 / 255)


def _crop_corners(face: Reconstruction) -> np.ndarray:
    """[4, 2] px of the crop's corners in the photo."""
    corners = CROP_SIZE * np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float64)
    linear, offset = face.crop_from_image[:, :2], face.crop_from_image[:, 2]
    return (corners - offset) @ np.linalg.inv(linear).T


def overlay_panel(photo: np.ndarray, face: Reconstruction, mesh: TexturedMesh) -> np.ndarray:
    """The photo close to the face, with the mesh shaded like plaster over it."""
    pixels, _ = face.to_photo(mesh.vertices)
    low, high = pixels.min(0), pixels.max(0)
    room = np.array([PANEL_WIDTH, PANEL_HEIGHT])
    zoom = (room / (_MARGIN * (high - low))).min()
    shift = room / 2 - zoom * (low + high) / 2
    view = look(
        mesh.vertices,
        mesh.triangles,
        rotation=face.rotation,
        scale=face.scale * zoom,
        translation=face.translation * zoom + shift,
        height=PANEL_HEIGHT,
        width=PANEL_WIDTH,
        thin=True,
    )
    normals, cover = view.picture(surface_normals(view, mesh, face.rotation, detail=False))
    background = _zoomed(photo, zoom, shift)
    return pictures.over(background, pictures.clay(normals), 0.88 * cover)


def _zoomed(photo: np.ndarray, zoom: float, shift: np.ndarray) -> np.ndarray:
    """The photo under panel = zoom * photo + shift; a backdrop outside of it."""
    reduction = 1.0
    if zoom < 1.0:
        height, width = photo.shape[:2]
        size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
        photo, reduction = cv2.resize(photo, size, interpolation=cv2.INTER_AREA), zoom
    zoom = zoom / reduction
    matrix = np.array(
        [[zoom, 0, shift[0] + 0.5 * zoom - 0.5], [0, zoom, shift[1] + 0.5 * zoom - 0.5]]
    )
    opaque = np.dstack([photo, np.full(photo.shape[:2], 255, np.uint8)])
    moved = (
        cv2.warpAffine(opaque, matrix, (PANEL_WIDTH, PANEL_HEIGHT), flags=cv2.INTER_CUBIC) / 255.0
    )
    return pictures.over(backdrop(), moved[..., :3], moved[..., 3])


def centred(mesh: TexturedMesh, rotation: np.ndarray) -> View:
    """The mesh in the middle of a panel, at the same size from every side."""
    return look_centred(
        mesh.vertices,
        mesh.triangles,
        rotation=rotation,
        height=PANEL_HEIGHT,
        width=PANEL_WIDTH,
        thin=True,
    )


def shading_panel(view: View, normals: np.ndarray) -> np.ndarray:
    """Frontal shading of normals [3, P] at the samples of a view."""
    shading, cover = view.picture(pictures.headlight(normals.T)[None])
    return pictures.over(backdrop(), shading, cover)


def textured_panel(view: View, mesh: TexturedMesh, rotation: np.ndarray) -> np.ndarray:
    """The texture under the photo's light."""
    return pictures.over(backdrop(), *photographed(view, mesh, rotation))


def relit_panel(
    view: View,
    mesh: TexturedMesh,
    normals: np.ndarray,
    *,
    side: float,
    albedo: np.ndarray | None = None,
) -> np.ndarray:
    """The head from in front under a lamp: side is -1 for the left of the picture, 1 for the right.

    The other arguments are those of textured_views.relit.
    """
    exposure = 1.0 if albedo is None else ALBEDO_EXPOSURE
    lights = two_lights(math.copysign(LAMP_DEG, side), exposure=exposure)
    colours, cover = relit(view, mesh, FRONT, lights, normals=normals, albedo=albedo)
    return pictures.over(backdrop(), colours, cover)


def texture_panel(mesh: TexturedMesh, from_photo: np.ndarray | None) -> np.ndarray:
    """The texture, with stripes where it does not come from the photo (from_photo [S, S] is 0)."""
    side = min(PANEL_WIDTH, PANEL_HEIGHT)
    size = (side, side)
    colours = cv2.resize(mesh.texture, size, interpolation=cv2.INTER_AREA) / 255.0
    if from_photo is not None:
        share = cv2.resize(np.asarray(from_photo, np.float32), size, interpolation=cv2.INTER_AREA)
        stripes = np.add.outer(np.arange(side), np.arange(side)) % _STRIPE_PX < 2
        marked = (0.65 * stripes + 0.12) * np.clip(1.0 - share, 0.0, 1.0)
        colours = pictures.over(colours, np.array(ACCENT) / 255.0, marked)
    panel = backdrop().copy()
    top, left = (PANEL_HEIGHT - side) // 2, (PANEL_WIDTH - side) // 2
    inside = panel[top : top + side, left : left + side]
    inside[:] = pictures.over(inside, colours, _atlas(mesh, side))
    return panel


def _atlas(mesh: TexturedMesh, side: int) -> np.ndarray:
    """[side, side] in [0, 1]: about which part of each pixel of the texture the mesh uses."""
    uv, triangles = np.asarray(mesh.uv, np.float32), np.asarray(mesh.uv_triangles, np.int32)
    return _covered(uv.tobytes(), triangles.tobytes(), side)


@functools.lru_cache(maxsize=2)
def _covered(uv: bytes, triangles: bytes, side: int) -> np.ndarray:
    """_atlas of the bytes of uv and uv_triangles, which heads of one face model share."""
    places = np.frombuffer(uv, np.float32).reshape(-1, 2) * (side, -side) + (0, side)
    screen = np.column_stack([places, np.zeros(len(places))]).astype(np.float32)
    covered = np.zeros(side * side, np.float32)
    corners = np.frombuffer(triangles, np.int32).reshape(-1, 3)
    # The second way round is for parts of a texture that lie mirrored.
    for way in (corners, corners[:, ::-1]):
        covered[rasterize_numpy(screen, way, height=side, width=side)[0]] = 1.0
    return cv2.GaussianBlur(covered.reshape(side, side), (3, 3), _EDGE_PX)


def backdrop(height: int = PANEL_HEIGHT, width: int = PANEL_WIDTH) -> np.ndarray:
    """[height, width, 3] what is behind a head: light grey, darker below."""
    steps = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    rows = (1 - steps) * _BACKDROP_TOP + steps * _BACKDROP_BOTTOM
    return np.broadcast_to(rows, (height, width, 3))
