"""``lumi import``: bring records of other systems in through the recorder."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import click

from lumi_pipeline.cli.command import Command, examples
from lumi_pipeline.cli.options import PATH, Given, config_option, json_option
from lumi_pipeline.cli.output import count, say, say_json
from lumi_pipeline.cli.progress import progress
from transparency.encoding import format_timestamp

if TYPE_CHECKING:
    from lumi_pipeline.importers import ImportReport
    from lumi_pipeline.importers.driver import RecordedAt
    from lumi_pipeline.outbox import Outbox

_Function = TypeVar("_Function", bound=Callable[..., object])


@click.group(
    "import",
    epilog=examples("lumi import cloudtrail trail.json.gz --recorded-at occurred", "lumi import ndjson events.ndjson"),
)
def import_group() -> None:
    """Bring records of other systems in through the recorder.

    Importing the same file again adds nothing.
    """


def _import_options(function: _Function) -> _Function:
    for decorate in (
        json_option,
        config_option,
        click.option(
            "--recorded-at",
            type=click.Choice(["now", "occurred"]),
            default="now",
            show_default=True,
            help="Record everything now, or at the time at which it occurred: for history, into days not closed yet.",
        ),
        click.option("--tenant", metavar="NAME", help="Record everything under this tenant."),
        click.argument("file", type=PATH),
    ):
        function = decorate(function)
    return function


@import_group.command(cls=Command, epilog=examples("lumi import cloudtrail trail.json.gz --recorded-at occurred"))
@_import_options
@click.pass_obj
def cloudtrail(given: Given, file: Path, tenant: str | None, recorded_at: "RecordedAt", as_json: bool) -> None:
    """Import a CloudTrail log file, gzipped or not."""
    from lumi_pipeline.importers import import_cloudtrail

    _bring_in(given, import_cloudtrail, file, tenant, recorded_at, as_json)


@import_group.command(cls=Command, epilog=examples("lumi import ndjson events.ndjson --tenant acme"))
@_import_options
@click.pass_obj
def ndjson(given: Given, file: Path, tenant: str | None, recorded_at: "RecordedAt", as_json: bool) -> None:
    """Import a file of one JSON object a line, under our own column names, gzipped or not."""
    from lumi_pipeline.importers import import_ndjson

    _bring_in(given, import_ndjson, file, tenant, recorded_at, as_json)


class _Importer(Protocol):
    def __call__(
        self,
        outbox: "Outbox",
        path: Path,
        *,
        tenant: str | None,
        recorded_at: "RecordedAt",
        first_day: date | None,
        progress: Callable[[int], None],
    ) -> "ImportReport": ...


def _bring_in(
    given: Given, importer: _Importer, file: Path, tenant: str | None, recorded_at: "RecordedAt", as_json: bool
) -> None:
    pipeline = given.pipeline()
    genesis = pipeline.genesis()
    first_day = genesis.first_day if genesis else pipeline.config.first_day
    with progress("Importing", "events") as meter:
        report = importer(
            pipeline.outbox,
            file,
            tenant=tenant,
            recorded_at=recorded_at,
            first_day=first_day,
            progress=meter.reach,
        )
    if as_json:
        say_json(
            {
                "added": report.added,
                "already_there": report.already_there,
                "first": None if report.first is None else format_timestamp(report.first),
                "last": None if report.last is None else format_timestamp(report.last),
                "read": report.read,
                "tenants": report.tenants,
            }
        )
        return
    say(
        f"Read {count(report.read, 'event')}: added {report.added:,} of {count(report.tenants, 'tenant')}, "
        f"{report.already_there:,} already there."
    )
    if report.first is not None and report.last is not None:
        say(f"Recorded at {format_timestamp(report.first)} to {format_timestamp(report.last)}.")
