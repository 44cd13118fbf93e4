"""`facerelief pipeline`: the whole way from nothing to a pushed model, on this machine."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.options import CommandError

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig


def command(
    profile: Annotated[
        str | None, typer.Option(help="small (the default) or paper; others' values start there.")
    ] = None,
    config: Annotated[
        pathlib.Path | None, typer.Option(help="YAML file with settings: docs/pipeline.md.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting, such as trainer.batch_size=64; repeatable."),
    ] = None,
    root: Annotated[
        pathlib.Path, typer.Option(help="Folder for records, models and everything else.")
    ] = pathlib.Path("out/pipeline"),
    show: Annotated[bool, typer.Option("--show", help="Only print the configuration.")] = False,
) -> None:
    """Run the pipeline: records, training, evaluation, validation, push and report.

    Steps that ran before with the same inputs, settings and code are taken from the cache. A run
    that was interrupted goes on when it is started again.

    Example: facerelief pipeline --set trainer.samples=640 --set data.seed=2
    """
    from pipeline import config as configuration

    chosen = configuration.load(profile=profile, file=config, overrides=settings or ())
    if show:
        typer.echo(chosen.to_yaml().rstrip())
        return
    try:
        _run(chosen, root)
    except KeyboardInterrupt:
        message = "interrupted; the same command goes on from here"
        raise CommandError(message, exit_code=130) from None


def _run(chosen: PipelineConfig, root: pathlib.Path) -> None:
    from serving.quiet import without_notices

    with without_notices():
        from pipeline import local_runner
        from pipeline.runs import outcome
    local_runner.show_log()
    local_runner.exit_on_sigterm()
    if found := local_runner.run(chosen, root):
        places = local_runner.PipelinePaths(root)
        typer.echo(outcome.summary(places, found, model_name=chosen.pusher.name))
