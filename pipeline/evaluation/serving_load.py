"""Clients that load a model server, and what they see of it."""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from collections.abc import Callable, Sequence

import grpc
import numpy as np

from facemodel.morphable.landmarks import embedded_points
from facemodel.morphable.model import MorphableModel

CODE_OK = grpc.StatusCode.OK.name


@dataclasses.dataclass(frozen=True)
class Step:
    """What so many clients saw in some seconds.

    Attributes:
      clients: How many sent requests, each the next one when the last was answered.
      seconds: Time from the first request to the last answer, s.
      latencies_ms: Of the requests that were answered, sorted.
      errors: How many requests ended with each other status.
      rss_mib: Memory of the server at the end, MiB.
    """

    clients: int
    seconds: float
    latencies_ms: Sequence[float]
    errors: dict[str, int]
    rss_mib: float = 0.0

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.latencies_ms) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """Latency that so many percent of the answers did not exceed; nan without answers."""
        return float(np.percentile(self.latencies_ms, percent)) if self.latencies_ms else np.nan


def make_face(size: int) -> tuple[np.ndarray, np.ndarray]:
    """A noise image with the landmarks of the mean face in its middle.

    Args:
      size: Width and height in px.

    Returns:
      uint8 [1, size, size, 3] and float32 [1, 478, 2] px.
    """
    model = MorphableModel.load()
    at = (model.triangles, model.landmark_triangles, model.landmark_barycentric)
    points = np.asarray(embedded_points(model.mean, *at))[:, :2]
    scale = 0.6 * size / np.ptp(points[:, 1])
    middle = (points.max(0) + points.min(0)) / 2
    pixels = (points - middle) * (scale, -scale) + size / 2
    image = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    return image, pixels[None].astype(np.float32)


def load(send: Callable[[], None], *, clients: int, seconds: float) -> Step:
    """Calls a function from several threads for some seconds.

    Args:
      send: Sends one request and returns when it is answered; raises grpc.RpcError.
      clients: Threads.
      seconds: Time after which no more requests are sent.
    """
    latencies: list[float] = []
    errors: collections.Counter[str] = collections.Counter()
    ends = time.perf_counter() + seconds

    def client() -> None:
        while (began := time.perf_counter()) < ends:
            try:
                send()
                latencies.append(1e3 * (time.perf_counter() - began))
            except grpc.RpcError as error:
                errors[error.code().name] += 1  # type: ignore[attr-defined]
                time.sleep(0.01)

    began = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Step(clients, time.perf_counter() - began, sorted(latencies), dict(errors))
