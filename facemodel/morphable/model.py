"""The 3D morphable face model: a mean face and linear bases for identity, expression and albedo."""

from __future__ import annotations

import dataclasses
import functools
import operator
import os

import numpy as np

from facemodel.files import DATA
from facemodel.morphable.landmarks import MEDIAPIPE_COUNT
from facemodel.morphable.mesh import CoarseMesh, ModelError

DEFAULT_MODEL = DATA / "default_model.npz"


@dataclasses.dataclass(frozen=True, eq=False)
class MorphableModel:
    """Linear face model S = mean + identity . a + expression . b, with albedo per vertex.

    Coefficients are always ordered identity first, expression second. Identity coefficients are in
    standard deviations, N(0, 1); expression weights are in natural units, 0 = neutral.

    Attributes:
      name: The model's name.
      version: Version of the data, not of the code.
      mean: [V, 3] mm, model space (x subject's left, y up, z to the viewer, origin between the
        eyeballs).
      identity: [I, V, 3] mm per standard deviation.
      expression: [E, V, 3] mm at weight 1.
      albedo_mean: [V, 3] sRGB in [0, 1].
      albedo: [A, V, 3] sRGB per standard deviation.
      albedo_scores: [N, A] coefficients of stored clean textures; mixtures of them look like skin.
      triangles: [T, 3] counter-clockwise seen from outside.
      coarse: the same face at level 0, which the loop renders.
      regions: [V] index into region_names.
      region_names: "skin" and others.
      landmark_triangles: [478] the triangle on which each MediaPipe landmark lies.
      landmark_barycentric: [478, 3] where in that triangle.
      inner_face: [V] bool, where errors are measured.
      uv: [V, 2] texture coordinates.
      expression_names: one for each expression vector.

    Source: paper section 4, eq. 1 and 2.
    """

    name: str
    version: str
    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    albedo_mean: np.ndarray
    albedo: np.ndarray
    albedo_scores: np.ndarray
    triangles: np.ndarray
    coarse: CoarseMesh
    regions: np.ndarray
    region_names: tuple[str, ...]
    landmark_triangles: np.ndarray
    landmark_barycentric: np.ndarray
    inner_face: np.ndarray
    uv: np.ndarray
    expression_names: tuple[str, ...]

    @property
    def vertex_count(self) -> int:
        """V, how many vertices a face has."""
        return len(self.mean)

    @property
    def identity_count(self) -> int:
        """I, how many identity vectors there are."""
        return len(self.identity)

    @property
    def expression_count(self) -> int:
        """E, how many expression vectors there are."""
        return len(self.expression)

    @property
    def coefficient_count(self) -> int:
        """I + E, the length of a coefficient vector."""
        return self.identity_count + self.expression_count

    @property
    def coefficient_names(self) -> tuple[str, ...]:
        """A name for each coefficient, in order."""
        return (
            tuple(f"identity_{k:03d}" for k in range(self.identity_count)) + self.expression_names
        )

    @functools.cached_property
    def basis(self) -> np.ndarray:
        """[I + E, V, 3] identity and expression vectors in coefficient order."""
        return np.concatenate([self.identity, self.expression])

    def vertices(self, coefficients: np.ndarray) -> np.ndarray:
        """Builds faces from coefficients.

        Args:
          coefficients: [..., I + E].

        Returns:
          [..., V, 3] mm, model space.

        Raises:
          ValueError: if the last dimension is not I + E.
        """
        coefficients = np.asarray(coefficients, np.float32)
        if coefficients.shape[-1:] != (self.coefficient_count,):
            raise ValueError(
                f"expected coefficients [..., {self.coefficient_count}], "
                f"got {list(coefficients.shape)}"
            )
        offsets = coefficients @ self.basis.reshape(self.coefficient_count, -1)
        return self.mean + offsets.reshape(*coefficients.shape[:-1], -1, 3)

    def albedo_rgb(self, albedo_coefficients: np.ndarray) -> np.ndarray:
        """Builds skin colours: [..., A] standard deviations -> [..., V, 3] sRGB in [0, 1]."""
        weights = np.asarray(albedo_coefficients, np.float32)
        offsets = weights @ self.albedo.reshape(len(self.albedo), -1)
        return np.clip(self.albedo_mean + offsets.reshape(*weights.shape[:-1], -1, 3), 0.0, 1.0)

    def split(self, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Separates [..., I + E] into identity [..., I] and expression [..., E]."""
        identity, expression = np.split(np.asarray(coefficients), [self.identity_count], axis=-1)
        return identity, expression

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None, *, level: int = 1) -> MorphableModel:
        """Reads a model file at one subdivision level.

        Args:
          path: an .npz written by facemodel.default_model; the default model if None.
          level: 0, 1 or 2 (about 3k, 11k and 44k vertices in the default model).

        Raises:
          ModelError: if the file is missing, is no model or one of another format, or its arrays
            do not fit together.
        """
        from facemodel.morphable import npz

        model = cls(**npz.fields(path or DEFAULT_MODEL, level=level))
        model.check()
        return model

    @classmethod
    def tiny(cls, seed: int = 0) -> MorphableModel:
        """Builds a small made-up model for tests: a bumpy half ellipsoid with every field."""
        from facemodel.morphable import tiny

        return cls(**tiny.fields(seed))

    def check(self) -> None:
        """Raises ModelError, naming the field, unless all arrays fit together and are finite."""
        vertex_count, triangle_count = len(self.mean), len(self.triangles)
        coarse_count = len(self.coarse.mean)
        expected = {
            "mean": (vertex_count, 3),
            "identity": (len(self.identity), vertex_count, 3),
            "expression": (len(self.expression), vertex_count, 3),
            "albedo_mean": (vertex_count, 3),
            "albedo": (len(self.albedo), vertex_count, 3),
            "albedo_scores": (len(self.albedo_scores), len(self.albedo)),
            "triangles": (triangle_count, 3),
            "coarse.mean": (coarse_count, 3),
            "coarse.basis": (self.coefficient_count, coarse_count, 3),
            "coarse.triangles": (len(self.coarse.triangles), 3),
            "regions": (vertex_count,),
            "landmark_triangles": (MEDIAPIPE_COUNT,),
            "landmark_barycentric": (MEDIAPIPE_COUNT, 3),
            "inner_face": (vertex_count,),
            "uv": (vertex_count, 2),
            "expression_names": (len(self.expression),),
        }
        for field, shape in expected.items():
            value = np.asarray(operator.attrgetter(field)(self))
            if value.shape != shape:
                raise ModelError(f"{self.name}: {field} should be {shape}, got {value.shape}")
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise ModelError(f"{self.name}: {field} holds values that are not finite")
        _check_indices(self.name, "triangles", self.triangles, vertex_count)
        _check_indices(self.name, "coarse.triangles", self.coarse.triangles, coarse_count)
        _check_indices(self.name, "landmark_triangles", self.landmark_triangles, triangle_count)
        _check_indices(self.name, "regions", self.regions, len(self.region_names))
        if not self.inner_face.any():
            raise ModelError(f"{self.name}: inner_face selects no vertex")


def _check_indices(name: str, field: str, indices: np.ndarray, limit: int) -> None:
    if indices.size and not 0 <= indices.min() <= indices.max() < limit:
        raise ModelError(
            f"{name}: {field} should lie in [0, {limit}), got {indices.min()}..{indices.max()}"
        )
