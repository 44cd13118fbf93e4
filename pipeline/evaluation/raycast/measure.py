"""Errors on a raycast set. Run as `facerelief evaluate raycast`."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from facemodel.evaluation.landmark_errors import box_size, mean_error
from facemodel.morphable.landmarks import IBUG_68, INNER_51
from facemodel.morphable.model import MorphableModel
from facemodel.synthesis import slices
from pipeline.evaluation import landmark_noise
from pipeline.evaluation.face_parts import PartErrors, part_errors, part_of
from pipeline.evaluation.held_out import MEAN_FACE
from pipeline.evaluation.photo_faces import tracked
from pipeline.evaluation.raycast.detections import Detection, detect_each
from pipeline.evaluation.raycast.estimates import FIT, Estimates, Estimator
from pipeline.evaluation.raycast.nearest import NearestFace
from pipeline.evaluation.raycast.scenes import PICTURES, TRUTH

NEAREST = "nearest model face"
DETECTOR = "detector"
DISTANCES_MM = (600.0, 1200.0)


@dataclasses.dataclass(frozen=True, eq=False)
class FaceResult:
    """What was measured on one face.

    Attributes:
      name: of the scene.
      groups: kind of group -> the one that the face is in.
      errors: method -> errors in mm; empty if the face was not found.
      on_photo: method or DETECTOR -> mean distance of the inner 51 landmarks from the true ones,
        as a share of the box around the true 68.
      landmark_errors_mm: [478, 2] of the detector; NaN if the face was not found.
      places_mm: [478, 2] the true landmarks at the same scale.
      brightness: mean and standard deviation of the network's crop; NaN if there is none.
    """

    name: str
    groups: dict[str, str]
    errors: dict[str, PartErrors]
    on_photo: dict[str, float]
    landmark_errors_mm: np.ndarray
    places_mm: np.ndarray
    brightness: tuple[float, float]


@dataclasses.dataclass(frozen=True, eq=False)
class RaycastResult:
    """All faces of a set.

    Attributes:
      faces: one for each picture.
      default: the method of the shipped configuration.
      weights: name of the weights; model: of the face model.
    """

    faces: tuple[FaceResult, ...]
    default: str
    weights: str
    model: str

    @property
    def found(self) -> tuple[FaceResult, ...]:
        """The faces that the detector found."""
        return tuple(face for face in self.faces if face.errors)

    def residuals(self) -> landmark_noise.Residuals:
        """The detector's errors, as docs/landmark-noise.md has them of the own renders."""
        yaw = [slices.BIN_NAMES["slice/yaw_bin"].index(face.groups["yaw"]) for face in self.faces]
        return landmark_noise.Residuals(
            np.stack([face.landmark_errors_mm for face in self.faces]),
            np.stack([face.places_mm for face in self.faces]),
            np.array(yaw),
        )


def run(
    folder: pathlib.Path,
    *,
    count: int | None = None,
    weights: pathlib.Path | None = None,
    model_path: pathlib.Path | None = None,
) -> RaycastResult:
    """Evaluates the pictures of a set, with a progress bar.

    Args:
      folder: of the set.
      count: only the first so many pictures; all if None.
      weights: of the network, .npz; the shipped ones if None.
      model_path: of the face model; the default model if None.

    Raises:
      ValueError: if there is no picture with its truth, or the face model is of other vertices.
    """
    model, estimator, truths, waiting = opened(folder, count, weights, model_path)
    measurer, found = Measurer(model), {}
    for estimates in _counted(estimator.each(waiting), len(truths)):
        found[estimates.name] = measurer.measure(truths[estimates.name], estimates)
    faces = [found.get(name) or missed(name, truth) for name, truth in truths.items()]
    return RaycastResult(
        tuple(faces), estimator.default_method, str(weights.name if weights else "shipped"),
        f"{model.name} {model.version}",
    )  # fmt: skip


class Opened(NamedTuple):
    """A set and what estimates its faces.

    Attributes:
      model: the face model.
      estimator: of its network.
      truths: by name, in the order of the pictures.
      detections: of the pictures, found while they are asked for.
    """

    model: MorphableModel
    estimator: Estimator
    truths: dict[str, dict[str, np.ndarray]]
    detections: Iterator[Detection]


def opened(
    folder: pathlib.Path,
    count: int | None,
    weights: pathlib.Path | None,
    model_path: pathlib.Path | None,
) -> Opened:
    """Opens a set; arguments and errors as of run."""
    from facemodel.network.pretrained import load_pretrained

    pictures, truths = read_set(folder, count)
    model = MorphableModel.load(model_path)
    _check_model(model, folder, truths)
    regressor = load_pretrained(model, weights=weights, model_path=model_path)
    landmarks = {name: truth["landmarks_px"] for name, truth in truths.items()}
    waiting = detect_each(folder, pictures, landmarks)
    return Opened(model, Estimator(regressor), truths, waiting)


def _counted(estimates: Iterable[Estimates], total: int) -> Iterator[Estimates]:
    iterator = iter(estimates)
    for _ in tracked(list(range(total)), "Evaluating"):
        estimate = next(iterator, None)
        if estimate is not None:
            yield estimate


def read_set(
    folder: pathlib.Path, count: int | None = None
) -> tuple[dict[str, pathlib.Path], dict[str, dict[str, np.ndarray]]]:
    """The pictures of a set by name, and their truths.

    Raises:
      ValueError: if there is none.
    """
    names = sorted(path.stem for path in (folder / TRUTH).glob("*.npz"))
    pictures = {}
    for name in names:
        path = folder / PICTURES / f"{name}.jpg"
        if path.is_file():
            pictures[name] = path
    pictures = dict(list(pictures.items())[:count])
    if not pictures:
        raise ValueError(
            f"{folder}: no picture with its truth ({PICTURES}/NAME.jpg and {TRUTH}/NAME.npz), "
            f"{len(names)} truths"
        )
    truths = {}
    for name in pictures:
        with np.load(folder / TRUTH / f"{name}.npz") as stored:
            truths[name] = dict(stored)
    return pictures, truths


def _check_model(model: MorphableModel, folder: pathlib.Path, truths: dict) -> None:
    count = len(next(iter(truths.values()))["vertices"])
    if count != model.vertex_count:
        raise ValueError(
            f"{folder}: its faces have {count} vertices, the face model {model.vertex_count}"
        )


class Measurer:
    """Compares estimates with the truth."""

    def __init__(self, model: MorphableModel):
        self._model, self._parts, self._nearest = model, part_of(model), NearestFace(model)

    def measure(self, truth: dict[str, np.ndarray], estimates: Estimates) -> FaceResult:
        """Errors of one face by every method."""
        true = truth["vertices"][self._model.inner_face]
        faces = {
            method: self._model.vertices(values)[self._model.inner_face]
            for method, values in estimates.coefficients.items()
        }
        faces[NEAREST] = self._nearest(true)[0]
        points, inner = truth["landmarks_px"], list(INNER_51)
        box = box_size(points[list(IBUG_68)])
        on_photo = {DETECTOR: estimates.detected_px[inner]} | estimates.landmarks_px
        scale = px_per_mm(truth)
        return FaceResult(
            name=estimates.name,
            groups=groups(truth),
            errors={m: part_errors(face, true, self._parts) for m, face in faces.items()},
            on_photo={m: mean_error(at, points[inner]) / box for m, at in on_photo.items()},
            landmark_errors_mm=(estimates.detected_px - points) / scale,
            places_mm=points / scale,
            brightness=estimates.brightness,
        )


def missed(name: str, truth: dict[str, np.ndarray]) -> FaceResult:
    """The result of a face that was not found."""
    points = truth["landmarks_px"]
    nowhere = np.full_like(points, np.nan)
    places = points / px_per_mm(truth)
    return FaceResult(name, groups(truth), {}, {}, nowhere, places, (np.nan, np.nan))


def px_per_mm(truth: dict[str, np.ndarray]) -> float:
    """Scale of a face at the depth of its model's origin."""
    return float(truth["focal_px"] / truth["distance"])


def groups(truth: dict[str, np.ndarray]) -> dict[str, str]:
    """Which group of each kind a face is in."""

    def bin_of(name: str, value: float, edges: tuple[float, ...]) -> str:
        return slices.BIN_NAMES[f"slice/{name}_bin"][int(np.searchsorted(edges, value, "right"))]

    rotation, distance = truth["rotation"], float(truth["distance"])
    yaw = float(np.degrees(np.arctan2(-rotation[2, 0], rotation[2, 2])))
    near, far = DISTANCES_MM
    place = f"below {near:g} mm" if distance < near else f"{near:g} to {far:g} mm"
    return {
        "yaw": bin_of("yaw", yaw, slices.YAW_EDGES_DEG),
        "expression": bin_of("expression", truth["expression"], slices.EXPRESSION_EDGES),
        "skin tone": bin_of("skin_tone", truth["tone_deg"], slices.SKIN_TONE_EDGES_DEG),
        "distance": f"above {far:g} mm" if distance >= far else place,
        "hair": str(truth["style"]),
        "beard": str(truth["beard"]),
        "glasses": "yes" if truth["glasses"] else "no",
    }


METHODS_IN_DETAIL = (NEAREST, MEAN_FACE, FIT)
"""Beside the default method, in the tables by part, axis and group."""
