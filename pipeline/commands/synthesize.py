"""`facerelief synthesize`: records of synthetic faces with exact labels."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from components.settings import SPLITS, DataSettings
from pipeline.commands.options import FaceModel


def command(
    out: Annotated[
        pathlib.Path,
        typer.Option("--out", "-o", help="Folder to be made; with --index, a PNG file."),
    ],
    count: Annotated[
        int, typer.Option("--count", "-n", min=0, help="Samples of the split train.")
    ] = 64,
    eval_count: Annotated[
        int, typer.Option("--eval", min=0, help="Samples of the split eval, the next indices.")
    ] = 0,
    test_count: Annotated[
        int, typer.Option("--test", min=0, help="Samples of the split test, the last indices.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Sample i depends on (seed, i) only.")] = 0,
    recipe: Annotated[str, typer.Option(help="lifelike, varied or paper.")] = "lifelike",
    config: Annotated[
        pathlib.Path | None,
        typer.Option(help="JSON file with fields of SynthesisConfig that differ from the recipe."),
    ] = None,
    model: FaceModel = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw.")] = 1,
    beam: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FLAG",
            help="Option of Beam for another runner, such as --beam=--runner=SparkRunner, whose "
            "workers see the folder; repeatable (docs/scaling.md).",
        ),
    ] = None,
    shard_samples: Annotated[
        int, typer.Option(min=8, help="About how many samples a file holds.")
    ] = DataSettings.shard_samples,
    index: Annotated[
        int | None, typer.Option(min=0, help="Draw only this sample, as a picture.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing output.")] = False,
    resume: Annotated[bool, typer.Option(help="Continue an interrupted run.")] = False,
) -> None:
    """Draw synthetic faces and write them as TFRecords with all labels.

    Writes train-00000-of-0000K.tfrecord and the like for each split, dataset.json and
    contact_sheet.png. The folder appears when everything is complete.

    Example: facerelief synthesize -n 64 -o faces --seed 7 --recipe lifelike

    With all splits: facerelief synthesize -n 8000 --eval 1000 --test 1000 -o faces --workers 2

    After an interruption, the same again with --resume.
    """
    import logging
    import os

    from serving import quiet

    # What TensorFlow logs itself are notices; errors are raised, and shown in one line.
    if not quiet.notices_wanted():
        os.environ[quiet.LEVEL] = "3"
    from components.records import synthesis

    synthesis.single_threaded()
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    from pipeline.datasets.plan import plan as make_plan

    plan = make_plan(
        _config(recipe, config),
        counts=dict(zip(SPLITS, (count, eval_count, test_count))),
        seed=seed,
        workers=workers,
        model=model,
        shard_samples=shard_samples,
        beam_args=beam or (),
    )
    if index is not None:
        _write_one(plan.job, index, out, overwrite=overwrite)
    else:
        _write(plan, out, overwrite=overwrite, resume=resume)


def _config(recipe: str, changes: pathlib.Path | None):
    from facemodel.config import ConfigError
    from facemodel.synthesis.recipes import SynthesisConfig

    base = SynthesisConfig.named(recipe)
    try:
        return SynthesisConfig.from_json(changes.read_text(), base) if changes else base
    except ConfigError as error:
        raise ConfigError(f"{changes}: {error.field}", error.problem) from None


def _write_one(job, index: int, path: pathlib.Path, *, overwrite: bool) -> None:
    from pipeline.datasets import write
    from pipeline.datasets.contact_sheet import write_png

    if path.exists() and not overwrite:
        raise write.DatasetError(f"{path}: exists already; --overwrite replaces it")
    write_png(path, write.make_one(job, index)["image"])
    typer.echo(f"{path}: sample {index} of seed {job.seed}")


def _write(plan, folder: pathlib.Path, *, overwrite: bool, resume: bool) -> None:
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeElapsedColumn

    from pipeline.datasets import write

    write.check_target(folder, plan.size, overwrite=overwrite)
    typer.echo(str(plan))
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task("Drawing", total=plan.size)
        done = write.write(
            plan,
            folder,
            overwrite=overwrite,
            resume=resume,
            progress=lambda size: bar.update(task, completed=min(size, plan.size)),
        )
    typer.echo(f"{folder}: {plan.job.count} samples, {done['bytes'] / 1e6:.0f} MB")
