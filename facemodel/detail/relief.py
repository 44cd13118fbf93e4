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

SMALLEST_FACE_PX = 150
GRAZING, FACING = 0.2, 0.45
"""Cosines of normal and view between which detail fades in."""
DEPTH_STEP_MM = 1.5
"""Depth beyond the slope that neighbours may differ by; more is an outline."""
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
    fade = fading(buffers, crop)
    light, displacement, strength = _explain(crop, buffers, fade, settings)
    return _finished(crop, buffers, fade, light, displacement, strength)


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


def _explain(crop: Crop, buffers: Buffers, fade, settings: Settings):
    """Light, displacement and the strength of the data, before the confidence."""
    seen = fade * crop.exposed
    ratio = crop.log - buffers.albedo
    sure = seen / (buffers.spread + ALBEDO_VARIANCE)
    light = fit_light(buffers.normals.reshape(-1, 3), ratio.reshape(-1, 3), sure.ravel())
    shading, slope = light.log_shading(buffers.normals)
    slope = slope - buffers.normals * (slope * buffers.normals).sum(-1, keepdims=True)
    sensitivity = np.sqrt((slope * slope).sum(-1))
    low_px = settings.low_mm * crop.pose.scale
    residual = np.where(buffers.mask[..., None], ratio - shading[..., None], 0)
    fine, plain = high_pass(residual, seen, low_px, robust=0.1)
    doubt = _doubt(crop, buffers, shading, seen, settings)
    found = separate(
        fine, plain, doubt, sensitivity, crop.pose.scale, settings, grey=crop.grey
    )
    displacement, strength = solve_relief(
        light, buffers.normals, found, seen, crop.pose.scale, settings
    )
    return light, displacement, strength


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


def _finished(crop: Crop, buffers: Buffers, fade, light, displacement, strength) -> Relief:
    """Fades the displacement out and computes normals and confidence."""
    scale = crop.pose.scale
    tall = float(np.ptp(np.flatnonzero(buffers.mask.any(1)))) if buffers.mask.any() else 0.0
    flags = ["detail_without_colour"] if crop.grey else []
    soft = cv2.GaussianBlur(fade, (0, 0), max(0.5 * scale, 0.5)) * (fade > 0)
    if tall < SMALLEST_FACE_PX:
        flags, soft = [*flags, "no_detail_small_face"], 0 * soft
    displacement = displacement * soft
    right, up = gradient(displacement)
    normals, _ = tilted_normals(buffers.normals, right, up, scale)
    normals = np.where(buffers.mask[..., None], normals, buffers.normals)
    confidence = soft * strength / (strength + 100.0 * scale**2)
    return Relief(
        displacement, normals, buffers.normals, confidence, buffers.depth, crop.pose,
        crop.corner, crop.zoom, light, tuple(flags),
    )  # fmt: skip
