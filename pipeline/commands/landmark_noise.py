"""`facerelief landmark-noise`: errors of MediaPipe's landmarks on renders."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from pipeline.commands.options import CommandError, FaceModel


def command(
    count: Annotated[int, typer.Option("--count", "-n", min=30, help="How many faces.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Of the faces.")] = 0,
    recipe: Annotated[str, typer.Option(help="Of the pictures: lifelike or paper.")] = "lifelike",
    model: FaceModel = None,
    save: Annotated[
        pathlib.Path | None,
        typer.Option(help="Write the noise that training and records draw to this .npz file."),
    ] = None,
) -> None:
    """Measure detected minus true landmarks on renders, in mm at the face's scale.

    Example: facerelief landmark-noise -n 400 --save facemodel/data/landmark_noise.npz
    """
    from facemodel.morphable.model import MorphableModel
    from pipeline.evaluation import landmark_noise

    residuals = landmark_noise.measure(
        MorphableModel.load(model), count=count, seed=seed, recipe=recipe
    )
    typer.echo(landmark_noise.as_markdown(residuals))
    if save:
        try:
            landmark_noise.fit(residuals).save(save)
        except OSError as error:
            raise CommandError(f"{save}: cannot be written ({error.strerror})") from None
