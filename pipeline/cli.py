"""The command `facerelief`: one subcommand for each module of pipeline.commands.

Starting it imports no TensorFlow; each command imports what it needs when it runs.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer
import typer.core

from serving import quiet

KERAS_BACKENDS = ("tensorflow", "jax")
COMMANDS = {
    "reconstruct": "reconstruct",
    "turntable": "turntable",
    "video": "video",
    "web": "web",
    "synthesize": "synthesize",
    "dataset": "dataset",
    "train": "train",
    "refit": "refit",
    "evaluate": "evaluate",
    "export": "export",
    "serve": "serve",
    "pipeline": "pipeline",
    "runs": "runs",
    "lineage": "lineage",
    "rollback": "rollback",
    "bench": "bench",
    "landmark-noise": "landmark_noise",
    "model": "model",
    "adopt": "adopt",
    "doctor": "doctor",
}
"""Command name -> module, in the order of the help text."""
SUBCOMMANDS = {
    "evaluate": {
        "scans": "evaluate_scans",
        "identity": "evaluate_identity",
        "landmarks": "evaluate_landmarks",
        "raycast": "evaluate_raycast",
        "raycast-scenes": "evaluate_raycast:scenes",
        "raycast-apart": "evaluate_raycast:apart",
    },
    "model": {
        "convert": "model_files:convert",
        "landmarks": "model_files:landmarks",
        "info": "model_files:info",
        "render": "model_files:render",
    },
}
"""Commands that also have words of their own -> word -> module; without a word they are as any."""


class Commands(typer.core.TyperGroup):
    """The subcommands; an empty word, as of a shell's variable that is not set, is an error.

    As a path it would be the current folder.
    """

    def parse_args(self, ctx, args: list[str]) -> list[str]:
        """As the base class does; exits with code 2 if a word or an option's value is empty."""
        for before, word in zip(["", *args], args, strict=False):
            option = word.startswith("--") and word.endswith("=")
            if not word.strip() or option:
                named = word.rstrip("=").strip() or (
                    before if before.startswith("-") else "an argument"
                )
                raise typer.Exit(_fail(ValueError(f"{named}: should not be empty")))
        return super().parse_args(ctx, args)


def make_app() -> typer.Typer:
    """Puts the commands together."""
    app = typer.Typer(
        cls=Commands,
        help="One photo in, a coloured 3D face out.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name, module in COMMANDS.items():
        command = _command_of(module)
        if words := SUBCOMMANDS.get(name):
            app.add_typer(_make_group(command, words), name=name)
        else:
            app.command(name, help=help_text(command))(one_line_errors(command))
    return app


def _command_of(place: str) -> Callable[..., Any]:
    """The function of "module" (its command) or "module:name"."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"pipeline.commands.{module}"), name or "command")


def _make_group(command: Callable[..., Any], words: dict[str, str]) -> typer.Typer:
    """A command with subcommands that still works without one."""
    group = typer.Typer(cls=Commands, pretty_exceptions_enable=False)
    bare = one_line_errors(_without_word(command))
    group.callback(invoke_without_command=True, help=help_text(command))(bare)
    for word, module in words.items():
        subcommand = _command_of(module)
        group.command(word, help=help_text(subcommand))(one_line_errors(subcommand))
    return group


def _without_word(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same command, which does nothing if a subcommand follows; it may have no options then."""

    @functools.wraps(command)
    def run(context: typer.Context, **options):
        if context.invoked_subcommand is None:
            return command(**options)
        for parameter in context.command.params:
            source = context.get_parameter_source(parameter.name)
            if source is not None and source.name == "COMMANDLINE":
                before = f"{parameter.opts[0]}: an option before {context.invoked_subcommand!r}"
                raise ValueError(f"{before} has no meaning; put its own options after it")

    own = inspect.signature(command, eval_str=True)
    first = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = own.replace(parameters=[first, *own.parameters.values()])
    run.__annotations__ = {"context": typer.Context, **command.__annotations__}
    return run


def one_line_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same command, whose known errors are one line on standard error and an exit code.

    The code is the error's exit_code, or 2. With -v the traceback comes before the line.
    """

    @functools.wraps(command)
    def run(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except (ValueError, OSError, RuntimeError) as error:
            if quiet.notices_wanted():
                traceback.print_exc()
            raise typer.Exit(_fail(error)) from None

    return run


def _fail(error: Exception) -> int:
    """Prints an error; returns the exit code."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        text = f"not enough memory for this ({text or 'MemoryError'})"
    typer.echo(f"error: {text}", err=True)
    return int(getattr(error, "exit_code", 2))


def help_text(command: Callable[..., Any]) -> str:
    """A command's docstring with each paragraph on one line; typer wraps it to the screen."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def make_single_app(command: Callable[..., Any]) -> typer.Typer:
    """Makes a program of one command."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(help=help_text(command))(one_line_errors(command))
    return app


def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Say which versions of package, face model and weights these are.",
            callback=lambda wanted: _show_version(wanted),
            is_eager=True,
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the notices of libraries, too.")
    ] = False,
) -> None:
    if context.obj:
        context.obj(verbose)


def _set_notices(wanted: bool) -> None:
    """Shows what libraries write to standard error of their own accord, or holds it back."""
    import warnings

    if wanted or quiet.notices_wanted():
        os.environ[quiet.LEVEL] = "0"
    else:
        os.environ.setdefault(quiet.LEVEL, "1")
        warnings.simplefilter("ignore")
        quiet.filter_notices()


def _show_version(wanted: bool) -> None:
    if wanted:
        from pipeline import versions

        for line in versions.describe():
            typer.echo(line)
        raise typer.Exit


def prepare_keras() -> None:
    """Makes Keras independent of the user's keras.json: it takes this project's own settings.

    Raises:
      ValueError: if the environment names a backend that the project does not run on.
    """
    from facemodel.files import cache_dir

    backend = os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or KERAS_BACKENDS[0]
    if backend not in KERAS_BACKENDS:
        known = " or ".join(KERAS_BACKENDS)
        raise ValueError(f"KERAS_BACKEND: should be {known}, got {backend!r}")
    os.environ.setdefault("KERAS_HOME", str(cache_dir() / "keras"))


def main() -> None:
    """Runs the command line."""
    try:
        prepare_keras()
    except ValueError as error:
        sys.exit(_fail(error))
    try:
        make_app()(obj=_set_notices)
    except MemoryError as error:
        _fail(error)
        sys.stderr.flush()
        os._exit(2)  # TensorFlow's threads, which had no memory, would be waited for without end


if __name__ == "__main__":
    main()
