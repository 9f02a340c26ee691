"""Recording into SQLite: chain heads and events on the caller's own connection, inside its own transaction."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from json import dumps
from operator import attrgetter
from os import urandom
from typing import Final, NoReturn

from lumi_pipeline.errors import DuplicateEvent, OutboxError, OutboxLocked, OutboxNotInitialised, OutboxTampered
from lumi_pipeline.events import CHAIN_ID_SIZE, COLUMNS, Event, from_micros, to_micros
from lumi_pipeline.outbox import Locked
from lumi_pipeline.outbox.head import ChainHead, start_chain
from lumi_pipeline.outbox.sqlite import database_now, is_busy, read_closed_before

_SAVEPOINT: Final = "lumi_record"
_INSERT: Final = f"INSERT INTO audit_outbox ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
_SELECT_HEAD: Final = "SELECT chain_id, next_seq, head_hash, last_recorded_at FROM audit_chain_head WHERE tenant_id = ?"
_SAVE_HEAD: Final = (
    "INSERT INTO audit_chain_head (tenant_id, chain_id, next_seq, head_hash, last_recorded_at) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (tenant_id) DO UPDATE SET next_seq = excluded.next_seq, head_hash = excluded.head_hash,"
    " last_recorded_at = excluded.last_recorded_at"
)
_SELECT_IDS: Final = "SELECT event_id FROM audit_outbox WHERE event_id IN (SELECT value FROM json_each(?))"
_values = attrgetter(*COLUMNS)


class SqliteChains:
    """The chains of an SQLite outbox, from a recording connection; see :class:`lumi_pipeline.outbox.Chains`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Run the block inside the caller's transaction with the write lock held; an error undoes the block alone.

        Without an open transaction one is begun, and left open on success for the caller to commit.
        """
        connection = self._connection
        began = not connection.in_transaction
        with _recording_errors():
            if began:
                connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"SAVEPOINT {_SAVEPOINT}")
        try:
            with _recording_errors():
                # Matches no row, but takes the write lock before any head is read.
                connection.execute("UPDATE audit_close SET closed_before = closed_before WHERE 0")
                yield
                connection.execute(f"RELEASE {_SAVEPOINT}")
        except BaseException:
            self._undo(began)
            raise

    def lock(self, tenant_ids: Sequence[str]) -> Locked:
        """Lock the heads, in the order asked; a tenant without one gets a new chain, stored with its first event."""
        # The write lock that atomic() took covers every head, so there is no order to keep among them.
        cursor = self._cursor()
        closed_before = read_closed_before(cursor)
        heads: dict[str, ChainHead] = {}
        for tenant_id in tenant_ids:
            row = cursor.execute(_SELECT_HEAD, (tenant_id,)).fetchone()
            if row is None:
                heads[tenant_id] = start_chain(tenant_id, urandom(CHAIN_ID_SIZE), closed_before)
            else:
                heads[tenant_id] = ChainHead(tenant_id, row[0], row[1], row[2], from_micros(row[3]))
        return Locked(heads, database_now(cursor))

    def append(self, events: Sequence[Event], heads: Iterable[ChainHead]) -> None:
        """Store the events and move their heads."""
        cursor = self._cursor()
        try:
            cursor.executemany(_INSERT, map(_row, events))
        except sqlite3.IntegrityError as error:
            self._explain(events, error)
        cursor.executemany(_SAVE_HEAD, map(_head_row, heads))

    def find(self, event_ids: Collection[str]) -> set[str]:
        """Return those of the event ids that the outbox holds."""
        rows = self._cursor().execute(_SELECT_IDS, (dumps(list(event_ids)),))
        return {row[0] if isinstance(row[0], str) else row[0].decode() for row in rows}

    def _cursor(self) -> sqlite3.Cursor:
        """Return a cursor that gives plain tuples, whatever row factory the application has set."""
        cursor = self._connection.cursor()
        cursor.row_factory = None
        return cursor

    def _undo(self, began: bool) -> None:
        if not self._connection.in_transaction:
            return  # A full disk or an I/O error makes SQLite roll the whole transaction back by itself.
        if began:
            self._connection.execute("ROLLBACK")
        else:
            self._connection.execute(f"ROLLBACK TO {_SAVEPOINT}")
            self._connection.execute(f"RELEASE {_SAVEPOINT}")

    def _explain(self, events: Sequence[Event], error: sqlite3.IntegrityError) -> NoReturn:
        """Say which event is in the way of these."""
        # The events before the one that failed have gone in; only without them does the outbox tell what was there.
        self._connection.execute(f"ROLLBACK TO {_SAVEPOINT}")
        seen = self.find([event.event_id for event in events])
        for event in events:
            if event.event_id in seen:
                raise DuplicateEvent(
                    event.event_id,
                    f"event {event.event_id} is in the outbox already; each event is recorded once, under its own id",
                ) from None
        raise OutboxTampered(
            f"the chain head of tenant {events[0].tenant_id}, or of another in this call, is behind its rows"
            f" ({error}). The outbox was rewound or rewritten; compare it with a backup"
        ) from None


@contextmanager
def _recording_errors() -> Iterator[None]:
    """Turn errors of the database into ours, in the words of somebody who records an event."""
    try:
        yield
    except OverflowError:
        raise OutboxTampered("audit_chain_head holds a time or number that no recorder writes") from None
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_BUSY_SNAPSHOT:
            raise OutboxLocked(
                "this transaction began by reading, and another has written since. Roll it back and run it again;"
                " BEGIN IMMEDIATE avoids this"
            ) from error
        if is_busy(error):
            raise OutboxLocked(f"another transaction holds the outbox; roll back and try again ({error})") from error
        if str(error).startswith("no such table: audit_"):
            raise OutboxNotInitialised(
                "this database has no outbox tables; create them with `lumi outbox init`"
            ) from error
        raise OutboxError(f"the event could not be recorded: {error}") from error


def _row(event: Event) -> tuple[object, ...]:
    return tuple(to_micros(value) if isinstance(value, datetime) else value for value in _values(event))


def _head_row(head: ChainHead) -> tuple[object, ...]:
    return head.tenant_id, head.chain_id, head.next_seq, head.head_hash, to_micros(head.last_recorded_at)
