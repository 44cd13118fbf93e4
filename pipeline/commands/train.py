"""`facerelief train`: trains the network from nothing, or further."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from facemodel.network.training_config import TrainingConfig
from pipeline.commands.options import CommandError, FaceModel, Seed


def command(
    out: Annotated[
        pathlib.Path,
        typer.Option("--out", "-o", help="Folder for checkpoints, curve.csv and weights."),
    ] = pathlib.Path("out/train"),
    data: Annotated[
        pathlib.Path | None,
        typer.Option(help="Folder with records; faces are drawn on the way if not given."),
    ] = None,
    online: Annotated[
        bool, typer.Option("--online", help="Draw faces on the way (so it is without --data).")
    ] = False,
    samples: Annotated[
        int, typer.Option("--samples", "-n", min=1, help="In all.")
    ] = TrainingConfig.samples,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Faces in a step.")
    ] = TrainingConfig.batch_size,
    size: Annotated[int, typer.Option(min=16, help="Side of the crops, px.")] = TrainingConfig.size,
    learning_rate: Annotated[
        float, typer.Option(help="Of Adam, at its highest.")
    ] = TrainingConfig.learning_rate,
    warmup_steps: Annotated[
        int, typer.Option(min=0, help="Until it is reached.")
    ] = TrainingConfig.warmup_steps,
    average_decay: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=0.999999,
            help="Of the mean over steps that is the result; smaller for fewer than 5000 steps.",
        ),
    ] = TrainingConfig.average_decay,
    seed: Seed = TrainingConfig.seed,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Train for so long, or until the samples are drawn if that is sooner; the "
            "learning rate falls to 0 until then."
        ),
    ] = None,
    recipe: Annotated[
        list[str],
        typer.Option(
            help="Of faces drawn on the way: lifelike, varied or paper; given several times, each "
            "makes its share of every batch."
        ),
    ] = ["lifelike"],  # noqa: B006
    model: FaceModel = None,
    init: Annotated[
        pathlib.Path | None, typer.Option(help="Weights to start from, .npz; else untrained.")
    ] = None,
    initial_share: Annotated[
        float,
        typer.Option(min=0.0, max=0.99, help="Of the initial weights in the result, by averaging."),
    ] = 0.0,
    precision: Annotated[
        str, typer.Option(help="float32, or mixed_bfloat16 for a GPU or a CPU with AMX.")
    ] = "float32",
    evaluate: Annotated[
        int | None,
        typer.Option(min=2, help="At the end, print errors on so many held-out faces a recipe."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in OUT.")] = False,
) -> None:
    """Train the network on synthetic faces.

    Ctrl-C saves and stops; --resume with the same options goes on exactly there. The backend is
    KERAS_BACKEND, tensorflow or jax; OUT/regressor_float16.npz are the weights.

    Example: facerelief train --out out/first --samples 20000 --batch-size 32 --size 64
    """
    from pipeline.training import train

    train.show_log()
    if online and data:
        raise CommandError("--online draws faces, --data reads them: give one of the two")
    config = TrainingConfig(
        samples=samples,
        batch_size=batch_size,
        size=size,
        learning_rate=learning_rate,
        warmup_steps=warmup_steps,
        average_decay=average_decay,
        seed=seed,
    )
    weights = train.run(
        train.TrainOptions(
            out=out,
            config=config,
            data=data,
            recipes=tuple(recipe),
            model=model,
            init=init,
            initial_share=initial_share,
            minutes=minutes,
            precision=precision,
            resume=resume,
        )
    )
    typer.echo(f"wrote {weights}")
    if evaluate:
        _show_errors(weights, model, count=evaluate)


def _show_errors(weights: pathlib.Path, model: pathlib.Path | None, *, count: int) -> None:
    """Prints what `facerelief evaluate` does for each recipe, and writes it beside the weights."""
    from rich.console import Console

    from pipeline.evaluation import error_table, held_out

    for recipe in ("paper", "lifelike"):
        result = held_out.run(count=count, weights=weights, model_path=model, recipe=recipe)
        Console().print(error_table.as_table(result))
        result.write_json(weights.with_name(f"errors_{recipe}.json"))
