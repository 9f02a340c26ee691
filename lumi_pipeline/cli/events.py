"""``lumi events``: events from the lake, newest first, each verified as it is shown."""

from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from lumi_pipeline.cli.command import ExitCode, VerifyingCommand, examples
from lumi_pipeline.cli.options import TEXT, Given, config_option
from lumi_pipeline.cli.output import count, note
from lumi_pipeline.cli.results import Format, chosen_format, result_options, write_rows
from transparency.encoding import parse_day
from transparency.errors import EncodingError

if TYPE_CHECKING:
    import pyarrow as pa

    from lumi_pipeline.analytics.listing import Page

_MAX_LIMIT: Final = 1000
"""A page is held in memory, and one event may have megabytes."""

_OPTIONS: Final = {"tenant_id": "--tenant", "actor_id": "--user", "entity_id": "--entity"}
"""By name in the question, where an option is called otherwise."""


class _Moment(click.ParamType[datetime]):
    """A UTC day, or a time with its zone; of a day the first moment, or the first moment after it."""

    name = "time"

    def __init__(self, *, end: bool) -> None:
        self._end = end

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Parse it or end with a usage error."""
        if isinstance(value, datetime):
            return value
        try:
            return self._parsed(value)
        except (ValueError, OverflowError):
            expected = "a day (2026-11-21) nor a time with its zone (2026-11-21T13:30Z)"
            self.fail(f"{value!r} is neither {expected}", param, ctx)

    def _parsed(self, value: str) -> datetime:
        try:
            day: date = parse_day(value)
        except EncodingError:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise ValueError from None
            return moment.astimezone(UTC)
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return start + timedelta(days=1) if self._end and day < date.max else start


@click.command(
    cls=VerifyingCommand,
    epilog=examples(
        "lumi events --limit 20",
        "lumi events --tenant acme --user u-17 --from 2026-11-01 --to 2026-11-21",
        "lumi events --entity REC-1042 --action RECOMMENDATION_DISMISSED --format json",
    ),
)
@click.option("--tenant", "tenant_id", metavar="TENANT", type=TEXT, help="Of this tenant.")
@click.option("--user", "actor_id", metavar="ID", type=TEXT, help="By this actor (actor_id).")
@click.option("--entity", "entity_id", metavar="ID", type=TEXT, help="On this entity (entity_id).")
@click.option("--entity-type", metavar="TYPE", type=TEXT, help="On entities of this type.")
@click.option("--action", metavar="ACTION", type=TEXT, help="Of this action.")
@click.option(
    "--from", "since", metavar="TIME", type=_Moment(end=False), help="Recorded on or after this UTC day or time."
)
@click.option(
    "--to", "until", metavar="TIME", type=_Moment(end=True), help="Recorded up to this UTC day, or before this time."
)
@click.option("--limit", type=click.IntRange(1, _MAX_LIMIT), default=50, help="Events a page. [50]")
@click.option("--after", metavar="CURSOR", help="Go on behind the last event of an earlier page.")
@result_options
@config_option
@click.pass_obj
def events(
    given: Given,
    /,
    limit: int,
    after: str | None,
    form: str | None,
    output: Path | None,
    **question: str | datetime | None,
) -> ExitCode:
    """List events, newest first.

    The analyst database finds them; what is shown is read from the lake, and the hashes of every row are computed
    anew. A row that was altered, or is gone from the lake, is marked, and the exit code is 1.

    A page ends with the cursor for the next; CSV, JSON and Parquet have one in every row. Paging neither skips nor
    repeats an event, whatever arrives meanwhile.
    """
    from lumi_pipeline.analytics import connect
    from lumi_pipeline.analytics.asking import Answer
    from lumi_pipeline.analytics.listing import Question, newest_events, unheard_of

    chosen = chosen_format(form, output)
    asked = Question(**question)  # type: ignore[arg-type]
    if asked.since and asked.until and asked.since >= asked.until:
        raise click.UsageError("--to is before --from: no event can lie between")
    config = given.config()
    with closing(connect(config)) as db:
        page = newest_events(db, given.pipeline().lake, asked, limit, after)
        unknown = [] if page.events else unheard_of(db, asked)
    table = _brief(page) if chosen is Format.TABLE else _full(page)
    write_rows(Answer.of(table), chosen, output)
    if not page.events:
        options = [_OPTIONS.get(name, f"--{name.replace('_', '-')}") for name in unknown]
        note(f"No event matches{''.join(f'; none at all has that {option}' for option in options)}.")
    for shown in page.events:
        if shown.finding:
            event = shown.event
            note(f"{shown.check.value}: tenant {event['tenant_id']} seq {event['seq']}: {shown.finding}")
    if chosen is Format.TABLE and page.more:
        note(f"There are more: repeat this with --after {page.cursors[-1]}")
    bad = sum(shown.finding is not None for shown in page.events)
    if bad:
        note(f"{count(bad, 'event')} of {len(page.events)} not as recorded; 'lumi verify --all' tells more")
    return ExitCode.FAILURE if bad else ExitCode.SUCCESS


def _brief(page: "Page") -> "pa.Table":
    """What people look at; ``check`` comes first, so that no narrow terminal cuts it off."""
    import pyarrow as pa

    rows = [(shown.check.value, shown.event) for shown in page.events]
    columns: dict[str, list[object]] = {
        "check": [check.upper() if check != "verified" else check for check, _ in rows],
        "recorded_at": [str(event["recorded_at"])[:19] for _, event in rows],
        "tenant": [event["tenant_id"] for _, event in rows],
        "user": [event["actor_id"] for _, event in rows],
        "action": [event["action"] for _, event in rows],
        "entity": [f"{event['entity_type']} {event['entity_id']}" for _, event in rows],
        "outcome": [event["outcome"] for _, event in rows],
        "event_id": [event["event_id"] for _, event in rows],
    }
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def _full(page: "Page") -> "pa.Table":
    """Every column, the verdict on each row, and the cursor behind it."""
    import pyarrow as pa

    from lumi_pipeline.events import EVENT_SCHEMA

    table = pa.Table.from_pylist([dict(shown.event) for shown in page.events], EVENT_SCHEMA)
    return (
        table.append_column("sealed", pa.array([shown.sealed for shown in page.events], pa.bool_()))
        .append_column("check", pa.array([shown.check.value for shown in page.events], pa.string()))
        .append_column("finding", pa.array([shown.finding for shown in page.events], pa.string()))
        .append_column("cursor", pa.array(page.cursors, pa.string()))
    )
