"""Repairing a PostgreSQL outbox, as the owner of its tables: one transaction a chain, under the lock of its head.

Rows are taken out with the trigger that refuses it disabled in that transaction alone, which needs a lock on the whole
table: nobody records anything until it ends. Putting rows back needs the head's lock and no more.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from operator import attrgetter
from typing import Final, cast

import psycopg
import pyarrow as pa
from psycopg import errors
from psycopg.rows import TupleRow

from lumi_pipeline.errors import OutboxError, OutboxLocked, OutboxTampered
from lumi_pipeline.events import COLUMNS, EVENT_SCHEMA, MAX_MICROS, MIN_MICROS, TEXT_COLUMNS, Event, from_micros
from lumi_pipeline.hashing import genesis_hash
from lumi_pipeline.outbox import CHUNK_BYTES, CHUNK_ROWS
from lumi_pipeline.outbox.arrow import ROW_COLUMNS, Row, event_tables
from lumi_pipeline.outbox.head import ChainHead
from lumi_pipeline.outbox.repair import REPAIR_PATIENCE, Link, same_row

_PAUSE: Final = 0.1
"""Seconds between two attempts to get what a repair needs, in which those who were in the way get on."""

_TABLE_WAIT: Final = 1000
"""Milliseconds that the lock on the table is waited for at a time: whoever records meanwhile waits behind it."""

_FETCH_ROWS: Final = 256
_BATCH_ROWS: Final = 4096
"""Rows that are Python objects at a time on their way from Arrow into the database."""

_LAST_SEQ: Final = (1 << 63) - 1
_LISTED: Final = ", ".join(COLUMNS)
_VALUES: Final = ", ".join("%s::uuid" if column == "event_id" else "%s" for column in COLUMNS)
_INSERT: Final = f"INSERT INTO audit_outbox ({_LISTED}) VALUES ({_VALUES})"  # noqa: S608 - constants
_COPY: Final = f"COPY {{}} ({_LISTED}) FROM STDIN"
_STAGE: Final = (
    "SET LOCAL client_min_messages = warning",
    f"CREATE TEMP TABLE IF NOT EXISTS lumi_staged ON COMMIT DELETE ROWS AS SELECT {_LISTED} FROM audit_outbox LIMIT 0",  # noqa: S608 - constants
    "CREATE UNIQUE INDEX IF NOT EXISTS lumi_staged_seq ON pg_temp.lumi_staged (seq)",
)
_EQUAL: Final = same_row("s", "o")
_STAGED: Final = f"SELECT 1 FROM pg_temp.lumi_staged s WHERE s.seq = o.seq AND {_EQUAL}"  # noqa: S608 - constants
_OTHERS: Final = f"o.tenant_id = %s AND o.seq >= %s AND o.seq < %s AND NOT EXISTS ({_STAGED})"
_SELECT_OTHERS: Final = "SELECT {} FROM audit_outbox o WHERE {} ORDER BY o.seq"
_DELETE_OTHERS: Final = f"DELETE FROM audit_outbox o WHERE {_OTHERS}"  # noqa: S608 - constants
_INSERT_STAGED: Final = (
    f"INSERT INTO audit_outbox ({_LISTED}) SELECT {_LISTED} FROM pg_temp.lumi_staged s WHERE NOT EXISTS"  # noqa: S608 - constants
    " (SELECT 1 FROM audit_outbox o WHERE o.tenant_id = s.tenant_id AND o.seq = s.seq) ORDER BY seq"
)
_MICROS: Final = "(extract(epoch FROM {}) * 1000000)::bigint"
_LINK: Final = (
    f"SELECT seq, prev_hash, integrity_hash, {_MICROS.format('recorded_at')} FROM audit_outbox WHERE tenant_id = %s"  # noqa: S608 - constants
)
_LOCK_HEAD: Final = (
    f"SELECT chain_id, next_seq, head_hash, {_MICROS.format('last_recorded_at')} FROM audit_chain_head"  # noqa: S608 - constants
    " WHERE tenant_id = %s FOR UPDATE"
)
# As audit_start_chain does it: the lock on audit_close keeps a day from being closed while the new head is invisible.
_BAR: Final = "SELECT closing_before FROM audit_close FOR SHARE"
_START: Final = (
    "INSERT INTO audit_chain_head (tenant_id, chain_id, next_seq, head_hash, last_recorded_at)"
    " SELECT %s, %s, 0, %s, closing_before FROM audit_close ON CONFLICT (tenant_id) DO NOTHING"
)
_SET_HEAD: Final = (
    "UPDATE audit_chain_head SET chain_id = %s, next_seq = %s, head_hash = %s, last_recorded_at = %s"
    " WHERE tenant_id = %s"
)
_EARLIEST: Final = f"SELECT {_MICROS.format('closing_before')} FROM audit_close"  # noqa: S608 - constants
_FIND: Final = "SELECT event_id::text FROM audit_outbox WHERE event_id = ANY(%s::uuid[])"
_RIGHTS: Final = """
SELECT current_user::text, pg_get_userbyid(relowner)::text, pg_has_role(relowner, 'USAGE'),
    has_database_privilege(current_database(), 'TEMP'), current_setting('transaction_read_only')
FROM pg_class WHERE oid IN (to_regclass('audit_outbox'), to_regclass('audit_chain_head'), to_regclass('audit_close'))
ORDER BY 3
"""
_GUARD: Final = "SELECT 1 FROM pg_trigger WHERE tgrelid = to_regclass('audit_outbox') AND tgname = %s"
_TRIGGER: Final = "audit_outbox_append_only"
_values = attrgetter(*COLUMNS)


class PostgresRepairs:
    """Repairs on a connection to a PostgreSQL outbox; see :class:`lumi_pipeline.outbox.repair.Repairs`."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self._connection = connection
        # What others committed before a head was locked has to be seen after it.
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED

    def check(self) -> None:
        """Raise unless the connecting role has the rights of the tables' owner, on a server that takes writes."""
        row = self._connection.execute(_RIGHTS).fetchone()
        self._connection.rollback()
        user, owner, is_owner, may_stage, read_only = row or ("", "?", False, False, "")
        if not is_owner:
            raise OutboxError(
                f"the role {user} may not repair the outbox: that takes the owner of its tables, {owner}, or a member"
                " of that role. Run this again with its URL: lumi --outbox postgresql://… landing rebase"
            )
        if read_only == "on":
            raise OutboxError("this server takes no writes (a standby?); a repair needs the primary")
        if not may_stage:
            raise OutboxError(f"the role {user} may not make temporary tables here: GRANT TEMPORARY ON DATABASE … TO …")

    @contextmanager
    def chain(self, tenant_id: str, chain_id: bytes, *, removing: bool) -> Iterator["PostgresChainRepair"]:
        """Lock the head, and for removing the table before it, in a transaction of its own."""
        connection = self._connection
        try:
            guarded, head = self._lock_patiently(tenant_id, chain_id, removing=removing)
            yield PostgresChainRepair(connection, tenant_id, head)
            if guarded:
                connection.execute(f"ALTER TABLE audit_outbox ENABLE ALWAYS TRIGGER {_TRIGGER}")
            # A crash before this undoes everything, the disabling of the trigger included.
            connection.commit()
        finally:
            connection.rollback()

    def _lock_patiently(self, tenant_id: str, chain_id: bytes, *, removing: bool) -> tuple[bool, ChainHead | None]:
        deadline = time.monotonic() + REPAIR_PATIENCE
        while True:
            try:
                return self._lock(tenant_id, chain_id, removing=removing)
            except (errors.LockNotAvailable, errors.DeadlockDetected):
                self._connection.rollback()
                if time.monotonic() > deadline:
                    raise OutboxLocked(
                        f"other transactions have been holding the chain head of tenant {tenant_id}, or the table"
                        f" audit_outbox, for longer than {REPAIR_PATIENCE:g} s (pg_stat_activity shows them). What was"
                        " repaired stays so: run this again"
                    ) from None
                time.sleep(_PAUSE)

    def _lock(self, tenant_id: str, chain_id: bytes, *, removing: bool) -> tuple[bool, ChainHead | None]:
        """Take the locks; return whether a trigger was disabled, and the head that was there."""
        connection = self._connection
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        connection.execute("SELECT set_config('lock_timeout', %s, true)", (str(_TABLE_WAIT),))
        for statement in _STAGE:
            connection.execute(statement)
        guarded = False
        if removing:
            # The table first, and nothing waited for after it: whoever holds the head may want to insert.
            guarded = connection.execute(_GUARD, (_TRIGGER,)).fetchone() is not None
            connection.execute("LOCK TABLE audit_outbox IN SHARE ROW EXCLUSIVE MODE")
            if guarded:
                connection.execute(f"ALTER TABLE audit_outbox DISABLE TRIGGER {_TRIGGER}")
            connection.execute("SELECT set_config('lock_timeout', '1', true)")
        row = connection.execute(_LOCK_HEAD, (tenant_id,)).fetchone()
        if row is None:
            connection.execute(_BAR)
            genesis = genesis_hash(tenant_id, chain_id)
            started = connection.execute(_START, (tenant_id, chain_id, genesis)).rowcount
            row = connection.execute(_LOCK_HEAD, (tenant_id,)).fetchone()
            if started:
                return guarded, None
        if row is None:
            raise OutboxTampered(f"the chain head of tenant {tenant_id} can't be stored; compare with a backup")
        if not MIN_MICROS <= row[3] <= MAX_MICROS:
            raise OutboxTampered(f"the chain head of tenant {tenant_id} holds a time outside the years 0001 to 9999")
        return guarded, ChainHead(tenant_id, row[0], row[1], row[2], from_micros(row[3]))


class PostgresChainRepair:
    """One chain under its head's lock; see :class:`lumi_pipeline.outbox.repair.ChainRepair`."""

    def __init__(self, connection: psycopg.Connection[TupleRow], tenant_id: str, head: ChainHead | None) -> None:
        self._connection = connection
        self._tenant_id = tenant_id
        self.head = head
        row = connection.execute(_EARLIEST).fetchone()
        self.earliest: datetime = from_micros(row[0] if row else MIN_MICROS)

    def first_from(self, seq: int) -> Link | None:
        """Return the first row at or past ``seq``."""
        return self._link(f"{_LINK} AND seq >= %s ORDER BY seq LIMIT 1", self._tenant_id, seq)

    def last(self) -> Link | None:
        """Return the last row."""
        return self._link(f"{_LINK} ORDER BY seq DESC LIMIT 1", self._tenant_id)

    def insert(self, rows: Iterable[pa.Table]) -> int:
        """Store rows of this tenant where there are none."""
        return self._copy("audit_outbox", rows)

    def stage(self, rows: Iterable[pa.Table]) -> None:
        """Hold landed rows ready in a temporary table."""
        self._copy("pg_temp.lumi_staged", rows)

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
        return {row[0] for row in self._connection.execute(_FIND, (list(event_ids),))}

    def append(self, events: Sequence[Event]) -> None:
        """Store events."""
        with self._connection.cursor() as cursor:
            cursor.executemany(_INSERT, [_values(event) for event in events])

    def set_head(self, head: ChainHead) -> None:
        """Replace the head."""
        values = (head.chain_id, head.next_seq, head.head_hash, head.last_recorded_at, head.tenant_id)
        self._connection.execute(_SET_HEAD, values)

    def _copy(self, table: str, rows: Iterable[pa.Table]) -> int:
        copied = 0
        with self._connection.cursor() as cursor, cursor.copy(_COPY.format(table).encode()) as copy:
            for batch in (batch for chunk in rows for batch in chunk.to_batches(max_chunksize=_BATCH_ROWS)):
                columns = [column.to_pylist() for column in batch.select(EVENT_SCHEMA.names).columns]
                for row in zip(*columns, strict=True):
                    copy.write_row(row)
                copied += len(batch)
        return copied

    def _fetch_others(self, first: int, end: int | None) -> Iterator[tuple[str, Sequence[Row]]]:
        query = _SELECT_OTHERS.format(", ".join(map(_selected, ROW_COLUMNS)), _OTHERS).encode()
        with self._connection.cursor("lumi_others") as cursor:
            cursor.execute(query, self._range(first, end))
            while rows := cursor.fetchmany(_FETCH_ROWS):
                yield self._tenant_id, cast("list[Row]", rows)

    def _range(self, first: int, end: int | None) -> tuple[str, int, int]:
        return self._tenant_id, first, _LAST_SEQ if end is None else end

    def _link(self, query: str, *parameters: object) -> Link | None:
        row = self._connection.execute(query.encode(), parameters).fetchone()
        return None if row is None else Link(row[0], row[1], row[2], from_micros(row[3]))


def _selected(column: str) -> str:
    """A column as ``event_tables`` wants it: text as its UTF-8 bytes, times as microseconds."""
    if column in TEXT_COLUMNS:
        return f"convert_to(o.{column}::text, 'UTF8')"
    return _MICROS.format(f"o.{column}") if pa.types.is_timestamp(EVENT_SCHEMA.field(column).type) else f"o.{column}"
