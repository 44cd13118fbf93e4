"""`facerelief model convert|landmarks|info|render`: face models of others, facts and pictures."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from pipeline.commands.progress import steps

ModelFile = Annotated[pathlib.Path, typer.Argument(metavar="MODEL.npz", help="A face model file.")]


def convert(
    source: Annotated[
        pathlib.Path,
        typer.Argument(
            metavar="IN",
            help="Basel's .mat or .h5, FLAME's .pkl or .npz, ICT-FaceKit's folder, eos's .bin.",
            show_default=False,
        ),
    ],
    output: Annotated[
        pathlib.Path, typer.Option("--output", "-o", metavar="MODEL.npz", help="File to write.")
    ],
    landmarks: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="LIST.json",
            help="Vertices of iBUG's 68 points, -1 where there is none, in place of the model's "
            "own list.",
        ),
    ] = None,
    detector: Annotated[
        bool,
        typer.Option(
            "--detector", help="Find the landmarks on renders of the mean face in any case."
        ),
    ] = False,
    whole: Annotated[
        bool, typer.Option("--whole", help="Keep the back of the head and the neck.")
    ] = False,
) -> None:
    """Convert a face model of another project to a model file of this one.

    Millimetres, axes, winding and lengths of the vectors are put right, and checked against the
    default model; what the model lacks (colours, expressions) is borrowed from it and named.
    Formats, licences and what comes next: docs/models.md.

    Example: facerelief model convert model2019_face12.h5 -o basel.npz
    """
    from pipeline.models import convert as work

    with steps() as tell:
        report = work.run(
            source,
            output,
            landmark_file=landmarks,
            use_detector=detector,
            whole=whole,
            progress=tell,
        )
    _show(work.describe(report))
    typer.echo(f"wrote {output}")


def landmarks(
    model: ModelFile,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT.npz",
            help="File to write; MODEL.npz itself is replaced if not given.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Find the 478 landmarks of a model file anew, by the detector on renders of its mean face.

    Photos are fitted by the same detector's landmarks, so they agree better with these than with
    a list that others made. Without -o MODEL.npz is replaced, and weights that were trained for it
    are refused from then on, by its sha256.

    Example: facerelief model landmarks basel.npz -o basel_detected.npz
    """
    from facemodel.files import check_folder
    from pipeline.models import landmarks as work

    target = output or model
    check_folder(target)
    with steps() as tell:
        located = work.run(model, target, tell)
    _show(
        [
            ("spread over views", f"{located.spread_mm:.2f} mm (median)"),
            ("moved", f"{located.moved_mm:.2f} mm (median of the inner 51)"),
        ]
    )
    typer.echo(f"wrote {target}")


def info(model: ModelFile) -> None:
    """Say what is in a face model file.

    Example: facerelief model info basel.npz
    """
    from pipeline.models import facts

    _show(facts.describe(model))


def render(
    model: ModelFile,
    output: Annotated[
        pathlib.Path, typer.Option("--output", "-o", metavar="SHEET.png", help="File to write.")
    ],
) -> None:
    """Render a face model: its mean from six sides, landmarks, people, expressions.

    Example: facerelief model render basel.npz -o sheet.png
    """
    from facemodel.files import check_folder, write_bytes
    from pipeline.models import sheet
    from serving.output.image_files import encode_png

    check_folder(output)
    write_bytes(output, encode_png(sheet.render_sheet(model)))
    typer.echo(f"wrote {output}")


def _show(facts) -> None:
    from rich.console import Console

    for heading, value in facts:
        Console(soft_wrap=True).print(f"{heading:31} {value}", highlight=False, markup=False)
