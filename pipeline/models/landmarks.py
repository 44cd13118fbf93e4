"""MediaPipe's 478 landmarks on any face model, found by the detector on renders of its mean face.

As the builder of the default model does it (facemodel/default_model/landmarks.py).
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from facemodel.default_model import landmarks as builder
from facemodel.default_model import portrait
from facemodel.morphable.conversion import convert, places, transfer
from facemodel.morphable.landmarks import INNER_51
from facemodel.morphable.model import MorphableModel
from facemodel.morphable.readers.foreign import ForeignModel

Progress = Callable[[str, float], None]

FIRST_VIEWS_DEG = tuple((yaw, pitch) for yaw in (-20, 0, 20) for pitch in (-10, 0, 10))
TEXTURES = 2
"""Pictures of each view, each with another texture, as eyebrows differ."""
BROWS = (
    *(70, 63, 105, 66, 107, 46, 53, 52, 65, 55),
    *(300, 293, 334, 296, 336, 276, 283, 282, 295, 285),
)
"""MediaPipe's points along both edges of the eyebrows."""
_CLAY = np.array([0.74, 0.58, 0.5])
_PICTURE_PX, _FILLED = 512, 0.9
_JITTER, _SEED = 0.3, 11


@dataclasses.dataclass(frozen=True, eq=False)
class Located:
    """What came of a search for landmarks.

    Attributes:
      points: [478, 3] mm on the mean face.
      spread_mm: median over the landmarks of their spread over views and textures.
      moved_mm: median distance of the inner 51 landmarks from where they were before.
    """

    points: np.ndarray
    spread_mm: float
    moved_mm: float


@contextlib.contextmanager
def face_detector() -> Iterator[builder.Detector]:
    """A function that finds the 478 landmarks of the one large upright face in an image."""
    from serving.detection.detector import FaceDetector

    with FaceDetector(min_face_fraction=0.2, try_rotated=False) as detector:

        def detect(image: np.ndarray) -> np.ndarray | None:
            faces = detector.detect(image)
            return faces[0].landmarks.astype(np.float64) if faces else None

        yield detect


def first_look(foreign: ForeignModel, detect: builder.Detector) -> np.ndarray:
    """Landmarks [478, 3] mm on a mean face of which only units and axes are known.

    Of a model without colours the brows are NaN: there is nothing to see of them.

    Raises:
      LandmarkError: if the detector does not find the face in enough pictures.
    """
    low, high = foreign.mean.min(0), foreign.mean.max(0)
    frame = portrait.Frame(
        centre=tuple(((low + high) / 2).tolist()),
        mm_per_px=float((high - low).max() / (_FILLED * _PICTURE_PX)),
    )
    colours = foreign.albedo_mean
    if colours is None:
        colours = np.broadcast_to(_CLAY, foreign.mean.shape)
    outside = (foreign.regions[foreign.triangles] == 0).all(1)
    found = builder.locate(
        foreign.mean.astype(np.float64),
        foreign.triangles,
        outside,
        lambda: colours,
        detect,
        views_deg=FIRST_VIEWS_DEG,
        frame=frame,
    )
    return found.points if foreign.albedo_mean is not None else without_brows(found.points)


def without_brows(points: np.ndarray) -> np.ndarray:
    """[478, 3] with NaN for the brows."""
    points = points.copy()
    points[list(BROWS)] = np.nan
    return points


def second_look(arrays: dict[str, np.ndarray], detect: builder.Detector) -> np.ndarray:
    """Landmarks [478, 3] mm on the mean face of a model with colours, from fewer pictures.

    Raises:
      LandmarkError: if the detector does not find the face in enough pictures.
    """
    model = places.at_levels(arrays)[1]
    rng = np.random.default_rng(_SEED)
    return _locate(model, model.mean, detect, rng, views_deg=builder.VIEWS_DEG).points


def relocate(
    arrays: dict[str, np.ndarray], detect: builder.Detector, progress: Progress | None = None
) -> tuple[dict[str, np.ndarray], Located]:
    """Finds the landmarks of a model anew, the inner lips with the mouth open.

    Args:
      arrays: of a model file.
      detect: finds [478, 2] px in an image.
      progress: told what is being done.

    Returns:
      The arrays with other landmarks, and what was measured.

    Raises:
      LandmarkError: if the detector does not find the face in enough pictures.
    """
    tell = progress or (lambda step, share: None)
    models = places.at_levels(arrays)
    model, opening = models[1], places.opening(models[1])
    tell("locating the landmarks", 0.0)
    rng = np.random.default_rng(_SEED)
    closed = _locate(model, model.mean, detect, rng)
    tell("locating the inner lips", 0.5)
    opened = _locate(model, model.vertices(opening), detect, rng)
    changed = places.landmark_arrays(models, closed.points, opened.points, opening)
    distance = np.linalg.norm(closed.points - transfer.landmark_points(model), axis=1)
    return {**arrays, **changed}, Located(
        points=closed.points,
        spread_mm=float(np.median(closed.spread_mm)),
        moved_mm=float(np.median(distance[list(INNER_51)])),
    )


def _locate(
    model: MorphableModel,
    vertices: np.ndarray,
    detect: builder.Detector,
    rng: np.random.Generator,
    *,
    views_deg: Iterable[tuple[float, float]] = builder.VIEWS_DEG * TEXTURES,
) -> builder.LocatedLandmarks:
    names = model.region_names
    seen = [number for number, name in enumerate(names) if name in ("skin", "eye_l", "eye_r")]
    outside = np.isin(model.regions, seen)[model.triangles].all(1)

    def draw_colours() -> np.ndarray:
        first, second = model.albedo_scores[rng.integers(len(model.albedo_scores), size=2)]
        return model.albedo_rgb(0.5 * (first + second) * (1 + _JITTER))

    return builder.locate(
        vertices.astype(np.float64),
        model.triangles,
        outside,
        draw_colours,
        detect,
        views_deg=views_deg,
    )


def run(source: pathlib.Path, output: pathlib.Path, progress: Progress | None = None) -> Located:
    """Writes a model file whose landmarks are where the detector sees them."""
    arrays = convert.read_arrays(source)
    with face_detector() as detect:
        arrays, located = relocate(arrays, detect, progress)
    convert.write(output, {**arrays, "landmark_source": np.array("detector")})
    return located
