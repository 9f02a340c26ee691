"""Recording audit events inside the business transaction.

If the transaction commits, the event is there; if it rolls back, the event is gone with it, and its number is free for
the next. So a gap in a committed chain is never a matter of timing.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from os import urandom
from typing import Final, Required, TypeAlias, TypedDict, Unpack

from lumi_pipeline.errors import ClockAhead, DuplicateEvent, TimeRefused
from lumi_pipeline.events import SALT_SIZE, Event, NewEvent, state_text, utc
from lumi_pipeline.outbox import Connection, Locked
from lumi_pipeline.outbox.chains import async_chains_on, chains_on
from lumi_pipeline.outbox.head import ChainHead, next_event
from transparency.encoding import format_timestamp

State: TypeAlias = str | Mapping[str, object] | Sequence[object] | None
"""A state before or after: JSON text, recorded as it is, or a value that is serialised once; None for no state."""

MAX_CLOCK_LEAD: Final = timedelta(minutes=1)
_CLOCK_TICK: Final = timedelta(milliseconds=2)
"""A database clock may count milliseconds, so what happened just now can look this much ahead of it."""


def system_clock() -> datetime:
    """Return this machine's time, aware, in UTC."""
    return datetime.now(UTC)


class EventFields(TypedDict, total=False):
    """What ``record()`` takes, by keyword: the columns of an event that its caller knows.

    ``occurred_at`` is any aware time, by default that of recording; ``event_id`` is made up where it is not given, and
    giving one makes a repeated call fail instead of recording twice.
    """

    tenant_id: Required[str]
    action: Required[str]
    entity_type: Required[str]
    entity_id: Required[str]
    actor_type: Required[str]
    actor_id: Required[str]
    outcome: str
    occurred_at: datetime | None
    auth_method: str | None
    actor_name: str | None
    ip: str | None
    user_agent: str | None
    request_id: str | None
    before_state: State
    after_state: State
    event_id: str | None


class AuditRecorder:
    """Records events on an open connection: ``AuditRecorder(connection).record(action="LOGIN", …)``.

    The connection is an ``sqlite3.Connection`` or a ``psycopg.Connection`` to a database with the outbox tables. Every
    call runs inside the caller's transaction and never commits; if none is open one begins, but a psycopg connection
    in autocommit mode is refused then. A call that raises leaves nothing behind and the transaction usable. ``clock``
    returns aware times; it is read once a call, after the heads are locked.
    """

    def __init__(self, connection: Connection, *, clock: Callable[[], datetime] = system_clock) -> None:
        self._chains = chains_on(connection)
        self._clock = clock

    def record(self, **fields: Unpack[EventFields]) -> Event:
        """Record one event and return it as stored; see :meth:`record_many` for the errors."""
        return self.record_many([_new_event(fields)])[0]

    def record_many(self, events: Sequence[NewEvent], *, recorded_at: Sequence[datetime] | None = None) -> list[Event]:
        """Record events of any number of tenants, all or none, in the order given; return them as stored.

        ``recorded_at`` brings history in: one aware time an event, never decreasing within a tenant, not before the
        tenant's last event nor in a closed day, and not in the future. Without it every event is recorded now.

        Raises :class:`DuplicateEvent` for an event id that exists, :class:`ClockAhead` when the clock is more than a
        minute ahead of the database's, :class:`TimeRefused` for a time that breaks those rules,
        :class:`~lumi_pipeline.errors.OutboxLocked` when another transaction is in the way.
        """
        _check_call(events, recorded_at)
        if not events:
            return []
        with self._chains.atomic():
            recorded, heads = _chained(events, recorded_at, self._chains.lock(_tenants(events)), self._clock)
            self._chains.append(recorded, heads)
        return recorded


class AsyncAuditRecorder:
    """The same on a ``psycopg.AsyncConnection``: ``await AsyncAuditRecorder(connection).record(action="LOGIN", …)``."""

    def __init__(self, connection: object, *, clock: Callable[[], datetime] = system_clock) -> None:
        self._chains = async_chains_on(connection)
        self._clock = clock

    async def record(self, **fields: Unpack[EventFields]) -> Event:
        """Record one event and return it as stored; see :meth:`AuditRecorder.record_many` for the errors."""
        return (await self.record_many([_new_event(fields)]))[0]

    async def record_many(
        self, events: Sequence[NewEvent], *, recorded_at: Sequence[datetime] | None = None
    ) -> list[Event]:
        """Record events of any number of tenants, all or none; see :meth:`AuditRecorder.record_many`."""
        _check_call(events, recorded_at)
        if not events:
            return []
        async with self._chains.atomic():
            recorded, heads = _chained(events, recorded_at, await self._chains.lock(_tenants(events)), self._clock)
            await self._chains.append(recorded, heads)
        return recorded


def _new_event(fields: EventFields) -> NewEvent:
    columns: dict[str, object] = {
        **fields,
        "before_state": state_text("before_state", fields.get("before_state")),
        "after_state": state_text("after_state", fields.get("after_state")),
    }
    if columns.get("event_id") is None:
        columns.pop("event_id", None)
    return NewEvent(**columns)  # type: ignore[arg-type]


def _check_call(events: Sequence[NewEvent], recorded_at: Sequence[datetime] | None) -> None:
    if recorded_at is not None and len(recorded_at) != len(events):
        raise TimeRefused(f"{len(recorded_at)} times were given for {len(events)} events; each event needs one")
    seen: set[str] = set()
    for event in events:
        if event.event_id in seen:
            raise DuplicateEvent(event.event_id, f"event {event.event_id} occurs twice in one call")
        seen.add(event.event_id)


def _tenants(events: Sequence[NewEvent]) -> list[str]:
    """Return the tenants, sorted: two calls with tenants in common wait for each other instead of deadlocking."""
    return sorted({event.tenant_id for event in events})


def _chained(
    events: Sequence[NewEvent],
    recorded_at: Sequence[datetime] | None,
    locked: Locked,
    clock: Callable[[], datetime],
) -> tuple[list[Event], Collection[ChainHead]]:
    """Number, time and hash the events onto their locked chains; return them and the heads after them."""
    heads = dict(locked.heads)
    times = _now(clock, locked.now, len(events)) if recorded_at is None else _history(events, recorded_at, locked)
    recorded: list[Event] = []
    for new, now in zip(events, times, strict=True):
        event, heads[new.tenant_id] = next_event(heads[new.tenant_id], new, now, urandom(SALT_SIZE))
        recorded.append(event)
    return recorded, heads.values()


def _now(clock: Callable[[], datetime], database: datetime, count: int) -> list[datetime]:
    """Return the clock's time for every event, after comparing it with the database's."""
    now = utc("recorded_at", clock())
    if now - database > MAX_CLOCK_LEAD:
        raise ClockAhead(
            f"this machine's clock says {format_timestamp(now)}, the database's {format_timestamp(database)};"
            f" it may be ahead by at most {MAX_CLOCK_LEAD.seconds} s. Set the clock (NTP), then try again"
        )
    return [now] * count


def _history(events: Sequence[NewEvent], recorded_at: Sequence[datetime], locked: Locked) -> Iterator[datetime]:
    """Yield the given times, each checked against the time before it in its chain and against the clock."""
    last = {tenant_id: head.last_recorded_at for tenant_id, head in locked.heads.items()}
    for new, given in zip(events, recorded_at, strict=True):
        time = utc("recorded_at", given)
        if time - locked.now > _CLOCK_TICK:
            raise TimeRefused(
                f"event {new.event_id}: recorded_at {format_timestamp(time)} is in the future; the database's clock"
                f" says {format_timestamp(locked.now)}"
            )
        if time < last[new.tenant_id]:
            raise TimeRefused(
                f"event {new.event_id}: recorded_at {format_timestamp(time)} is before"
                f" {format_timestamp(last[new.tenant_id])}, where the chain of tenant {new.tenant_id} stands (its"
                " last event, or the end of the last closed day); times within a tenant never decrease"
            )
        last[new.tenant_id] = time
        yield time
