"""Views: which part of a mesh is seen at each sample of a picture, and what is there.

A mesh is rasterized once for a view; any number of attributes and textures are then looked up at
the samples that it covers.
"""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np

from facemodel.rendering.numpy_rasterizer import barycentric, corners_at, rasterize_numpy
from serving.reconstructor import project

SUPERSAMPLE = 2
_STRIDE, _DENSE = 7, 4.0
"""Samples that are looked at, and texels for each; more would flicker where the mesh turns."""
_SMOOTH_MM = 4.0
"""Depths within a pixel up to which the surface is one piece."""
_ROW = 1024
"""cv2.remap takes images of at most 32767 px a side, so lists of places are folded."""


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """What a picture shows of a mesh, at samples * samples points of each pixel.

    Attributes:
      height: px of the picture.
      width: px of the picture.
      samples: along each side of a pixel.
      pixel: [P] int64, in order, the samples that the mesh covers, of height * width * samples².
      triangle: [P] int64, the triangle that is seen there.
      weights: float32 [3, P] where in the triangle; they sum to 1.
      share: float32 [P] of its pixel that each sample stands for; all the same if None.
    """

    height: int
    width: int
    samples: int
    pixel: np.ndarray
    triangle: np.ndarray
    weights: np.ndarray
    share: np.ndarray | None = None

    def interpolate(self, attributes: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        """Attributes at the samples.

        Args:
          attributes: [N, C] of vertices or texture coordinates.
          triangles: [T, 3] into them, in the order of the triangles that were rasterized.

        Returns:
          float32 [C, P].
        """
        corners = corners_at(triangles, self.triangle)
        found = np.empty((attributes.shape[1], len(self.pixel)), np.float32)
        for k, values in enumerate(np.ascontiguousarray(attributes.T, np.float32)):
            found[k] = self.weights[0] * _take(values, corners[0])
            found[k] += self.weights[1] * _take(values, corners[1])
            found[k] += self.weights[2] * _take(values, corners[2])
        return found

    def picture(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Makes a picture of values [C, P] at the samples.

        Returns:
          float32 [height, width, C], averaged over the part of the pixel that the mesh covers, and
          that part, [height, width] in [0, 1].
        """
        top, bottom, left, right = self._box
        image = np.zeros((self.height, self.width, len(values) + 1), np.float32)
        if len(self.pixel) and self.share is not None:
            image[top:bottom, left:right] = self._summed(values, self.share)
        elif len(self.pixel):
            samples = self.samples
            sheet = np.zeros(
                ((bottom - top) * samples, (right - left) * samples, len(values) + 1), np.float32
            )
            row, column = self._places
            place = (row - top * samples) * sheet.shape[1] + column - left * samples
            flat = sheet.reshape(-1, sheet.shape[-1])
            flat[place, :-1] = values.T
            flat[place, -1] = 1.0
            image[top:bottom, left:right] = _averaged(sheet, samples)
        cover = image[..., -1]
        return image[..., :-1] / np.maximum(cover, np.float32(1e-6))[..., None], cover

    def _summed(self, values: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Values [C, P] and 1, weighted by the samples' shares, summed at each pixel of the box."""
        top, bottom, left, right = self._box
        row, column = (place // self.samples for place in self._places)
        place = (row - top) * (right - left) + column - left
        sheet = np.zeros(((bottom - top) * (right - left), len(values) + 1), np.float32)
        alone, parts = np.flatnonzero(share == 1.0), np.flatnonzero(share < 1.0)
        sheet[place[alone], :-1] = values[:, alone].T
        sheet[place[alone], -1] = 1.0
        for k, channel in enumerate([*values, np.ones(len(place), np.float32)]):
            some = channel[parts] * share[parts]
            sheet[:, k] += np.bincount(place[parts], some, len(sheet)).astype(np.float32)
        return sheet.reshape(bottom - top, right - left, -1)

    @functools.cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of each sample."""
        row, column = np.divmod(self.pixel, self.width * self.samples)
        return row, column

    @functools.cached_property
    def _box(self) -> tuple[int, int, int, int]:
        """Top, bottom, left and right px of the part of the picture that shows the mesh."""
        if not len(self.pixel):
            return 0, 0, 0, 0
        row, column = (place // self.samples for place in self._places)
        return int(row.min()), int(row.max()) + 1, int(column.min()), int(column.max()) + 1


def _take(values, indices):
    return values.take(indices, mode="clip")  # faster than to check every index


def _averaged(sheet, samples):
    """The mean over samples * samples values of [h, w, C], in parts that cv2 can resize."""
    size = (sheet.shape[1] // samples, sheet.shape[0] // samples)
    parts = [
        cv2.resize(sheet[..., k : k + 4], size, interpolation=cv2.INTER_AREA)
        for k in range(0, sheet.shape[-1], 4)
    ]
    return np.concatenate([part.reshape(size[1], size[0], -1) for part in parts], -1)


def look(
    vertices: np.ndarray,
    triangles: np.ndarray,
    *,
    rotation: np.ndarray,
    scale: float,
    translation: np.ndarray,
    height: int,
    width: int,
    samples: int = SUPERSAMPLE,
    thin: bool = False,
) -> View:
    """Rasterizes a mesh as the camera sees it.

    Args:
      vertices: [V, 3] mm, model space.
      triangles: [T, 3].
      rotation: [3, 3] camera_from_model.
      scale: px/mm.
      translation: [2] px, where the model's origin lands.
      height: px of the picture.
      width: px of the picture.
      samples: along each side of a pixel.
      thin: keep one sample of each pixel that shows one smooth piece of the surface: the same
        edges, about as sharp inside, a third of the time to shade.
    """
    places, depth = project(vertices, rotation, scale, translation)
    screen = np.column_stack([places * samples, depth]).astype(np.float32)
    columns = width * samples
    pixel, triangle = rasterize_numpy(screen, triangles, height=height * samples, width=columns)
    share = None
    if thin:
        kept, share = _thinned(pixel, depth[triangles].mean(1)[triangle], samples, (height, width))
        pixel, triangle = pixel[kept], triangle[kept]
    weights = barycentric(screen, triangles, pixel, triangle, columns)
    return View(height, width, samples, pixel, triangle.astype(np.intp), weights, share)


def _thinned(
    pixel: np.ndarray, depth: np.ndarray, samples: int, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Chooses samples: one where a pixel is covered by about one depth, mm, else all.

    Returns:
      Which of the samples [P] stay, and the share of its pixel that each of them stands for.
    """
    height, width = size
    sheet = np.full((height * samples, width * samples), np.nan, np.float32)
    sheet.ravel()[pixel] = depth
    parts = [sheet[i::samples, j::samples] for i in range(samples) for j in range(samples)]
    lowest, highest = (functools.reduce(way, parts) for way in (np.minimum, np.maximum))
    smooth = highest - lowest < _SMOOTH_MM  # false where a sample shows nothing
    row, column = np.divmod(pixel, width * samples)
    inside = smooth.ravel().take((row // samples) * width + column // samples)
    first = (row % samples == 0) & (column % samples == 0)
    kept = np.flatnonzero(~inside | first)
    return kept, np.where(inside[kept], 1.0, 1.0 / samples**2).astype(np.float32)


def look_centred(
    vertices: np.ndarray,
    triangles: np.ndarray,
    *,
    rotation: np.ndarray,
    height: int,
    width: int,
    fill: float = 0.8,
    frame: np.ndarray | None = None,
    samples: int = SUPERSAMPLE,
    thin: bool = False,
) -> View:
    """Rasterizes a mesh in the middle of a picture, at the same size from every side.

    Args:
      vertices: as of look, with triangles, rotation, height, width and samples.
      triangles: as of look.
      rotation: as of look.
      height: as of look.
      width: as of look.
      fill: Part of the picture's height that the longest side of the mesh's box takes.
      frame: [N, 3] mm, vertices to centre in place of those of the mesh, for one that moves.
      samples: as of look.
      thin: as of look.
    """
    box = vertices if frame is None else frame
    low, high = box.min(0), box.max(0)
    scale = fill * height / (high - low).max()
    shift = (rotation @ ((low + high) / 2))[:2] * (scale, -scale)
    translation = np.array([width, height]) / 2 - shift
    return look(
        vertices,
        triangles,
        rotation=rotation,
        scale=scale,
        translation=translation,
        height=height,
        width=width,
        samples=samples,
        thin=thin,
    )


def fetch(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Looks a texture up, bilinearly.

    Args:
      texture: uint8 or float32 [S, S, C] with C at most 4; row 0 is at v = 1.
      uv: [2, P] in [0, 1], v up.

    Returns:
      [C, P] of the texture's type.
    """
    height, width = texture.shape[:2]
    count = uv.shape[1]
    rows = max(1, -(-count // _ROW))
    places = np.zeros((2, rows * _ROW), np.float32)
    places[0, :count] = uv[0] * width - 0.5
    places[1, :count] = (1.0 - uv[1]) * height - 0.5
    across, down = places.reshape(2, rows, _ROW)
    found = cv2.remap(
        texture, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).reshape(rows * _ROW, -1)
    return np.ascontiguousarray(found[:count].T)


def reduced(texture: np.ndarray, view: View, mesh) -> np.ndarray:
    """The texture, halved until its texels are not much smaller than the samples of a view.

    Args:
      texture: [S, S, C].
      view: of the mesh.
      mesh: TexturedMesh; its uv says how large triangles are in the texture.
    """
    triangles, counts = np.unique(view.triangle[::_STRIDE], return_counts=True)
    first, second, third = np.moveaxis(mesh.uv[mesh.uv_triangles[triangles]], 1, 0)
    edge, other = second - first, third - first
    texels = np.abs(edge[:, 0] * other[:, 1] - edge[:, 1] * other[:, 0]) * texture.shape[0] ** 2 / 2
    density = texels.sum() / max(1, counts.sum() * _STRIDE)
    while density > _DENSE and min(texture.shape[:2]) > 1:
        size = (texture.shape[1] // 2, texture.shape[0] // 2)
        texture = cv2.resize(texture, size, interpolation=cv2.INTER_AREA)
        density /= 4
    return texture
