"""`facerelief export`: the SavedModel that TensorFlow Serving loads."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Annotated

import typer

from components.settings import ExportSettings
from facemodel.network.training_config import (
    FAST_ITERATIONS,
    FAST_PRECISION,
    FAST_SUPERSAMPLE,
    TrainingConfig,
    precision_problem,
)
from pipeline.commands.options import CommandError, FaceModel, Weights


def command(
    output: Annotated[
        pathlib.Path,
        typer.Option("--output", "-o", help="Folder, named as the served model will be."),
    ],
    model: FaceModel = None,
    weights: Weights = None,
    level: Annotated[
        int, typer.Option(min=0, max=2, help="Subdivision level of the mesh that is put out.")
    ] = ExportSettings.level,
    iterations: Annotated[
        int | None,
        typer.Option(min=0, help=f"K of the loop; {TrainingConfig.iterations} if not given."),
    ] = None,
    step_decay: Annotated[
        float,
        typer.Option(min=0.01, max=1.0, help="Of the loop's steps; 1 for the paper's loop."),
    ] = ExportSettings.step_decay,
    start: Annotated[
        str, typer.Option(help="Of the loop: landmark_fit or zero.")
    ] = ExportSettings.start,
    landmark_noise_mm: Annotated[
        float | None,
        typer.Option(
            help="That the landmark fit expects of the detector; as measured if not given."
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Of the network: float32, if not given, or mixed_bfloat16, which is twice as fast "
            "on a CPU with AMX."
        ),
    ] = None,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="One iteration in mixed_bfloat16, where these are not given, and one sample of "
            "the photo for each pixel of the crop: a third of the time, up to 5 % more error "
            "(docs/performance.md).",
        ),
    ] = False,
    version: Annotated[int, typer.Option(min=1, help="Of the served model.")] = 1,
) -> None:
    """Write a SavedModel with alignment, crop and loop in its graph.

    With --iterations 0 and a face model of your own, no weights are needed: the landmark fit is the
    answer.

    Examples:
      facerelief export -o out/facerelief --start landmark_fit
      facerelief export -o out/amx --precision mixed_bfloat16
      facerelief export -o out/fast --fast
    """
    from serving.quiet import without_notices

    with without_notices():
        from facemodel.files import file_digest
        from facemodel.morphable.model import DEFAULT_MODEL, MorphableModel
        from facemodel.network.pretrained import create_regressor, load_pretrained
        from facemodel.network.weights import DEFAULT_WEIGHTS
        from facemodel.saved_model import export

    if iterations is None:
        iterations = FAST_ITERATIONS if fast else TrainingConfig.iterations
    precision = precision or (FAST_PRECISION if fast else "float32")
    if problem := precision_problem(precision):
        raise CommandError(f"--{problem}")
    config = export.ExportConfig(start=start)
    if fast:
        config = dataclasses.replace(config, supersample=FAST_SUPERSAMPLE)
    if landmark_noise_mm is not None:
        config = dataclasses.replace(config, landmark_noise_mm=landmark_noise_mm)
    face_model = MorphableModel.load(model, level=level)
    facts = {"model_sha256": file_digest(model or DEFAULT_MODEL), "precision": precision}
    if model and not weights and iterations == 0:
        regressor = create_regressor(face_model, weights=None, model_path=model, iterations=0)
    else:
        regressor = load_pretrained(
            face_model,
            weights=weights,
            model_path=model,
            iterations=iterations,
            step_decay=step_decay,
            precision=precision,
        )
        facts["weights_sha256"] = file_digest(weights or DEFAULT_WEIGHTS)
    written = export.export_saved_model(
        face_model, regressor, output, config=config, version=version, facts=facts
    )
    typer.echo(f"wrote {written}")
