"""What the texture files say about each vertex: skin detail, lips and eyebrows.

Everything is read at a fine level and averaged down to the level that stores colours, so that hairs
and pores finer than the mesh do not alias.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping

import numpy as np
import scipy.ndimage

from facemodel.default_model import colour, makehuman, regions, zbuffer

_SKIN_PATH = re.compile(r"package/public/data/skins/[^/]+/textures/(?!.*special).*\.png")
_BROW_PATH = re.compile(
    r"package/public/data/proxies/eyebrows/(eyebrow\d{3})/.*(?<!thumb)\.(json|png)"
)

_DARKEST, _BRIGHTEST = 0.02, 1.0
_CHROMA_KEPT = 0.6
_DETAIL_LIMITS = (-1.2, 0.6)
_DARK_SKIN = 0.35
_CORE_HALF_WIDTH_MM = 70.0
_CORE_TOP_MM = 55.0

_BROW_LIFTS_DM = (0.045, 0.08, 0.115)
"""How far the strips are lowered, three places for each strip."""
_BROW_BLUR_PX = 1.5
_BROW_SLACK = 1e-4
_BROW_FRONT_DM = 0.9


@dataclasses.dataclass(frozen=True, eq=False)
class SkinMaps:
    """Per-vertex values from the texture files.

    Attributes:
      details: [K, V, 3] natural logarithm of each skin over its mean colour.
      dark: [K] whether the skin is a dark one.
      lips: [V] in [0, 1].
      brows: [B, V] opacity of each eyebrow shape in [0, 1].
    """

    details: np.ndarray
    dark: np.ndarray
    lips: np.ndarray
    brows: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class BrowStrip:
    """A pair of eyebrows on a strip of quads that was fitted to the base mesh.

    Attributes:
      corners: [T, 3, 2] x and y of the triangles' corners, decimetres.
      corner_uvs: [T, 3, 2].
      opacity: [H, W, 1] in [0, 1].
    """

    corners: np.ndarray
    corner_uvs: np.ndarray
    opacity: np.ndarray


def is_needed(name: str) -> bool:
    """Tells whether a file of the texture package takes part in the build."""
    return bool(_SKIN_PATH.fullmatch(name) or _BROW_PATH.fullmatch(name))


def skin_maps(
    textures: Mapping[str, bytes],
    lip_mask: bytes,
    *,
    positions: np.ndarray,
    base_positions: np.ndarray,
    uv: np.ndarray,
    labels: np.ndarray,
) -> SkinMaps:
    """Reads the texture files at vertices.

    Args:
      textures: name -> content of the texture package's files for which is_needed.
      lip_mask: the JPEG of the lips in base.obj's texture space.
      positions: [V, 3] mm, model space.
      base_positions: [V, 3] decimetres on the undeformed base mesh, which the eyebrow strips fit.
      uv: [V, 2].
      labels: [V] index into regions.REGIONS.
    """
    skin = labels == regions.SKIN
    images = skin_images(textures)
    core = skin & (np.abs(positions[:, 0]) < _CORE_HALF_WIDTH_MM) & (positions[:, 1] < _CORE_TOP_MM)
    details, tones = zip(*(_detail(image, uv, core) for image in images), strict=True)
    strips = brow_strips(textures)
    brows = [
        _brow(strip, base_positions, skin, drop) for strip in strips for drop in _BROW_LIFTS_DM
    ]
    return SkinMaps(
        details=np.stack(details),
        dark=np.array(tones) < _DARK_SKIN,
        lips=colour.sample(colour.read_image(lip_mask, "L"), uv)[:, 0] * skin,
        brows=np.stack(brows),
    )


def skin_images(textures: Mapping[str, bytes]) -> list[np.ndarray]:
    """The skins [H, W, 3] sRGB in [0, 1], in base.obj's texture space, by name."""
    return [
        colour.read_image(textures[name], "RGB")
        for name in sorted(textures)
        if _SKIN_PATH.fullmatch(name)
    ]


def brow_strips(textures: Mapping[str, bytes]) -> list[BrowStrip]:
    """Reads the eyebrow strips, in the order of their names.

    Source: three.js JSON model format 3; faces of type 11 are quads with material and UV layer.
    """
    files: dict[str, dict[str, bytes]] = {}
    for name, content in textures.items():
        if match := _BROW_PATH.fullmatch(name):
            files.setdefault(match[1], {})[match[2]] = content
    return [_brow_strip(files[name]["json"], files[name]["png"]) for name in sorted(files)]


def _brow_strip(model: bytes, image: bytes) -> BrowStrip:
    data = json.loads(model)
    vertices = np.array(data["vertices"], np.float64).reshape(-1, 3)
    uvs = np.array(data["uvs"][0], np.float64).reshape(-1, 2)
    kind, *corners = np.array(data["faces"]).reshape(-1, 10).T
    if not (kind == 11).all():
        raise makehuman.FormatError(
            f"expected quads with texture coordinates only, got {set(kind)}"
        )
    faces = np.stack(corners[:4], axis=1)
    face_uvs = np.stack(corners[5:], axis=1)
    halves = [[0, 1, 2], [0, 2, 3]]
    opacity = colour.read_image(image, "RGBA")[..., 3]
    return BrowStrip(
        corners=vertices[np.concatenate([faces[:, half] for half in halves]), :2],
        corner_uvs=uvs[np.concatenate([face_uvs[:, half] for half in halves])],
        opacity=scipy.ndimage.gaussian_filter(opacity, _BROW_BLUR_PX)[..., None],
    )


def _detail(image: np.ndarray, uv: np.ndarray, core: np.ndarray) -> tuple[np.ndarray, float]:
    """A skin's log detail [V, 3] and its mean brightness."""
    logs = np.log(np.clip(colour.sample(image, uv), _DARKEST, _BRIGHTEST))
    tone = logs[core].mean(0)
    detail = logs - tone
    luminance = detail.mean(1, keepdims=True)
    detail = np.clip(luminance + _CHROMA_KEPT * (detail - luminance), *_DETAIL_LIMITS)
    return detail, float(np.exp(tone).mean())


def _brow(strip: BrowStrip, positions: np.ndarray, skin: np.ndarray, drop: float) -> np.ndarray:
    """[V] opacity of a strip, projected along z and lowered by drop decimetres."""
    usable = np.ptp(strip.corners, axis=1).prod(1) > 0
    corners, corner_uvs = strip.corners[usable], strip.corner_uvs[usable]
    low, high = corners[..., 1].min(), corners[..., 1].max()
    near = skin & (positions[:, 2] > _BROW_FRONT_DM)
    near &= (positions[:, 1] > low - 0.2) & (positions[:, 1] < high + 0.05)
    vertices = np.flatnonzero(near)
    opacity = np.zeros(len(positions))
    for triangle, uvs in zip(corners, corner_uvs, strict=True):
        points = positions[vertices, :2] + np.array([0, drop])
        weights = zbuffer.barycentric(points, np.broadcast_to(triangle, (len(points), 3, 2)))
        inside = (weights >= -_BROW_SLACK).all(1)
        values = colour.sample(strip.opacity, weights[inside] @ uvs)[:, 0]
        opacity[vertices[inside]] = np.maximum(opacity[vertices[inside]], values)
    return opacity
