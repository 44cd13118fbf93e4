"""`facerelief landmark-noise`: how far MediaPipe's landmarks are from the truth on renders."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer


def command(
    count: Annotated[int, typer.Option("--count", "-n", min=30, help="How many faces.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Of the faces.")] = 0,
    recipe: Annotated[str, typer.Option(help="Of the pictures: lifelike or paper.")] = "lifelike",
    model: Annotated[
        pathlib.Path | None,
        typer.Option(help="Face model, .npz; the default model if not given."),
    ] = None,
    save: Annotated[
        pathlib.Path | None,
        typer.Option(help="Write the noise that training and records draw to this .npz file."),
    ] = None,
) -> None:
    """Measure detected minus true landmarks on renders, in mm at the face's scale.

    Example: facerelief landmark-noise -n 400 --save facemodel/data/landmark_noise.npz
    """
    from facemodel.config import ConfigError
    from facemodel.morphable.mesh import ModelError
    from facemodel.morphable.model import MorphableModel
    from pipeline.evaluation import landmark_noise

    try:
        residuals = landmark_noise.measure(
            MorphableModel.load(model), count=count, seed=seed, recipe=recipe
        )
    except (ConfigError, ModelError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(landmark_noise.as_markdown(residuals))
    if save:
        try:
            landmark_noise.fit(residuals).save(save)
        except OSError as error:
            typer.echo(f"error: {save}: cannot be written ({error.strerror})", err=True)
            raise typer.Exit(2) from None
