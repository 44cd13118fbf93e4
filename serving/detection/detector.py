"""Finds every face in a photo and its 478 landmarks. The only place that imports mediapipe.

MediaPipe's face mesh looks for faces in a 128 px copy of the whole picture, so it misses people
who stand far away. Here two detectors search the picture and overlapping tiles of it; then the
mesh runs on an enlarged, upright crop of each face that was found.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Sequence

import numpy as np
from typing_extensions import Self

from serving.detection import tiles
from serving.native import OneCaller
from serving.quiet import without_notices

LANDMARK_COUNT = 478
CROP_PX = 448
"""Side of the upright crop in which the mesh is run, px."""
CROP_MARGINS = (2.2, 1.6, 3.2)
"""Side of that crop in face widths; the next is tried where the mesh finds nothing."""
SAME_FACE_IOU = 0.3
MAX_DISAGREEMENT = 0.05
"""Two looks at a face may differ by this share of its size; what is no face moves by more."""
SURE_SCORE = 0.8
"""A face below this score may be one of a photo that lies on its side or upside down."""
EYE_CORNERS = (33, 263)
"""MediaPipe's outer corners of the right and the left eye."""
MIN_MESH_PX = 16.0
"""Smaller meshes are noise."""

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class DetectedFace:
    """One face in a photo.

    Attributes:
      landmarks: [478, 2] float32 px in MediaPipe's order; may lie outside the photo.
      score: the detector's confidence in [0, 1].
      box: (left, top, right, bottom) px around the landmarks.
    """

    landmarks: np.ndarray
    score: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        left, top = self.landmarks.min(0)
        right, bottom = self.landmarks.max(0)
        return float(left), float(top), float(right), float(bottom)

    @property
    def size_px(self) -> float:
        """The longer side of the box."""
        left, top, right, bottom = self.box
        return max(right - left, bottom - top)


class FaceDetector:
    """Finds faces and their landmarks; use it as a context manager, or call close().

    Works offline with the models that mediapipe ships; the same photo always gives the same answer.
    Threads may share one: they take turns. A forked process may not (native.ForkError).

    Args:
      min_score: detections below this confidence are dropped, in [0, 1].
      min_face_fraction: smallest face searched for, as a share of the photo's longer side. Halving
        it takes about four times as long; 0.1 and above searches no tiles.
      min_face_px: Smallest width of a face, px.
      try_rotated: look for larger faces in the photo turned by quarter turns, too.
    """

    def __init__(
        self,
        *,
        min_score: float = 0.5,
        min_face_fraction: float = 1 / 40,
        min_face_px: float = 24.0,
        try_rotated: bool = True,
    ):
        self._min_score = min_score
        self._min_face_fraction, self._min_face_px = min_face_fraction, min_face_px
        self._try_rotated = try_rotated
        self._turn = OneCaller("FaceDetector")
        with contextlib.ExitStack() as stack, without_notices():
            self._detectors, self._mesh = _start(stack, min_score)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Frees the models."""
        self._stack.close()

    def detect(self, image: np.ndarray) -> list[DetectedFace]:
        """Finds all faces.

        Args:
          image: uint8 [H, W, 3] sRGB, upright.

        Returns:
          The faces, largest first; none is an empty list.

        Raises:
          ValueError: if image is not uint8 [H, W, 3] with at least one pixel.
          ForkError: if this process was forked after the detector was made.
        """
        image = np.asarray(image)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise ValueError(f"expected uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
        with self._turn:
            faces = self._search(image)
        return sorted(
            tiles.without_doubles(faces, limit=SAME_FACE_IOU),
            key=lambda face: (-face.size_px, face.box),
        )

    def follow(self, image: np.ndarray, face: DetectedFace) -> DetectedFace | None:
        """Finds a face again in the next frame of a film: looks only around where it was.

        One look at one crop, where detect searches the whole photo and looks twice.

        Args:
          image: uint8 [H, W, 3] sRGB, upright.
          face: where it was in the frame before.

        Returns:
          The face, with the score that it had; None if it is not there.

        Raises:
          ForkError: if this process was forked after the detector was made.
        """
        with self._turn:
            found = self._look(image, _candidate_from(face), CROP_MARGINS[0])
        return found if found and found.size_px >= MIN_MESH_PX else None

    def smallest_face_px(self, image: np.ndarray) -> float:
        """The width of the smallest face that is looked for in a photo [H, W, 3], px."""
        return max(self._min_face_px, self._min_face_fraction * max(image.shape[:2]))

    def _search(self, image: np.ndarray) -> list[DetectedFace]:
        """Upright faces, and larger ones that are turned; some may be found twice.

        Where an upright face is certain, turned photos are searched beside it only.
        """
        faces = self._faces(image, smallest_face_px=self.smallest_face_px(image))
        certain = [face for face in faces if face.score >= SURE_SCORE]
        for quarter_turns in (1, 2, 3) if self._try_rotated else ():
            turned = np.ascontiguousarray(np.rot90(image, quarter_turns))
            known = [_turn_back(face, turned.shape, 4 - quarter_turns) for face in certain]
            found = self._faces(turned, smallest_face_px=np.inf, known=known)
            faces += [_turn_back(face, image.shape, quarter_turns) for face in found]
        return faces

    def _faces(
        self, image: np.ndarray, *, smallest_face_px: float, known: Sequence[DetectedFace] = ()
    ) -> list[DetectedFace]:
        """The upright faces; searches tiles only where they help to find faces of that size.

        Candidates in the middle of a known face are left out, and beside one no face fills so much
        of the photo that it is only found with a margin around it.
        """
        places = tiles.tiles(image.shape[:2], smallest_face_px=smallest_face_px)
        candidates = self._candidates(image, places[:1] if known else places)
        new = (one for one in candidates if not any(_holds(face.box, one.box) for face in known))
        found = (self._mesh_of(image, candidate) for candidate in new)
        return [face for face in found if face and face.size_px >= MIN_MESH_PX]

    def _candidates(self, image: np.ndarray, places: list[tiles.Tile]) -> list[tiles.Candidate]:
        """Where faces may be, doubles removed, most certain first."""
        found = []
        for tile in places:
            picture = tiles.cut(image, tile)
            for detector in self._detectors if tile.whole else self._detectors[-1:]:
                for detection in detector.process(picture).detections or ():
                    found.append(_candidate(detection, tile))
        return tiles.without_doubles(found, limit=SAME_FACE_IOU)

    def _mesh_of(self, image: np.ndarray, candidate: tiles.Candidate) -> DetectedFace | None:
        """The landmarks of one candidate, if two looks at it agree."""
        for margin in CROP_MARGINS:
            face = self._look(image, candidate, margin)
            again = face and self._look(image, _candidate_from(face), CROP_MARGINS[0])
            if face and again and _disagreement(face, again) < MAX_DISAGREEMENT:
                return again
        _log.debug("no landmarks for the candidate at %s (%.2f)", candidate.box, candidate.score)
        return None

    def _look(self, image, candidate: tiles.Candidate, margin: float) -> DetectedFace | None:
        """Runs the mesh on an upright crop around a candidate."""
        crop, image_from_crop = tiles.upright_crop(image, candidate, margin=margin, size=CROP_PX)
        meshes = self._mesh.process(crop).multi_face_landmarks or ()
        faces = [_face(mesh, candidate.score, image_from_crop) for mesh in meshes]
        faces = [face for face in faces if tiles.iou(face.box, candidate.box) > SAME_FACE_IOU]
        return max(faces, key=lambda face: tiles.iou(face.box, candidate.box), default=None)


def import_mediapipe() -> None:
    """Imports it now, for those who make detectors in another thread than the one that imports."""
    with without_notices():
        from mediapipe.python.solutions import face_detection, face_mesh  # noqa: F401


def _start(stack: contextlib.ExitStack, min_score: float):
    """Starts two detectors (near and far range) and the mesh, and runs each once."""
    from mediapipe.python.solutions import face_detection, face_mesh

    detectors = [
        face_detection.FaceDetection(model_selection=k, min_detection_confidence=min_score)
        for k in (0, 1)
    ]
    mesh = face_mesh.FaceMesh(
        static_image_mode=True,
        max_num_faces=3,
        refine_landmarks=True,
        min_detection_confidence=0.3,
    )
    for solution in (*detectors, mesh):
        stack.enter_context(solution)
        solution.process(np.zeros((64, 64, 3), np.uint8))
    return detectors, mesh


def _candidate(detection, tile: tiles.Tile) -> tiles.Candidate:
    location = detection.location_data
    box = location.relative_bounding_box
    right_eye, left_eye = location.relative_keypoints[:2]
    return tiles.Candidate.from_tile(
        tile,
        score=float(detection.score[0]),
        box=(box.xmin, box.ymin, box.xmin + box.width, box.ymin + box.height),
        eyes=((right_eye.x, right_eye.y), (left_eye.x, left_eye.y)),
    )


def _holds(box: tiles.Box, other: tiles.Box) -> bool:
    """Whether the middle of another box lies in a box."""
    x, y = (other[0] + other[2]) / 2, (other[1] + other[3]) / 2
    return box[0] < x < box[2] and box[1] < y < box[3]


def _face(mesh, score: float, image_from_crop: np.ndarray) -> DetectedFace:
    points = np.array([(point.x, point.y) for point in mesh.landmark]) * CROP_PX
    points = points @ image_from_crop[:, :2].T + image_from_crop[:, 2]
    return DetectedFace(points.astype(np.float32), score)


def _candidate_from(face: DetectedFace) -> tiles.Candidate:
    """Where a face is according to its own landmarks."""
    (right_x, right_y), (left_x, left_y) = face.landmarks[list(EYE_CORNERS)].tolist()
    roll = float(np.arctan2(left_y - right_y, left_x - right_x))
    return tiles.Candidate(face.score, face.box, roll)


def _disagreement(first: DetectedFace, second: DetectedFace) -> float:
    """Mean distance of two sets of landmarks, as a share of the face's size."""
    distances = np.linalg.norm(first.landmarks - second.landmarks, axis=1)
    return float(distances.mean() / max(second.size_px, 1e-6))


def _turn_back(face: DetectedFace, shape: tuple[int, ...], quarter_turns: int) -> DetectedFace:
    """Undoes np.rot90 on landmarks: from the turned photo into the photo of the given shape."""
    height, width = shape[:2]
    x, y = face.landmarks.T
    points = {
        0: (x, y),
        1: (width - y, x),
        2: (width - x, height - y),
        3: (y, height - x),
    }
    return DetectedFace(np.stack(points[quarter_turns], -1).astype(np.float32), face.score)
