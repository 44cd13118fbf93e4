"""What a reader returns: a face model of another project in this project's units and axes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator

import numpy as np

from facemodel.morphable.mesh import ModelError

LANDMARK_COUNT = 68
SD_PER_WEIGHT = 3.0
"""Weight 1 of an expression vector from principal components is so many standard deviations: as of
a named unit, most of what a face does lies within it."""
PCA_PREFIX = "pca/"
"""Expression vectors of this name have a sense to either side of 0; named units only above it."""


@dataclasses.dataclass(frozen=True, eq=False)
class ForeignModel:
    """A linear face model, right in units, axes, winding and scaling, on its own mesh.

    Attributes:
      name: The model's name and version.
      terms: in one line, who may use it for what.
      mean: [V, 3] mm; x to the subject's left, y up, z to the viewer; any origin.
      identity: [I, V, 3] mm per standard deviation.
      expression: [E, V, 3] mm at weight 1.
      expression_names: one for each.
      triangles: [T, 3] counter-clockwise seen from outside.
      landmarks: [68] the vertex of each iBUG point, -1 where the model's own list has none.
      albedo_mean: [V, 3] sRGB in [0, 1]; None for a model of shapes alone.
      albedo: [A, V, 3] sRGB per standard deviation, or None.
      regions: [V] index into region_names.
      region_names: "skin" first.
    """

    name: str
    terms: str
    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    expression_names: tuple[str, ...]
    triangles: np.ndarray
    landmarks: np.ndarray
    albedo_mean: np.ndarray | None
    albedo: np.ndarray | None
    regions: np.ndarray
    region_names: tuple[str, ...]

    def check(self) -> None:
        """Raises ModelError, naming the field, unless all arrays fit together and are finite."""
        count = len(self.mean)
        expected = {
            "mean": (count, 3),
            "identity": (len(self.identity), count, 3),
            "expression": (len(self.expression_names), count, 3),
            "triangles": (len(self.triangles), 3),
            "landmarks": (LANDMARK_COUNT,),
            "regions": (count,),
        }
        if self.albedo_mean is not None and self.albedo is not None:
            expected |= {"albedo_mean": (count, 3), "albedo": (len(self.albedo), count, 3)}
        for field, shape in expected.items():
            value = getattr(self, field)
            if value.shape != shape:
                raise ModelError(f"{field} should be {shape}, got {value.shape}")
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise ModelError(f"{field} holds values that are not finite")
        if count < 4 or not len(self.triangles) or not len(self.identity):
            raise ModelError("has no vertices, no triangles or no identity vectors")
        for field, low in (("triangles", 0), ("landmarks", -1)):
            found = getattr(self, field)
            if not low <= found.min() <= found.max() < count:
                raise ModelError(
                    f"{field} should lie in [{low}, {count}), got {found.min()}..{found.max()}"
                )


def foreign_model(
    *,
    name: str,
    terms: str,
    mean: np.ndarray,
    identity: np.ndarray,
    triangles: np.ndarray,
    expression: np.ndarray | None = None,
    expression_names: tuple[str, ...] = (),
    landmarks: np.ndarray | None = None,
    albedo_mean: np.ndarray | None = None,
    albedo: np.ndarray | None = None,
    regions: np.ndarray | None = None,
    region_names: tuple[str, ...] = ("skin",),
) -> ForeignModel:
    """Puts a model together from arrays in mm and the right axes; turns the winding outward.

    Raises:
      ModelError: naming the field that does not fit.
    """
    count = len(mean)
    named = expression_names or pca_names(0 if expression is None else len(expression))

    def single(values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(values, np.float32)

    model = ForeignModel(
        name=name,
        terms=terms,
        mean=single(mean),
        identity=single(identity),
        expression=single(np.zeros((0, count, 3)) if expression is None else expression),
        expression_names=named,
        triangles=np.ascontiguousarray(triangles, np.int32),
        landmarks=no_landmarks() if landmarks is None else np.asarray(landmarks, np.int64),
        albedo_mean=None if albedo_mean is None else single(albedo_mean),
        albedo=None if albedo is None else single(albedo),
        regions=np.zeros(count, np.uint8) if regions is None else regions,
        region_names=region_names,
    )
    model.check()
    return dataclasses.replace(model, triangles=outward(model.mean, model.triangles))


def no_landmarks() -> np.ndarray:
    """[68] without any vertex."""
    return np.full(LANDMARK_COUNT, -1, np.int64)


def pca_names(count: int) -> tuple[str, ...]:
    """Names of expression vectors that are principal components."""
    return tuple(f"{PCA_PREFIX}{k:03d}" for k in range(count))


def per_vertex(columns: np.ndarray) -> np.ndarray:
    """[3 V, n] with x, y, z of a vertex below each other -> [n, V, 3]."""
    columns = np.asarray(columns)
    return columns.T.reshape(columns.shape[1], -1, 3)


def scaled_basis(columns: np.ndarray, deviations: np.ndarray, unit_mm: float) -> np.ndarray:
    """A basis with its standard deviations multiplied in.

    Args:
      columns: [3 V, n].
      deviations: [n] standard deviations, in any shape.
      unit_mm: One unit of the file in mm.

    Returns:
      [n, V, 3] mm per standard deviation.

    Raises:
      ModelError: if there is not one deviation for each column.
    """
    columns, deviations = np.asarray(columns), np.asarray(deviations).reshape(-1)
    if columns.ndim != 2 or columns.shape[1] != len(deviations) or len(columns) % 3:
        raise ModelError(
            f"a basis of {columns.shape} does not go with {len(deviations)} standard deviations"
        )
    return per_vertex(columns) * (deviations[:, None, None] * unit_mm)


def outward(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Triangles [T, 3] of a face or head, all turned over if they are wound inwards.

    A face bulges away from the middle of its vertices, so most of its area looks away from there.
    """
    middle = vertices.mean(0, dtype=np.float64)
    first, second, third = (vertices[triangles[:, k]] - middle for k in range(3))
    volume = (first * np.cross(second, third)).sum()
    return triangles if volume >= 0 else np.ascontiguousarray(triangles[:, ::-1])


def corners_as_rows(triangles: np.ndarray) -> np.ndarray:
    """[3, T] or [T, 3] -> [T, 3]."""
    triangles = np.asarray(triangles)
    if triangles.ndim == 2 and triangles.shape[0] == 3 and triangles.shape[1] != 3:
        return triangles.T
    return triangles


@contextlib.contextmanager
def naming(path: str | os.PathLike[str], kind: str) -> Iterator[None]:
    """Turns what goes wrong while a file is read into a ModelError that names the file.

    Args:
      path: The file.
      kind: What it should be, such as "a Basel face model".
    """
    try:
        yield
    except FileNotFoundError as error:
        raise ModelError(f"{error.filename or path}: no such file") from None
    except KeyError as error:
        raise ModelError(f"{path}: not {kind}, it lacks {error}") from error
    except ModelError as error:
        text = str(error)
        raise ModelError(text if text.startswith(str(path)) else f"{path}: {text}") from error
    except MemoryError:
        raise
    except Exception as error:  # whatever a damaged file makes its library raise
        raise ModelError(f"{path}: not {kind} ({error})") from error
