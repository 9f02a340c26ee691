"""``lumi acknowledge``: let a day with chain breaks be sealed as found, in the open."""

from datetime import date

import click

from lumi_pipeline.cli.command import Command, examples
from lumi_pipeline.cli.options import DAY, Given, config_option, json_option
from lumi_pipeline.cli.output import say, say_json


@click.command(
    cls=Command, epilog=examples('lumi acknowledge --day 2026-11-21 --reason "restored from backup, ticket OPS-7"')
)
@click.option("--day", type=DAY, required=True, help="The day whose seal was stopped.")
@click.option("--reason", metavar="TEXT", required=True, help="Why, in words that an auditor can read.")
@config_option
@json_option
@click.pass_obj
def acknowledge(given: Given, day: date, reason: str, as_json: bool) -> None:
    """Accept the breaks that stopped a day's seal.

    Exactly that report is accepted, by its SHA-256, and nothing that happens later. It becomes an event of the
    operator's own tenant, and the day's public record will say how many breaks it was sealed with.
    """
    report = given.pipeline().acknowledge(day, reason)
    if as_json:
        say_json({"day": day.isoformat(), "report_sha256": report})
    else:
        say(f"Accepted the report {report} of {day}. The day can be sealed as found: lumi seal --day {day}")
