"""Are people in films kept apart? Two people, of whom one goes and comes back, and a cut.

Run as `python -m pipeline.evaluation.people`. After the cut they have changed places, so that only
their faces say who is who.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline.evaluation.clip_truth import HEIGHT, WIDTH, ClipRenderer, Motion
from pipeline.evaluation.video import first_pass
from serving.tracking.records import FrameRecord
from serving.tracking.tracker import FAST_EVERY

SEEDS = (5, 8)
GONE, CUT, FRAMES = range(60, 80), 120, 180
HALF_PX = 400
"""Width of the part of the picture that each person has."""
_FIRST = (WIDTH - HALF_PX) // 2


@dataclasses.dataclass(frozen=True)
class PersonCount:
    """What became of one person, in frames.

    Attributes:
      there: in which the person is seen.
      found: of these, in which a face is found there.
      right: of these, in which it counts as the person that it mostly counts as.
      back_after: from coming back until found; None if never.
      recognized: whether it counts as the same person before and after the cut.
    """

    there: int
    found: int
    right: int
    back_after: int | None
    recognized: bool


def places(number: int) -> tuple[int | None, int | None]:
    """Who is in the left and in the right half of a frame."""
    if number in GONE:
        return 0, None
    return (0, 1) if number < CUT else (1, 0)


def scene() -> Iterator[np.ndarray]:
    """The frames, uint8 [HEIGHT, 2 * HALF_PX, 3]."""
    motions = (Motion(yaw_deg=20.0), Motion(yaw_deg=25.0, turn_s=3.1, blinks_s=(1.3, 2.4)))
    people = [ClipRenderer(seed, motion) for seed, motion in zip(SEEDS, motions)]
    empty = np.full((HEIGHT, HALF_PX, 3), 128, np.uint8)
    for number in range(FRAMES):
        frames = [one.frame(number).image[:, _FIRST : _FIRST + HALF_PX] for one in people]
        yield np.concatenate([empty if who is None else frames[who] for who in places(number)], 1)


def count(records: Sequence[FrameRecord], person: int) -> PersonCount:
    """Compares what was tracked in the halves of the frames with who was there."""
    named: dict[int, int | None] = {}
    for number, record in enumerate(records):
        if person in places(number):
            half = places(number).index(person)
            inside = [
                face.person
                for face in record.faces
                if int(face.landmarks[:, 0].mean() // HALF_PX) == half
            ]
            named[number] = inside[0] if inside else None
    names = [name for name in named.values() if name is not None]
    usual = max(set(names), key=names.count) if names else None
    after = [number for number, name in named.items() if number >= GONE.stop and name is not None]
    at_end = [name for number, name in named.items() if number >= CUT]
    return PersonCount(
        there=len(named),
        found=len(names),
        right=names.count(usual),
        back_after=min(after) - GONE.stop if after else None,
        recognized=bool(at_end) and at_end[-1] == usual,
    )


def main() -> None:
    """Prints the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    frames, table = list(scene()), Table()
    for heading in ("profile", "person", "there", "found", "right", "back after", "recognized"):
        table.add_column(heading)
    for name, every in (("film", 1), ("film, fast", FAST_EVERY)):
        records, _ = first_pass(frames, network_every=every)
        for person in range(len(SEEDS)):
            values = dataclasses.astuple(count(records, person))
            table.add_row(name, str(person), *map(str, values))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
