"""The detail step: from a photo and a coarse face to a relief of wrinkles and pores."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from facemodel.detail.crop import Crop, cut_crop
from facemodel.detail.light import Light, fit_light
from facemodel.detail.separation import high_pass, separate
from facemodel.detail.settings import Settings
from facemodel.detail.solve import gradient, solve_relief, tilted_normals
from facemodel.detail.surface import Buffers, CameraPose, CoarseSurface, render_buffers
from facemodel.vectors import dot, largest_channel, length, mean_channel

SMALLEST_FACE_PX = 150
GRAZING, FACING = 0.2, 0.45
"""Cosines of normal and view between which detail fades in."""
DEPTH_STEP_MM = 1.5
"""Depth beyond the slope that neighbours may differ by; more is an outline."""
SMALLEST_SHARE = 0.1
"""Of the face's pixels that must be trusted for any detail."""
KNOWING = 10.0
"""Strength of the data, for slopes in mm per mm, at which the confidence is one half."""
ODD_GREY, ODD_COLOUR = 0.5, 0.2
"""Differences in log brightness and log colour at which something is as likely no skin."""
ALBEDO_VARIANCE = 0.003
"""Variance of log albedo that any skin has; where the face model has more, the light is less sure
to be read."""


@dataclasses.dataclass(frozen=True, eq=False)
class Relief:
    """Fine detail of one face, on a crop of its photo.

    Attributes:
      displacement: [H, W] mm along the coarse normals, outwards.
      normals: [H, W, 3] refined unit normals, camera frame; to the viewer outside the face.
      coarse_normals: [H, W, 3] those of the coarse face.
      confidence: [H, W] in [0, 1].
      depth: [H, W] mm towards the viewer, of the coarse face.
      pose: of the face in the crop.
      corner, zoom: crop px = (photo px - corner) * zoom.
      light: the photo's light.
      flags: some of "no_detail_small_face", "detail_without_colour", "no_detail_hidden".
    """

    displacement: np.ndarray
    normals: np.ndarray
    coarse_normals: np.ndarray
    confidence: np.ndarray
    depth: np.ndarray
    pose: CameraPose
    corner: np.ndarray
    zoom: np.ndarray
    light: Light
    flags: tuple[str, ...]

    def at(self, image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Reads an image [H, W, ...] of the crop at pixels [N, 2] of the photo, bilinearly."""
        return _bilinear(image, (pixels - self.corner) * self.zoom)

    def on_vertices(self, vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Samples the displacement at vertices of the same coarse face at any level.

        Args:
          vertices: [V, 3] mm, model space.
          normals: [V, 3] unit, model space.

        Returns:
          [V] mm along the normals; 0 where the photo does not show the vertex.
        """
        screen = self.pose.project(vertices)
        facing = normals @ self.pose.rotation[2] > GRAZING
        height, width = self.depth.shape
        inside = ((screen[:, :2] > 0) & (screen[:, :2] < (width, height))).all(-1)
        behind = _bilinear(self.depth, screen[:, :2]) - screen[:, 2] > DEPTH_STEP_MM
        found = _bilinear(self.displacement, screen[:, :2])
        return np.where(facing & inside & ~behind, found, 0).astype(np.float32)


def recover_relief(
    photo: np.ndarray, surface: CoarseSurface, pose: CameraPose, settings: Settings | None = None
) -> Relief:
    """Recovers fine detail.

    Args:
      photo: uint8 [H, W, 3] sRGB.
      surface: the coarse face.
      pose: of the face in the photo.
      settings: how it is done.

    Source: Or-El et al. 2015, "RGBD-Fusion: Real-Time High Precision Depth Recovery".
    """
    settings = settings or Settings()
    crop = cut_crop(photo, pose.project(surface.vertices)[:, :2], pose)
    height, width = crop.noise.shape
    buffers = render_buffers(surface, crop.pose, height=height, width=width)
    seen = fading(buffers, crop) * crop.exposed
    light = _read_light(crop, buffers, seen)
    shown = np.flatnonzero(buffers.mask.any(1))
    if len(shown) == 0 or np.ptp(shown) < SMALLEST_FACE_PX:
        nothing = np.zeros((height, width), np.float32)
        found, flag = (nothing, nothing, nothing), "no_detail_small_face"
    else:
        found = _explain(crop, buffers, light, seen, settings)
        hidden = found[0].sum() < SMALLEST_SHARE * buffers.mask.sum()
        flag = "no_detail_hidden" if hidden else ""
    return _finished(crop, buffers, light, found, flag)


def _bilinear(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Reads [H, W, ...] at pixels [N, 2]; the border goes on outside."""
    height, width = image.shape[:2]
    place = np.clip(pixels - 0.5, 0, (width - 1.0, height - 1.0))
    left, top = np.minimum(np.floor(place), (width - 2, height - 2)).astype(int).T
    across, down = (place - np.stack([left, top], -1)).T.reshape(2, -1, *[1] * (image.ndim - 2))
    upper = image[top, left] * (1 - across) + image[top, left + 1] * across
    lower = image[top + 1, left] * (1 - across) + image[top + 1, left + 1] * across
    return upper * (1 - down) + lower * down


def fading(buffers: Buffers, crop: Crop) -> np.ndarray:
    """[H, W] in [0, 1], 0 where one pixel cannot tell: outlines, grazing angles, no skin."""
    facing = np.clip((buffers.normals[..., 2] - GRAZING) / (FACING - GRAZING), 0, 1)
    steps = _depth_steps(buffers, crop.pose.scale)
    inside = (buffers.mask & ~steps).astype(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    edge = np.clip(distance / (3.0 * crop.pose.scale) - 0.3, 0, 1)
    return (facing * edge * np.clip(2 * buffers.skin - 1, 0, 1)).astype(np.float32)


def _depth_steps(buffers: Buffers, scale: float) -> np.ndarray:
    wide = np.ones((3, 3), np.uint8)
    rise = cv2.dilate(buffers.depth, wide) - cv2.erode(buffers.depth, wide)
    slope = np.sqrt(1 / np.maximum(buffers.normals[..., 2], 0.1) ** 2 - 1)
    return rise > DEPTH_STEP_MM + 3.0 * slope / scale


def _read_light(crop: Crop, buffers: Buffers, seen: np.ndarray) -> Light:
    sure = seen / (buffers.spread + ALBEDO_VARIANCE)
    ratio = crop.log - buffers.albedo
    return fit_light(buffers.normals.reshape(-1, 3), ratio.reshape(-1, 3), sure.ravel())


def _explain(crop: Crop, buffers: Buffers, light: Light, seen, settings: Settings):
    """How far pixels are trusted, the displacement, and how strongly the data speak of it."""
    shading, slope = light.log_shading(buffers.normals)
    slope = slope - buffers.normals * dot(slope, buffers.normals)[..., None]
    sensitivity = length(slope)
    scale = crop.pose.scale
    residual = crop.log - buffers.albedo - shading[..., None]
    residual = np.where(buffers.mask[..., None], residual, 0)
    fine, plain = high_pass(residual, seen, settings.low_mm * scale, robust=0.1)
    doubt = _doubt(crop, buffers, shading, seen, settings)
    found = separate(fine, plain, doubt, sensitivity, scale, settings, grey=crop.grey)
    trusted = seen * skin_likeness(residual - fine, plain)
    return trusted, *solve_relief(light, buffers.normals, found, trusted, scale, settings)


def skin_likeness(smooth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How much smoothed colours are those of lit skin: not of hair, glasses, hands or deep shadow.

    Args:
      smooth: [H, W, 3] log of the photo over the coarse face in its light, smoothed.
      weights: [H, W] of pixels that are no outliers.

    Returns:
      [H, W] in [0, 1].
    """
    seen = smooth[weights > 0.3 * weights.max()] if weights.any() else smooth.reshape(-1, 3)
    away = smooth - np.median(seen, 0)
    grey = mean_channel(away)
    colour = largest_channel(np.abs(away - grey[..., None]))
    return 1.0 / (1.0 + np.square((grey / ODD_GREY) ** 2) + np.square((colour / ODD_COLOUR) ** 2))


def _doubt(crop: Crop, buffers: Buffers, shading, seen, settings: Settings) -> np.ndarray:
    """[H, W] variance of log shading that noise, albedo and the coarse shape may cause.

    The coarse face's own creases and edges never lie exactly where the photo has them, so what
    they change at fine scale is as large as the error that they can make.
    """
    known = np.stack([shading, buffers.albedo[..., 1]], -1) * buffers.mask[..., None]
    own, _ = high_pass(known, seen, settings.low_mm * crop.pose.scale, robust=10.0)
    around = cv2.GaussianBlur(own * own, (0, 0), settings.odd_mm * crop.pose.scale)
    albedo = settings.albedo_gain * (buffers.covariance[..., 3] + around[..., 1])
    return crop.noise**2 + albedo + settings.shape_gain * around[..., 0]


def _finished(
    crop: Crop, buffers: Buffers, light: Light, found: tuple[np.ndarray, ...], flag: str
) -> Relief:
    """Fades the displacement out and computes normals and confidence; found is as by _explain."""
    trusted, displacement, strength = found
    scale = crop.pose.scale
    soft = cv2.GaussianBlur(trusted, (0, 0), max(scale, 0.5)) * buffers.mask
    displacement = displacement * np.clip(1.2 * soft, 0, 1) * (flag == "")
    normals = buffers.normals
    if displacement.any():
        right, up = gradient(displacement)
        tilted, _ = tilted_normals(normals, right, up, scale)
        normals = np.where(buffers.mask[..., None], tilted, normals)
    confidence = (flag == "") * soft * strength / (strength + KNOWING * scale**2)
    flags = ("detail_without_colour",) * crop.grey + (flag,) * (flag != "")
    return Relief(
        displacement, normals, buffers.normals, confidence, buffers.depth, crop.pose,
        crop.corner, crop.zoom, light, flags,
    )  # fmt: skip
