"""Bringing records of elsewhere in through the recorder: once each, in order, with the times that were asked for.

The whole file is read and checked before anything is recorded, and every event is recorded at most once under its own
id. Events are recorded in transactions of :data:`BATCH_EVENTS`: a crash leaves whole batches behind, and importing the
same file again adds the rest.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final, Literal, TypeAlias

import pyarrow as pa

from lumi_pipeline.errors import ImportFailed
from lumi_pipeline.events import Event, NewEvent, from_micros
from lumi_pipeline.importers.spool import Moment, Spool
from lumi_pipeline.outbox import Connection, Outbox, Snapshot
from lumi_pipeline.outbox.chains import chains_on
from lumi_pipeline.recorder import AuditRecorder, system_clock
from transparency.encoding import format_timestamp

RecordedAt: TypeAlias = Literal["now", "occurred"]
"""Which time the events get: that of the import, or the historic one at which they occurred."""

Progress: TypeAlias = Callable[[int], None]
"""Called after every batch with the number of events recorded so far."""

BATCH_EVENTS: Final = 1000
_USE_NOW: Final = "It can be imported with the time of the import instead (--recorded-at now)"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did. ``first`` and ``last`` are the earliest and latest ``recorded_at`` of what it added."""

    read: int
    added: int
    already_there: int
    tenants: int
    first: datetime | None
    last: datetime | None


def bring_in(
    outbox: Outbox,
    events: Iterable[NewEvent],
    *,
    recorded_at: RecordedAt,
    first_day: date | None,
    progress: Progress | None,
) -> ImportReport:
    """Record the events that the outbox does not hold yet.

    With ``recorded_at="now"`` they are recorded in the order given. With ``"occurred"`` they are sorted by tenant and
    time, and each gets the time at which it occurred, or that of the tenant's last event where that is later on the
    same day. Raises :class:`ImportFailed`, before anything is recorded, for an event of a closed day, of a day before
    ``first_day`` or before the tenant's last event, of the future, or without a time.
    """
    with Spool() as spool:
        read = 0
        for event in events:
            if recorded_at == "occurred" and event.occurred_at is None:
                raise ImportFailed(f"event {event.event_id} has no occurred_at, which is to be its time of recording")
            spool.add(event)
            read += 1
        with outbox.snapshot() as snapshot:
            for event_ids in spool.ids(BATCH_EVENTS):
                spool.remove(snapshot.find(event_ids))
            if recorded_at == "occurred":
                _check_times(spool, outbox.closed_before(), _last_times(snapshot), first_day)
        tally = _Tally()
        with closing(outbox.connect()) as connection, outbox.explained():
            for batch in spool.batches(BATCH_EVENTS, in_order_of_time=recorded_at == "occurred"):
                tally.count(_record(connection, batch, recorded_at))
                if progress is not None:
                    progress(tally.added)
    return ImportReport(read, tally.added, read - tally.added, len(tally.tenants), tally.first, tally.last)


@dataclass(slots=True)
class _Tally:
    """What has been recorded so far."""

    added: int = 0
    tenants: set[str] = field(default_factory=set)
    first: datetime | None = None
    last: datetime | None = None

    def count(self, events: Sequence[Event]) -> None:
        self.added += len(events)
        for event in events:
            self.tenants.add(event.tenant_id)
            self.first = min(self.first or event.recorded_at, event.recorded_at)
            self.last = max(self.last or event.recorded_at, event.recorded_at)


def _record(connection: Connection, batch: Sequence[NewEvent], recorded_at: RecordedAt) -> list[Event]:
    """Record a batch in one transaction, leaving out what another import has recorded meanwhile."""
    chains = chains_on(connection)
    try:
        with chains.atomic():
            known = chains.find([event.event_id for event in batch])
            fresh = [event for event in batch if event.event_id not in known]
            times = None
            if recorded_at == "occurred":
                heads = chains.lock(sorted({event.tenant_id for event in fresh})).heads
                times = _raised(fresh, {tenant_id: head.last_recorded_at for tenant_id, head in heads.items()})
            recorded = AuditRecorder(connection).record_many(fresh, recorded_at=times)
        # A crash before this commit leaves the outbox without the batch; the same import adds it again.
        connection.commit()
    finally:
        connection.rollback()
    return recorded


def _raised(events: Sequence[NewEvent], last: dict[str, datetime]) -> list[datetime]:
    """Return the time to record each event at: when it occurred, or its chain's last time if that is later that day."""
    times: list[datetime] = []
    for event in events:
        occurred_at = event.occurred_at or last[event.tenant_id]
        _refuse_other_day(Moment(event.tenant_id, event.event_id, occurred_at), last[event.tenant_id])
        last[event.tenant_id] = max(occurred_at, last[event.tenant_id])
        times.append(last[event.tenant_id])
    return times


def _check_times(spool: Spool, closed_before: datetime, heads: Mapping[str, datetime], first_day: date | None) -> None:
    """Refuse events that cannot be recorded at the time at which they occurred."""
    for moment in spool.earliest():
        if moment.occurred_at < closed_before:
            raise ImportFailed(
                f"{_told(moment)}, but every day before {closed_before:%Y-%m-%d} is closed for good. {_USE_NOW}"
            )
        if first_day is not None and moment.occurred_at.date() < first_day:
            raise ImportFailed(f"{_told(moment)}, before the log's first day, {first_day}. {_USE_NOW}")
        _refuse_other_day(moment, heads.get(moment.tenant_id, closed_before))
    now = system_clock()
    for moment in spool.latest():
        if moment.occurred_at > now:
            raise ImportFailed(f"{_told(moment)}, which is in the future. Set the clock or correct the record")


def _refuse_other_day(moment: Moment, last: datetime) -> None:
    """Refuse an event that would have to move to another day to keep its chain's time from decreasing."""
    if moment.occurred_at.date() < last.date():
        raise ImportFailed(
            f"{_told(moment)}, but the tenant's chain already stands at {format_timestamp(last)}, and its time never"
            f" decreases. {_USE_NOW}"
        )


def _told(moment: Moment) -> str:
    return f"event {moment.event_id} of tenant {moment.tenant_id} occurred at {format_timestamp(moment.occurred_at)}"


def _last_times(snapshot: Snapshot) -> dict[str, datetime]:
    heads = snapshot.heads()
    micros = heads["last_recorded_at"].cast(pa.int64())
    rows = heads.select(["tenant_id"]).append_column("micros", micros).to_pylist()
    return {row["tenant_id"]: from_micros(row["micros"]) for row in rows}
