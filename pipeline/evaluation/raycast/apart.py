"""Where the error on a raycast set comes from: landmarks, picture, face are put right in turn."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from facemodel import camera, transforms
from facemodel.backend import compiled
from facemodel.camera import Pose
from facemodel.evaluation.metrics import vertex_error_mm
from facemodel.morphable.landmarks import INNER_51, embedded_points
from facemodel.morphable.model import MorphableModel
from facemodel.synthesis.photos import render_scene
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.scenes import SceneModel, sample_scene
from facemodel.synthesis.streams import DeviceStreams
from pipeline.evaluation.breakdown import Figures
from pipeline.evaluation.held_out import MEAN_FACE
from pipeline.evaluation.photo_faces import tracked
from pipeline.evaluation.raycast.detections import Detection
from pipeline.evaluation.raycast.estimates import FIT, Cut, Estimator
from pipeline.evaluation.raycast.measure import opened

BATCH = 8
Truth = Mapping[str, np.ndarray]


class Case(NamedTuple):
    """What is put right.

    Attributes:
      own_picture: rendered by training's renderer and recipe instead of path traced.
      true_landmarks: the true ones instead of the detector's, or of true ones with its errors.
      model_face: the face before it was moved out of the face model's span.
    """

    own_picture: bool
    true_landmarks: bool
    model_face: bool

    @property
    def name(self) -> str:
        """As a row of a table."""
        landmarks = "true" if self.true_landmarks else "detected"
        if not self.own_picture:
            return f"path traced, {landmarks} landmarks"
        face = "face of the model" if self.model_face else "same face"
        return f"{face}, own renderer, {landmarks} landmarks"


CASES = (
    Case(False, False, False),
    Case(False, True, False),
    Case(True, False, False),
    Case(True, True, False),
    Case(True, False, True),
    Case(True, True, True),
)


class Apart:
    """Estimates faces of a set with something put right.

    Args:
      model: the face model.
      estimator: what is evaluated.
      seed: of skin, light and camera of own pictures, which are as the lifelike recipe has them.
    """

    def __init__(self, model: MorphableModel, estimator: Estimator, *, seed: int = 0):
        self._model, self._estimator, self._seed = model, estimator, seed
        self._scenes = SceneModel.create(model)
        self._render = compiled(self._rendered)
        inner = np.asarray(INNER_51)
        places = model.landmark_triangles[inner], model.landmark_barycentric[inner]
        self._inner = (model.triangles, *places)

    def measure(
        self, detections: Sequence[Detection], truths: Mapping[str, Truth]
    ) -> Iterator[dict[str, dict[str, np.ndarray]]]:
        """Errors of faces that were found, some at a time; a rest of less than BATCH is left.

        Yields:
          case -> method -> [BATCH] mm.
        """
        for begin in range(0, len(detections) - BATCH + 1, BATCH):
            some = detections[begin : begin + BATCH]
            cuts = [self._estimator.cut(one) for one in some]
            of_some = [truths[one.name] for one in some]
            yield {case.name: self._errors(case, cuts, of_some, begin) for case in CASES}

    def _errors(
        self, case: Case, cuts: Sequence[Cut], truths: Sequence[Truth], number: int
    ) -> dict[str, np.ndarray]:
        pose, near = _pose(cuts, truths)
        faces = self._faces(truths, model_face=case.model_face)
        exact = self._landmarks(self._faces(truths), pose, near)
        grey, landmarks = (np.stack([cut[k] for cut in cuts]) for k in range(2))
        errors = 0.0 if case.true_landmarks else landmarks - exact
        if case.own_picture:
            key = np.array([self._seed, number], np.uint32)
            grey = np.asarray(self._render(key, faces, pose, near))
        seen = np.float32(self._landmarks(faces, pose, near) + errors)
        found, _ = self._estimator.estimate(grey, seen)
        methods = (MEAN_FACE, FIT, self._estimator.default_method)
        return {method: self._distances(found[method], faces) for method in methods}

    def _faces(self, truths: Sequence[Truth], *, model_face: bool = False) -> np.ndarray:
        """[B, V, 3] mm."""
        if model_face:
            return np.stack([self._model.vertices(truth["coefficients"]) for truth in truths])
        return np.float32([truth["vertices"] for truth in truths])

    def _landmarks(self, faces: np.ndarray, pose: Pose, near: np.ndarray) -> np.ndarray:
        """[B, 51, 2] px of the crop."""
        points = embedded_points(faces, *self._inner)
        return np.asarray(camera.project(points, pose, inverse_distance=near))[..., :2]

    def _rendered(self, key, faces, pose: Pose, near):
        size = camera.CROP_SIZE
        rng = DeviceStreams(key, BATCH)
        scene = sample_scene(self._scenes, SynthesisConfig.lifelike(), rng, size=size)
        scene = scene._replace(inverse_distance=near)
        rendering = render_scene(
            self._scenes, scene, size=size, pose=pose, grey=True, vertices=faces
        )
        return rendering.image[..., 0]

    def _distances(self, coefficients: np.ndarray, faces: np.ndarray) -> np.ndarray:
        inner = self._model.inner_face
        estimates = [self._model.vertices(values)[inner] for values in coefficients]
        return np.array([vertex_error_mm(*pair) for pair in zip(estimates, faces[:, inner])])


def _pose(cuts: Sequence[Cut], truths: Sequence[Truth]) -> tuple[Pose, np.ndarray]:
    """The true poses in the crops, and one over the cameras' distances, 1/mm."""
    scale = np.float32([truth["focal_px"] / truth["distance"] for truth in truths])
    rotation, principal = (
        np.float32([truth[name] for truth in truths]) for name in ("rotation", "principal")
    )
    back = np.float32([np.column_stack([cut.linear, cut.offset]) for cut in cuts])
    pose = camera.transform_pose(
        Pose(rotation, scale, principal), transforms.invert_similarity(back)
    )
    return pose, np.float32([1.0 / truth["distance"] for truth in truths])


def run(
    folder: pathlib.Path,
    *,
    count: int | None = None,
    weights: pathlib.Path | None = None,
    model_path: pathlib.Path | None = None,
) -> Figures:
    """Takes the error on a set apart, with a progress bar; arguments and errors as measure.run.

    Raises:
      ValueError: also if fewer than BATCH faces are found.
    """
    model, estimator, truths, waiting = opened(folder, count, weights, model_path)
    detections = [one for one in waiting if one.face is not None]
    if len(detections) < BATCH:
        raise ValueError(f"{folder}: {len(detections)} faces were found, {BATCH} are needed")
    parts = Apart(model, estimator).measure(detections, truths)
    batches = [next(parts) for _ in tracked(list(range(len(detections) // BATCH)), "Evaluating")]
    return table(batches)


def table(batches: Sequence[Mapping[str, Mapping[str, np.ndarray]]]) -> Figures:
    """Mean errors by case and method, of what Apart.measure yields."""
    methods = list(batches[0][CASES[0].name])
    rows = []
    for case in CASES:
        errors = [np.concatenate([one[case.name][m] for one in batches]) for m in methods]
        rows.append((case.name, tuple(float(values.mean()) for values in errors)))
    faces = BATCH * len(batches)
    title = f"mm on the inner face, {faces} faces, with something put right"
    return Figures(title, ("what is seen", *methods), tuple(rows), 3)
