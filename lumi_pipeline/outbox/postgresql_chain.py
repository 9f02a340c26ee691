"""Recording into PostgreSQL: chain heads and events on the caller's own connection, inside its own transaction.

Statements travel in libpq's pipeline mode, so recording takes two round trips: one that locks the heads and reads them,
one that stores the events and moves the heads. Heads are held until the caller's transaction ends, so every round trip
saved is time in which others of the same tenant need not wait.
"""

from asyncio import CancelledError
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from operator import attrgetter
from os import urandom
from typing import Final, LiteralString, NoReturn, TypeAlias

from psycopg import AsyncConnection, AsyncCursor, Connection, Cursor, Error, errors
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow, tuple_row

from lumi_pipeline.errors import (
    DuplicateEvent,
    OutboxError,
    OutboxLocked,
    OutboxNotInitialised,
    OutboxTampered,
    RecorderError,
)
from lumi_pipeline.events import CHAIN_ID_SIZE, COLUMNS, MAX_MICROS, MIN_MICROS, Event, from_micros
from lumi_pipeline.hashing import genesis_hash
from lumi_pipeline.outbox import Locked
from lumi_pipeline.outbox.head import ChainHead
from transparency.encoding import format_timestamp

_Values: TypeAlias = tuple[object, ...]

_SAVEPOINT: Final = "SAVEPOINT lumi_record"
_RELEASE: Final = "RELEASE SAVEPOINT lumi_record"
_ROLLBACK: Final = "ROLLBACK TO SAVEPOINT lumi_record"

# Sorted, and locked in that order: two calls with tenants in common wait for each other instead of deadlocking. Times
# as microseconds, exactly, whatever the session's time zone is and however the application has it load times. The clock
# is outside the query that locks, so with each head it is read after the wait for its lock.
_LOCK_HEADS: Final = """
SELECT head.*, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
FROM (
    SELECT tenant_id, chain_id, next_seq, head_hash, (extract(epoch FROM last_recorded_at) * 1000000)::bigint
    FROM audit_chain_head WHERE tenant_id = ANY(%s::text[]) ORDER BY tenant_id FOR UPDATE
) AS head
"""
_START_CHAIN: Final = "SELECT audit_start_chain(%s, %s, %s)"
_FIND: Final = "SELECT event_id::text FROM audit_outbox WHERE event_id = ANY(%s::uuid[])"
_CASTS: Final[Mapping[str, str]] = {
    "event_id": "::uuid",
    "recorded_at": "::timestamptz",
    "occurred_at": "::timestamptz",
}
_STORED: Final = COLUMNS[:-1]
"""All columns but ``erased_at``, which no event is recorded with."""

_INSERT: Final = (
    f"INSERT INTO audit_outbox ({', '.join(_STORED)}) VALUES ({', '.join('%s' + _CASTS.get(c, '') for c in _STORED)})"  # noqa: S608
)
_MOVE_HEAD: Final = (
    "UPDATE audit_chain_head SET next_seq = %s, head_hash = %s, last_recorded_at = %s::timestamptz WHERE tenant_id = %s"
)
_EVENT_ID_KEY: Final = "audit_outbox_event_id"
_values = attrgetter(*_STORED)


class PostgresChains:
    """The chains of a PostgreSQL outbox, from a recording connection; see :class:`lumi_pipeline.outbox.Chains`."""

    def __init__(self, connection: Connection[TupleRow]) -> None:
        self._connection = connection
        self._appended: Sequence[Event] = []

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Run the block inside the caller's transaction; an error undoes the block alone.

        Without an open transaction one begins, as psycopg does it, for the caller to commit; a connection in autocommit
        mode is refused then, because the event would be committed without what it tells of.
        """
        connection = self._connection
        began = _begins(connection.info.transaction_status, connection.autocommit)
        self._appended = []
        try:
            with _recording_errors(), connection.pipeline() as pipeline:
                try:
                    self._run(_SAVEPOINT)
                    yield
                    self._run(_RELEASE)
                except BaseException:
                    # What was sent behind a failed statement is waited for here, or psycopg would log it as an error.
                    with suppress(Error):
                        pipeline.sync()
                    raise
        except _EventTaken:
            self._undo(began=began)
            # Only without its own statements does the outbox tell what was there before them.
            with _recording_errors(), connection.transaction(force_rollback=True):
                seen = self.find([event.event_id for event in self._appended])
            _explain(self._appended, seen)
        except BaseException as error:
            self._undo(began=began)
            _check_survived(self._connection.closed, error)
            raise

    def _undo(self, *, began: bool) -> None:
        """Undo the block alone, or see to it that nothing of the transaction is committed."""
        if not _is_open(self._connection.info.transaction_status):
            return
        try:
            if began:
                self._connection.rollback()
                return
            self._roll_back()
            self._run(_RELEASE)
        except errors.InvalidSavepointSpecification:
            # The block ended before its savepoint was there: the caller's transaction had failed in its own pipeline,
            # or a cancellation was that early. The transaction has failed as a whole, and the server knows it.
            return
        except BaseException as error:
            # Cut off, or the connection is gone. Half of a call must not be left for the caller to commit.
            self._connection.close()
            if not isinstance(error, Error):
                raise

    def lock(self, tenant_ids: Sequence[str]) -> Locked:
        """Lock the heads; a tenant without one gets a new chain, stored at once."""
        cursor = self._cursor().execute(_LOCK_HEADS, (list(tenant_ids),))
        rows = cursor.fetchall()
        if len(rows) < len(tenant_ids):
            # Once in a tenant's life. The locks are given back and taken again one after the other, with the new heads
            # in their places, as the order in which they are taken is what keeps two calls from deadlocking.
            self._roll_back()
            rows = [self._lock_or_start(tenant_id) for tenant_id in sorted(tenant_ids)]
        return _locked(tenant_ids, rows)

    def find(self, event_ids: Collection[str]) -> set[str]:
        """Return those of the event ids that the outbox holds."""
        return {row[0] for row in self._cursor().execute(_FIND, (list(event_ids),)).fetchall()}

    def append(self, events: Sequence[Event], heads: Iterable[ChainHead]) -> None:
        """Store the events and move their heads; what is wrong comes to light at the end of the atomic block."""
        self._appended = events
        self._cursor().executemany(_INSERT, [_row(event) for event in events])
        self._cursor().executemany(_MOVE_HEAD, [_head_row(head) for head in heads])

    def _lock_or_start(self, tenant_id: str) -> TupleRow:
        for values in ((), _new_chain(tenant_id)):
            if values:
                self._cursor().execute(_START_CHAIN, values)
            if row := self._cursor().execute(_LOCK_HEADS, ([tenant_id],)).fetchone():
                return row
        raise _invisible_head(tenant_id)

    def _roll_back(self) -> None:
        """Return to the savepoint.

        In a pipeline psycopg takes for prepared what was sent behind a failed statement, and what was sent before a
        DEALLOCATE that it owed to a ROLLBACK. It forgets all it knows of prepared statements, in order, when a
        transaction block of its own is rolled back.
        """
        self._run(_ROLLBACK)
        with self._connection.transaction(force_rollback=True):
            pass

    def _run(self, statement: LiteralString) -> None:
        """Run what brackets the others; never prepared, so that it works whatever happened to the connection."""
        self._cursor().execute(statement, prepare=False)

    def _cursor(self) -> Cursor[TupleRow]:
        """Return a cursor that gives plain tuples, whatever cursors and rows the application has set."""
        return Cursor(self._connection, row_factory=tuple_row)


class AsyncPostgresChains:
    """The same for an asynchronous connection; the comments above hold here too."""

    def __init__(self, connection: AsyncConnection[TupleRow]) -> None:
        self._connection = connection
        self._appended: Sequence[Event] = []

    @asynccontextmanager
    async def atomic(self) -> AsyncIterator[None]:
        """Run the block inside the caller's transaction; an error undoes the block alone."""
        connection = self._connection
        began = _begins(connection.info.transaction_status, connection.autocommit)
        self._appended = []
        try:
            with _recording_errors():
                async with connection.pipeline() as pipeline:
                    try:
                        await self._run(_SAVEPOINT)
                        yield
                        await self._run(_RELEASE)
                    except BaseException:
                        with suppress(Error):
                            await pipeline.sync()
                        raise
        except _EventTaken:
            await self._undo(began=began)
            with _recording_errors():
                async with connection.transaction(force_rollback=True):
                    seen = await self.find([event.event_id for event in self._appended])
            _explain(self._appended, seen)
        except BaseException as error:
            await self._undo(began=began)
            _check_survived(self._connection.closed, error)
            raise

    async def _undo(self, *, began: bool) -> None:
        """Undo the block alone, or see to it that nothing of the transaction is committed."""
        if not _is_open(self._connection.info.transaction_status):
            return
        try:
            if began:
                await self._connection.rollback()
                return
            await self._roll_back()
            await self._run(_RELEASE)
        except errors.InvalidSavepointSpecification:
            return
        except BaseException as error:
            await self._connection.close()
            if not isinstance(error, Error):
                raise

    async def lock(self, tenant_ids: Sequence[str]) -> Locked:
        """Lock the heads; a tenant without one gets a new chain, stored at once."""
        cursor = await self._cursor().execute(_LOCK_HEADS, (list(tenant_ids),))
        rows = await cursor.fetchall()
        if len(rows) < len(tenant_ids):
            await self._roll_back()
            rows = [await self._lock_or_start(tenant_id) for tenant_id in sorted(tenant_ids)]
        return _locked(tenant_ids, rows)

    async def find(self, event_ids: Collection[str]) -> set[str]:
        """Return those of the event ids that the outbox holds."""
        cursor = await self._cursor().execute(_FIND, (list(event_ids),))
        return {row[0] for row in await cursor.fetchall()}

    async def append(self, events: Sequence[Event], heads: Iterable[ChainHead]) -> None:
        """Store the events and move their heads; what is wrong comes to light at the end of the atomic block."""
        self._appended = events
        await self._cursor().executemany(_INSERT, [_row(event) for event in events])
        await self._cursor().executemany(_MOVE_HEAD, [_head_row(head) for head in heads])

    async def _lock_or_start(self, tenant_id: str) -> TupleRow:
        for values in ((), _new_chain(tenant_id)):
            if values:
                await self._cursor().execute(_START_CHAIN, values)
            cursor = await self._cursor().execute(_LOCK_HEADS, ([tenant_id],))
            if row := await cursor.fetchone():
                return row
        raise _invisible_head(tenant_id)

    async def _roll_back(self) -> None:
        await self._run(_ROLLBACK)
        async with self._connection.transaction(force_rollback=True):
            pass

    async def _run(self, statement: LiteralString) -> None:
        await self._cursor().execute(statement, prepare=False)

    def _cursor(self) -> AsyncCursor[TupleRow]:
        return AsyncCursor(self._connection, row_factory=tuple_row)


class _EventTaken(RecorderError):
    """An event with one of the ids exists; which one is found out once the failed statements are undone."""


def _begins(status: TransactionStatus, autocommit: bool) -> bool:
    """Tell whether a transaction begins with the next statement; raise where no event should be recorded."""
    if status == TransactionStatus.INERROR:
        raise RecorderError("this transaction has failed already, so nothing can be recorded in it; roll it back first")
    if status == TransactionStatus.IDLE and autocommit:
        raise RecorderError(
            "the connection is in autocommit mode and no transaction is open; record the event inside the"
            " transaction of what it tells of: with connection.transaction(): …"
        )
    return status == TransactionStatus.IDLE


def _is_open(status: TransactionStatus) -> bool:
    """Tell whether there may be a transaction to undo something in; after a lost connection there is none."""
    return status not in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN)


def _check_survived(closed: bool, error: BaseException) -> None:
    """Raise when the connection was lost over an error that callers catch and go on from; also a cancellation is.

    psycopg leaves a transaction block without an error when its connection is gone, so they would take what was rolled
    back for committed.
    """
    if closed and isinstance(error, Exception | CancelledError) and type(error) is not OutboxError:
        reason = str(error) or type(error).__name__
        raise OutboxError(
            f"the event could not be recorded ({reason}), and its connection was lost or had to be closed on the way:"
            " nothing of the transaction is committed; run it again on another connection"
        ) from error


def _new_chain(tenant_id: str) -> _Values:
    chain_id = urandom(CHAIN_ID_SIZE)
    return tenant_id, chain_id, genesis_hash(tenant_id, chain_id)


def _locked(tenant_ids: Sequence[str], rows: Sequence[TupleRow]) -> Locked:
    found = {row[0]: row for row in rows}
    heads = {}
    for tenant_id in tenant_ids:
        _, chain_id, next_seq, head_hash, micros, _ = found[tenant_id]
        if not MIN_MICROS <= micros <= MAX_MICROS:
            raise OutboxTampered(f"the chain head of tenant {tenant_id} holds a time outside the years 0001 to 9999")
        heads[tenant_id] = ChainHead(tenant_id, bytes(chain_id), next_seq, bytes(head_hash), from_micros(micros))
    return Locked(heads, from_micros(max(row[-1] for row in rows)))


def _row(event: Event) -> _Values:
    """Return the values of one event; times as text, which the application's own adapters leave alone."""
    return tuple(format_timestamp(value) if isinstance(value, datetime) else value for value in _values(event))


def _head_row(head: ChainHead) -> _Values:
    return head.next_seq, head.head_hash, format_timestamp(head.last_recorded_at), head.tenant_id


def _invisible_head(tenant_id: str) -> OutboxLocked:
    return OutboxLocked(
        f"the chain of tenant {tenant_id} was started after this transaction took its snapshot; roll back and run the"
        " transaction again"
    )


def _explain(events: Sequence[Event], seen: Collection[str]) -> NoReturn:
    """Say which event is in the way of these."""
    for event in events:
        if event.event_id in seen:
            raise DuplicateEvent(
                event.event_id,
                f"event {event.event_id} is in the outbox already; each event is recorded once, under its own id",
            ) from None
    raise OutboxLocked("an event of the same id was recorded at this moment and is gone again; try again") from None


@contextmanager
def _recording_errors() -> Iterator[None]:
    """Turn errors of the database into ours, in the words of somebody who records an event.

    Only the first line of a message is repeated: the others may show a row, with whatever it holds of a person.
    """
    try:
        yield
    except errors.UniqueViolation as error:
        if error.diag.constraint_name == _EVENT_ID_KEY:
            raise _EventTaken("an event of the same id is in the outbox already") from None
        raise OutboxTampered(
            "a chain head is behind its rows: an event of the same tenant and seq exists. The outbox was rewound or"
            " rewritten; compare it with a backup"
        ) from None
    except (errors.NumericValueOutOfRange, errors.FeatureNotSupported):  # the latter for a time of infinity
        raise OutboxTampered(
            "audit_chain_head holds a time or number that no recorder writes; compare it with a backup"
        ) from None
    except (
        errors.SerializationFailure,
        errors.DeadlockDetected,
        errors.LockNotAvailable,
        errors.QueryCanceled,
    ) as error:
        raise OutboxLocked(
            f"another transaction was in the way ({error.diag.message_primary}); roll back and run this one again"
        ) from None
    except (errors.UndefinedTable, errors.UndefinedFunction) as error:
        raise OutboxNotInitialised(
            f"this database has no outbox here ({error.diag.message_primary}); create it with `lumi outbox init`, and"
            " see that the connection's search_path finds it"
        ) from None
    except errors.InsufficientPrivilege as error:
        raise OutboxError(
            f"this role may not record this ({error.diag.message_primary}); connect as one that was granted "
            "lumi_writer, or for the operator's own tenant lumi_pipeline"
        ) from None
    except Error as error:
        reason = error.diag.message_primary or str(error).partition("\n")[0]
        raise OutboxError(f"the event could not be recorded: {reason}") from None
