"""The ``lumi`` command itself: its settings, its commands, and how it ends."""

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn

import click

from lumi_pipeline.cli.acknowledge import acknowledge
from lumi_pipeline.cli.command import ExitCode, Stop, examples
from lumi_pipeline.cli.daily import land, publish, run, seal
from lumi_pipeline.cli.demo import demo
from lumi_pipeline.cli.fsck import fsck
from lumi_pipeline.cli.importing import import_group
from lumi_pipeline.cli.keys import keys
from lumi_pipeline.cli.options import PATH, Given, setting_options
from lumi_pipeline.cli.outbox import outbox
from lumi_pipeline.cli.output import safe
from lumi_pipeline.cli.prove import prove
from lumi_pipeline.cli.status import status
from lumi_pipeline.cli.tour import tour
from lumi_pipeline.cli.verify import verify


class _InOrder(click.Group):
    """Lists its commands in the order in which they were added, which is the order of use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands."""
        return list(self.commands)


@click.group(
    cls=_InOrder,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog=examples(
        "lumi demo",
        "lumi --config data/local/demo/lumi.toml run",
        "lumi verify receipt.tlog-proof --key log.vkey",
    ),
)
@click.version_option(package_name="lumi-pipeline", prog_name="lumi")
@click.option("--config", metavar="FILE", type=PATH, help="Read this file instead of ./lumi.toml. LUMI_CONFIG")
@setting_options
@click.pass_context
def app(ctx: click.Context, /, config: Path | None, **overrides: str | None) -> None:
    """Turn an audit outbox into evidence that nobody has to take on trust.

    Settings come from built-in defaults, then lumi.toml, then LUMI_ variables, then the options here.
    """
    ctx.obj = Given(config, overrides)


for _command in (
    demo,
    outbox,
    keys,
    import_group,
    run,
    land,
    seal,
    publish,
    acknowledge,
    prove,
    verify,
    fsck,
    status,
    tour,
):
    app.add_command(_command)


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal that cannot show a character gets its escape, not a crash half way through a report.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(execute(sys.argv[1:]))


def execute(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; whatever goes wrong is on standard error by then."""
    try:
        code = app.main(args=list(arguments), prog_name="lumi", standalone_mode=False, color=_color())
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


def _reader_gone() -> int:
    """End quietly when the reader of a pipe has gone, as `head` does; what is left must not fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.BROKEN_PIPE


def _error(message: str) -> None:
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(safe(message), err=True)


def _color() -> bool | None:
    """Whether to colour: never with NO_COLOR (no-color.org), otherwise as click finds the terminal."""
    return False if os.environ.get("NO_COLOR") else None
