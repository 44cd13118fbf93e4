"""What became of the photos of a run, and how long the parts took, in words."""

from __future__ import annotations

import dataclasses
import pathlib
import statistics
from collections.abc import Mapping, Sequence


@dataclasses.dataclass
class Tally:
    """What became of the photos so far."""

    photos: int = 0
    faces: int = 0
    finished: int = 0
    failed: int = 0

    def add(self, faces: int, *, finished: bool) -> None:
        """Counts a photo with its faces, or one that an earlier run has finished."""
        self.photos, self.faces = self.photos + (not finished), self.faces + faces
        self.finished += finished

    def summary(self, output: pathlib.Path, seconds: float) -> str:
        """The closing line."""
        parts = [f"{_count(self.faces, 'face')} from {_count(self.photos, 'photo')} in {output}"]
        if self.finished:
            parts.append(f"{self.finished} done before (--overwrite does them again)")
        if self.failed:
            parts.append(f"{self.failed} failed")
        return ", ".join([*parts, f"{seconds:.1f} s"])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def timings_table(seconds: Mapping[str, Sequence[float]], elapsed: float) -> str:
    """A line for each part: how often it ran, its median and its total.

    Args:
      seconds: of each part, one number for each time that it ran.
      elapsed: s, of the whole run.
    """
    width = max(map(len, (*seconds, "elapsed")))
    lines = [f"{'':{width}} {'times':>6} {'median ms':>10} {'total s':>8}"]
    for name, times in seconds.items():
        median = 1e3 * statistics.median(times)
        lines.append(f"{name:{width}} {len(times):6d} {median:10.0f} {sum(times):8.2f}")
    return "\n".join([*lines, f"{'elapsed':{width}} {'':6} {'':10} {elapsed:8.2f}"])
