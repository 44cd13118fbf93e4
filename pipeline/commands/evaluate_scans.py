"""`facerelief evaluate scans`: faces against scans."""

from __future__ import annotations

import enum
import pathlib
from typing import Annotated

import typer

from pipeline.commands.options import FaceModel


class Benchmark(str, enum.Enum):
    """Benchmarks whose evaluation can read what is exported."""

    NOW = "now"


def command(
    scans: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="DIR",
            help="Scans (.obj, .ply, .stl, .off) with their 7, 51 or 68 landmarks beside them "
            "(.npy, .txt, .pp, .json).",
            show_default=False,
        ),
    ] = None,
    predictions: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="DIR",
            help="Reconstructed meshes of any method, with landmarks beside them; named as their "
            "scans, or in a folder for each subject.",
            show_default=False,
        ),
    ] = None,
    photos: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="DIR", help="Photos to reconstruct in place of meshes.", show_default=False
        ),
    ] = None,
    landmarks: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="DIR",
            help="Landmarks of the scans, if they are not beside them.",
            show_default=False,
        ),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            metavar="mm|cm|dm|m|in|um",
            help="Of the scans; guessed from the distance of the eyes if not given.",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        bool, typer.Option("--metric", help="Do not scale the faces: their size counts.")
    ] = False,
    expression: Annotated[
        bool,
        typer.Option(
            "--expression", help="Keep the expression of photos; scans are neutral otherwise."
        ),
    ] = False,
    model: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="DIR", help="SavedModel; the shipped model if not given."),
    ] = None,
    face_model: FaceModel = None,
    page: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="FILE", help="Also write an HTML page with colour maps to this file."),
    ] = None,
    json_file: Annotated[
        pathlib.Path | None, typer.Option("--json", help="Also write the figures to this file.")
    ] = None,
    export: Annotated[
        Benchmark | None,
        typer.Option(help="Also write the faces as this benchmark's evaluation reads them."),
    ] = None,
    export_to: Annotated[
        pathlib.Path | None, typer.Option(metavar="DIR", help="Where --export writes them.")
    ] = None,
) -> None:
    """Measure the distance from scans to reconstructed faces, by the protocol of the NoW benchmark.

    A face is moved onto its scan by seven landmarks, then so that the distances of the scan's
    points around the nose are least; these are the errors. Also by region, and of the mean face.
    Faces that were aligned wrongly, mirrored or read wrongly are named. The exit code is 2 if a
    face could not be compared.

    Example: facerelief evaluate scans --scans scans --photos photos --page scans.html
    """
    from facemodel.files import check_folder, write_bytes
    from pipeline.evaluation import scan_report, scan_run

    if (export is None) != (export_to is None):
        raise ValueError("--export and --export-to need each other")
    for path in (page, json_file):
        check_folder(path)
    summary, failed = scan_run.run(
        scans=scans,
        predictions=predictions,
        photos=photos,
        landmarks=landmarks,
        unit=unit,
        metric=metric,
        expression=expression,
        face_model=face_model,
        model=model,
        export_to=export_to,
    )
    for line in failed:
        typer.echo(f"error: {line}", err=True)
    if summary:
        _show(scan_report.as_table(summary))
        for line in scan_report.warnings(summary):
            typer.echo(f"warning: {line}", err=True)
        if json_file:
            scan_report.write_json(summary, json_file)
        if page:
            write_bytes(page, scan_report.as_page(summary).encode())
            typer.echo(f"page: {page}")
    if failed:
        raise typer.Exit(2)


def _show(table) -> None:
    from rich.console import Console

    Console().print(table)
