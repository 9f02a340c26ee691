"""``lumi report``: one HTML page about a period."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.command import Command, examples
from lumi_pipeline.cli.options import DAY, PATH, Given, config_option, json_option
from lumi_pipeline.cli.output import count, say, say_json, size
from lumi_pipeline.cli.results import writing

if TYPE_CHECKING:
    from lumi_pipeline.analytics.report import Report


@click.command(
    cls=Command,
    epilog=examples(
        "lumi report",
        "lumi report --tenant acme --from 2026-10-01 --to 2026-10-31 -o acme-october.html",
    ),
)
@click.option("--from", "first", type=DAY, metavar="DAY", help="First day, UTC. [default: 30 days in all]")
@click.option("--to", "last", type=DAY, metavar="DAY", help="Last day, included. [default: the newest there is]")
@click.option("--tenant", metavar="TENANT", help="Only what concerns this tenant.")
@click.option(
    "-o", "--output", metavar="FILE", type=PATH, default=Path("report.html"), show_default=True, help="- for stdout."
)
@config_option
@json_option
@click.pass_obj
def report(
    given: Given, first: date | None, last: date | None, tenant: str | None, output: Path, *, as_json: bool
) -> None:
    """Write one HTML page: volume, busiest users, findings, and how chains, seals and deliveries stand.

    It needs no network and no script, and can be printed. The numbers are those of the analyst database as of the last
    `lumi analyst build`.
    """
    from lumi_pipeline.analytics.report import make_report, report_page

    if as_json and output == Path("-"):
        raise click.UsageError("the page and --json can't both go to stdout; name a file with -o")
    made = make_report(given.pipeline(), first, last, tenant)
    page = report_page(made)
    with writing(output) as file:
        file.write(page)
    if as_json:
        say_json(_json(made, output, len(page)))
    elif output != Path("-"):
        say(f"Wrote {output} ({size(len(page))}): {_line(made)}")


def _line(made: "Report") -> str:
    figures = made.figures
    if figures is None:
        return "there is no event yet."
    period = figures.period
    return (
        f"{count(figures.events, 'event')} of {count(figures.tenant_count, 'tenant')}, {period.first} to {period.last}."
    )


def _json(made: "Report", output: Path, length: int) -> dict[str, object]:
    figures, standing = made.figures, made.standing
    return {
        "bytes": length,
        "destinations": {
            found.name: found.status.health(standing.at).value if found.status else "unknown"
            for found in standing.destinations
        },
        "events": 0 if figures is None else figures.events,
        "findings": {lead.name: None if lead.problem else lead.findings for lead in made.leads},
        "from": None if figures is None else figures.period.first.isoformat(),
        "overdue": [day.isoformat() for day in standing.overdue],
        "path": str(output),
        "problems": standing.problems,
        "tenants": 0 if figures is None else figures.tenant_count,
        "to": None if figures is None else figures.period.last.isoformat(),
    }
