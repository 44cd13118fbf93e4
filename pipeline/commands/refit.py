"""`facerelief refit`: the network's last layer, fitted anew in closed form."""

from __future__ import annotations

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
    faces: Annotated[int, typer.Option("--faces", "-n", min=1, help="In each round.")] = 3000,
    rounds: Annotated[int, typer.Option(min=1, help="How often the layer is solved for.")] = 3,
    recipe: Annotated[
        list[str], typer.Option(help="Of the faces; give it twice to take turns.")
    ] = ["lifelike", "paper"],  # noqa: B006
    seed: Seed = TrainingConfig.seed,
) -> None:
    """Fit the network's last layer anew to freshly drawn faces.

    For another detector's noise or other faces, without a GPU: 9000 faces take about an hour on two
    cores. OUT is written after each round; compare it by `facerelief evaluate --weights OUT`.

    Example: facerelief refit -o out/refitted.npz --faces 1000 --rounds 2
    """
    from rich.console import Console
    from rich.progress import Progress

    from facemodel.files import check_folder

    check_folder(out)
    from pipeline.training import refit

    config = TrainingConfig(batch_size=16, size=200, seed=seed)
    options = refit.RefitOptions(
        out, init, model, tuple(recipe), faces=faces, rounds=rounds, config=config
    )
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Fitting", total=options.batches * rounds)
        refit.run(options, progress=lambda done: bar.update(task, completed=done))
    typer.echo(f"wrote {out}")
