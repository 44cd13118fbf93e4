"""From a reconstructed face to a whole head with texture and fine detail, in this process.

with Reconstructor() as reconstructor:
    (face,) = reconstructor.reconstruct(photo)
    head = HeadMaker.load().make(photo, face)
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from threadpoolctl import ThreadpoolController

from facemodel.detail.relief import Relief, recover_relief
from facemodel.detail.surface import CameraPose, CoarseSurface, SkinStatistics, skin_statistics
from facemodel.morphable.head import HeadModel
from facemodel.morphable.mesh import vertex_normals
from facemodel.morphable.model import MorphableModel
from facemodel.texture.recover import Texture, divide_light, recover_texture
from facemodel.texture.skin_model import SkinModel
from serving.head_options import HeadOptions
from serving.output.normal_map import bake_normal_map
from serving.output.textured_mesh import Corners, TexturedMesh
from serving.output.views import fetch
from serving.reconstructor import Reconstruction
from serving.stopwatch import Stage, unmeasured

TEXTURE_PX = 1024
CLAY = np.full((8, 8, 3), 200, np.uint8)
"""The texture of a head without one."""
COARSE_LEVEL, FINE_LEVEL = 1, 2
SAME_FACE_MM = 0.01
"""Median distance up to which the face of a head is the one that a SavedModel gave."""


@dataclasses.dataclass(frozen=True, eq=False)
class Head:
    """A whole head.

    Attributes:
      mesh: At level 1, with the detail as a normal map; or, with detail as geometry, at level 2.
      coarse: At level 1 without detail.
      texture: What was recovered; None if it was not asked for.
      albedo: uint8 [S, S, 3] the texture's image without light; None without a texture.
      relief: The fine detail; None if it was not asked for.
    """

    mesh: TexturedMesh
    coarse: TexturedMesh
    texture: Texture | None
    albedo: np.ndarray | None
    relief: Relief | None

    @property
    def flags(self) -> tuple[str, ...]:
        """What makes texture and detail less trustworthy; see their own descriptions."""
        parts = (self.texture, self.relief)
        return tuple(flag for part in parts if part is not None for flag in part.flags)


class PosedFace(Protocol):
    """What a head is made of; the fields are those of Reconstruction."""

    @property
    def coefficients(self) -> np.ndarray: ...
    @property
    def vertices(self) -> np.ndarray: ...
    @property
    def triangles(self) -> np.ndarray: ...
    @property
    def rotation(self) -> np.ndarray: ...
    @property
    def scale(self) -> float: ...
    @property
    def translation(self) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True, eq=False)
class HeadMaker:
    """Makes heads for faces of one face model; keeps what is the same for all of them.

    Attributes:
      head: Model of the heads.
      blas: Libraries of linear algebra, which get one thread while a head is made. To find them
        while another thread imports modules may stop both for ever; so it is done here.
    """

    head: HeadModel
    blas: ThreadpoolController = dataclasses.field(default_factory=ThreadpoolController)

    @classmethod
    def load(cls, *, blas: ThreadpoolController | None = None) -> HeadMaker:
        """For the default face model; blas as of the class."""
        return cls(HeadModel.load(), blas or ThreadpoolController())

    @functools.cached_property
    def skin(self) -> SkinModel:
        """Mesh and colour statistics of heads."""
        mesh = self.head.mesh(COARSE_LEVEL)
        return SkinModel.from_head(mesh, mesh.operator @ self.head.mean, self._face_model)

    @functools.cached_property
    def statistics(self) -> SkinStatistics:
        """Colour statistics of the face, for the detail."""
        return skin_statistics(self._face_model)

    @functools.cached_property
    def _face_model(self) -> MorphableModel:
        return MorphableModel.load(level=COARSE_LEVEL)

    @functools.cached_property
    def _kept_targets(self) -> dict[int, Mapping[str, np.ndarray]]:
        return {}

    @functools.cached_property
    def _kept_corners(self) -> dict[int, Corners]:
        return {}

    def prepare(self) -> None:
        """Makes what all heads share now, and not with the first one."""
        self.statistics, self.skin.atlas(TEXTURE_PX), self._targets(COARSE_LEVEL)

    def fits(self, face: Reconstruction) -> bool:
        """Whether a face is one of the face model that this head goes with."""
        if face.coefficients.shape != (self.head.coefficient_count,):
            return False
        count = self.head.mesh(COARSE_LEVEL).face_count
        if face.vertices.shape != (count, 3):
            return False
        own = self.head.vertices(face.coefficients, COARSE_LEVEL)[:count]
        distance = np.linalg.norm(own - face.vertices, axis=1)
        return bool(np.median(distance) < SAME_FACE_MM)

    def make(
        self,
        photo: np.ndarray,
        face: PosedFace,
        *,
        name: str = "face",
        options: HeadOptions | None = None,
        stage: Stage = unmeasured,
    ) -> Head:
        """Makes the head of a face; its texture and its detail at the same time.

        Args:
          photo: uint8 [H, W, 3] sRGB.
          face: reconstructed from it, or otherwise known in it; fits() it.
          name: Name of the head in files and titles.
          options: What it gets.
          stage: measures "texture" and, beside it, "detail", then "normal map" or "finer mesh", and
            "albedo".
        """
        options = options or HeadOptions()
        vertices = self.head.vertices(face.coefficients, COARSE_LEVEL)
        pose = CameraPose(face.rotation, face.scale, face.translation)
        # More threads of BLAS would wait for each other here.
        with self.blas.limit(limits=1, user_api="blas"), ThreadPoolExecutor(1) as beside:
            detail = beside.submit(self._relief, photo, face, pose, options, stage)
            texture = self._texture(photo, vertices, pose, options, stage)
            relief = detail.result()
        image = CLAY if texture is None else texture.image
        mesh = coarse = self._mesh(name, vertices, COARSE_LEVEL, image)
        if relief is not None and relief.displacement.any():
            add = self._displaced if options.detail == "geometry" else self._with_normal_map
            with stage("finer mesh" if options.detail == "geometry" else "normal map"):
                mesh = add(coarse, face, relief, None if texture is None else texture.from_photo)
        with stage("albedo"):
            albedo = None if texture is None else divide_light(texture, self.skin)
        return Head(mesh, coarse, texture, albedo, relief)

    def _texture(
        self, photo, vertices, pose: CameraPose, options: HeadOptions, stage: Stage
    ) -> Texture | None:
        if not options.texture:
            return None
        with stage("texture"):
            return recover_texture(
                photo, vertices, self.skin, pose, size=TEXTURE_PX, albedo=options.albedo
            )

    def _relief(
        self, photo, face: PosedFace, pose: CameraPose, options: HeadOptions, stage: Stage
    ) -> Relief | None:
        if options.detail == "none":
            return None
        with stage("detail"):
            return recover_relief(photo, self._surface(face), pose)

    def _surface(self, face: PosedFace) -> CoarseSurface:
        regions = self.head.mesh(COARSE_LEVEL).regions[: len(face.vertices)]
        return CoarseSurface(face.vertices, face.triangles, regions, self.statistics)

    def _with_normal_map(
        self, coarse: TexturedMesh, face: PosedFace, relief: Relief, share: np.ndarray | None
    ) -> TexturedMesh:
        """The coarse mesh with the detail in its normal map, where the photo shows skin."""
        normal_map = bake_normal_map(
            coarse, self.skin.atlas(TEXTURE_PX), relief, face.rotation, share=share
        )
        return dataclasses.replace(coarse, normal_map=normal_map)

    def _displaced(
        self, coarse: TexturedMesh, face: PosedFace, relief: Relief, share: np.ndarray | None
    ) -> TexturedMesh:
        """The finer mesh, displaced along its normals, where the photo shows skin."""
        vertices = self.head.vertices(face.coefficients, FINE_LEVEL)
        normals = vertex_normals(vertices, self.head.mesh(FINE_LEVEL).triangles)
        smooth = self._mesh(coarse.name, vertices, FINE_LEVEL, coarse.texture)
        height = relief.on_vertices(vertices, normals)
        if share is not None:
            places = smooth.corners.uv[: len(vertices)].T
            height = height * fetch(np.asarray(share, np.float32)[..., None], places)[0]
        return smooth.with_vertices((vertices + height[:, None] * normals).astype(np.float32))

    def _mesh(self, name: str, vertices: np.ndarray, level: int, image) -> TexturedMesh:
        mesh = self.head.mesh(level)
        made = TexturedMesh(
            name=name,
            vertices=vertices,
            triangles=mesh.triangles,
            normals=vertex_normals(vertices, mesh.triangles).astype(np.float32),
            uv=mesh.uv,
            uv_triangles=mesh.uv_triangles,
            regions=mesh.regions,
            texture=image,
            targets=self._targets(level),
        )
        if level in self._kept_corners:  # the cached property, which is the same for all heads
            made.__dict__["corners"] = self._kept_corners[level]
        self._kept_corners[level] = made.corners
        return made

    def _targets(self, level: int) -> Mapping[str, np.ndarray]:
        """ARKit's expressions: they are linear, so the same for each face."""
        if level not in self._kept_targets:
            names, moves = self.head.arkit_targets()
            operator = self.head.mesh(level).operator
            moved = [np.asarray(operator @ move, np.float32) for move in moves]
            self._kept_targets[level] = dict(zip(names, moved, strict=True))
        return self._kept_targets[level]
