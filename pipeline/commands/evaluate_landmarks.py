"""`facerelief evaluate landmarks`: 68 points against known ones."""

from __future__ import annotations

import enum
import pathlib
from typing import Annotated

import typer


class Unit(str, enum.Enum):
    """What errors are divided by."""

    BOX = "box"
    EYES = "inter-ocular"


def command(
    photos: Annotated[
        pathlib.Path,
        typer.Option(
            metavar="DIR", help="Photos with ground truth beside them: NAME.pts, .mat or .json."
        ),
    ],
    unit: Annotated[
        Unit | None,
        typer.Option(
            help="Divide errors by the ground truth's box, sqrt(width * height), as AFLW2000-3D "
            "(.mat) does, or by the distance of the eyes' outer corners, as 300W (.pts) does; as "
            "the first photo's data set does if not given.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="DIR", help="SavedModel; the shipped model if not given."),
    ] = None,
    json_file: Annotated[
        pathlib.Path | None, typer.Option("--json", help="Also write the figures to this file.")
    ] = None,
) -> None:
    """Measure the error of the 68 landmarks of faces in photos, as 300W and AFLW2000-3D do.

    Of the reconstructed face and of the detector, with and without the 17 points of the jaw, and by
    yaw. Faces that are not found count as failures. The exit code is 2 if there are any.

    Example: facerelief evaluate landmarks --photos AFLW2000
    """
    from rich.console import Console

    from facemodel.files import check_folder
    from pipeline.evaluation import photo_landmarks

    check_folder(json_file)
    result = photo_landmarks.run(photos, unit=unit.value if unit else None, model=model)
    if note := photo_landmarks.passed_over(result):
        typer.echo(f"note: {note}", err=True)
    for line in result.failed:
        typer.echo(f"error: {line}", err=True)
    Console().print(photo_landmarks.as_table(result))
    if json_file:
        result.write_json(json_file)
    if result.failed:
        raise typer.Exit(2)
