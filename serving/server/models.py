"""The models of a server, by name: asked, polled and changed together."""

from __future__ import annotations

import contextlib
import functools
import logging
import pathlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import grpc

from serving.server.model_config import ModelEntry
from serving.server.status import ServingError, VersionStatus, invalid, not_found
from serving.server.versions import ServedModel, Versions

if TYPE_CHECKING:  # it loads TensorFlow
    from tensorflow_serving.apis.model_pb2 import ModelSpec

_log = logging.getLogger(__name__)


class Models:
    """Keeps the versions of several models loaded.

    Args:
      load: Makes a model from its name and a version's folder; any exception means a broken
        version.
    """

    def __init__(self, load: Callable[[str, pathlib.Path], ServedModel]):
        self._load = load
        self._by_name: dict[str, Versions] = {}
        self._changing = threading.Lock()

    def apply(self, entries: Sequence[ModelEntry]) -> None:
        """Serves these models and no others; returns when the new ones are loaded or failed.

        Args:
          entries: The models; an unchanged one goes on undisturbed.

        Raises:
          ServingError: FAILED_PRECONDITION, and nothing is changed, if a label would move to a
            version that is not loaded; UNKNOWN, after the change, if a model has no version that
            can be served.
        """
        with self._changing:
            for entry in entries:
                self._check_labels(entry)
            before = self._by_name
            after = {entry.name: self._configured(entry, before) for entry in entries}
            for versions in after.values():
                versions.poll(settled=False)
            self._by_name = after
            for name, versions in before.items():
                if after.get(name) is not versions:
                    versions.close()
                    _log.info("%s at %s is no longer served", name, versions.folder)
        missing = [name for name, versions in after.items() if not versions.available]
        if missing:
            raise ServingError(
                grpc.StatusCode.UNKNOWN,
                f"{len(missing)} model(s) did not become available: {{{', '.join(missing)}}}",
            )

    def _configured(self, entry: ModelEntry, before: Mapping[str, Versions]) -> Versions:
        """The versions of an entry: those that are served, unless the folder is another."""
        versions = before.get(entry.name)
        if versions is None or versions.folder != entry.folder:
            load = functools.partial(self._load, entry.name)
            policy, labels = entry.policy, entry.labels
            return Versions(entry.name, entry.folder, load, policy=policy, labels=labels)
        versions.configure(policy=entry.policy, labels=entry.labels)
        return versions

    def _check_labels(self, entry: ModelEntry) -> None:
        versions = self._by_name.get(entry.name)
        for label, number in entry.labels.items():
            moved = versions and versions.labels.get(label, number) != number
            if versions and moved and number not in versions.available:
                raise ServingError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Request to assign label to version {number} of model {entry.name}, which is "
                    "not currently available for inference",
                )

    def poll(self) -> None:
        """Looks once for new versions of all models; see Versions.poll."""
        with self._changing:
            for versions in self._by_name.values():
                versions.poll()

    @contextlib.contextmanager
    def use(self, spec: ModelSpec) -> Iterator[tuple[int, ServedModel]]:
        """Gives the version that a ModelSpec asks for and keeps it loaded in the meantime.

        Raises:
          ServingError: INVALID_ARGUMENT for no name or an unknown label; NOT_FOUND for an unknown
            model or a version that isn't loaded.
        """
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        with contextlib.ExitStack() as stack:
            while True:
                versions = self._by_name.get(spec.name)
                if versions is None:
                    raise not_found(spec)
                try:
                    used = stack.enter_context(versions.use(spec))
                    break
                except ServingError:
                    if self._by_name.get(spec.name) is versions:  # and not replaced just now
                        raise
            yield used

    def statuses(self, name: str) -> list[VersionStatus]:
        """Of all versions of a model that were ever seen; none if there is no such model."""
        versions = self._by_name.get(name)
        return versions.statuses if versions else []

    @property
    def available(self) -> dict[str, list[int]]:
        """Numbers of the versions that are served, by model name."""
        return {name: versions.available for name, versions in self._by_name.items()}

    def close(self) -> None:
        """Unloads everything, once the requests that use it are done."""
        with self._changing:
            for versions in self._by_name.values():
                versions.close()
