"""``lumi siem``: plan, deliver and account for what SIEMs and other destinations get."""

import difflib
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import click

from lumi_pipeline.cli.command import Command, ExitCode, VerifyingCommand, examples
from lumi_pipeline.cli.options import DAY, PATH, Given, config_option, json_option
from lumi_pipeline.cli.output import count, note, say, say_json, say_table, size
from lumi_pipeline.cli.progress import progress
from lumi_pipeline.cli.siemshow import (
    day_json,
    delivery_json,
    gap_json,
    missing_json,
    reach_json,
    say_account,
    say_delivery,
    say_gap,
    say_status,
    stated,
)
from lumi_pipeline.cli.siemside import reconcile_files, show_queries
from lumi_pipeline.errors import LeaseHeld, LumiError

if TYPE_CHECKING:
    from lumi_pipeline.siem.account import Period
    from lumi_pipeline.siem.exports import Exports
    from lumi_pipeline.siem.status import DestinationStatus

_Function = TypeVar("_Function", bound=Callable[..., object])


@click.group(epilog=examples("lumi siem status", "lumi siem plan && lumi siem deliver"))
def siem() -> None:
    """Send every event to the SIEMs and other destinations that lumi.toml names, and prove it."""


def _destinations(function: _Function) -> _Function:
    return click.argument("names", metavar="[DESTINATION]...", nargs=-1)(function)


def _period_options(function: _Function) -> _Function:
    function = click.option("--tenant", metavar="T", help="Only this tenant's events.")(function)
    function = click.option("--to", "last", type=DAY, help="The last day; default: today.")(function)
    return click.option("--from", "first", type=DAY, help="The first day on which events were recorded (UTC).")(
        function
    )


def exports_of(given: Given) -> "Exports":
    """Open the destinations of the configuration."""
    from lumi_pipeline.siem.exports import Exports

    return Exports(given.pipeline())


def chosen(exports: "Exports", names: tuple[str, ...]) -> list[str]:
    """The destinations that were named, or all; an unknown one is an error that says what there is."""
    return [exports.settings(name).name for name in names] or exports.names or [exports.settings("").name]


def read_period(exports: "Exports", name: str, first: date | None, last: date | None, tenant: str | None) -> "Period":
    """The period that was asked for; by default from where the destination begins until today."""
    from lumi_pipeline.siem.account import Period

    today = exports.clock().date()
    begin = first or exports.begin(name)
    end = last or max(today, begin)
    if end < begin:
        raise click.UsageError(f"the period would end on {end}, before it begins on {begin}")
    if end > today:
        raise click.UsageError(
            f"the period would end on {end}, but today is {today}: nothing is recorded after that yet"
        )
    if tenant is not None and tenant not in exports.source.cursors:
        # An account of nothing would say that nothing is missing.
        known = difflib.get_close_matches(tenant[:100], exports.source.cursors, n=1, cutoff=0.0)
        meant = f"; did you mean {known[0]!r}?" if known else ""
        raise click.UsageError(f"no event of a tenant {tenant[:100]!r} was landed{meant}")
    return Period(begin, end, tenant)


@siem.command(cls=Command, epilog=examples("lumi siem check", "lumi siem check splunk-prod"))
@_destinations
@config_option
@json_option
@click.pass_context
def check(ctx: click.Context, /, names: tuple[str, ...], as_json: bool) -> None:
    """Try credentials and settings of destinations, without sending an event."""
    exports = exports_of(ctx.obj)
    found: dict[str, object] = {}
    failed = False
    for name in chosen(exports, names):
        try:
            lines = list(exports.check(name))
            found[name] = {"ok": True, "lines": lines}
        except LumiError as error:
            failed, lines = True, [f"problem: {error}"]
            found[name] = {"ok": False, "lines": [str(error)]}
        if not as_json:
            for line in lines:
                say(f"{name}: {line}")
    if as_json:
        say_json(found)
    ctx.exit(ExitCode.FAILURE if failed else ExitCode.SUCCESS)


@siem.command(cls=Command, epilog=examples("lumi siem plan"))
@_destinations
@config_option
@json_option
@click.pass_context
def plan(ctx: click.Context, /, names: tuple[str, ...], as_json: bool) -> None:
    """Make batches of what was landed since. Nothing is sent."""
    exports = exports_of(ctx.obj)
    made: dict[str, object] = {}
    failed = False
    for name in chosen(exports, names):
        reports = []
        try:
            with progress(f"Planning for {name}", "events") as meter:
                for report in exports.plan(name):
                    meter.advance(report.rows)
                    reports.append(report)
        except LumiError as error:  # one destination that can't be planned for does not keep the others waiting
            failed = True
            made[name] = {"error": str(error)}
            note(f"{name}: {error}")
            continue
        events, batches = sum(r.events for r in reports), sum(r.batches for r in reports)
        refused = sum(r.refused for r in reports)
        made[name] = {"batches": batches, "events": str(events), "plans": len(reports), "refused": refused}
        if not as_json:
            bytes_ = size(sum(r.size for r in reports))
            put_aside = f"; {count(refused, 'event')} put aside as too large" if refused else ""
            planned = f"{count(events, 'event')} in {count(batches, 'batch', 'batches')}, {bytes_}{put_aside}"
            say(f"{name}: {planned if reports else 'nothing new'}")
        since, begun = exports.settings(name).since, exports.since(name)
        if since not in {None, begun}:
            note(
                f"{name}: 'since' has no effect any more: its first plan began with {begun}; see lumi siem backfill -h"
            )
    if as_json:
        say_json(made)
    ctx.exit(ExitCode.FAILURE if failed else ExitCode.SUCCESS)


@siem.command(cls=Command, epilog=examples("lumi siem deliver", "lumi siem deliver splunk-prod --wait 120"))
@_destinations
@click.option("--wait", type=click.IntRange(0), default=0, metavar="SECONDS", help="How long to wait for what has to.")
@config_option
@json_option
@click.pass_context
def deliver(ctx: click.Context, /, names: tuple[str, ...], wait: int, as_json: bool) -> None:
    """Send what is planned.

    Exit codes: 0 all that was planned is delivered, or another process is at it; 1 something is left; 2 usage.
    """
    exports = exports_of(ctx.obj)
    done: dict[str, object] = {}
    left = False
    for name in chosen(exports, names):
        try:
            report = exports.deliver(name, timedelta(seconds=wait))
        except LeaseHeld as error:
            done[name] = {"held": str(error)}
            note(str(error))
            continue
        except LumiError as error:  # one destination that can't be used does not keep the others waiting
            left = True
            done[name] = {"error": str(error)}
            note(f"{name}: {error}")
            continue
        left |= bool(report.open_events or report.quarantined or report.hold)
        done[name] = delivery_json(report)
        if not as_json:
            say_delivery(report)
    if as_json:
        say_json(done)
    ctx.exit(ExitCode.FAILURE if left else ExitCode.SUCCESS)


@siem.command(cls=Command, epilog=examples("lumi siem status", "lumi siem status --json"))
@_destinations
@config_option
@json_option
@click.pass_context
def status(ctx: click.Context, /, names: tuple[str, ...], as_json: bool) -> None:
    """Show where every destination stands, and why.

    Exit codes: 0 nothing to look at; 1 a destination is blocked, needs attention, or can't be looked at; 2 usage.
    """
    exports = exports_of(ctx.obj)
    found: list[DestinationStatus] = []
    unreadable: dict[str, str] = {}
    for name in chosen(exports, names):
        try:
            found.append(exports.status(name))
        except LumiError as error:  # whoever looks at night sees how the others are
            unreadable[name] = str(error)
    now = exports.clock()
    if as_json:
        broken = [{"error": problem, "name": name} for name, problem in unreadable.items()]
        say_json({"destinations": [*(status.to_json(now) for status in found), *broken]})
    else:
        say_status(found, now)
        for name, problem in unreadable.items():
            note(f"{name}: {problem}")
    if not names:
        _note_removed(exports)
    bad = any(status.health(now).value in {"blocked", "attention"} for status in found)
    ctx.exit(ExitCode.FAILURE if bad or unreadable else ExitCode.SUCCESS)


def _note_removed(exports: "Exports") -> None:
    """Tell of events that were planned for a destination that is not configured any more: nobody delivers them."""
    try:
        for left in exports.removed():
            if events := left.open_events + left.blocked + left.quarantined:
                note(
                    f"{left.name}: {count(events, 'event')} planned for it, and not delivered; no destination of "
                    "lumi.toml has this name any more. Give it back, as another name is another destination"
                )
    except LumiError as error:
        note(str(error))


@siem.command(
    cls=VerifyingCommand,
    epilog=examples(
        "lumi siem reconcile splunk-prod --from 2026-11-20 --to 2026-11-22",
        "lumi siem reconcile splunk-prod --from 2026-11-20 --statement delivery.jsonl",
        "lumi siem reconcile splunk-prod --from 2026-11-20 --queries",
        "lumi siem reconcile splunk-prod --from 2026-11-20 --from-csv result.csv",
    ),
)
@click.argument("name", metavar="DESTINATION")
@_period_options
@click.option("--statement", "file", metavar="FILE", type=click.File("wb"), help="Write a signed statement of it.")
@click.option("--queries", is_flag=True, help="Print the queries that ask the SIEM what it holds.")
@click.option(
    "--from-csv",
    "results",
    metavar="FILE",
    type=PATH,
    multiple=True,
    help="Compare with the result of such a query, or an export of events (CSV or JSON lines); repeatable.",
)
@config_option
@json_option
@click.pass_context
def reconcile(
    ctx: click.Context,
    /,
    name: str,
    first: date | None,
    last: date | None,
    tenant: str | None,
    file: BinaryIO | None,
    queries: bool,
    results: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Hold every row of the lake against the receipts: delivered, filtered, put aside, under way, or missing.

    With --from-csv against what the SIEM itself says it holds: events missing there, altered, twice, or unknown.

    Exit codes: 0 every row is accounted for and there or on its way; 1 rows are missing; 2 usage; 3 not completed.
    """
    if queries + bool(results) + (file is not None) > 1:
        raise click.UsageError("--queries, --from-csv and --statement are three different questions", ctx)
    exports = exports_of(ctx.obj)
    period = read_period(exports, name, first, last, tenant)
    if queries:
        ctx.exit(show_queries(exports, name, period, as_json=as_json))
    if results:
        ctx.exit(reconcile_files(exports, name, period, results, as_json=as_json))
    with exports.account(name, period) as account:
        days, missing, reach = account.days(), account.missing(), account.reach
        if file is not None:
            file.write(exports.stated(name, account).signed(exports.keys.signing()))
    if as_json:
        say_json({"days": [day_json(day) for day in days], "missing": missing_json(missing), **reach_json(reach)})
    else:
        say_account(days, missing, reach)
    ctx.exit(ExitCode.FAILURE if missing else ExitCode.SUCCESS)


@siem.command(
    cls=Command,
    epilog=examples(
        "lumi siem backfill splunk-prod --from 2026-11-20 --to 2026-11-22 --dry-run",
        "lumi siem backfill splunk-prod --from 2026-11-20 --to 2026-11-22 --wait 600",
    ),
)
@click.argument("name", metavar="DESTINATION")
@_period_options
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@click.option("--force", is_flag=True, help="Send everything again, under the same event ids.")
@click.option("--wait", type=click.IntRange(0), default=60, metavar="SECONDS", help="How long to wait for what has to.")
@config_option
@json_option
@click.pass_context
def backfill(
    ctx: click.Context,
    /,
    name: str,
    first: date | None,
    last: date | None,
    tenant: str | None,
    dry_run: bool,
    force: bool,
    wait: int,
    as_json: bool,
) -> None:
    """Send exactly what a destination lacks of a period, in a lane apart from live events, and sign a statement of it.

    Exit codes: 0 nothing is lacking any more; 1 something still is; 2 usage.
    """
    from lumi_pipeline.siem.backfill import backfill as send
    from lumi_pipeline.siem.backfill import find_gap

    if first is None:
        raise click.UsageError("--from says where the period begins", ctx)
    exports = exports_of(ctx.obj)
    gap = find_gap(exports, name, read_period(exports, name, first, last, tenant), force=force)
    if not as_json:
        say_gap(name, gap)
    if dry_run:
        if as_json:
            say_json(gap_json(gap))
        return
    report = send(exports, name, gap, timedelta(seconds=wait))
    if as_json:
        sent = {"delivery": delivery_json(report.delivery), "statement": report.stored}
        result = {"complete": report.statement.is_complete, "counts": report.statement.counts}
        say_json({**gap_json(gap), **sent, **result, **reach_json(report.statement.reach)})
    else:
        say_delivery(report.delivery)
        say(stated(report.statement))
        say(f"Signed statement: {report.stored}")
    ctx.exit(ExitCode.SUCCESS if report.statement.lacks_nothing else ExitCode.FAILURE)


@siem.command(
    cls=Command,
    epilog=examples(
        "lumi siem quarantine splunk-prod",
        "lumi siem quarantine splunk-prod --show 12.0.17.18",
        "lumi siem quarantine splunk-prod --release 12.0.17.18",
    ),
)
@click.argument("name", metavar="DESTINATION")
@click.option("--show", "shown", metavar="KEY", help="Print the event as it was sent.")
@click.option("--release", "released", metavar="KEY", multiple=True, help="Send it again; 'all' for all.")
@click.option("--discard", "discarded", metavar="KEY", multiple=True, help="Give it up, with a --reason.")
@click.option("--reason", metavar="TEXT", default="", help="Why, in words that an auditor can read.")
@config_option
@json_option
@click.pass_context
def quarantine(
    ctx: click.Context,
    /,
    name: str,
    shown: str | None,
    released: tuple[str, ...],
    discarded: tuple[str, ...],
    reason: str,
    as_json: bool,
) -> None:
    """List the events that a destination does not take; show one, send it again, or give it up."""
    from lumi_pipeline.siem import attending
    from lumi_pipeline.siem.ledger import Key

    if (shown is not None) + bool(released) + bool(discarded) > 1:
        raise click.UsageError("--show, --release and --discard are three different things; one at a time", ctx)
    exports = exports_of(ctx.obj)
    if shown is not None:
        record = attending.quarantined_record(exports, name, Key.parse(shown))
        say(record.decode("utf-8", "replace") or "no record could be made of it; 'lumi prove' makes one of the event")
        return
    if released:
        if released == ("all",):
            keys = [entry.key for entry in attending.quarantined(exports, name) if not entry.key.is_refusal]
        else:
            keys = [Key.parse(key) for key in released]
        events = attending.release(exports, name, keys)
        said = f"{count(events, 'event')} will be sent again by 'lumi siem deliver {name}'."
        say_json({"released": str(events)}) if as_json else say(said)
        return
    if discarded:
        events = attending.discard(exports, name, [Key.parse(key) for key in discarded], reason)
        said = f"{count(events, 'event')} given up, with a receipt each."
        say_json({"given_up": str(events)}) if as_json else say(said)
        return
    found = attending.quarantined(exports, name)
    if as_json:
        entries = [(q.event_id, str(q.key), q.reason, str(q.seq), q.tenant_id) for q in found]
        names = ("event_id", "key", "reason", "seq", "tenant")
        say_json({"events": [dict(zip(names, entry, strict=True)) for entry in entries]})
    elif found:
        say_table(
            ("key", "tenant", "seq", "event", "reason"),
            [(str(q.key), q.tenant_id, q.seq, q.event_id, q.reason) for q in found],
        )
    else:
        say("No event is in quarantine.")


@siem.command(
    cls=Command,
    epilog=examples(
        "lumi siem unblock splunk-prod",
        'lumi siem unblock splunk-prod --give-up 056565aaa34c --reason "its file is lost; sent by a forced backfill"',
        'lumi siem unblock splunk-prod --give-up --all --reason "the index was dropped, OPS-8"',
    ),
)
@click.argument("name", metavar="DESTINATION")
@click.argument("batches", metavar="[BATCH]...", nargs=-1)
@click.option("--give-up", is_flag=True, help="Give these blocked batches up instead, with a --reason.")
@click.option("--all", "everything", is_flag=True, help="With --give-up: all batches that are blocked.")
@click.option("--reason", metavar="TEXT", default="", help="Why, in words that an auditor can read.")
@config_option
@json_option
@click.pass_context
def unblock(
    ctx: click.Context,
    /,
    name: str,
    batches: tuple[str, ...],
    give_up: bool,
    everything: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Let a destination try again now, after what blocked it was corrected; also batches that are blocked.

    BATCH is a blocked batch's id as 'lumi siem status' shows it, or how it begins.
    """
    from lumi_pipeline.siem import attending

    if not give_up and (reason or batches or everything):
        raise click.UsageError("BATCH, --all and --reason say what is given up and why, which needs --give-up", ctx)
    if give_up and everything == bool(batches):
        raise click.UsageError(
            f"--give-up needs the batches that are given up, or --all; 'lumi siem status {name}' lists them", ctx
        )
    exports = exports_of(ctx.obj)
    if give_up:
        given_up = attending.give_up(exports, name, reason, None if everything else batches)
        events = sum(found.key.count for found in given_up)
        if as_json:
            say_json({"given_up": {"batches": len(given_up), "events": str(events)}})
        else:
            what = count(len(given_up), "blocked batch", "blocked batches")
            say(f"{what} given up, {count(events, 'event')}, with a receipt each.")
        return
    released = attending.unblock(exports, name)
    if as_json:
        say_json({"unblocked": {"batches": released}})
    else:
        also = f", {count(released, 'batch', 'batches')} that had been blocked included" if released else ""
        say(f"{name} is tried again by the next 'lumi siem deliver'{also}.")
