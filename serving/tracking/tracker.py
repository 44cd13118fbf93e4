"""The first pass over a film: finds faces, says whose they are, and estimates each frame."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np

from facemodel.fitting.identity_posterior import IdentityPosterior, frame_weight
from serving.detection.detector import DetectedFace
from serving.tracking.association import FAR, Known, Seen, assign, distance, without_copies
from serving.tracking.cuts import CutDetector
from serving.tracking.records import FaceRecord, FrameRecord

FAST_EVERY = 6
"""How often the network looks at a known face in the fast profile."""
SEARCH_EVERY, SEARCH_AGAIN, SEARCH_SOON = 25, 8, 3
"""All of a frame is searched so often; while somebody who was there is gone; and while somebody has
just been lost or nobody is there."""
GONE_FRAMES = 500
"""After so many frames nobody is expected back."""
FORGET_AFTER = 15
"""Frames after which the place where somebody was lost says nothing any more."""
_SHARPEST_FADES = 0.999


class Detector(Protocol):
    """What finds faces; see serving.detection.detector.FaceDetector."""

    def detect(self, image: np.ndarray) -> list[DetectedFace]: ...
    def follow(self, image: np.ndarray, face: DetectedFace) -> DetectedFace | None: ...


class Estimator(Protocol):
    """What estimates coefficients; see serving.tracking.estimator.FilmEstimator."""

    @property
    def identity_count(self) -> int: ...
    @property
    def identity_metric(self) -> np.ndarray: ...
    def first(self, image: np.ndarray, found: DetectedFace) -> np.ndarray: ...
    def next(self, image: np.ndarray, found: DetectedFace, identity: np.ndarray) -> np.ndarray: ...
    def known(self, found: DetectedFace, identity: np.ndarray) -> np.ndarray: ...
    def angles_deg(
        self, found: DetectedFace, coefficients: np.ndarray
    ) -> tuple[float, float, float]: ...
    def sharpness(self, image: np.ndarray, found: DetectedFace) -> float: ...


@dataclasses.dataclass(eq=False)
class Person:
    """Somebody in the film.

    Attributes:
      posterior: what is known of the identity.
      face: where the face was last.
      speed: [2] px, how far it moves in a frame.
      seen: number of the frame in which it was last.
      age: in how many frames it has been.
      sharpest: of the frames so far, slowly forgotten.
      placed: whether `face` still says where to look.
    """

    posterior: IdentityPosterior
    face: DetectedFace
    speed: np.ndarray
    seen: int
    age: int = 0
    sharpest: float = 1e-9
    placed: bool = True

    def expected(self) -> DetectedFace:
        """The face where it is expected in the next frame."""
        moved = self.face.landmarks + self.speed.astype(np.float32)
        return DetectedFace(moved, self.face.score)


class Tracker:
    """Follows people through frames that come in order.

    Args:
      detector: finds faces.
      estimator: estimates coefficients.
      max_people: how many people at a time, the largest faces; None for all.
      network_every: in which frames of a person the network looks at the face. If not in all, it
        is asked for the identity alone, and landmarks say the expressions.
    """

    def __init__(
        self,
        detector: Detector,
        estimator: Estimator,
        *,
        max_people: int | None = None,
        network_every: int = 1,
    ):
        self._detector, self._estimator, self._max_people = detector, estimator, max_people
        self._network_every = network_every
        self.people: list[Person] = []
        self._cut, self._searched, self._last = CutDetector(), -SEARCH_EVERY, -1

    def step(self, number: int, image: np.ndarray) -> FrameRecord:
        """Works on one frame.

        Args:
          number: of the frame.
          image: uint8 [H, W, 3] sRGB.
        """
        cut = self._cut(image)
        if cut:
            self._forget_places()
        followed = self._follow(image)
        faces = [face for _, face in followed] + self._search(number, image, followed)
        if self._max_people is not None:
            order = sorted(range(len(faces)), key=lambda k: -faces[k].size_px)
            kept = sorted(order[: self._max_people])
        else:
            kept = list(range(len(faces)))
        whose = {k: person for k, (person, _) in enumerate(followed)}
        estimates = [self._estimate(image, faces[k], whose.get(k)) for k in kept]
        record = self._record(number, cut, image, [faces[k] for k in kept], estimates)
        self.restore(record)
        return record

    def watch(self, image: np.ndarray) -> None:
        """Tells of the frame before the first that step gets, where a run resumes."""
        self._cut(image)

    def restore(self, record: FrameRecord) -> None:
        """Takes a frame that has been worked on into account, without looking at it."""
        if record.cut:
            self._forget_places()
        for face in record.faces:
            self._update(face, record.number)
        for person in self.people:
            if person.seen < record.number - FORGET_AFTER:
                person.placed = False
        self._last = record.number

    def _forget_places(self) -> None:
        for person in self.people:
            person.placed, person.speed = False, np.zeros(2)
        self._searched = -SEARCH_EVERY

    def _follow(self, image: np.ndarray) -> list[tuple[int, DetectedFace]]:
        """People who were there in the frame before, and their faces now."""
        found = []
        for number, person in enumerate(self.people):
            if person.placed and person.seen == self._last:
                face = self._detector.follow(image, person.expected())
                if face is not None:
                    found.append((number, face))
        ages = [self.people[number].age for number, _ in found]
        kept = without_copies([face.landmarks for _, face in found], ages)
        return [found[k] for k in kept]

    def _search(self, number: int, image: np.ndarray, followed) -> list[DetectedFace]:
        """Faces that nobody was followed to; looks for them from time to time only."""
        lost = len(followed) < sum(person.placed for person in self.people)
        gone = any(number - person.seen in range(2, GONE_FRAMES) for person in self.people)
        often = SEARCH_SOON if lost or not followed else SEARCH_AGAIN if gone else SEARCH_EVERY
        full = self._max_people is not None and len(followed) >= self._max_people
        if full or number - self._searched < often:
            return []
        self._searched = number
        known = [face.landmarks for _, face in followed]
        return [
            face
            for face in self._detector.detect(image)
            if all(distance(face.landmarks, other) > 0.25 for other in known)
        ]

    def _estimate(self, image, face: DetectedFace, person: int | None) -> tuple[np.ndarray, bool]:
        """Coefficients, and whether they say anything new of the identity."""
        if person is None:
            return self._estimator.first(image, face), True
        one, every = self.people[person], self._network_every
        if every == 1:
            return self._estimator.next(image, face, one.posterior.mean), True
        known = self._estimator.known(face, one.posterior.mean)
        if one.age % every:
            return known, False
        count = self._estimator.identity_count
        seen = self._estimator.next(image, face, one.posterior.mean)
        return np.concatenate([seen[:count], known[count:]]), True

    def _record(self, number, cut, image, faces, estimates) -> FrameRecord:
        count = self._estimator.identity_count
        seen = [Seen(f.landmarks, e[:count]) for f, (e, _) in zip(faces, estimates)]
        known = [
            Known(one.expected().landmarks if one.placed else None, one.posterior.mean)
            for one in self.people
        ]
        chosen = assign(known, seen, self._estimator.identity_metric)
        rows, new = [], len(self.people)
        for face, (estimate, informed), person in zip(faces, estimates, chosen):
            if person is None:
                person, new = new, new + 1
            sharp = self._estimator.sharpness(image, face)
            best = self.people[person].sharpest if person < len(self.people) else sharp
            yaw, pitch, _ = self._estimator.angles_deg(face, estimate)
            weight = frame_weight(yaw, pitch, min(1.0, sharp / max(best, 1e-9))) * informed
            rows.append(FaceRecord(person, face.landmarks, face.score, estimate, sharp, weight))
        return FrameRecord(number, cut, tuple(rows))

    def _update(self, face: FaceRecord, number: int) -> None:
        count = self._estimator.identity_count
        found = DetectedFace(face.landmarks, face.score)
        if face.person == len(self.people):
            prior = IdentityPosterior.prior(count)
            self.people.append(Person(prior, found, np.zeros(2), number))
        person = self.people[face.person]
        follows = person.placed and person.age > 0 and person.seen == number - 1
        near = follows and distance(person.face.landmarks, found.landmarks) < FAR / 2
        moved = found.landmarks.mean(0) - person.face.landmarks.mean(0)
        person.speed = moved.astype(np.float64) if near else np.zeros(2)
        person.posterior = person.posterior.updated(face.coefficients[:count], face.weight)
        person.face, person.seen, person.placed = found, number, True
        person.age += 1
        person.sharpest = max(_SHARPEST_FADES * person.sharpest, face.sharpness)
