"""Recording audit events inside the business transaction.

If the transaction commits, the event is there; if it rolls back, the event is gone with it, and its number is free for
the next. So a gap in a committed chain is never a matter of timing.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from os import urandom
from typing import Final, TypeAlias

from lumi_pipeline.errors import ClockAhead, DuplicateEvent, RecorderError, TimeRefused
from lumi_pipeline.events import SALT_SIZE, Event, NewEvent, state_text, utc
from lumi_pipeline.outbox import Chains
from lumi_pipeline.outbox.head import ChainHead, next_event
from lumi_pipeline.outbox.sqlite_chain import SqliteChains
from transparency.encoding import format_timestamp

State: TypeAlias = str | Mapping[str, object] | Sequence[object] | None
"""A state before or after: JSON text, recorded as it is, or a value that is serialised once; None for no state."""

MAX_CLOCK_LEAD: Final = timedelta(minutes=1)
_CLOCK_TICK: Final = timedelta(milliseconds=2)
"""A database clock may count milliseconds, so what happened just now can look this much ahead of it."""


def system_clock() -> datetime:
    """Return this machine's time, aware, in UTC."""
    return datetime.now(UTC)


class AuditRecorder:
    """Records events on an open connection: ``AuditRecorder(connection).record(action="LOGIN", …)``.

    The connection is an ``sqlite3.Connection`` to a database with the outbox tables. Every call runs inside the
    caller's transaction (BEGIN IMMEDIATE if none is open) and never commits. A call that raises leaves nothing behind
    and the transaction usable. ``clock`` returns aware times; it is read once a call, after the heads are locked.
    """

    def __init__(self, connection: sqlite3.Connection, *, clock: Callable[[], datetime] = system_clock) -> None:
        if not isinstance(connection, sqlite3.Connection):
            raise RecorderError(f"AuditRecorder needs an sqlite3.Connection, not {type(connection).__name__}")
        self._chains: Chains = SqliteChains(connection)
        self._clock = clock

    def record(
        self,
        *,
        tenant_id: str,
        action: str,
        entity_type: str,
        entity_id: str,
        actor_type: str,
        actor_id: str,
        outcome: str = "success",
        occurred_at: datetime | None = None,
        auth_method: str | None = None,
        actor_name: str | None = None,
        ip: str | None = None,
        user_agent: str | None = None,
        request_id: str | None = None,
        before_state: State = None,
        after_state: State = None,
        event_id: str | None = None,
    ) -> Event:
        """Record one event and return it as stored; see :meth:`record_many` for the errors."""
        identity = {} if event_id is None else {"event_id": event_id}
        new = NewEvent(
            tenant_id=tenant_id,
            action=action,
            entity_type=entity_type,
            entity_id=entity_id,
            actor_type=actor_type,
            actor_id=actor_id,
            outcome=outcome,
            occurred_at=occurred_at,
            auth_method=auth_method,
            actor_name=actor_name,
            ip=ip,
            user_agent=user_agent,
            request_id=request_id,
            before_state=state_text("before_state", before_state),
            after_state=state_text("after_state", after_state),
            **identity,
        )
        return self.record_many([new])[0]

    def record_many(self, events: Sequence[NewEvent], *, recorded_at: Sequence[datetime] | None = None) -> list[Event]:
        """Record events of any number of tenants, all or none, in the order given; return them as stored.

        ``recorded_at`` brings history in: one aware time an event, never decreasing within a tenant, not before the
        tenant's last event nor in a closed day, and not in the future. Without it every event is recorded now.

        Raises :class:`DuplicateEvent` for an event id that exists, :class:`ClockAhead` when the clock is more than a
        minute ahead of the database's, :class:`TimeRefused` for a time that breaks those rules,
        :class:`~lumi_pipeline.errors.OutboxLocked` when another transaction holds the outbox for too long.
        """
        if recorded_at is not None and len(recorded_at) != len(events):
            raise TimeRefused(f"{len(recorded_at)} times were given for {len(events)} events; each event needs one")
        if not events:
            return []
        _refuse_repeated_ids(events)
        with self._chains.atomic():
            # Sorted, so that two calls with tenants in common wait for each other instead of locking each other out.
            heads = self._chains.lock(sorted({event.tenant_id for event in events}))
            times = self._now(len(events)) if recorded_at is None else self._history(events, recorded_at, heads)
            recorded: list[Event] = []
            for new, now in zip(events, times, strict=True):
                event, heads[new.tenant_id] = next_event(heads[new.tenant_id], new, now, urandom(SALT_SIZE))
                recorded.append(event)
            self._chains.append(recorded, heads.values())
        return recorded

    def _now(self, count: int) -> list[datetime]:
        """Return the clock's time for every event, after comparing it with the database's."""
        now, database = utc("recorded_at", self._clock()), self._chains.now()
        if now - database > MAX_CLOCK_LEAD:
            raise ClockAhead(
                f"this machine's clock says {format_timestamp(now)}, the database's {format_timestamp(database)};"
                f" it may be ahead by at most {MAX_CLOCK_LEAD.seconds} s. Set the clock (NTP), then try again"
            )
        return [now] * count

    def _history(
        self, events: Sequence[NewEvent], recorded_at: Sequence[datetime], heads: Mapping[str, ChainHead]
    ) -> Iterator[datetime]:
        """Yield the given times, each checked against the time before it in its chain and against the clock."""
        database = self._chains.now()
        last = {tenant_id: head.last_recorded_at for tenant_id, head in heads.items()}
        for new, given in zip(events, recorded_at, strict=True):
            time = utc("recorded_at", given)
            if time - database > _CLOCK_TICK:
                raise TimeRefused(
                    f"event {new.event_id}: recorded_at {format_timestamp(time)} is in the future; the database's clock"
                    f" says {format_timestamp(database)}"
                )
            if time < last[new.tenant_id]:
                raise TimeRefused(
                    f"event {new.event_id}: recorded_at {format_timestamp(time)} is before"
                    f" {format_timestamp(last[new.tenant_id])}, where the chain of tenant {new.tenant_id} stands (its"
                    " last event, or the end of the last closed day); times within a tenant never decrease"
                )
            last[new.tenant_id] = time
            yield time


def _refuse_repeated_ids(events: Sequence[NewEvent]) -> None:
    seen: set[str] = set()
    for event in events:
        if event.event_id in seen:
            raise DuplicateEvent(event.event_id, f"event {event.event_id} occurs twice in one call")
        seen.add(event.event_id)
