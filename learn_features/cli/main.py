"""`learn-features`: the one entry point of the command line."""

import errno
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from learn_features import __version__
from learn_features.cli import (
    content,
    data,
    demo,
    evaluation,
    experiments,
    play,
    ranking,
    release,
    setup,
    spaces,
    streams,
    training,
)
from learn_features.config import CONFIG_VARIABLE
from learn_features.durable import DISK_FULL
from learn_features.errors import LearnFeaturesError, problems

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130
ABOUT_FILES = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR,
    errno.ENAMETOOLONG, errno.ELOOP,
)  # fmt: skip
"""Errors of the operating system that a person can do something about; others are bugs."""
ABOUT_WHAT_RUNS = {
    "click", "config", "dead-letters", "doctor", "experiments", "rank", "spaces", "topics", "upload",
}  # fmt: skip
"""Commands that follow a running play where no settings file is named."""

app = typer.Typer(
    name="learn-features",
    help="LLM-derived user and item embeddings for a feature store.\n\n"
    "Start with `learn-features demo`; on your own data with `learn-features check FOLDER`. "
    "`learn-features doctor` says what is wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"learn-features {__version__}")
        raise typer.Exit


@app.callback()
def settings(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Settings file; default LEARN_CONFIG or ./learn.yaml."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime otherwise writes a device id into home
    if config is not None:
        os.environ[CONFIG_VARIABLE] = str(config.resolve())
    elif not os.environ.get(CONFIG_VARIABLE) and context.invoked_subcommand in ABOUT_WHAT_RUNS:
        play.follow()


for area in (
    data,
    content,
    training,
    evaluation,
    release,
    spaces,
    streams,
    ranking,
    experiments,
    demo,
    setup,
):
    area.register(app)


def main() -> None:
    """Run the command line; exit 0 done, 1 an error with a message, 2 wrong usage, 130 interrupted."""
    try:
        app()
    except LearnFeaturesError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(EXIT_ERROR)
    except ValidationError as error:
        sys.stderr.write(f"error: {error.title}: {'; '.join(problems(error, 'as a whole'))}\n")
        sys.exit(EXIT_ERROR)
    except OSError as error:
        full = error.errno in DISK_FULL
        if error.errno is None or not (full or (error.filename and error.errno in ABOUT_FILES)):
            raise
        remedy = "; make room, then give the same command again" if full else ""
        where = (error.filename2 if full else None) or error.filename or "a file"  # of a copy: the new one
        sys.stderr.write(f"error: {where}: {os.strerror(error.errno)}{remedy}\n")
        sys.exit(EXIT_ERROR)
    except SystemExit as end:
        if end.code == EXIT_INTERRUPTED:  # what typer makes of Ctrl-C
            sys.stderr.write("interrupted; what was finished is kept, and the same command goes on\n")
        raise


if __name__ == "__main__":
    main()
