"""What became of the photos of a run, in words."""

from __future__ import annotations

import dataclasses
import pathlib


@dataclasses.dataclass
class Tally:
    """What became of the photos so far."""

    photos: int = 0
    faces: int = 0
    finished: int = 0
    failed: int = 0

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
