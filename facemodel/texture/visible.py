"""Colours for the vertices of a face: from the photo where it shows them, else from the model."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage, sparse

from facemodel.morphable.mesh import vertex_normals
from facemodel.rendering import rasterizer

SAMPLE_PX_PER_MM = 1.0
"""The photo is reduced to this before it is sampled: vertices lie 1 to 3 mm apart."""
GRAZING, FACING = 0.15, 0.45
"""Cosines of normal and view: below the first a vertex is hidden, above the other seen."""
DEPTH_TOLERANCE_MM = 3.0
SMOOTHING_STEPS = 3
SKIN = 0
"""Number of that region in a face model; the others are eyes, teeth, tongue and mouth."""


def photo_colours(photo: np.ndarray, face) -> tuple[np.ndarray, np.ndarray]:
    """Takes the colours of a face from the photo it was found in.

    The light of the photo stays in them. Vertices that the photo doesn't show keep the model's mean
    albedo, brought to the brightness and tone of the visible skin; between the two the change is
    gradual.

    Args:
      photo: uint8 [H, W, 3] sRGB.
      face: Reconstruction from it.

    Returns:
      uint8 [V, 3] sRGB, and how much of each vertex is the photo's, [V] in [0, 1].
    """
    arrays = face.model.arrays
    albedo, skin = arrays["albedo_mean"], arrays["regions"] == SKIN
    part, pixels, depth = _at_sampling_scale(photo, face)
    normals = vertex_normals(face.vertices, face.triangles) @ face.rotation.T
    seen = visibility(pixels, depth, normals, face.triangles, size=part.shape[:2])
    seen = np.where(skin, _smoothed(seen, face.triangles), seen)
    sampled = _bilinear(part, pixels)
    gain = _gain(sampled[skin], albedo[skin], seen[skin])
    hidden = np.clip(albedo * np.where(skin[:, None], gain, gain.mean()), 0.0, 1.0)
    colours = sampled * seen[:, None] + hidden * (1.0 - seen[:, None])
    return np.round(255.0 * colours).astype(np.uint8), seen


def _at_sampling_scale(photo: np.ndarray, face):
    """The part of the photo under the mesh, reduced, as float [h, w, 3]; vertices in its pixels."""
    pixels, depth = face.to_photo(face.vertices)
    size = np.array(photo.shape[1::-1])
    first = np.clip(np.floor(pixels.min(0)) - 2, 0, size - 1).astype(int)
    last = np.clip(np.ceil(pixels.max(0)) + 2, first + 1, size).astype(int)
    part = photo[first[1] : last[1], first[0] : last[0]]
    zoom = min(1.0, SAMPLE_PX_PER_MM / face.scale)
    wanted = np.maximum(1, np.round((last - first) * zoom)).astype(int)
    if zoom < 1.0:
        part = cv2.resize(part, tuple(wanted.tolist()), interpolation=cv2.INTER_AREA)
    return part / 255.0, (pixels - first) * (wanted / (last - first)), depth


def visibility(
    pixels: np.ndarray,
    depth: np.ndarray,
    normals: np.ndarray,
    triangles: np.ndarray,
    *,
    size: tuple[int, int],
) -> np.ndarray:
    """How well an image shows each vertex.

    Args:
      pixels: [V, 2] px.
      depth: [V] mm towards the viewer.
      normals: [V, 3] unit, camera frame.
      triangles: [T, 3].
      size: (height, width) px of the image.

    Returns:
      [V] in [0, 1]; 0 for vertices behind others, turned away, or outside the image.
    """
    height, width = size
    screen = np.concatenate([pixels, depth[:, None]], 1).astype(np.float32)[None]
    identity = rasterizer.rasterize(screen, triangles, height=height, width=width)
    weights = rasterizer.barycentric(screen, triangles, identity)
    depths = np.asarray(rasterizer.interpolate(screen[..., 2:], triangles, identity, weights))
    nearest: np.ndarray = np.where(np.asarray(identity)[0] >= 0, depths[0, ..., 0], -np.inf)
    inside = ((pixels >= 0.5) & (pixels <= np.array([width, height]) - 0.5)).all(-1)
    column, row = np.clip(np.floor(pixels), 0, np.array([width, height]) - 1).astype(int).T
    in_front = depth >= nearest[row, column] - DEPTH_TOLERANCE_MM
    facing = np.clip((normals[:, 2] - GRAZING) / (FACING - GRAZING), 0.0, 1.0)
    return facing * facing * (3.0 - 2.0 * facing) * (inside & in_front)


def _smoothed(values: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Spreads low values over neighbours, so that no seam shows; never raises a value."""
    start = triangles.ravel()
    end = np.roll(triangles, -1, axis=1).ravel()
    pairs = (np.ones(2 * len(start)), (np.r_[start, end], np.r_[end, start]))
    neighbours = sparse.csr_matrix(pairs, shape=(len(values), len(values)))
    count = np.maximum(np.asarray(neighbours.sum(1)).ravel(), 1.0)
    for _ in range(SMOOTHING_STEPS):
        values = np.minimum(values, neighbours @ values / count)
    return values


def _bilinear(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Samples [H, W, 3] at pixels [N, 2]; the border goes on outside."""
    place = pixels.T[::-1] - 0.5  # cv2.remap would round it to 1/32 px
    channels = [
        ndimage.map_coordinates(channel, place, order=1, mode="nearest")
        for channel in np.moveaxis(image, -1, 0)
    ]
    return np.stack(channels, -1)


def _gain(sampled: np.ndarray, albedo: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """[3] what the mean albedo is multiplied by to look like the skin that is seen."""
    if seen.sum() < 1.0:
        return np.ones(3)
    weights = seen / seen.sum()
    return np.clip(weights @ sampled / np.maximum(weights @ albedo, 1e-3), 0.1, 3.0)
