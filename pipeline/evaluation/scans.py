"""How far are reconstructed faces from scans? Run as `facerelief evaluate scans`.

The NoW protocol (facemodel/evaluation/scan_protocol.py), regions in the manner of REALY, and
distances point by point where a prediction has the scan's own mesh.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from facemodel.evaluation import scan_traps
from facemodel.evaluation.closest_points import Surface
from facemodel.evaluation.face_regions import REGIONS, mean_face_regions, regions_of
from facemodel.evaluation.scan_alignment import Aligned, align
from facemodel.evaluation.scan_protocol import (
    Figures,
    figures,
    inside_disc,
    now_landmarks,
)
from facemodel.evaluation.similarity import fit_similarity
from pipeline.evaluation.photo_faces import NeutralFaces
from pipeline.evaluation.scan_files import Prediction, Scan

FLAGS = {
    "worse than mean face": "its mean distance is above the mean face's: mis-aligned, or wrong",
    "mirrored": "its landmarks fit far better with a reflection: an axis has the wrong sign",
    "landmarks off mesh": "its landmarks are not on its surface: other units, another frame, or "
    "colours that were read as positions",
    "vertex colours": "its .obj has colours beside coordinates, which the NoW evaluation "
    "cannot read",
    "unit unknown": "--metric: its eyes are a face's width apart in no unit; taken as mm",
}
"""What is said of a prediction, and what it means."""
_FEWEST_POINTS = 50


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedScan:
    """A scan with what is the same for all its predictions.

    Attributes:
      scan: the scan.
      counted: int64 [N] its vertices that are measured.
      regions: int8 [N] of them, index into REGIONS or -1.
      mean_face: figures of the mean face on this scan.
      mean_face_distances: float32 [N] mm, which these are of.
    """

    scan: Scan
    counted: np.ndarray
    regions: np.ndarray
    mean_face: Figures
    mean_face_distances: np.ndarray

    @property
    def points(self) -> np.ndarray:
        """[N, 3] mm, the vertices that are measured."""
        return self.scan.mesh.vertices[self.counted]


@dataclasses.dataclass(frozen=True, eq=False)
class ScanResult:
    """One prediction.

    Attributes:
      name: of the prediction.
      scan: it was compared with.
      figures: of all distances.
      regions: of the distances of each region after it was aligned by itself.
      pointwise: of the distances between vertices of the same number; None without correspondence.
      mean_face: of the mean face on the same scan.
      flags: keys of FLAGS.
      scale: mm of the scan for each unit of the prediction, after alignment.
      distances: float32 [N] mm.
    """

    name: str
    scan: PreparedScan
    figures: Figures
    regions: dict[str, Figures]
    pointwise: Figures | None
    mean_face: Figures
    flags: tuple[str, ...]
    scale: float
    distances: np.ndarray


class ScanEvaluator:
    """Compares predictions with scans.

    Args:
      faces: whose mean face is the baseline, and says where regions are.
      metric: whether the size of predictions counts (no scaling; NoW's metrical evaluation).
    """

    def __init__(self, faces: NeutralFaces, *, metric: bool = False):
        zero = np.zeros(faces.model.coefficient_count)
        self._metric = metric
        self._mean, self._landmarks = faces.model.mean, now_landmarks(faces.landmarks_68(zero))
        self._regions = mean_face_regions(self._mean, faces.landmarks_68(zero))
        self._mean_surface = Surface(*faces.mesh(zero))

    def prepare(self, scan: Scan) -> PreparedScan:
        """Aligns the mean face with a scan.

        Raises:
          ValueError: if the landmarks are not on the scan.
        """
        counted = np.flatnonzero(inside_disc(scan.mesh.vertices, scan.landmarks))
        if len(counted) < _FEWEST_POINTS:
            raise ValueError(
                f"{scan.name}: only {len(counted)} of the scan's {len(scan.mesh.vertices)} points "
                "are near its landmarks; are both in the same frame and unit?"
            )
        points = scan.mesh.vertices[counted]
        start = fit_similarity(self._landmarks, scan.landmarks, scaled=not self._metric)
        aligned = align(self._mean_surface, points, start, scaled=not self._metric)
        regions = regions_of(points, aligned.scan_from_mesh.apply(self._mean), self._regions)
        distances = aligned.distances.astype(np.float32)
        return PreparedScan(scan, counted, regions, figures(aligned.distances), distances)

    def evaluate(self, prediction: Prediction, scan: PreparedScan) -> ScanResult:
        """Compares a prediction with its scan."""
        mesh, landmarks, known = self._in_mm(prediction)
        surface = Surface(mesh, prediction.mesh.triangles)
        target = scan.scan.landmarks
        start = fit_similarity(landmarks, target, scaled=not self._metric)
        aligned = align(surface, scan.points, start, scaled=not self._metric)
        measured = figures(aligned.distances)
        off = surface.closest(landmarks).distances
        raised = {
            "worse than mean face": measured.mean_mm > scan.mean_face.mean_mm,
            "mirrored": scan_traps.is_mirrored(landmarks, target),
            "landmarks off mesh": scan_traps.off_mesh(landmarks, off),
            "vertex colours": prediction.mesh.coloured,
            "unit unknown": not known,
        }
        return ScanResult(
            name=prediction.name,
            scan=scan,
            figures=measured,
            regions=_by_region(surface, scan, aligned),
            pointwise=_pointwise(prediction, scan, mesh, self._metric),
            mean_face=scan.mean_face,
            flags=tuple(flag for flag, raised_here in raised.items() if raised_here),
            scale=float(aligned.scan_from_mesh.scale),
            distances=aligned.distances.astype(np.float32),
        )

    def _in_mm(self, prediction: Prediction) -> tuple[np.ndarray, np.ndarray, bool]:
        """Vertices and landmarks; in mm if their size counts, and whether the unit is known."""
        if not self._metric:
            return prediction.mesh.vertices, prediction.landmarks, True
        unit = scan_traps.guess_unit(prediction.landmarks)
        factor = scan_traps.UNITS_MM[unit or "mm"]
        return factor * prediction.mesh.vertices, factor * prediction.landmarks, unit is not None


def _by_region(surface: Surface, scan: PreparedScan, aligned: Aligned) -> dict[str, Figures]:
    """Each region aligned by itself, without scaling, from where the whole face is."""
    found = {}
    for number, name in enumerate(REGIONS):
        points = scan.points[scan.regions == number]
        if len(points) < _FEWEST_POINTS:
            found[name] = figures(np.empty(0))
            continue
        own = align(surface, points, aligned.scan_from_mesh, scaled=False)
        found[name] = figures(own.distances)
    return found


def _pointwise(
    prediction: Prediction, scan: PreparedScan, vertices: np.ndarray, metric: bool
) -> Figures | None:
    """Distances of vertices of the same number, where both have the same triangles."""
    ours, theirs = prediction.mesh, scan.scan.mesh
    same = ours.whole and theirs.whole and len(vertices) == len(theirs.vertices)
    if not (same and len(theirs.triangles) and np.array_equal(ours.triangles, theirs.triangles)):
        return None
    source, target = vertices[scan.counted], scan.points
    moved = fit_similarity(source, target, scaled=not metric).apply(source)
    return figures(np.linalg.norm(moved - target, axis=-1))


def pooled(results: Iterable[ScanResult]) -> np.ndarray:
    """All distances of all predictions, as the NoW benchmark pools them: float32 [N] mm."""
    parts = [result.distances for result in results]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def evaluate(
    predictions: Iterable[tuple[Prediction, str]],
    read_scan,
    evaluator: ScanEvaluator,
) -> Iterator[ScanResult | ValueError]:
    """Compares predictions, given with the names of their scans; errors are yielded.

    Args:
      predictions: those of one scan after each other, so that it is read once.
      read_scan: gives the Scan of a name.
      evaluator: compares.
    """
    prepared: tuple[str, PreparedScan] | None = None
    for prediction, name in predictions:
        try:
            if prepared is None or prepared[0] != name:
                prepared = (name, evaluator.prepare(read_scan(name)))
            yield evaluator.evaluate(prediction, prepared[1])
        except ValueError as error:
            yield error
