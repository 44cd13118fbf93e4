"""Where the local pipeline keeps its things, and who is at work there."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import pathlib
import struct
import time
from collections.abc import Iterator
from typing import IO

DEFAULT_ROOT = pathlib.Path("out/pipeline")

_FLOCK = "hhqqi4x"
"""struct flock of Linux on 64 bits: type, whence, start, length, pid."""
_WHOLE_FILE = struct.pack(_FLOCK, fcntl.F_WRLCK, 0, 0, 0, 0)


class RunError(RuntimeError):
    """A run that cannot start."""


@dataclasses.dataclass(frozen=True)
class PipelinePaths:
    """Folders and files of one pipeline.

    Attributes:
      root: Folder of all of them, absolute.
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
        """Outputs of the steps, in a folder for each step."""
        return self.root / "artifacts"

    @property
    def checkpoints(self) -> pathlib.Path:
        """Checkpoints, in a folder for each combination of records, settings and code."""
        return self.root / "checkpoints"

    @property
    def serving(self) -> pathlib.Path:
        """Pushed models: a folder for each model, with its versions."""
        return self.root / "serving"

    @property
    def lock_file(self) -> pathlib.Path:
        """Locked while a run is active."""
        return self.root / ".lock"

    @property
    def configs(self) -> pathlib.Path:
        """The configuration of each run: YAML files named by the run before and the time (UTC)."""
        return self.root / "configs"

    @property
    def schemas(self) -> pathlib.Path:
        """Schemas, named by their content."""
        return self.root / "schemas"

    def new_config(self, after: int) -> pathlib.Path:
        """A name for the configuration of the run after that with a number in ML Metadata."""
        moment = datetime.datetime.now(datetime.timezone.utc)
        return self.configs / f"{after:08d}-{moment:%Y%m%dT%H%M%S%fZ}.yaml"

    def config_after(self, run: int) -> pathlib.Path | None:
        """The configuration of the run after that with a number; the newest if one did not start.

        Cleaning removes the file, but not its finished_mark.
        """
        stems = {path.stem for path in self.configs.glob(f"{run:08d}-*")}
        return self.configs / f"{max(stems)}.yaml" if stems else None


def finished_mark(config: pathlib.Path) -> pathlib.Path:
    """An empty file that is there if the run with that configuration came to its end."""
    return config.with_suffix(".finished")


@contextlib.contextmanager
def lock(places: PipelinePaths, *, patience_s: float = 0.0) -> Iterator[None]:
    """Holds a root against other runs.

    Args:
      places: Paths of the pipeline.
      patience_s: Time to wait for who holds it, such as a run that is just ending, s.

    Raises:
      RunError: if a run is active there.
    """
    places.root.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience_s
    with open(places.lock_file, "w") as file:
        while not try_to_hold(file):
            if time.monotonic() >= deadline:
                raise RunError(f"{places.root}: another run is going on there")
            time.sleep(0.05)
        yield


def try_to_hold(file: IO) -> bool:
    """Locks an open file against other processes until it is closed; whether nobody else has."""
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _WHOLE_FILE)
    except BlockingIOError:
        return False
    return True


def is_held(path: pathlib.Path) -> bool:
    """Whether somebody has locked a file; does not lock it, so nobody is disturbed."""
    if not path.is_file():
        return False
    with open(path) as file:
        answer = fcntl.fcntl(file, fcntl.F_OFD_GETLK, _WHOLE_FILE)
    return struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK


def is_running(places: PipelinePaths) -> bool:
    """Whether a run holds the root."""
    return is_held(places.lock_file)
