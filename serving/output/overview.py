"""One picture of what was found: photo, mesh over it, shading, and two turned views."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from facemodel.transforms import euler_rotation
from serving.output import pictures
from serving.output.mesh_io import FaceMesh
from serving.reconstructor import Reconstruction

PANEL_WIDTH, PANEL_HEIGHT = 400, 480
GAP, TITLE, CAPTION = 14, 64, 40
TURN_DEG = 38.0
PAPER, INK, FAINT, ACCENT = (250, 249, 247), (38, 38, 42), (125, 124, 122), (228, 110, 56)
BACKDROP_TOP, BACKDROP_BOTTOM = (0.955, 0.950, 0.940), (0.825, 0.820, 0.815)


def render_overview(photo: np.ndarray, face: Reconstruction, mesh: FaceMesh) -> np.ndarray:
    """Renders the overview of one face.

    Args:
      photo: uint8 [H, W, 3] sRGB.
      face: reconstructed from it.
      mesh: its coloured surface; its name is the title.

    Returns:
      uint8 [H', W', 3].
    """
    panels = {
        "photo and crop": _photo_panel(photo, face),
        "mesh over the photo": _overlay_panel(photo, face),
        "frontal shading": _shading_panel(face),
        f"turned {TURN_DEG:.0f}° left": _turned_panel(mesh, -TURN_DEG),
        f"turned {TURN_DEG:.0f}° right": _turned_panel(mesh, TURN_DEG),
    }
    return _sheet(panels, mesh.name, _description(face))


def _photo_panel(photo: np.ndarray, face: Reconstruction) -> np.ndarray:
    """All of the photo, fitted into the panel, with the crop's outline."""
    height, width = photo.shape[:2]
    zoom = min(PANEL_WIDTH / width, PANEL_HEIGHT / height)
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    way = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    small = Image.fromarray(cv2.resize(photo, size, interpolation=way))
    canvas = Image.fromarray(np.uint8(np.round(255 * _backdrop())))
    left, top = (PANEL_WIDTH - size[0]) // 2, (PANEL_HEIGHT - size[1]) // 2
    canvas.paste(small, (left, top))
    corners = _crop_corners(face) * (np.array(size) / (width, height)) + (left, top)
    outline = Image.new("L", (2 * PANEL_WIDTH, 2 * PANEL_HEIGHT))
    points = [tuple(corner) for corner in (2 * corners).tolist()]
    ImageDraw.Draw(outline).line([*points, points[0], points[1]], fill=255, width=5, joint="curve")
    canvas.paste(ACCENT, mask=outline.resize(canvas.size, Image.Resampling.LANCZOS))
    return np.asarray(canvas) / 255.0


def _crop_corners(face: Reconstruction) -> np.ndarray:
    """[4, 2] px of the crop's corners in the photo."""
    side = face.crop.shape[0]
    corners = np.array([(0, 0), (side, 0), (side, side), (0, side)], np.float64)
    linear, offset = face.crop_from_image[:, :2], face.crop_from_image[:, 2]
    return (corners - offset) @ np.linalg.inv(linear).T


def _overlay_panel(photo: np.ndarray, face: Reconstruction) -> np.ndarray:
    """The photo close to the face, with the mesh shaded like plaster over it."""
    pixels, _ = face.to_photo(face.vertices)
    low, high = pixels.min(0), pixels.max(0)
    zoom = min(PANEL_WIDTH / (1.45 * (high - low)[0]), PANEL_HEIGHT / (1.45 * (high - low)[1]))
    shift = np.array([PANEL_WIDTH, PANEL_HEIGHT]) / 2 - zoom * (low + high) / 2
    background = _zoomed(photo, zoom, shift)
    normals = pictures.camera_normals(face.vertices, face.triangles, face.rotation)
    drawn, cover = pictures.render_attributes(
        face.vertices,
        face.triangles,
        normals,
        rotation=face.rotation,
        scale=face.scale * zoom,
        translation=face.translation * zoom + shift,
        height=PANEL_HEIGHT,
        width=PANEL_WIDTH,
    )
    return pictures.over(background, pictures.clay(drawn), 0.88 * cover)


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
    return pictures.over(_backdrop(), moved[..., :3], moved[..., 3])


def _shading_panel(face: Reconstruction) -> np.ndarray:
    rotation = np.eye(3)
    normals = pictures.camera_normals(face.vertices, face.triangles, rotation)
    drawn, cover = _centred(face.vertices, face.triangles, normals, rotation)
    shading = np.repeat(pictures.headlight(drawn)[..., None], 3, -1)
    return pictures.over(_backdrop(), shading, cover)


def _turned_panel(mesh: FaceMesh, yaw_deg: float) -> np.ndarray:
    angles = np.radians([yaw_deg, 0.0, 0.0]).astype(np.float32)
    rotation = np.asarray(euler_rotation(*angles), np.float64)
    normals = pictures.camera_normals(mesh.vertices, mesh.triangles, rotation)
    attributes = np.concatenate([mesh.colours / 255.0, normals], 1)
    drawn, cover = _centred(mesh.vertices, mesh.triangles, attributes, rotation)
    light = 0.72 + 0.28 * pictures.headlight(drawn[..., 3:])
    return pictures.over(_backdrop(), np.clip(drawn[..., :3] * light[..., None], 0, 1), cover)


def _centred(vertices, triangles, attributes, rotation):
    """Renders a mesh in the middle of a panel, at the same size from every side."""
    centre = (vertices.min(0) + vertices.max(0)) / 2
    scale = 0.80 * PANEL_HEIGHT / np.ptp(vertices, axis=0).max()
    shift = (rotation @ centre)[:2] * (scale, -scale)
    return pictures.render_attributes(
        vertices,
        triangles,
        attributes,
        rotation=rotation,
        scale=scale,
        translation=np.array([PANEL_WIDTH, PANEL_HEIGHT]) / 2 - shift,
        height=PANEL_HEIGHT,
        width=PANEL_WIDTH,
    )


def _backdrop() -> np.ndarray:
    steps = np.linspace(0, 1, PANEL_HEIGHT)[:, None, None]
    rows = (1 - steps) * np.array(BACKDROP_TOP) + steps * np.array(BACKDROP_BOTTOM)
    return np.broadcast_to(rows, (PANEL_HEIGHT, PANEL_WIDTH, 3))


def _description(face: Reconstruction) -> str:
    quality, facts = face.quality, face.model.facts
    flags = ", ".join(flag.replace("_", " ") for flag in face.flags) or "none"
    return (
        f"yaw {quality.yaw_deg:+.0f}°   pitch {quality.pitch_deg:+.0f}°   "
        f"roll {quality.roll_deg:+.0f}°   {face.scale:.2f} px/mm   "
        f"{facts['model_name']} {facts['model_version']}   flags: {flags}"
    )


def _sheet(panels: dict[str, np.ndarray], title: str, description: str) -> np.ndarray:
    """Sets the panels in a row, with title and captions."""
    width = GAP + len(panels) * (PANEL_WIDTH + GAP)
    sheet = Image.new("RGB", (width, TITLE + PANEL_HEIGHT + CAPTION), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, TITLE / 2), title, INK, _font(26), anchor="lm")
    pen.text((width - GAP, TITLE / 2), description, FAINT, _font(17), anchor="rm")
    for k, (caption, panel) in enumerate(panels.items()):
        left = GAP + k * (PANEL_WIDTH + GAP)
        sheet.paste(Image.fromarray(np.uint8(np.round(255 * panel))), (left, TITLE))
        middle = (left + PANEL_WIDTH / 2, TITLE + PANEL_HEIGHT + CAPTION / 2)
        pen.text(middle, caption, INK, _font(17), anchor="mm")
    return np.asarray(sheet)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
