"""`facerelief landmark-noise`: errors of MediaPipe's landmarks on renders."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from pipeline.commands.options import CommandError, FaceModel

LEAST_FOR_ERRORS = 3000


def command(
    count: Annotated[int, typer.Option("--count", "-n", min=30, help="How many faces.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Of the faces.")] = 0,
    recipe: Annotated[
        list[str],
        typer.Option(
            help="Of the pictures: lifelike, varied or paper; given several times, one of each in "
            "turns."
        ),
    ] = ["lifelike"],  # noqa: B006
    model: FaceModel = None,
    save: Annotated[
        pathlib.Path | None,
        typer.Option(help="Write the noise that training and records draw to this .npz file."),
    ] = None,
    save_errors: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="Write how the errors go with the face, which the recipe varied draws, to this "
            f".npz file; {LEAST_FOR_ERRORS} faces and more are needed."
        ),
    ] = None,
) -> None:
    """Measure detected minus true landmarks on renders, in mm at the face's scale.

    Example: facerelief landmark-noise -n 400 --save facemodel/data/landmark_noise.npz
    """
    from facemodel.files import check_folder

    for path in filter(None, (save, save_errors)):
        check_folder(path)
    if save_errors and count < LEAST_FOR_ERRORS:
        raise CommandError(f"--save-errors needs {LEAST_FOR_ERRORS} faces, got -n {count}")
    from facemodel.morphable.geometry import FaceGeometry
    from facemodel.morphable.model import MorphableModel
    from pipeline.evaluation import landmark_noise

    face_model = MorphableModel.load(model)
    residuals = landmark_noise.measure(face_model, count=count, seed=seed, recipes=recipe)
    typer.echo(landmark_noise.as_markdown(residuals))
    if save:
        _save(landmark_noise.fit(residuals), save)
    if save_errors:
        geometry = FaceGeometry.create(face_model)
        _save(landmark_noise.fit_errors(geometry, residuals), save_errors)


def _save(measured, path: pathlib.Path) -> None:
    try:
        measured.save(path)
    except OSError as error:
        raise CommandError(f"{path}: cannot be written ({error.strerror})") from None
