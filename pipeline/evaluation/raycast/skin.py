"""Textures of a head in its atlas: albedo with marks and hair roots, and the height of wrinkles."""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from facemodel.colour import LUMA
from facemodel.morphable.head import HeadModel
from facemodel.morphable.mesh import SKIN
from facemodel.morphable.model import MorphableModel
from facemodel.synthesis import relief
from facemodel.texture.skin_model import SkinModel
from pipeline.evaluation.texture_detail import sample_detail

SIZE = 1024
HEIGHT_STEP_MM = 0.01
"""Of the stored height, whose 128 is 0 mm."""
LIPSTICK_FRACTION = 0.2
DETAIL = 0.6
"""Of the spots and blotches that textures are evaluated with."""


class Textures(NamedTuple):
    """Pictures of a head's skin.

    Attributes:
      albedo: uint8 [SIZE, SIZE, 3] sRGB.
      height: uint8 [SIZE, SIZE] outwards, in steps of HEIGHT_STEP_MM around 128.
      luma: mean of the face's skin in [0, 1].
    """

    albedo: np.ndarray
    height: np.ndarray
    luma: float


@dataclasses.dataclass(frozen=True, eq=False)
class SkinPainter:
    """Paints the atlas of a head model."""

    model: MorphableModel
    head: HeadModel

    @functools.cached_property
    def skin(self) -> SkinModel:
        """The mesh that the atlas belongs to."""
        mesh = self.head.mesh(1)
        return SkinModel.from_head(mesh, mesh.operator @ self.head.mean, self.model)

    @functools.cached_property
    def _places(self) -> np.ndarray:
        """[N, 3] mm, the texels on the mean head."""
        return self.skin.atlas(SIZE).from_vertices @ self.skin.positions

    @functools.cached_property
    def _is_skin(self) -> np.ndarray:
        """[N] share of skin at the texels."""
        skin = (self.skin.regions == SKIN).astype(np.float32)
        return self.skin.atlas(SIZE).from_vertices @ skin

    @functools.cached_property
    def _in_front(self) -> np.ndarray:
        """[N] in [0, 1], where the unrolled face has wrinkles."""
        x, y, z = self._places.T
        reach = np.clip((np.hypot(x / 75, (y + 30) / 105) - 1) / -0.15, 0, 1)
        return reach * np.clip((z + 50) / 20, 0, 1) * (self._is_skin > 0.5)

    def paint(
        self,
        rng: np.random.Generator,
        albedo_coefficients: np.ndarray,
        landmarks: np.ndarray,
        scalp: tuple[np.ndarray, np.ndarray],
    ) -> Textures:
        """Paints one head.

        Args:
          rng: random numbers.
          albedo_coefficients: [A].
          landmarks: [478, 3] mm, on the mean face.
          scalp: [V] share of hair at the vertices, and its colour [3], linear.
        """
        atlas = self.skin.atlas(SIZE)
        colours, luma = self._colours(albedo_coefficients)
        logs = sample_detail(self._places, self.skin, rng)
        colours = np.clip((atlas.from_vertices @ colours) * np.exp(DETAIL * logs), 0.01, 1.0)
        linear = colours**2.2
        marks = relief.sample_marks(rng, landmarks)
        linear = self._marked(rng, linear, marks)
        share = 0.97 * (atlas.from_vertices @ scalp[0].astype(np.float32))[:, None]
        linear = linear * (1 - share) + share * (0.5 * scalp[1] + 0.04 * linear)
        stored = np.round(255 * np.clip(linear, 0, 1) ** (1 / 2.2)).astype(np.uint8)
        height = self._unrolled(relief.sample_relief(rng, landmarks)) * self._in_front
        steps = np.clip(np.round(height / HEIGHT_STEP_MM) + 128, 0, 255).astype(np.uint8)
        return Textures(atlas.spread(stored), atlas.spread(steps), luma)

    def _colours(self, albedo_coefficients: np.ndarray) -> tuple[np.ndarray, float]:
        """[V, 3] sRGB; outside the face the mean skin in the face's tone. And the face's luma."""
        own = self.skin.albedo_mean.astype(np.float32, copy=True)
        count = self.skin.face_count
        own[:count] = self.model.albedo_rgb(albedo_coefficients)
        skin = self.skin.regions[:count] == SKIN
        mean = own[:count][skin].mean(0)
        own[count:] *= mean / self.skin.albedo_mean[:count][skin].mean(0)
        return own, float(mean @ np.asarray(LUMA))

    def _marked(self, rng, linear: np.ndarray, marks: relief.Marks) -> np.ndarray:
        density = self._unrolled(marks.melanin)[:, None] * relief.MELANIN
        density = density + self._unrolled(marks.haemoglobin)[:, None] * relief.HAEMOGLOBIN
        linear = linear * np.exp(-density * self._in_front[:, None])
        if rng.random() < LIPSTICK_FRACTION:
            cover = rng.uniform(0.3, 1.0) * self._unrolled(marks.lips) * self._in_front
            cover = np.clip(cover, 0, 1)[:, None]
            linear = linear * (1 - cover) + marks.lip_colour * cover
        return linear

    def _unrolled(self, picture: np.ndarray) -> np.ndarray:
        """[N] a picture of the unrolled face at the texels."""
        place = relief.unrolled(self._places)
        coordinates = [place[..., 1] - 0.5, place[..., 0] - 0.5]
        return ndimage.map_coordinates(picture, coordinates, np.float32, order=1, mode="nearest")
