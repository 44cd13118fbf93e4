"""What the server reports about itself: an interface that its parts call, without any library.

Metrics does nothing; prometheus.PrometheusMetrics counts. All methods may be called from several
threads and take a few microseconds.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from facemodel.saved_model.versions import is_version

if TYPE_CHECKING:
    from serving.server.versions import ServedModel

GRPC, REST = "grpc", "rest"
"""Protocols."""


class Metrics:
    """Takes the server's reports and drops them; a base for those that keep them."""

    def request(
        self, model: str, signature: str, *, method: str, protocol: str, code: str, seconds: float
    ) -> None:
        """A request was answered.

        Args:
          model: Name as the client sent it.
          signature: Name as the client sent it; empty for the default one, or if there is none.
          method: Such as Predict.
          protocol: GRPC or REST.
          code: Name of the grpc.StatusCode.
          seconds: From the whole request to the whole answer, s.
        """

    def batch(self, model: str, signature: str, size: int) -> None:
        """The graph was run once, for so many examples (dimension 0)."""

    def queue_depth(self, model: str, signature: str, depth: int) -> None:
        """So many requests wait for the graph now."""

    def model_loaded(
        self, model: str, version: int, *, seconds: float, signatures: Iterable[str]
    ) -> None:
        """A version was loaded and warmed up, which took so many seconds."""


def measured(
    load: Callable[[pathlib.Path], ServedModel], metrics: Metrics, name: str
) -> Callable[[pathlib.Path], ServedModel]:
    """A function that loads a version of a model as another one does, and reports it."""

    def load_measured(path: pathlib.Path) -> ServedModel:
        began = time.perf_counter()
        model = load(path)
        version = path.resolve().name
        metrics.model_loaded(
            name,
            int(version) if is_version(version) else 1,
            seconds=time.perf_counter() - began,
            signatures=model.signatures,
        )
        return model

    return load_measured
