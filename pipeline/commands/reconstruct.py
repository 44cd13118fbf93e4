"""`facerelief reconstruct`: photos in, 3D faces out."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer


def command(
    inputs: Annotated[
        list[pathlib.Path],
        typer.Argument(
            metavar="PHOTO|FOLDER...",
            help="Photos, and folders whose photos are taken with those of their subfolders "
            "(hidden ones and links to folders are passed over).",
            show_default=False,
        ),
    ],
    output: Annotated[
        pathlib.Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for the results.")
    ],
    model: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="DIR", help="SavedModel; the shipped model if not given."),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Model server to use in place of a SavedModel."),
    ] = None,
    server_model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of the model there; facerelief if not given."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist already.")
    ] = False,
    max_faces: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Only the N largest faces of each photo."),
    ] = None,
    min_face: Annotated[
        float | None,
        typer.Option(
            min=8,
            metavar="PX",
            help="Width of the smallest face that is looked for; a 40th of the photo, and at least "
            "24 px, if not given. Halving it takes about four times as long.",
        ),
    ] = None,
    formats: Annotated[
        str, typer.Option(metavar="LIST", help="Mesh files to write, separated by commas.")
    ] = "obj,ply,glb",
) -> None:
    """Turn the faces in photos into coloured 3D meshes.

    For face K of NAME.jpg (0 is the largest) OUT gets NAME_K.obj, .ply, .glb, .json (pose,
    coefficients, landmarks, quality) and .png (overview). Photos that cannot be used are named on
    standard error, the others are still done; the exit code is 2 if there were any.

    Example: facerelief reconstruct holiday/ portrait.jpg -o out
    """
    from pipeline.inference import photos

    failed = photos.run(
        inputs,
        output,
        model=model,
        server=server,
        server_model=server_model,
        overwrite=overwrite,
        max_faces=max_faces,
        min_face_px=min_face,
        formats=[part.strip().lower() for part in formats.split(",") if part.strip()],
    )
    if failed:
        raise typer.Exit(2)
