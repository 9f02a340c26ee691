"""``lumi outbox``: the tables that events are recorded in."""

import click

from lumi_pipeline.cli.command import Command, examples
from lumi_pipeline.cli.options import Given, config_option
from lumi_pipeline.cli.output import say


@click.group(epilog=examples("lumi outbox init"))
def outbox() -> None:
    """Set up the tables that events are recorded in."""


@outbox.command(cls=Command, epilog=examples("lumi outbox init", "lumi --outbox sqlite:///app.db outbox init"))
@config_option
@click.pass_obj
def init(given: Given) -> None:
    """Create the outbox tables in a new or existing database.

    Where they exist already, nothing changes.
    """
    from lumi_pipeline.outbox.opening import init_outbox

    config = given.config()
    init_outbox(config.outbox, config.operator_tenant)
    say(f"The outbox is ready in {config.outbox.name}.")
