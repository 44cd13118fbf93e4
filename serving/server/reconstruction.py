"""A photo to a face in the server's process: what POST /v1/reconstruct does.

No part of TensorFlow Serving. The rest of the server does not import this module: it brings the
detector and all that heads are made of, and pipeline/inference/serve_front.py loads it when asked.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

import grpc
import numpy as np

from serving.detection.detector import FaceDetector
from serving.head_options import HeadOptions
from serving.heads import HeadMaker
from serving.output.description import describe
from serving.output.face_files import face_alone
from serving.output.gltf import encode_glb
from serving.reconstructor import Reconstruction, Reconstructor
from serving.served_model import ServedModel
from serving.server.call import InProcessContext, Services
from serving.server.http_status import HttpError
from serving.server.metrics import REST, Metrics
from serving.server.photo_bodies import photo_of
from serving.server.status import ServingError

JSON, GLB = "json", "glb"
MEDIA_TYPES = {JSON: "application/json", GLB: "model/gltf-binary"}
MAX_MEGAPIXELS = 50.0
"""A decoded photo takes some 10 bytes a pixel while it is worked on."""
WAITING = 8
SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class PhotoQuery:
    """What a request's query says.

    Attributes:
      format: json or glb.
      face: Number of the face, the largest is 0.
    """

    format: str = JSON
    face: int = 0

    @classmethod
    def read(cls, query: Mapping[str, str]) -> PhotoQuery:
        """Reads format=json|glb and face=N.

        Raises:
          HttpError: 400 if it says something else.
        """
        unknown = sorted(set(query) - {"format", "face"})
        if unknown:
            raise HttpError(400, f"unknown in the query: {unknown[0]}; known are format, face")
        form, face = query.get("format", JSON), query.get("face", "0")
        if form not in MEDIA_TYPES:
            raise HttpError(400, f"format should be {' or '.join(MEDIA_TYPES)}, got {form!r}")
        if not (face.isascii() and face.isdecimal() and len(face) < 6):
            raise HttpError(400, f"face should be a number from 0 on, got {face!r}")
        return cls(form, int(face))


class PhotoReconstructor:
    """Answers one photo at a time; a few more wait.

    Args:
      services: Of the server whose model is used.
      name: Of that model.
      metrics: Told of each photo.
      max_megapixels: Largest photo, in millions of pixels.

    Raises:
      RemoteModelError, ServingError: if the model is not one of this project.
    """

    seconds = SECONDS

    def __init__(
        self,
        services: Services,
        name: str,
        *,
        metrics: Metrics | None = None,
        max_megapixels: float = MAX_MEGAPIXELS,
    ):
        self._services, self._name, self._metrics = services, name, metrics or Metrics()
        self._max_megapixels = max_megapixels
        self._turns = Turns(WAITING)
        self._context = InProcessContext(SECONDS)
        model = ServedModel(self._predict, address="this server", name=name)
        self._reconstructor = Reconstructor(face_model=model, detector=FaceDetector())
        self._maker = HeadMaker.load()
        self._prepare()

    def _prepare(self) -> None:
        """Makes what is made once, so that the first photo does not wait for it."""
        self._reconstructor.detector.detect(np.zeros((256, 256, 3), np.uint8))
        assert self._maker.skin and self._maker.statistics

    def _predict(self, request):
        return self._services.predict(request, self._context)

    def answer(
        self, photo: bytes, options: Mapping[str, str], context: InProcessContext
    ) -> tuple[bytes, str]:
        """The file of one face of a photo; see rest.PhotoService.

        Raises:
          HttpError: 400 for a wrong query, 415 for no image, 413 for too many pixels, 422 for an
            image that is damaged or too small or in which there is no such face.
          ServingError: UNAVAILABLE if too many photos wait already, DEADLINE_EXCEEDED, CANCELLED.
        """
        began, code = time.perf_counter(), grpc.StatusCode.UNKNOWN.name
        try:
            query = PhotoQuery.read(options)
            with self._turns.take(context):
                self._context = context
                content = self._file(photo, query)
            code = grpc.StatusCode.OK.name
            return content, MEDIA_TYPES[query.format]
        except (HttpError, ServingError) as error:
            code = str(error.status) if isinstance(error, HttpError) else error.code.name
            raise
        finally:
            self._metrics.request(
                self._name,
                "",
                method="Reconstruct",
                protocol=REST,
                code=code,
                seconds=time.perf_counter() - began,
            )

    def _file(self, photo: bytes, query: PhotoQuery) -> bytes:
        image = photo_of(
            photo,
            max_megapixels=self._max_megapixels,
            hint="; send the file itself as the body",
        )
        faces = self._reconstructor.detector.detect(image)
        if query.face >= len(faces):
            raise HttpError(422, self._no_such_face(image, faces, query.face))
        face = self._reconstructor.reconstruct_face(image, faces[query.face])
        return self._encode(image, face, query, count=len(faces))

    def _no_such_face(self, image: np.ndarray, faces: Sequence, number: int) -> str:
        if faces:
            return f"no face {number}: the image has {len(faces)}, counted from 0"
        width = self._reconstructor.detector.smallest_face_px(image)
        return f"no face found in the image that is at least {width:.0f} px wide"

    def _encode(
        self, image: np.ndarray, face: Reconstruction, query: PhotoQuery, *, count: int
    ) -> bytes:
        name = f"face_{query.face}"
        head = self._maker.make(image, face, name=name) if self._maker.fits(face) else None
        mesh = head.mesh if head else face_alone(image, face, name)
        if query.format == GLB:
            return encode_glb(mesh)
        if head:
            flags = (*face.flags, *head.flags)
            face = dataclasses.replace(face, quality=dataclasses.replace(face.quality, flags=flags))
        description = describe(
            face,
            photo_facts={"name": "image", "faces": count},
            photo_size=image.shape[:2],
            mesh=mesh,
            options=dataclasses.asdict(HeadOptions()),
        )
        return (json.dumps(description, indent=1) + "\n").encode()


class Turns:
    """Lets one caller work at a time, and a few wait.

    Args:
      waiting: How many may wait.
    """

    def __init__(self, waiting: int):
        self._free = threading.Semaphore(1)
        self._places = threading.BoundedSemaphore(waiting + 1)

    @contextlib.contextmanager
    def take(self, context: InProcessContext) -> Iterator[None]:
        """Waits for the turn.

        Raises:
          ServingError: UNAVAILABLE if too many wait, DEADLINE_EXCEEDED if it takes too long,
            CANCELLED if the client is gone by then.
        """
        if not self._places.acquire(blocking=False):
            raise ServingError(grpc.StatusCode.UNAVAILABLE, "too many photos wait; try again later")
        try:
            if not self._free.acquire(timeout=context.time_remaining()):
                raise ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "other photos took too long")
            try:
                if not context.is_active():
                    raise ServingError(grpc.StatusCode.CANCELLED, "the client is gone")
                yield
            finally:
                self._free.release()
        finally:
            self._places.release()
