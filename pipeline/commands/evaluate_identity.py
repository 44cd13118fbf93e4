"""`facerelief evaluate identity`: neutral shapes of one person over photos."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from pipeline.commands.options import FaceModel


def command(
    photos: Annotated[pathlib.Path, typer.Option(metavar="DIR", help="Folder of the photos.")],
    pairs: Annotated[
        pathlib.Path,
        typer.Option(
            metavar="CSV",
            help="Who is on which: a file of photo,person, or of first,second,same (0 or 1).",
        ),
    ],
    model: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="DIR", help="SavedModel; the shipped model if not given."),
    ] = None,
    face_model: FaceModel = None,
    json_file: Annotated[
        pathlib.Path | None, typer.Option("--json", help="Also write the figures to this file.")
    ] = None,
) -> None:
    """Measure how well neutral shapes of a person agree over photos and differ between people.

    The largest face of each photo is reconstructed and its expression set to zero. Ratio: mean
    distance within persons by that between them, 0 is perfect. AUC: probability that two photos of
    one person are nearer than two of different persons, 0.5 is chance. The exit code is 2 if a
    photo has no face.

    Example: facerelief evaluate identity --photos photos --pairs identities.csv
    """
    from rich.console import Console

    from facemodel.files import check_folder
    from pipeline.evaluation import identity

    check_folder(json_file)
    result = identity.run(photos, identity.read_pairs(pairs), face_model=face_model, model=model)
    for line in result.failed:
        typer.echo(f"error: {line}", err=True)
    Console().print(identity.as_table(result))
    if result.nearest is not None:
        typer.echo(f"nearest other photo is of the same person: {result.nearest:.0%}")
    if json_file:
        result.write_json(json_file)
    if result.failed:
        raise typer.Exit(2)
