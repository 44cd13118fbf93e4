"""One picture of what was found: photo, mesh, shading, texture, turned and relit views."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from facemodel.transforms import euler_rotation
from serving.output import panels
from serving.output.panels import FRONT, PANEL_HEIGHT, PANEL_WIDTH
from serving.output.textured_mesh import TexturedMesh
from serving.output.textured_views import surface_normals
from serving.reconstructor import Reconstruction

GAP, TITLE, CAPTION = 14, 64, 40
COLUMNS = 5
TURN_DEG = 38.0
PAPER, INK, FAINT = (250, 249, 247), (38, 38, 42), (125, 124, 122)

COARSE, FINE = "shading without detail", "shading with detail"
TURNED = {side: f"turned {TURN_DEG:.0f}° {side}" for side in ("left", "right")}
LIT = {side: f"lit from the {side}" for side in ("left", "right")}
PHOTO, OVERLAY = "photo and crop", "mesh over the photo"
TEXTURED, PLAIN = "textured", "from the front"
TEXTURE, COMPLETED = "texture", "texture; striped: not from the photo"
CAPTIONS = (
    PHOTO,
    OVERLAY,
    COARSE,
    FINE,
    TEXTURE,
    COMPLETED,
    TURNED["left"],
    TEXTURED,
    PLAIN,
    TURNED["right"],
    LIT["left"],
    LIT["right"],
)
"""In the order of the sheet."""


def render_overview(
    photo: np.ndarray,
    face: Reconstruction,
    mesh: TexturedMesh,
    *,
    detailed: TexturedMesh | None = None,
    from_photo: np.ndarray | None = None,
    albedo: np.ndarray | None = None,
) -> np.ndarray:
    """Renders the overview of one face.

    Args:
      photo: uint8 [H, W, 3] sRGB.
      face: reconstructed from it: pose, crop and flags.
      mesh: the head; its name is the title.
      detailed: the same with more vertices, for the shading with detail; the mesh with its normal
        map if None. Without either there is no such panel.
      from_photo: [S, S] in [0, 1], which part of each texel the photo gave; None to mark none.
      albedo: uint8 [S, S, 3] texture without the photo's light, for the relit panels; the mesh's
        texture if None.

    Returns:
      uint8 [H', W', 3].

    Source: what figures 2, 7, 8 and 9 of the paper show.
    """
    plain = mesh.plain_colour is not None
    map_caption = TEXTURE if from_photo is None else COMPLETED
    tasks: tuple[Callable[[], dict[str, np.ndarray]], ...] = (
        lambda: _front(mesh, detailed, albedo),
        lambda: {OVERLAY: panels.overlay_panel(photo, face, mesh)},
        lambda: _turned(mesh, "left"),
        lambda: _turned(mesh, "right"),
        lambda: {PHOTO: panels.photo_panel(photo, face)},
        lambda: {} if plain else {map_caption: panels.texture_panel(mesh, from_photo)},
    )
    with ThreadPoolExecutor(2) as pool:
        found = {
            key: panel
            for part in pool.map(lambda task: task(), tasks)
            for key, panel in part.items()
        }
    return _sheet(
        {key: found[key] for key in CAPTIONS if key in found}, mesh.name, _description(face)
    )


def _front(mesh, detailed, albedo) -> dict[str, np.ndarray]:
    """All panels from in front, which share one view."""
    view = panels.centred(mesh, FRONT)
    coarse = normals = surface_normals(view, mesh, FRONT, detail=False)
    found = {
        COARSE: panels.shading_panel(view, coarse),
        TEXTURED if mesh.plain_colour is None else PLAIN: panels.textured_panel(view, mesh, FRONT),
    }
    if mesh.normal_map is not None:
        normals = surface_normals(view, mesh, FRONT)
        found[FINE] = panels.shading_panel(view, normals)
    if detailed is not None:
        fine = panels.centred(detailed, FRONT)
        found[FINE] = panels.shading_panel(fine, surface_normals(fine, detailed, FRONT))
    for side, sign in (("left", -1.0), ("right", 1.0)):
        found[LIT[side]] = panels.relit_panel(view, mesh, normals, side=sign, albedo=albedo)
    return found


def _turned(mesh: TexturedMesh, side: str) -> dict[str, np.ndarray]:
    rotation = yaw_rotation(-TURN_DEG if side == "left" else TURN_DEG)
    view = panels.centred(mesh, rotation)
    return {TURNED[side]: panels.textured_panel(view, mesh, rotation)}


def yaw_rotation(yaw_deg: float, pitch_deg: float = 0.0) -> np.ndarray:
    """[3, 3] camera_from_model of a head that is turned to image right, then down."""
    angles = np.radians([yaw_deg, pitch_deg, 0.0]).astype(np.float32)
    return np.asarray(euler_rotation(*angles), np.float64)


def _description(face: Reconstruction) -> str:
    quality, facts = face.quality, face.model.facts
    flags = ", ".join(flag.replace("_", " ") for flag in face.flags) or "none"
    return (
        f"yaw {quality.yaw_deg:+.0f}°   pitch {quality.pitch_deg:+.0f}°   "
        f"roll {quality.roll_deg:+.0f}°   {face.scale:.2f} px/mm   "
        f"{facts['model_name']} {facts['model_version']}   flags: {flags}"
    )


def _sheet(found: Mapping[str, np.ndarray], title: str, description: str) -> np.ndarray:
    """Sets the panels in rows, with title and captions."""
    columns = min(COLUMNS, len(found))
    rows = -(-len(found) // COLUMNS)
    width = GAP + columns * (PANEL_WIDTH + GAP)
    pixels = np.full((TITLE + rows * (PANEL_HEIGHT + CAPTION), width, 3), PAPER, np.uint8)
    for (left, top), panel in zip(_places(columns), found.values()):
        place = pixels[top : top + PANEL_HEIGHT, left : left + PANEL_WIDTH]
        place[:] = 255 * panel + 0.5
    sheet = Image.fromarray(pixels)
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, TITLE / 2), title, INK, _font(26), anchor="lm")
    pen.text((width - GAP, TITLE / 2), description, FAINT, _font(17), anchor="rm")
    for (left, top), caption in zip(_places(columns), found):
        middle = (left + PANEL_WIDTH / 2, top + PANEL_HEIGHT + CAPTION / 2)
        pen.text(middle, caption, INK, _font(17), anchor="mm")
    return np.asarray(sheet)


def _places(columns: int) -> Iterator[tuple[int, int]]:
    """Left and top px of one panel after the other."""
    number = 0
    while True:
        row, column = divmod(number, columns)
        yield GAP + column * (PANEL_WIDTH + GAP), TITLE + row * (PANEL_HEIGHT + CAPTION)
        number += 1


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
