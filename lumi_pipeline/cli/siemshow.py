"""How ``lumi siem`` shows what it found: for whoever is on call, and as JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from lumi_pipeline.cli.output import count, rate, say, say_table
from lumi_pipeline.wording import duration
from transparency.encoding import format_timestamp

if TYPE_CHECKING:
    from lumi_pipeline.siem.account import DayAccount, MissingRange, Reach
    from lumi_pipeline.siem.backfill import Gap
    from lumi_pipeline.siem.deliver import DeliveryReport
    from lumi_pipeline.siem.statements import Statement
    from lumi_pipeline.siem.status import DestinationStatus

_SHOWN: Final = 20
"""Ranges that are listed; --json lists them all."""

_BATCHES: Final = 5
"""Blocked batches that are listed."""

_ID: Final = 12
"""Characters of a batch's id that are shown: enough to name it by."""

_WORDS: Final = {"waiting": "WAITING", "attention": "ATTENTION", "blocked": "BLOCKED"}


def say_status(found: "Sequence[DestinationStatus]", now: datetime) -> None:
    """One row a destination, and below it, in words, what is wrong and what to do."""
    rows = [
        (
            status.name,
            _WORDS.get(status.health(now).value, status.health(now).value),
            "-" if status.lag is None else duration(status.lag),
            "never" if status.last_receipt is None else f"{duration(now - status.last_receipt)} ago",
            status.open_events + status.unplanned,
            status.quarantined,
            status.blocked,
        )
        for status in found
    ]
    say_table(("destination", "state", "lag", "last receipt", "open", "quarantined", "blocked"), rows)
    for status in found:
        for line in _advice(status, now):
            say(f"{status.name}: {line}")


def _advice(status: "DestinationStatus", now: datetime) -> list[str]:
    from lumi_pipeline.siem.processes import for_people
    from lumi_pipeline.siem.status import LISTED

    lines = []
    hold = status.hold
    if hold is not None and hold.settings:
        lines += [
            f"it refuses to work since {hold.since:%Y-%m-%d %H:%M} UTC: {hold.detail}",
            f"correct that; it tries again by itself, at once with: lumi siem unblock {status.name}",
        ]
    elif hold is not None and hold.until > now:
        lines.append(f"left alone until {hold.until:%H:%M:%S} UTC: {hold.detail}")
    elif status.open_events and status.reason:
        lines.append(f"last trouble: {status.reason}")
    if status.blocked:
        blocked = count(status.blocked, "event")
        lines.append(f"{blocked} blocked: {status.blocked_reason}; then: lumi siem unblock {status.name}")
        lines += [
            f"  blocked batch {b.batch_id[:_ID]}, {count(b.events, 'event')}" for b in status.blocked_batches[:_BATCHES]
        ]
        if len(status.blocked_batches) > _BATCHES:
            lines.append(f"  and more blocked batches; --json lists up to {LISTED}")
    if status.quarantined:
        lines.append(f"{count(status.quarantined, 'event')} not taken by it; see: lumi siem quarantine {status.name}")
    if status.holder is not None:
        until = f"{status.holder.until:%H:%M:%S} UTC at least"
        lines.append(f"{for_people(status.holder.where)} delivers to it, until {until}")
    return lines


def say_delivery(report: "DeliveryReport") -> None:
    """What one delivery run did, and what is left."""
    done = f"{count(report.events, 'event')} delivered in {count(report.batches, 'batch', 'batches')}"
    if report.events:
        done += f", {rate(report.events, report.seconds)}"
    if report.duplicates:
        done += f"; {report.duplicates:,} of them may be there twice"
    if report.quarantined:
        done += f"; {count(report.quarantined, 'event')} put aside"
    say(f"{report.destination}: {done}")
    if report.open_events:
        why = f": {report.hold.detail}" if report.hold else ""
        say(f"{report.destination}: {count(report.open_events, 'event')} left{why}")


def say_account(days: "Sequence[DayAccount]", missing: "Sequence[MissingRange]", reach: "Reach") -> None:
    """What became of the rows of each day, which are missing, and whether more may come."""
    by_day: dict[str, list[int]] = {}
    for day in days:
        numbers = [day.rows, day.delivered, day.filtered, day.quarantined, day.discarded, day.open, day.missing]
        known = by_day.setdefault(day.day.isoformat(), [0] * len(numbers))
        by_day[day.day.isoformat()] = [a + b for a, b in zip(known, numbers, strict=True)]
    header = ("day", "rows", "delivered", "filtered", "quarantined", "given up", "open", "missing")
    say_table(header, [(day, *numbers) for day, numbers in sorted(by_day.items())])
    duplicates = sum(day.duplicates for day in days)
    if duplicates:
        say(f"{count(duplicates, 'event')} may be there twice; search with the dedup query of docs/siem.md.")
    _say_missing(missing)
    if not missing:
        say("Every row is accounted for." if reach.sealed else "Every row so far is accounted for.")
    say(_reaching(reach))


def say_gap(name: str, gap: "Gap") -> None:
    """What a backfill would send."""
    lacking = "to be sent again" if gap.force else "lacking"
    say(f"{name}, {gap.period.first} to {gap.period.last}: {count(gap.events, 'event')} {lacking}")
    if not gap.force:
        say(f"  {count(gap.open_events, 'event')} planned and not there, {_total(gap.missing):,} never planned")
    if gap.aged:
        say(
            f"  {count(gap.aged, 'event')} too old (or ahead) for its clock: sent with another time, marked in receipts"
        )
    _say_missing(gap.missing)


def _reaching(reach: "Reach") -> str:
    if reach.sealed:
        return "Every day is sealed, so no other row can come."
    landed = f"{reach.landed_through:%Y-%m-%d %H:%M:%S} UTC" if reach.landed_through else "nothing"
    return f"Landed through {landed}; not every day is sealed yet, so more rows may come."


def stated(statement: "Statement") -> str:
    """A statement in two sentences."""
    counts = statement.counts
    there = f"{counts['delivered']:,} of {counts['rows'] - counts['filtered']:,} events are there"
    twice = f"{counts['duplicates']:,} possibly twice"
    if statement.lacks_nothing:
        return f"No gaps{'' if statement.is_complete else ' so far'}: {there}, {twice}. {_reaching(statement.reach)}"
    return (
        f"Not complete: {there}, {twice}; {counts['open']:,} under way, {counts['quarantined']:,} put aside, "
        f"{counts['missing']:,} missing. {_reaching(statement.reach)}"
    )


def reach_json(reach: "Reach") -> dict[str, object]:
    """Which rows an account can know of."""
    landed = reach.landed_through
    return {
        "landed_through": format_timestamp(landed) if landed else None,
        "landings": str(reach.landings),
        "sealed": reach.sealed,
    }


def delivery_json(report: "DeliveryReport") -> dict[str, object]:
    """A delivery run."""
    return {
        "batches": report.batches,
        "blocked": str(report.blocked),
        "delivered": str(report.events),
        "hold": report.hold.detail if report.hold else None,
        "open": str(report.open_events),
        "possible_duplicates": str(report.duplicates),
        "quarantined": str(report.quarantined),
        "receipts": report.receipts,
        "seconds": round(report.seconds, 3),
    }


def day_json(day: "DayAccount") -> dict[str, object]:
    """One day and tenant of an account."""
    return {
        "day": day.day.isoformat(),
        "delivered": str(day.delivered),
        "discarded": str(day.discarded),
        "filtered": str(day.filtered),
        "missing": str(day.missing),
        "open": str(day.open),
        "possible_duplicates": str(day.duplicates),
        "quarantined": str(day.quarantined),
        "rows": str(day.rows),
        "tenant": day.tenant_id,
    }


def missing_json(missing: "Sequence[MissingRange]") -> list[dict[str, str]]:
    """Ranges that nothing accounts for."""
    return [{"count": str(m.count), "first": str(m.first), "last": str(m.last), "tenant": m.tenant_id} for m in missing]


def gap_json(gap: "Gap") -> dict[str, object]:
    """What a backfill would send."""
    return {
        "aged": str(gap.aged),
        "events": str(gap.events),
        "from": gap.period.first.isoformat(),
        "missing": missing_json(gap.missing),
        "open": str(gap.open_events),
        "to": gap.period.last.isoformat(),
    }


def _say_missing(missing: "Sequence[MissingRange]") -> None:
    for found in missing[:_SHOWN]:
        say(f"  {found.tenant_id}: {count(found.count, 'event')}, seq {found.first:,} to {found.last:,}")
    if len(missing) > _SHOWN:
        say(f"  … and {len(missing) - _SHOWN:,} more ranges; --json lists them all")


def _total(missing: "Sequence[MissingRange]") -> int:
    return sum(found.count for found in missing)
