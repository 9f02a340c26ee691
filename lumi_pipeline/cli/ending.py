"""How a command line ends: one message on standard error, an exit code, and never a traceback for a user's mistake."""

import logging
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path

import click

from lumi_pipeline.cli.command import ExitCode, Stop
from lumi_pipeline.cli.output import safe


def execute(command: click.Command, program: str, arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; whatever goes wrong is on standard error by then."""
    if sys.stdout is None:  # closed by whoever started us
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - open until the end
    _let_anything_be_printed()
    # What psycopg could not undo on a connection that is lost or interrupted, the server undoes; it is no message to
    # whoever runs a command, who is told what happened by us.
    logging.getLogger("psycopg").addHandler(logging.NullHandler())
    try:
        code = command.main(args=list(arguments), prog_name=program, standalone_mode=False, color=_color())
        sys.stdout.flush()
    except click.Abort:
        # Control-C, wherever it hit. Every durable step can be interrupted, so there is nothing to undo.
        click.echo("interrupted", err=True)
        return ExitCode.INTERRUPTED
    except Stop as stop:
        if stop.code is ExitCode.BROKEN_PIPE:
            return _reader_gone()
        _error(stop.message)
        return stop.code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        if context is not None:
            click.echo(f"{context.get_usage()}\nTry: {context.command_path} -h", err=True)
        _error(error.format_message())
        return ExitCode.USAGE
    except BrokenPipeError:
        return _reader_gone()
    return code if isinstance(code, int) else ExitCode.SUCCESS


def _let_anything_be_printed() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal that cannot show a character gets its escape, not a crash half way through a report.
            stream.reconfigure(errors="backslashreplace")


def _reader_gone() -> int:
    """End quietly when the reader of a pipe has gone, as `head` does; what is left must not fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.BROKEN_PIPE


def _error(message: str) -> None:
    click.secho("error: ", fg="red", bold=True, nl=False, err=True, color=_color())
    click.echo(safe(message), err=True)


def _color() -> bool | None:
    """Whether to colour: never with NO_COLOR (no-color.org), otherwise as click finds the terminal."""
    return False if os.environ.get("NO_COLOR") else None
