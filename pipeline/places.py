"""Where the local pipeline keeps its things, and who is at work there."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import pathlib
import time
from collections.abc import Iterator
from typing import IO

DEFAULT_ROOT = pathlib.Path("out/pipeline")


class RunError(RuntimeError):
    """A run that cannot start."""


@dataclasses.dataclass(frozen=True)
class Places:
    """Folders and files of one pipeline.

    Attributes:
      root: of all of them, absolute.
    """

    root: pathlib.Path

    def __post_init__(self):
        object.__setattr__(self, "root", pathlib.Path(self.root).resolve())

    @property
    def metadata(self) -> pathlib.Path:
        """ML Metadata, an SQLite file."""
        return self.root / "metadata.sqlite"

    @property
    def artifacts(self) -> pathlib.Path:
        """What steps wrote, in a folder for each step."""
        return self.root / "artifacts"

    @property
    def checkpoints(self) -> pathlib.Path:
        """Of training, in a folder for each combination of records, settings and code."""
        return self.root / "checkpoints"

    @property
    def serving(self) -> pathlib.Path:
        """Pushed models: a folder for each model, with its versions."""
        return self.root / "serving"

    @property
    def configs(self) -> pathlib.Path:
        """The configuration of each run, YAML files named by the time of its start."""
        return self.root / "configs"

    @property
    def schemas(self) -> pathlib.Path:
        """Schemas, named by their content."""
        return self.root / "schemas"

    def config_of(self, run: str) -> pathlib.Path | None:
        """The configuration of a run, by its name in ML Metadata: the newest from before it.

        Cleaning removes the file, but not its finished_mark.
        """
        before = {path.stem for path in self.configs.glob("*.*") if path.stem <= run}
        return self.configs / f"{max(before)}.yaml" if before else None

    def finished_mark(self, config: pathlib.Path) -> pathlib.Path:
        """An empty file that is there if the run with that configuration came to its end."""
        return config.with_suffix(".finished")


@contextlib.contextmanager
def lock(places: Places, *, patience_s: float = 0.0) -> Iterator[None]:
    """Holds a root against other runs.

    Args:
      places: of the pipeline.
      patience_s: how long to wait for who holds it; who only looks lets go at once.

    Raises:
      RunError: if a run is going on there.
    """
    places.root.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience_s
    with open(places.root / ".lock", "w") as file:
        while not try_to_hold(file):
            if time.monotonic() >= deadline:
                raise RunError(f"{places.root}: another run is going on there")
            time.sleep(0.05)
        yield


def try_to_hold(file: IO) -> bool:
    """Locks an open file against other processes until it is closed; whether nobody else has."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_running(places: Places) -> bool:
    """Whether a run holds the root."""
    if not places.root.is_dir():
        return False
    try:
        with lock(places):
            return False
    except RunError:
        return True
