"""Repairing an SQLite outbox: one write transaction a chain, with the triggers put back exactly as they were."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from json import dumps
from operator import attrgetter
from typing import Final

import pyarrow as pa

from lumi_pipeline.errors import OutboxError, OutboxTampered
from lumi_pipeline.events import COLUMNS, EVENT_SCHEMA, TEXT_COLUMNS, Event, from_micros, to_micros
from lumi_pipeline.outbox import CHUNK_BYTES, CHUNK_ROWS
from lumi_pipeline.outbox.arrow import ROW_COLUMNS, Row, event_tables
from lumi_pipeline.outbox.head import ChainHead
from lumi_pipeline.outbox.repair import REPAIR_PATIENCE, Link, same_row
from lumi_pipeline.outbox.sqlite import read_closed_before

_FETCH_ROWS: Final = 256
_BATCH_ROWS: Final = 4096
"""Rows that are Python objects at a time on their way from Arrow into the database."""

_LISTED: Final = ", ".join(COLUMNS)
_INSERT: Final = f"INSERT INTO {{}} ({_LISTED}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - constants
_STAGE: Final = (
    f"CREATE TEMP TABLE IF NOT EXISTS lumi_staged AS SELECT {_LISTED} FROM audit_outbox WHERE 0",  # noqa: S608 - constants
    "CREATE UNIQUE INDEX IF NOT EXISTS temp.lumi_staged_seq ON lumi_staged (seq)",
    "DELETE FROM lumi_staged",
)
_EQUAL: Final = same_row("s", "audit_outbox", "IS")
_STAGED: Final = f"SELECT 1 FROM lumi_staged s WHERE s.seq = audit_outbox.seq AND {_EQUAL}"  # noqa: S608 - constants
_OTHERS: Final = f"tenant_id = ?1 AND seq >= ?2 AND seq < ?3 AND NOT EXISTS ({_STAGED})"
_SELECTED: Final = ", ".join(f"CAST({name} AS BLOB)" if name in TEXT_COLUMNS else name for name in ROW_COLUMNS)
_SELECT_OTHERS: Final = f"SELECT {_SELECTED} FROM audit_outbox WHERE {_OTHERS} ORDER BY seq"  # noqa: S608 - constants
_DELETE_OTHERS: Final = f"DELETE FROM audit_outbox WHERE {_OTHERS}"  # noqa: S608 - constants
_INSERT_STAGED: Final = (
    f"INSERT INTO audit_outbox ({_LISTED}) SELECT {_LISTED} FROM lumi_staged s WHERE NOT EXISTS"  # noqa: S608 - constants
    " (SELECT 1 FROM audit_outbox o WHERE o.tenant_id = s.tenant_id AND o.seq = s.seq) ORDER BY seq"
)
_LINK: Final = "SELECT seq, prev_hash, integrity_hash, recorded_at FROM audit_outbox WHERE tenant_id = ?"
_SELECT_HEAD: Final = "SELECT chain_id, next_seq, head_hash, last_recorded_at FROM audit_chain_head WHERE tenant_id = ?"
_SET_HEAD: Final = (
    "INSERT OR REPLACE INTO audit_chain_head (chain_id, next_seq, head_hash, last_recorded_at, tenant_id)"
    " VALUES (?, ?, ?, ?, ?)"
)
_FIND: Final = "SELECT event_id FROM audit_outbox WHERE event_id IN (SELECT value FROM json_each(?))"
_GUARD: Final = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = 'audit_outbox_no_delete'"
_LAST_SEQ: Final = (1 << 63) - 1
_values = attrgetter(*COLUMNS)


class SqliteRepairs:
    """Repairs on a connection to an SQLite outbox; see :class:`lumi_pipeline.outbox.repair.Repairs`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(f"PRAGMA busy_timeout = {REPAIR_PATIENCE * 1000:.0f}")

    def check(self) -> None:
        """Raise when the file can't be written to."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            # Writes nothing, but is refused where nothing may be written.
            self._connection.execute("UPDATE audit_close SET closed_before = closed_before")
        except sqlite3.OperationalError as error:
            if "readonly" not in str(error):
                raise
            raise OutboxError("the outbox is read-only here; a repair has to write to it") from None
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def chain(self, tenant_id: str, chain_id: bytes, *, removing: bool) -> Iterator["SqliteChainRepair"]:  # noqa: ARG002
        """Take the write lock, which covers every chain; the trigger in the way is away for this transaction alone."""
        connection = self._connection
        for statement in _STAGE:
            connection.execute(statement)
        connection.execute("BEGIN IMMEDIATE")
        try:
            guard = connection.execute(_GUARD).fetchone() if removing else None
            if guard:
                connection.execute("DROP TRIGGER audit_outbox_no_delete")
            yield SqliteChainRepair(connection, tenant_id)
            if guard:
                connection.execute(guard[0])
            # A crash before this undoes everything, the trigger's absence included.
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


class SqliteChainRepair:
    """One chain under the write lock; see :class:`lumi_pipeline.outbox.repair.ChainRepair`."""

    def __init__(self, connection: sqlite3.Connection, tenant_id: str) -> None:
        self._connection = connection
        self._tenant_id = tenant_id
        self.head = self._read_head()
        self.earliest: datetime = read_closed_before(connection.cursor())

    def first_from(self, seq: int) -> Link | None:
        """Return the first row at or past ``seq``."""
        return self._link(f"{_LINK} AND seq >= ? ORDER BY seq LIMIT 1", self._tenant_id, seq)

    def last(self) -> Link | None:
        """Return the last row."""
        return self._link(f"{_LINK} ORDER BY seq DESC LIMIT 1", self._tenant_id)

    def insert(self, rows: Iterable[pa.Table]) -> int:
        """Store rows of this tenant where there are none."""
        return self._insert("audit_outbox", rows)

    def stage(self, rows: Iterable[pa.Table]) -> None:
        """Hold landed rows ready in a temporary table."""
        self._insert("lumi_staged", rows)

    def others(self, first: int, end: int | None) -> Iterator[pa.Table]:
        """Yield the rows that are not exactly staged ones."""
        return event_tables(self._fetch_others(first, end), CHUNK_ROWS, CHUNK_BYTES)

    def remove_others(self, first: int, end: int | None) -> int:
        """Remove exactly those."""
        return self._connection.execute(_DELETE_OTHERS, self._range(first, end)).rowcount

    def insert_staged(self) -> int:
        """Store the staged rows that are not there."""
        return self._connection.execute(_INSERT_STAGED).rowcount

    def find(self, event_ids: Collection[str]) -> set[str]:
        """Return those of the event ids that the outbox holds."""
        return {event_id for (event_id,) in self._connection.execute(_FIND, (dumps(list(event_ids)),))}

    def append(self, events: Sequence[Event]) -> None:
        """Store events."""
        rows = (
            tuple(to_micros(value) if isinstance(value, datetime) else value for value in _values(event))
            for event in events
        )
        self._connection.executemany(_INSERT.format("audit_outbox"), rows)

    def set_head(self, head: ChainHead) -> None:
        """Replace the head."""
        time = to_micros(head.last_recorded_at)
        self._connection.execute(_SET_HEAD, (head.chain_id, head.next_seq, head.head_hash, time, head.tenant_id))

    def _insert(self, table: str, rows: Iterable[pa.Table]) -> int:
        inserted = 0
        for batch in (batch for chunk in rows for batch in chunk.to_batches(max_chunksize=_BATCH_ROWS)):
            columns = [
                (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
                for column in batch.select(EVENT_SCHEMA.names).columns
            ]
            self._connection.executemany(_INSERT.format(table), zip(*columns, strict=True))
            inserted += len(batch)
        return inserted

    def _fetch_others(self, first: int, end: int | None) -> Iterator[tuple[str, Sequence[Row]]]:
        cursor = self._connection.execute(_SELECT_OTHERS, self._range(first, end))
        while rows := cursor.fetchmany(_FETCH_ROWS):
            yield self._tenant_id, rows

    def _range(self, first: int, end: int | None) -> tuple[str, int, int]:
        return self._tenant_id, first, _LAST_SEQ if end is None else end

    def _link(self, query: str, *parameters: object) -> Link | None:
        row = self._connection.execute(query, parameters).fetchone()
        return None if row is None else Link(row[0], row[1], row[2], from_micros(row[3]))

    def _read_head(self) -> ChainHead | None:
        row = self._connection.execute(_SELECT_HEAD, (self._tenant_id,)).fetchone()
        if row is None:
            return None
        try:
            return ChainHead(self._tenant_id, row[0], row[1], row[2], from_micros(row[3]))
        except (TypeError, OverflowError):
            raise OutboxTampered(
                f"the chain head of tenant {self._tenant_id} holds a time that no recorder writes"
            ) from None
