"""Heads that do what a track says: their texture, their shape in a frame, their animation."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from serving.head_options import HeadOptions
from serving.heads import COARSE_LEVEL, HeadMaker
from serving.output.gltf_animation import Animation, encode_animated_glb
from serving.output.side_by_side import Placed
from serving.output.textured_mesh import TexturedMesh
from serving.tracking.arkit import arkit_operator
from serving.tracking.track import Track


@dataclasses.dataclass(frozen=True, eq=False)
class FaceInFrame:
    """A person's face in one frame; see serving.heads.PosedFace."""

    coefficients: np.ndarray
    vertices: np.ndarray
    triangles: np.ndarray
    rotation: np.ndarray
    scale: float
    translation: np.ndarray


class Performer:
    """Makes heads for tracks of the default face model.

    Args:
      texture: colours of a frame; clay without.
    """

    def __init__(self, *, texture: bool = True):
        self._maker = HeadMaker.load()
        self._texture = texture

    @functools.cached_property
    def _arkit(self) -> tuple[tuple[str, ...], np.ndarray]:
        return arkit_operator(self._maker.head)

    def head(self, image: np.ndarray, track: Track, *, name: str) -> TexturedMesh:
        """The neutral head of a person.

        Args:
          image: uint8 [H, W, 3], the frame track.best.
          track: of the person.
          name: of the mesh.
        """
        row = int(track.best) - int(track.frame[0])
        coefficients = track.coefficients[row]
        face = self._face(track, row)
        options = HeadOptions(texture=self._texture, detail="map" if self._texture else "none")
        made = self._maker.make(image, face, name=name, options=options)
        neutral = coefficients.copy()
        neutral[len(self._maker.head.identity) :] = 0.0
        return made.mesh.with_vertices(self._maker.head.vertices(neutral))

    def _face(self, track: Track, row: int) -> FaceInFrame:
        vertices = self._maker.head.vertices(track.coefficients[row])
        mesh = self._maker.head.mesh(COARSE_LEVEL)
        own = (mesh.triangles < mesh.face_count).all(1)
        return FaceInFrame(
            track.coefficients[row], vertices[: mesh.face_count], mesh.triangles[own],
            track.rotation[row].astype(np.float64), float(track.scale[row]),
            track.translation[row].astype(np.float64),
        )  # fmt: skip

    def placed(self, track: Track, mesh: TexturedMesh, frame: int) -> Placed:
        """A person's head as a frame shows it; the person is there."""
        row = track.row(frame)
        vertices = self._maker.head.vertices(track.coefficients[row])
        return Placed(
            mesh.with_vertices(vertices), track.rotation[row].astype(np.float64),
            float(track.scale[row]), track.translation[row].astype(np.float64),
        )  # fmt: skip

    def encode(self, track: Track, mesh: TexturedMesh) -> bytes:
        """The bytes of the animated .glb of a person."""
        names, operator = self._arkit
        valid = track.valid
        expression = track.coefficients[valid][:, len(self._maker.head.identity) :]
        weights = expression.astype(np.float64) @ operator
        order = [names.index(name) for name in mesh.targets]
        time = track.time_s[valid] - track.time_s[valid][0]
        return encode_animated_glb(mesh, Animation(time, weights[:, order], track.rotation[valid]))
