"""`facerelief evaluate`: errors in millimetres on held-out synthetic faces."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from pipeline.commands.options import FaceModel, Weights


def command(
    count: Annotated[int, typer.Option("--count", "-n", min=2, help="How many faces.")] = 1000,
    weights: Weights = None,
    model: FaceModel = None,
    recipe: Annotated[
        str, typer.Option(help="Of the synthetic faces: paper or lifelike.")
    ] = "paper",
    seed: Annotated[int | None, typer.Option(help="Draws other faces than the usual ones.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Faces at a time.")] = 8,
    texture: Annotated[
        bool, typer.Option(help="Completed textures instead; -n faces at each of four yaws.")
    ] = False,
    json_file: Annotated[
        pathlib.Path | None, typer.Option("--json", help="Also write the table to this file.")
    ] = None,
) -> None:
    """Print the mean error in mm of mean face, landmark fit and network on held-out faces.

    Distances are between corresponding vertices of the inner face after similarity alignment.
    With --texture: errors of completed textures where the photo doesn't show the face.

    Example: facerelief evaluate -n 200 --json errors.json
    """
    from rich.console import Console

    from facemodel.files import check_folder
    from serving.quiet import without_notices

    with without_notices():
        from pipeline.evaluation import error_table, held_out
        from pipeline.evaluation import texture as textures

    check_folder(json_file)
    seed = held_out.HELD_OUT_SEED if seed is None else seed
    if texture:
        completed = textures.run(count=count, seed=seed, model_path=model)
        Console().print(textures.as_table(completed))
        if json_file:
            completed.write_json(json_file)
        return
    result = held_out.run(
        count=count,
        weights=weights,
        model_path=model,
        recipe=recipe,
        seed=seed,
        batch_size=batch_size,
    )
    Console().print(error_table.as_table(result))
    if json_file:
        result.write_json(json_file)
