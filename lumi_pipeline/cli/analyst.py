"""``lumi analyst``: the analyst database itself."""

from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.command import Command, examples
from lumi_pipeline.cli.options import Given, config_option, json_option
from lumi_pipeline.cli.output import count, say, say_json, size
from lumi_pipeline.cli.progress import progress

if TYPE_CHECKING:
    from lumi_pipeline.analytics import BuildReport
    from lumi_pipeline.pipeline import Pipeline


@click.group(epilog=examples("lumi analyst build"))
def analyst() -> None:
    """Keep the database that analysts query."""


@analyst.command(cls=Command, epilog=examples("lumi analyst build", "lumi analyst build --fresh"))
@click.option("--fresh", is_flag=True, help="Make all of it anew instead of adding what is new.")
@config_option
@json_option
@click.pass_obj
def build(given: Given, fresh: bool, as_json: bool) -> None:
    """Bring the analyst database up to date with the lake.

    Days that were sealed since are read, and what is landed and not sealed yet. The database is replaced as a whole
    when it is finished; who has it open meanwhile keeps what is there.
    """
    report = build_shown(given.pipeline(), fresh=fresh)
    if as_json:
        say_json(build_json(report))
    else:
        say(build_line(report))


def build_shown(pipeline: "Pipeline", *, fresh: bool = False) -> "BuildReport":
    """Build the analyst database of a pipeline, with a progress bar where that takes a while."""
    from lumi_pipeline.analytics import build_database

    with progress("Reading days", "days") as meter:
        return build_database(pipeline.config, pipeline.lake, fresh=fresh, progress=meter.reach)


def build_line(report: "BuildReport") -> str:
    """Say what a build did."""
    holds = f"{count(report.events, 'event')} of {count(len(report.days), 'day')}"
    landed = f", {report.landed:,} of them not sealed yet" if report.landed else ""
    if not report.changed:
        return f"The analyst database is up to date: {holds}{landed}, {size(report.size)}."
    read = f"{count(len(report.rebuilt), 'sealed day')} and {count(report.rows, 'event')} read"
    return f"The analyst database has {holds}{landed}, {size(report.size)}: {read} in {report.seconds:.1f} s."


def build_json(report: "BuildReport") -> dict[str, object]:
    """What a build did, for machines."""
    return {
        "bytes": report.size,
        "changed": report.changed,
        "days": len(report.days),
        "events": report.events,
        "landed": report.landed,
        "path": str(report.path),
        "rebuilt": [day.isoformat() for day in report.rebuilt],
        "rows": report.rows,
        "seconds": round(report.seconds, 3),
    }
