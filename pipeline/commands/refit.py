"""`facerelief refit`: the loop's last layers, fitted anew in closed form."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Annotated

import typer

from facemodel.network.training_config import TrainingConfig
from pipeline.commands.options import FaceModel, Seed


def command(
    out: Annotated[pathlib.Path, typer.Option("--out", "-o", help="Weights to write, .npz.")],
    init: Annotated[
        pathlib.Path | None, typer.Option(help="Weights to start from; else the shipped ones.")
    ] = None,
    model: FaceModel = None,
    faces: Annotated[int, typer.Option("--faces", "-n", min=1, help="How many.")] = 9000,
    recipe: Annotated[
        list[str], typer.Option(help="Of the faces; given several times, a batch of each in turns.")
    ] = ["varied", "lifelike", "varied", "paper"],  # noqa: B006
    detected: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Share of the faces that the detector finds in whole rendered photos; the others "
            "have landmarks with its measured noise.",
        ),
    ] = 0.0,
    precision: Annotated[
        str, typer.Option(help="float32, or mixed_bfloat16 for a GPU or a CPU with AMX.")
    ] = "float32",
    seed: Seed = TrainingConfig.seed,
) -> None:
    """Fit the last layers of the loop anew to freshly drawn faces.

    For another detector's noise or other faces, without a GPU. The recipe varied draws most
    landmarks with MediaPipe's errors (facemodel/data/detector_errors.npz), the others have measured
    noise. Each iteration gets a layer that corrects coefficients and one that corrects landmarks.
    9000 faces take about half an hour on two cores and 2 GB. OUT is written after each iteration's;
    compare it by `facerelief evaluate --weights OUT`.

    Example: facerelief refit -o out/refitted.npz --faces 2000
    """
    from rich.console import Console
    from rich.progress import Progress

    from facemodel.files import check_folder

    check_folder(out)
    from pipeline.training import refit

    config = dataclasses.replace(refit.RefitOptions.config, seed=seed)
    options = refit.RefitOptions(
        out, init, model, tuple(recipe),
        faces=faces, detected=detected, precision=precision, config=config,
    )  # fmt: skip
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Fitting", total=None)
        refit.run(options, progress=lambda n, of: bar.update(task, completed=n, total=of))
    typer.echo(f"wrote {out}")
