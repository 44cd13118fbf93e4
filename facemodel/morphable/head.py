"""The whole head that goes with a face model: ears, cranium, neck and whole eyeballs.

The face model's own vertices come first and keep their places but at the rim where the face was
cut; the rest of the head follows from the same coefficients.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib

import numpy as np

from facemodel.files import DATA
from facemodel.morphable.head_mesh import LEVELS, HeadMesh, HeadSurface, build_mesh
from facemodel.morphable.mesh import ModelError

__all__ = ["HeadMesh", "HeadModel"]

DEFAULT_HEAD = DATA / "default_head.npz"
ARKIT_PREFIX = "arkit/"
WITHOUT_MOVEMENT = ("tongueOut",)
"""Names of ARKit that the face model has no vector for: their targets are zero."""


def head_path(face_path: str | os.PathLike[str] | None = None) -> pathlib.Path:
    """The head's file of a face model file: the shipped one, or `<name>_head.npz` beside it."""
    from facemodel.morphable.model import DEFAULT_MODEL

    if face_path is None or pathlib.Path(face_path) == DEFAULT_MODEL:
        return DEFAULT_HEAD
    path = pathlib.Path(face_path)
    return path.with_name(f"{path.stem}_head.npz")


@dataclasses.dataclass(frozen=True, eq=False)
class HeadModel:
    """A linear model of heads that has the coefficients of a face model.

    Attributes:
      mean: [C, 3] mm, model space, on the control vertices.
      identity: [I, C, 3] mm per standard deviation.
      expression: [E, C, 3] mm at weight 1.
      expression_names: one for each expression vector.
      surface: what the meshes are made from.
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    expression_names: tuple[str, ...]
    surface: HeadSurface

    @functools.cached_property
    def _flat_basis(self) -> np.ndarray:
        basis = np.concatenate([self.identity, self.expression])
        return basis.reshape(len(basis), -1)

    @functools.cached_property
    def _meshes(self) -> dict[int, HeadMesh]:
        return {}

    @property
    def coefficient_count(self) -> int:
        """I + E, the length of a coefficient vector."""
        return len(self.identity) + len(self.expression)

    def control(self, coefficients: np.ndarray) -> np.ndarray:
        """Control vertices [C, 3] mm of the head with coefficients [I + E].

        Raises:
          ValueError: if there are not I + E coefficients.
        """
        coefficients = np.asarray(coefficients, np.float32)
        if coefficients.shape != (self.coefficient_count,):
            raise ValueError(
                f"expected coefficients [{self.coefficient_count}], got {list(coefficients.shape)}"
            )
        return self.mean + (coefficients @ self._flat_basis).reshape(-1, 3)

    def mesh(self, level: int) -> HeadMesh:
        """The mesh of a level, 1 or 2; made once.

        Raises:
          ModelError: if there is no such level.
        """
        if level not in LEVELS:
            raise ModelError(f"level of a head must be one of {LEVELS}, got {level!r}")
        if level not in self._meshes:
            self._meshes[level] = build_mesh(self.surface, len(self.mean), level)
        return self._meshes[level]

    def vertices(self, coefficients: np.ndarray, level: int = 1) -> np.ndarray:
        """Vertices [V, 3] float32 mm, model space, of the head with coefficients [I + E]."""
        return self.mesh(level).operator @ self.control(coefficients)

    def arkit_targets(self) -> tuple[tuple[str, ...], np.ndarray]:
        """The 52 expressions of ARKit as displacements of the control vertices.

        Returns:
          [52] names such as "jawOpen", sorted; [52, C, 3] mm at weight 1. tongueOut is zero: the
          face model has no vector for it.
        """
        known = {
            name.removeprefix(ARKIT_PREFIX): vector
            for name, vector in zip(self.expression_names, self.expression, strict=True)
            if name.startswith(ARKIT_PREFIX)
        }
        for name in WITHOUT_MOVEMENT:
            known.setdefault(name, np.zeros_like(self.mean))
        names = tuple(sorted(known))
        return names, np.stack([known[name] for name in names])

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        face_path: str | os.PathLike[str] | None = None,
    ) -> HeadModel:
        """Reads a head and the face model that it goes with.

        Args:
          path: an .npz written by facemodel.default_model; that of head_path(face_path) if None.
          face_path: the face model's .npz; the default model if None.

        Raises:
          ModelError: if a file is missing or is none of these, or the head was built for another
            face model.
        """
        from facemodel.morphable import head_npz
        from facemodel.morphable.model import DEFAULT_MODEL

        return cls(**head_npz.fields(path or head_path(face_path), face_path or DEFAULT_MODEL))
