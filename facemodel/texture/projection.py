"""Where the points of a mesh are seen in a photo, and how well."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from facemodel.morphable.mesh import vertex_normals
from facemodel.rendering.numpy_rasterizer import barycentric, rasterize_numpy

GRAZING, FACING = 0.15, 0.5
"""Cosines of normal and view: below the first a point is hidden, above the other seen."""
DEPTH_TOLERANCE_MM = 3.0
OUTLINE_MM = (1.0, 5.0)
"""From the outline of the head inwards: nothing is taken up to the first, all from the other on."""
EDGE_MM = (0.5, 2.5)
"""The same along edges where one part of the head stands before another."""
EDGE_STEP_MM = 4.0
"""A step in depth between neighbouring pixels that makes such an edge."""
_FAR_MM = 1e6
_REMAP_LIMIT = 32_000


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """A mesh in the part of a photo around it.

    Attributes:
      image: float32 [h, w, 3] sRGB in [0, 1], that part, perhaps reduced.
      pixels: [V, 2] px of image.
      depth: [V] mm to the viewer.
      normals: [V, 3] unit, camera frame.
      px_per_mm: of image.
      corner: [2] px of the photo, top left of that part.
      zoom: [2] pixels of image for a pixel of the photo.
    """

    image: np.ndarray
    pixels: np.ndarray
    depth: np.ndarray
    normals: np.ndarray
    px_per_mm: float
    corner: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(2))
    zoom: np.ndarray = dataclasses.field(default_factory=lambda: np.ones(2))

    def to(self, other: View, pixels: np.ndarray) -> np.ndarray:
        """Pixels [N, 2] of this view in another view of the same photo, float32."""
        scale = other.zoom / self.zoom
        offset = (self.corner - other.corner) * other.zoom
        return pixels * scale.astype(np.float32) + offset.astype(np.float32)


def view_of(
    photo: np.ndarray,
    vertices: np.ndarray,
    triangles: np.ndarray,
    pose,
    *,
    px_per_mm: float,
    margin_mm: float = 1.0,
) -> View:
    """Cuts the part of a photo that a mesh covers, reduced to a resolution if it is finer.

    Args:
      photo: uint8 [H, W, 3] sRGB.
      vertices: [V, 3] mm, model space.
      triangles: [T, 3].
      pose: has rotation [3, 3], scale px/mm and translation [2] px, as camera.Pose.
      px_per_mm: Largest resolution of the result.
      margin_mm: What is kept around the mesh where the photo has it.
    """
    camera = vertices @ np.asarray(pose.rotation, np.float32).T
    pixels = camera[:, :2] * (pose.scale, -pose.scale) + pose.translation
    size = np.array(photo.shape[1::-1])
    margin = margin_mm * float(pose.scale) + 1.0
    first = np.clip(np.floor(pixels.min(0) - margin), 0, size - 1).astype(int)
    last = np.clip(np.ceil(pixels.max(0) + margin), first + 1, size).astype(int)
    part = photo[first[1] : last[1], first[0] : last[0]]
    zoom = min(1.0, px_per_mm / float(pose.scale))
    wanted = np.maximum(1, np.round((last - first) * zoom)).astype(int)
    if zoom < 1.0:
        part = cv2.resize(part, tuple(wanted.tolist()), interpolation=cv2.INTER_AREA)
    zooms = wanted / (last - first)
    normals = vertex_normals(camera, triangles)
    image = part.astype(np.float32) * np.float32(1 / 255.0)
    reduced = ((pixels - first) * zooms).astype(np.float32)
    return View(
        image, reduced, camera[:, 2], normals, float(pose.scale) * float(zooms.mean()), first, zooms
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Footprint:
    """What each pixel of a view sees of the mesh.

    Attributes:
      pixel: [P] into all h * w pixels: those that the mesh covers.
      triangle: [P] the triangle seen there.
      corners: [P, 3] its vertices.
      weights: [P, 3] barycentric.
      depth: float32 [h, w] mm to the viewer, -inf outside the mesh.
    """

    pixel: np.ndarray
    triangle: np.ndarray
    corners: np.ndarray
    weights: np.ndarray
    depth: np.ndarray

    def image(self, values: np.ndarray, outside: float = 0.0) -> np.ndarray:
        """Interpolates values at vertices [V, C] to an image [h, w, C]."""
        height, width = self.depth.shape
        filled = np.full((height * width, values.shape[1]), outside, np.float32)
        corners = (values.astype(np.float32).take(self.corners[:, k], axis=0) for k in range(3))
        filled[self.pixel] = sum(w[:, None] * c for w, c in zip(self.weights.T, corners))
        return filled.reshape(height, width, -1)


def footprint(view: View, triangles: np.ndarray) -> Footprint:
    """Finds the triangles that the pixels of a view see."""
    height, width = view.image.shape[:2]
    screen = np.concatenate([view.pixels, view.depth[:, None]], 1).astype(np.float32)
    pixel, triangle = rasterize_numpy(screen, triangles, height=height, width=width)
    corners = triangles[triangle]
    weights = np.ascontiguousarray(barycentric(screen, triangles, pixel, triangle, width).T)
    depth = np.full(height * width, -np.inf, np.float32)
    depth[pixel] = (weights * screen[corners, 2]).sum(1)
    return Footprint(pixel, triangle, corners, weights, depth.reshape(height, width))


def inside_edges(depth: np.ndarray, px_per_mm: float) -> np.ndarray:
    """How far inside outline and occluding edges pixels are: depth [h, w] mm -> [h, w] in [0, 1].

    The mesh never lies on the photo exactly: what is near an edge may be background.
    """
    inside = np.isfinite(depth)
    padded = np.pad(inside.astype(np.uint8), 1)
    outline = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1] / px_per_mm
    lowest = np.where(inside, depth, _FAR_MM).astype(np.float32)
    highest = np.where(inside, depth, -_FAR_MM).astype(np.float32)
    kernel = np.ones((3, 3), np.uint8)
    step = cv2.dilate(highest, kernel) - cv2.erode(lowest, kernel)
    smooth = (~(inside & (step > EDGE_STEP_MM + 2.0 / px_per_mm))).astype(np.uint8)
    # Without any edge OpenCV returns the largest float.
    edge = np.minimum(cv2.distanceTransform(smooth, cv2.DIST_L2, 5), 1e4) / px_per_mm
    return smoothstep(outline, *OUTLINE_MM) * smoothstep(edge, *EDGE_MM) * inside


def smoothstep(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 up to low, 1 from high on, smooth in between."""
    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    result: np.ndarray = share * share * (3.0 - 2.0 * share)
    return result


def sample(image: np.ndarray, pixels: np.ndarray, *, cubic: bool = False) -> np.ndarray:
    """Samples [h, w] or [h, w, C] at pixels [N, 2] px; the border goes on outside.

    Linear, or cubic. cv2 rounds places to 1/32 px, which is finer than any pose.
    """
    way = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    found = []
    for begin in range(0, len(pixels), _REMAP_LIMIT):  # cv2.remap takes no more at once
        place = np.ascontiguousarray(pixels[begin : begin + _REMAP_LIMIT], np.float32) - 0.5
        found.append(
            cv2.remap(
                image, place[:, None, 0], place[:, None, 1], way, borderMode=cv2.BORDER_REPLICATE
            )[:, 0]
        )
    empty = np.zeros((0, *image.shape[2:]), image.dtype)
    return np.concatenate(found) if found else empty


def visible(view: View, seen: Footprint, points: tuple[np.ndarray, np.ndarray, np.ndarray]):
    """How well a view shows points of the mesh: [N] in [0, 1].

    Args:
      view: the view.
      seen: its footprint.
      points: pixels [N, 2], depth [N] mm and the cosine [N] of normal and view.
    """
    pixels, depth, cosine = points
    height, width = view.image.shape[:2]
    shown = np.zeros(len(pixels), np.float32)
    x, y = pixels[:, 0], pixels[:, 1]
    inside = (x >= 0.5) & (x <= width - 0.5) & (y >= 0.5) & (y <= height - 0.5)
    near = np.flatnonzero(inside & (cosine > GRAZING))
    nearest = seen.depth[y[near].astype(np.intp), x[near].astype(np.intp)]
    near = near[depth[near] >= nearest - DEPTH_TOLERANCE_MM]
    shown[near] = smoothstep(cosine[near], GRAZING, FACING)
    return shown
