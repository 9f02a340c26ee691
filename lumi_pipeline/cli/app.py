"""The ``lumi`` command itself: its settings and its commands."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import click

from lumi_pipeline.cli.acknowledge import acknowledge
from lumi_pipeline.cli.analyst import analyst
from lumi_pipeline.cli.command import examples
from lumi_pipeline.cli.daily import land, publish, run, seal
from lumi_pipeline.cli.demo import demo
from lumi_pipeline.cli.doctor import doctor
from lumi_pipeline.cli.drill import drill
from lumi_pipeline.cli.ending import execute
from lumi_pipeline.cli.erase import erase
from lumi_pipeline.cli.events import events
from lumi_pipeline.cli.evidence import evidence
from lumi_pipeline.cli.feed import feed
from lumi_pipeline.cli.fsck import fsck
from lumi_pipeline.cli.hold import hold
from lumi_pipeline.cli.importing import import_group
from lumi_pipeline.cli.investigate import investigate
from lumi_pipeline.cli.keys import keys
from lumi_pipeline.cli.landing import landing
from lumi_pipeline.cli.monitor import monitor
from lumi_pipeline.cli.options import PATH, Given, setting_options
from lumi_pipeline.cli.outbox import outbox
from lumi_pipeline.cli.prove import prove
from lumi_pipeline.cli.prune import prune
from lumi_pipeline.cli.report import report
from lumi_pipeline.cli.sample import sample
from lumi_pipeline.cli.siem import siem
from lumi_pipeline.cli.site import log
from lumi_pipeline.cli.sql import sql
from lumi_pipeline.cli.status import status
from lumi_pipeline.cli.tour import tour
from lumi_pipeline.cli.verify import verify
from lumi_pipeline.cli.witness import witness


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
    landing,
    prove,
    evidence,
    sample,
    verify,
    fsck,
    investigate,
    monitor,
    log,
    drill,
    witness,
    siem,
    feed,
    hold,
    erase,
    analyst,
    sql,
    events,
    report,
    prune,
    status,
    doctor,
    tour,
):
    app.add_command(_command)


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    code = execute(app, "lumi", sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    # Arrow's threads may still be winding down, and now and then abort the interpreter's own farewell: a command that
    # succeeded would end in SIGABRT (apache/arrow#34314). All that was durable is written, so nothing is left to do.
    os._exit(code)
