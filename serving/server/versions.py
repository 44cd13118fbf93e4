"""The versions of a model: found in a folder, loaded, swapped without losing a request, unloaded.

As in TensorFlow Serving a folder whose name is a number holds a version, a policy says which are
served (the newest, by default), and an old one goes when the new one is available. Versions with a
label are kept beside them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import os
import pathlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from facemodel.saved_model.versions import SAVED_MODEL, find_versions, is_version
from serving.server.model_config import NEWEST, VersionPolicy
from serving.server.status import (
    State,
    VersionStatus,
    from_error,
    invalid,
    not_found,
    unknown_label,
)

if TYPE_CHECKING:  # these load TensorFlow
    from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
    from tensorflow_serving.apis.model_pb2 import ModelSpec
    from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse

    from serving.server.scheduler import OnEnd

_log = logging.getLogger(__name__)


class ServedModel(Protocol):
    """A version in memory; loaded_model.LoadedModel is one."""

    @property
    def signatures(self) -> Mapping[str, SignatureDef]:
        """The graph's signatures by name."""

    def predict(
        self,
        request: PredictRequest,
        *,
        seconds: float | None = None,
        on_end: OnEnd | None = None,
    ) -> PredictResponse:
        """Answers a request; gives up after so many seconds, or when the caller is gone."""

    def close(self) -> None:
        """Frees what it holds."""


def served_versions(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """Finds the versions of a model.

    Args:
      folder: Folder of numbered versions, or itself a SavedModel, which then is the only version.

    Returns:
      Folders with a saved_model.pb, by number.

    Raises:
      OSError: if the folder cannot be read.
    """
    if (folder / SAVED_MODEL).is_file():
        name = folder.resolve().name
        return {int(name) if is_version(name) else 1: folder}
    return find_versions(folder)


def _fingerprint(folder: pathlib.Path) -> frozenset:
    """Changes when a file in the folder is added, removed or written."""
    marks = set()
    for path, _, files in os.walk(folder):  # which passes over what is gone meanwhile
        for file in (os.path.join(path, name) for name in files):
            with contextlib.suppress(OSError):
                status = os.stat(file)
                marks.add((file, status.st_size, status.st_mtime_ns))
    return frozenset(marks)


@dataclasses.dataclass(eq=False)
class _Live:
    """A loaded version and how many requests are using it."""

    model: ServedModel
    users: int = 0
    retired: bool = False


class Versions:
    """Keeps the right versions of one model loaded.

    Args:
      name: Model name, for messages.
      folder: Folder of its versions.
      load: Makes a model from a version's folder; any exception means a broken version.
      policy: Which versions are served.
      labels: Version numbers by label.
    """

    def __init__(
        self,
        name: str,
        folder: pathlib.Path,
        load: Callable[[pathlib.Path], ServedModel],
        *,
        policy: VersionPolicy = NEWEST,
        labels: Mapping[str, int] | None = None,
    ):
        self.name, self.folder, self._load = name, folder, load
        self._policy, self.labels = policy, dict(labels or {})
        self._lock = threading.Lock()
        self._live: dict[int, _Live] = {}
        self._newest: int | None = None
        self._statuses: dict[int, VersionStatus] = {}
        self._seen: dict[int, frozenset] = {}
        self._broken: dict[int, frozenset] = {}

    def configure(self, *, policy: VersionPolicy, labels: Mapping[str, int]) -> None:
        """Changes what is served; the next poll acts on it."""
        with self._lock:
            self._policy, self.labels = policy, dict(labels)

    def poll(self, *, settled: bool = True) -> None:
        """Looks into the folder once; loads what is new there and unloads what that replaces.

        A version that cannot be loaded is left alone until its files change. One whose folder is
        gone is kept for its label alone, or while there is no other.

        Args:
          settled: load only folders that look as they did at the last poll, because the others may
            still be being copied.
        """
        try:
            found = served_versions(self.folder)
        except OSError as error:
            _log.warning("%s cannot be read: %s", self.folder, error.strerror or error)
            return
        marks = {number: _fingerprint(path) for number, path in found.items()}
        ready = {
            number: path
            for number, path in found.items()
            if number in self._live or not settled or self._seen.get(number) == marks[number]
        }
        self._seen = marks
        labelled = {
            number for number in self.labels.values() if self._provide(number, ready, marks)
        }
        candidates = self._policy.candidates(ready)
        provided = (n for n in candidates if self._provide(n, ready, marks))
        served = list(itertools.islice(provided, self._policy.most))
        if served:
            with self._lock:
                self._newest = served[0]
            self._unload_all_but(labelled | set(served))

    def _provide(self, number: int, ready: Mapping, marks: Mapping) -> bool:
        """Loads a version unless it is loaded; returns whether it then is."""
        if number in self._live:
            return True
        if number not in ready or self._broken.get(number) == marks[number]:
            return False
        self._set_status(VersionStatus(number, State.LOADING))
        try:
            model = self._load(ready[number])
        except Exception as error:
            problem = from_error(error)
            self._broken[number] = marks[number]
            self._set_status(VersionStatus(number, State.END, problem))
            _log.error("%s: not loaded: %s", ready[number], problem.message)
            return False
        with self._lock:
            self._live[number] = _Live(model)
            self._statuses[number] = VersionStatus(number, State.AVAILABLE)
        _log.info("%s version %d is available", self.name, number)
        return True

    def _unload_all_but(self, wanted: set[int]) -> None:
        with self._lock:
            retired = {n: live for n, live in self._live.items() if n not in wanted}
            for number, live in retired.items():
                del self._live[number]
                live.retired = True
                self._statuses[number] = VersionStatus(number, State.UNLOADING)
            idle = {number: live for number, live in retired.items() if not live.users}
        for number, live in idle.items():
            self._end(number, live)

    def _end(self, number: int, live: _Live) -> None:
        live.model.close()
        with self._lock:
            if self._statuses[number].state is State.UNLOADING:  # not reloaded meanwhile
                self._statuses[number] = VersionStatus(number, State.END)
        _log.info("%s version %d is unloaded", self.name, number)

    def _set_status(self, status: VersionStatus) -> None:
        with self._lock:
            self._statuses[status.number] = status

    @contextlib.contextmanager
    def use(self, spec: ModelSpec) -> Iterator[tuple[int, ServedModel]]:
        """Gives the version that a ModelSpec asks for and keeps it loaded in the meantime.

        Raises:
          ServingError: INVALID_ARGUMENT for no name or an unknown label; NOT_FOUND for another
            model or a version that isn't loaded.
        """
        number, live = self._take(spec)
        try:
            yield number, live.model
        finally:
            with self._lock:
                live.users -= 1
                unused = live.retired and not live.users
            if unused:
                self._end(number, live)

    def _take(self, spec: ModelSpec) -> tuple[int, _Live]:
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        with self._lock:
            number = self._newest
            if choice is not None:
                number = self._number(spec) if choice == "version_label" else spec.version.value
            if spec.name != self.name or number not in self._live:
                raise not_found(spec, None if choice is None else number)
            live = self._live[number]
            live.users += 1
            return number, live

    def _number(self, spec: ModelSpec) -> int:
        if spec.name != self.name or spec.version_label not in self.labels:
            raise unknown_label(spec)
        return self.labels[spec.version_label]

    @property
    def available(self) -> list[int]:
        """Numbers of the versions that are served, the newest last."""
        with self._lock:
            return sorted(self._live)

    @property
    def statuses(self) -> list[VersionStatus]:
        """Of all versions that were ever seen, ordered by number."""
        with self._lock:
            return [status for _, status in sorted(self._statuses.items())]

    def close(self) -> None:
        """Unloads everything, once the requests that use it are done."""
        self._unload_all_but(set())
