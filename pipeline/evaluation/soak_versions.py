"""Versions of a small model that come and go in a server's folder while it is loaded."""

from __future__ import annotations

import io
import pathlib
import shutil
import threading
import time
from collections.abc import Callable

import numpy as np
from PIL import Image
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from components.deployment.warmup_requests import predict_request, write_requests
from facemodel.morphable.geometry import FaceGeometry
from facemodel.morphable.landmarks import embedded_points
from facemodel.morphable.model import MorphableModel
from facemodel.network.regressor import IterativeRegressor, build_network
from facemodel.saved_model import export, metadata

NAME = "soak"
SIZE = 64
"""Of the images, px."""
KEPT = 3
"""Versions in the folder: the newest may still be loading."""
LONGEST = 3
"""A version that does not answer is followed by the next after so many times the usual time."""
OUTPUTS = ("coefficients", "translation")


def export_kinds(folder: pathlib.Path, warm_up: list[PredictRequest]) -> list[pathlib.Path]:
    """Two SavedModels of the tiny face model with other answers: even versions, odd versions.

    Args:
      folder: Where to.
      warm_up: Requests that a server answers before a version is served: the first answer takes
        seconds.
    """
    model = MorphableModel.tiny()
    network = build_network(model.coefficient_count)
    regressor = IterativeRegressor(FaceGeometry.create(model), network, iterations=0)
    paths = [
        export.export_saved_model(
            model,
            regressor,
            folder,
            config=metadata.ExportConfig(start="landmark_fit", landmark_noise_mm=noise_mm),
            version=number,
        )
        for number, noise_mm in ((2, 1.0), (1, 0.5))
    ]
    for path in paths:
        write_requests(path, warm_up)
    return paths


def make_faces(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [count, SIZE, SIZE, 3] and landmarks [count, 478, 2] px that all differ."""
    model = MorphableModel.tiny()
    at = (model.triangles, model.landmark_triangles, model.landmark_barycentric)
    rng = np.random.default_rng(0)
    coefficients = rng.normal(size=(count, model.coefficient_count)).astype(np.float32)
    points = np.stack(
        [np.asarray(embedded_points(model.vertices(one), *at))[:, :2] for one in coefficients]
    )
    pixels = points * (SIZE / 256, -SIZE / 256) + SIZE / 2
    images = rng.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    return images, pixels.astype(np.float32)


def warm_up_requests(image: np.ndarray, points: np.ndarray) -> list[PredictRequest]:
    """What a version answers before it is served: the sets of outputs that are asked for."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    content = np.array([file.getvalue()], object)
    direct = predict_request(
        {"image": image[None], "landmarks": points[None]}, name=NAME, signature="serving_default"
    )
    direct.output_filter.extend(OUTPUTS)
    encoded = {"image_bytes": content, "landmarks": points[None]}
    return [direct, predict_request(encoded, name=NAME, signature="encoded")]


def known_answers(kinds: list[pathlib.Path], images: np.ndarray, points: np.ndarray) -> np.ndarray:
    """What both kinds answer without a server: [2, count, n], the OUTPUTS of a face in one row."""
    from serving.local_model import LocalModel

    answers = []
    for path in kinds:
        model = LocalModel(path)
        runs = [
            model.run(image[None], face[None])[0]
            for image, face in zip(images, points, strict=True)
        ]
        answers.append([np.concatenate([run[name][0] for name in OUTPUTS]) for run in runs])
    return np.array(answers)


class Changes:
    """Adds the next version and removes the last one, again and again, in a thread.

    Args:
      folder: Of the versions; has number 1 when this returns.
      kinds: SavedModels of even and of odd numbers.
      seconds: Between two changes, at least.
      answered: Whether a version has given an answer; the next one waits for that, up to LONGEST
        times as long: on a slow machine a version may take longer to load than it is served.

    Raises:
      OSError: at the end, if a version could not be added or removed.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        kinds: list[pathlib.Path],
        *,
        seconds: float,
        answered: Callable[[int], bool] = lambda number: True,
    ):
        self._folder, self._kinds, self._seconds = folder, kinds, seconds
        self._answered = answered
        self._stopping = threading.Event()
        self._raised: OSError | None = None
        self.number = 0
        """The newest."""
        self._add()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Changes:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stopping.set()
        self._thread.join()
        if self._raised is not None:
            raise self._raised

    def _add(self) -> None:
        number = self.number + 1
        partial = self._folder / f".{number}"
        shutil.copytree(self._kinds[number % 2], partial)
        partial.rename(self._folder / str(number))
        self.number = number

    def _answered_in_time(self) -> bool:
        """Waits for the newest version; False if all is to end meanwhile."""
        ends = time.monotonic() + (LONGEST - 1) * self._seconds
        while not self._answered(self.number) and time.monotonic() < ends:
            if self._stopping.wait(0.1):
                return False
        return True

    def _run(self) -> None:
        try:
            while not self._stopping.wait(self._seconds):
                if self._answered_in_time():
                    self._add()
                if self.number > KEPT:
                    shutil.rmtree(self._folder / str(self.number - KEPT))
        except OSError as error:
            self._raised = error
