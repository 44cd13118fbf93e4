"""Do neutral shapes of one person agree over photos? Run as `facerelief evaluate identity`."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import pathlib
from collections.abc import Sequence

import numpy as np
from rich.table import Table

from facemodel.evaluation.inner_face import InnerFaceErrors
from facemodel.evaluation.verification import (
    Separation,
    nearest_is_same,
    pair_angles,
    pair_distances_mm,
    separation,
)
from facemodel.files import write_bytes
from pipeline.evaluation.photo_faces import NeutralFaces, reconstruct_each
from pipeline.inference.photo_files import Photo

SHAPE, COEFFICIENTS = "shape, mm", "coefficients, 1 - cosine"


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Who is on which photo.

    Attributes:
      photos: names below the folder, in order.
      pairs: [P, 2] numbers of photos.
      same: [P] whether a pair is of one person.
      persons: of each photo; None if the file lists pairs.
    """

    photos: tuple[str, ...]
    pairs: np.ndarray
    same: np.ndarray
    persons: tuple[str, ...] | None


@dataclasses.dataclass(frozen=True)
class IdentityResult:
    """What was found.

    Attributes:
      separations: by kind of distance.
      nearest: share of photos whose nearest other photo, by shape, is of the same person; None if
        pairs are listed.
      photos: that have a face.
      distances: one for each pair: names, whether it is one person, distances by kind.
      failed: a line for each photo without a face.
    """

    separations: dict[str, Separation]
    nearest: float | None
    photos: int
    distances: tuple[dict, ...]
    failed: tuple[str, ...]

    def write_json(self, path: pathlib.Path) -> None:
        """Writes everything; the file appears under its name only when complete."""
        content = json.dumps(dataclasses.asdict(self), indent=1)
        write_bytes(path, f"{content}\n".encode())


def read_pairs(path: pathlib.Path) -> Pairs:
    """Reads a CSV of `photo,person`, whose pairs are all of them, or of `first,second,same`.

    Raises:
      ValueError: if it is missing, has other columns, or too few rows.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from error
    if {"photo", "person"} <= {*columns}:
        return _all_pairs(path, rows)
    if {"first", "second", "same"} <= {*columns}:
        return _listed_pairs(path, rows)
    found = ",".join(columns) or "nothing"
    raise ValueError(
        f"{path}: the first line should be photo,person or first,second,same, got {found}"
    )


def _all_pairs(path: pathlib.Path, rows: list[dict]) -> Pairs:
    photos = tuple(row["photo"] for row in rows)
    if len(set(photos)) < len(photos):
        twice = next(name for name in photos if photos.count(name) > 1)
        raise ValueError(f"{path}: names {twice} twice")
    persons = tuple(row["person"] for row in rows)
    pairs = np.array([*itertools.combinations(range(len(photos)), 2)], int).reshape(-1, 2)
    same = np.array([persons[a] == persons[b] for a, b in pairs], bool)
    return Pairs(photos, pairs, same, persons)


def _listed_pairs(path: pathlib.Path, rows: list[dict]) -> Pairs:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    same = []
    for number, row in enumerate(rows, 2):
        word = str(row["same"]).strip().lower()
        if word not in words:
            raise ValueError(f"{path}: line {number}: same should be 0 or 1, got {row['same']!r}")
        same.append(words[word])
    photos = tuple(dict.fromkeys(row[side] for row in rows for side in ("first", "second")))
    numbers = {name: number for number, name in enumerate(photos)}
    pairs = np.array([[numbers[row["first"]], numbers[row["second"]]] for row in rows], int)
    return Pairs(photos, pairs.reshape(-1, 2), np.array(same, bool), None)


def run(
    photos: pathlib.Path,
    pairs: Pairs,
    *,
    face_model: pathlib.Path | None = None,
    model: pathlib.Path | None = None,
) -> IdentityResult:
    """Reconstructs the photos and compares their neutral shapes.

    Raises:
      ValueError: if a photo is missing, or pairs of one person or of two are.
    """
    missing = [name for name in pairs.photos if not (photos / name).is_file()]
    if missing:
        raise ValueError(f"{photos / missing[0]}: no such photo, which the pairs name")
    faces = NeutralFaces.load(face_model)
    listed = [Photo(photos / name, pathlib.PurePath(name)) for name in pairs.photos]
    found, failed = {}, []
    for number, (photo, face, reason) in enumerate(reconstruct_each(listed, model=model)):
        if face is None:
            failed.append(f"{photo.path}: {reason}")
        else:
            found[number] = faces.neutral(face)
    return compare(faces, found, pairs, failed)


def compare(
    faces: NeutralFaces, found: dict[int, np.ndarray], pairs: Pairs, failed: Sequence[str] = ()
) -> IdentityResult:
    """Compares neutral faces: number of the photo -> coefficients [n]."""
    numbers = sorted(found)
    coefficients = np.array([found[number] for number in numbers]).reshape(len(numbers), -1)
    place = {number: k for k, number in enumerate(numbers)}
    usable = np.array([a in place and b in place for a, b in pairs.pairs], bool)
    chosen = np.array([[place[a], place[b]] for a, b in pairs.pairs[usable]], int).reshape(-1, 2)
    same = pairs.same[usable]
    shapes = InnerFaceErrors(faces.model).vertices(coefficients)
    kinds = {
        SHAPE: pair_distances_mm(shapes),
        COEFFICIENTS: pair_angles(coefficients[:, : faces.model.identity_count]),
    }
    of_pairs = {kind: values[chosen[:, 0], chosen[:, 1]] for kind, values in kinds.items()}
    nearest = None
    if pairs.persons:
        nearest = nearest_is_same(kinds[SHAPE], np.array(pairs.persons)[numbers])
    rows = [
        {"first": pairs.photos[numbers[a]], "second": pairs.photos[numbers[b]], "same": bool(one)}
        | {kind: float(values[k]) for kind, values in of_pairs.items()}
        for k, ((a, b), one) in enumerate(zip(chosen, same))
    ]
    separations = {kind: separation(values, same) for kind, values in of_pairs.items()}
    return IdentityResult(separations, nearest, len(numbers), tuple(rows), tuple(failed))


def as_table(result: IdentityResult) -> Table:
    """The figures as a table for a terminal."""
    first = next(iter(result.separations.values()))
    table = Table(
        title=f"Neutral faces of {result.photos} photos: {first.same_pairs} pairs of one person, "
        f"{first.other_pairs} of two"
    )
    for heading in ("distance", "one person", "two persons", "ratio", "AUC"):
        table.add_column(heading, justify="left" if heading == "distance" else "right")
    for kind, row in result.separations.items():
        figures = (row.same_mean, row.other_mean, row.ratio, row.auc)
        table.add_row(kind, *(f"{figure:.3f}" for figure in figures))
    return table
