"""`facerelief reconstruct`: photos in, 3D faces out."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from pipeline.commands.options import CommandError


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
    server_ca: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="FILE",
            help="PEM file with what signs the server's certificate: the connection uses TLS.",
        ),
    ] = None,
    server_cert: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="FILE", help="PEM file with your certificate, if it wants one."),
    ] = None,
    server_key: Annotated[
        pathlib.Path | None, typer.Option(metavar="FILE", help="PEM file with its key.")
    ] = None,
    server_token_file: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="FILE", help="File with the bearer token that it wants."),
    ] = None,
    server_keepalive: Annotated[
        float | None,
        typer.Option(
            min=10,
            metavar="SECONDS",
            help="Try an idle connection that often; TensorFlow Serving refuses less than 300.",
        ),
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
    detail: Annotated[
        bool | None,
        typer.Option(
            "--detail/--no-detail",
            help="Wrinkles as geometry, in a mesh of four times as many triangles, or none; as a "
            "normal map if not given.",
            show_default=False,
        ),
    ] = None,
    texture: Annotated[
        bool, typer.Option("--texture/--no-texture", help="Colours of the photo, or plain clay.")
    ] = True,
    albedo: Annotated[
        bool, typer.Option("--albedo", help="Divide the photo's light out of the texture.")
    ] = False,
    timings: Annotated[
        bool,
        typer.Option("--timings", help="Print how long each part took, on standard error."),
    ] = False,
) -> None:
    """Turn the faces in photos into textured 3D heads.

    For face K of NAME.jpg (0 is the largest) OUT gets NAME_K.glb (with ARKit's 52 expressions),
    .obj with .mtl and images, .ply (coloured vertices), .json (pose, coefficients, landmarks,
    quality) and .png (overview). Photos that cannot be used are named on standard error, the others
    are still done; the exit code is 2 if there were any. Ctrl-C ends it when the photos under way
    are finished; the same command goes on from there.

    Example: facerelief reconstruct holiday/ portrait.jpg -o out
    """
    from pipeline.inference import photos
    from serving.head_options import HeadOptions
    from serving.server_access import ServerAccess

    access = ServerAccess(
        authorities=server_ca,
        certificate=server_cert,
        key=server_key,
        token_file=server_token_file,
        keepalive_s=server_keepalive,
    )
    kind = {True: "geometry", False: "none", None: "map"}[detail]

    try:
        failed = photos.run(
            inputs,
            output,
            model=model,
            server=server,
            server_model=server_model,
            access=access,
            overwrite=overwrite,
            max_faces=max_faces,
            min_face_px=min_face,
            formats=[part.strip().lower() for part in formats.split(",") if part.strip()],
            options=HeadOptions(texture=texture, albedo=albedo, detail=kind),
            timings=timings,
        )
    except KeyboardInterrupt:
        message = "interrupted; the same command goes on from here"
        raise CommandError(message, exit_code=130) from None
    if failed:
        raise typer.Exit(2)
