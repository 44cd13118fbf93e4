"""`facerelief evaluate raycast`, and `raycast-scenes`, which makes what it evaluates."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any

import typer

from pipeline.commands.options import FaceModel, Seed, Weights

SetFolder = Annotated[
    pathlib.Path,
    typer.Option("--set", metavar="DIR", help="Folder of the set, with its pictures."),
]


def _only_the_first(least: int) -> Any:
    """The option for a part of the set, of at least so many pictures."""
    return typer.Option(
        "--count", "-n", min=least, help="Only the first so many pictures.", show_default=False
    )


def command(
    folder: SetFolder,
    count: Annotated[int | None, _only_the_first(2)] = None,
    weights: Weights = None,
    model: FaceModel = None,
    json_file: Annotated[
        pathlib.Path | None, typer.Option("--json", help="Also write the figures to this file.")
    ] = None,
    markdown: Annotated[
        pathlib.Path | None, typer.Option(metavar="FILE", help="Also write the tables as Markdown.")
    ] = None,
) -> None:
    """Print the errors in mm on path-traced pictures of faces that no model face equals.

    The real detector finds the faces. Rows: the nearest face of the model, mean face, landmark fit,
    and the network after each iteration from both starts; then by part, axis and kind of face.

    Example: facerelief evaluate raycast --set raycast --json raycast.json
    """
    from rich.console import Console

    from facemodel.files import check_folder, write_bytes
    from serving.quiet import without_notices

    for path in (json_file, markdown):
        check_folder(path)
    with without_notices():
        from pipeline.evaluation.raycast import measure, report

    result = measure.run(folder, count=count, weights=weights, model_path=model)
    console = Console()
    for table in report.as_tables(result):
        console.print(table)
    if json_file:
        report.write_json(result, json_file)
    if markdown:
        write_bytes(markdown, report.as_markdown(result).encode())


def apart(
    folder: SetFolder,
    count: Annotated[int | None, _only_the_first(8)] = None,
    weights: Weights = None,
    model: FaceModel = None,
) -> None:
    """Print how much of the error on path-traced pictures comes from landmarks, picture and face.

    The same faces are estimated with their true landmarks, as training's renderer shows them, and
    before they were moved out of the face model's span.

    Example: facerelief evaluate raycast-apart --set raycast -n 100
    """
    from rich.console import Console

    from serving.quiet import without_notices

    with without_notices():
        from pipeline.evaluation.breakdown import as_rich
        from pipeline.evaluation.raycast.apart import run

    Console().print(as_rich(run(folder, count=count, weights=weights, model_path=model)))


def scenes(
    folder: Annotated[
        pathlib.Path, typer.Option("--out", metavar="DIR", help="Folder of the set; made if new.")
    ],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many faces.")] = 300,
    first: Annotated[int, typer.Option(min=0, help="Index of the first face.")] = 0,
    seed: Seed = 0,
) -> None:
    """Write the scenes of a set of path-traced faces, and their truth.

    Each is a random head outside the face model's span with skin, hair, light and camera, about 3
    MB. Scenes that exist are left as they are. A Python with Blender renders them, see
    docs/raycast.md.

    Example: facerelief evaluate raycast-scenes --out raycast -n 300
    """
    from serving.quiet import without_notices

    with without_notices():
        from pipeline.evaluation.photo_faces import tracked
        from pipeline.evaluation.raycast.scenes import write

    written = write(folder, count=count, seed=seed, first=first)
    for _ in tracked(list(range(count)), "Scenes"):
        next(written)
    typer.echo(f"{count} scenes in {folder}")
