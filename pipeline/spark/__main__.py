"""Runs commands of facerelief on a Spark cluster that is started for them and stopped after them.

    python -m pipeline.spark synthesize -n 256 -o faces --shard-samples 32
    python -m pipeline.spark --executors 1 pipeline --profile small

`make spark` installs what it needs.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Annotated

import typer

from pipeline import cli
from pipeline.local_runner import exit_on_sigterm
from pipeline.spark import cluster, tools

app = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


@app.callback()
def _options(
    context: typer.Context,
    executors: Annotated[
        int, typer.Option(min=1, max=64, help="How many, each of one core.")
    ] = cluster.WORKERS,
) -> None:
    context.obj = executors


@app.command(context_settings=_PASSED_ON)
def synthesize(context: typer.Context) -> None:
    """Run `facerelief synthesize` with its options."""
    _run(context, lambda spark: [f"--beam={flag}" for flag in spark.beam_args])


@app.command(context_settings=_PASSED_ON)
def pipeline(context: typer.Context) -> None:
    """Run `facerelief pipeline` with its options; the steps on Beam run on the cluster."""
    _run(context, lambda spark: ["--set", f"resources.beam_args={json.dumps(spark.beam_args)}"])


@app.command()
def hold(context: typer.Context) -> None:
    """Print the options of Beam for the cluster, and keep it until Ctrl-C."""
    _end_as_asked()
    with cluster.running(executors=context.obj) as spark:
        typer.echo("\n".join(spark.beam_args))
        signal.pause()


@app.command()
def check() -> None:
    """Check Java and build Beam's runner for Spark, if it is not built yet."""
    tools.check_java()
    typer.echo(tools.runner_jar())


def _run(context: typer.Context, options) -> None:
    """Runs a command of facerelief with more options; says what the cluster knows of errors."""
    _end_as_asked()
    with cluster.running(executors=context.obj) as spark:
        from components.records.beam_runs import loopback_only

        try:
            with loopback_only():
                cli.make_app()([context.command.name, *context.args, *options(spark)], "facerelief")
        except SystemExit as ending:
            cause = spark.cause() if ending.code == 2 else None
            if cause is None:
                raise
            typer.echo(f"error: Spark's job failed: {cause}; its logs: {spark.folder}", err=True)
            raise typer.Exit(2) from None


def _end_as_asked() -> None:
    """Ctrl-C and SIGTERM end this process by exceptions, so that the cluster ends with it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it
    exit_on_sigterm()


def main() -> None:
    """Runs the command line; errors are one line."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    try:
        app()
    except tools.SparkError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
