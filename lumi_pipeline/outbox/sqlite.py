"""The outbox in an SQLite database, usually the application's own.

SQLite has one writer at a time, so holding a chain head means holding the database's write lock. Readers see the
snapshot they began with (WAL) and block nobody.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files
from json import dumps
from pathlib import Path
from typing import Final

import pyarrow as pa

from lumi_pipeline.errors import OutboxError, OutboxLocked, OutboxMissing, OutboxNotInitialised, OutboxTampered
from lumi_pipeline.events import COLUMNS, MAX_EVENT_BYTES, MAX_MICROS, MIN_MICROS, from_micros, to_micros
from lumi_pipeline.outbox import CHUNK_BYTES, CHUNK_ROWS, HEAD_SCHEMA
from lumi_pipeline.outbox.arrow import ROW_COLUMNS, Column, Row, checked_column, describe, event_tables

BUSY_TIMEOUT: Final = 30.0
"""Seconds a recording connection waits for another transaction before it gives up."""

_TABLES: Final = {
    "audit_identity": ("system_id",),
    "audit_close": ("closed_before",),
    "audit_chain_head": ("tenant_id", "chain_id", "next_seq", "head_hash", "last_recorded_at"),
    "audit_outbox": COLUMNS,
}
_MAX_ROW_BYTES: Final = 2 * MAX_EVENT_BYTES
_FETCH_ROWS: Final = 32
"""Rows fetched between two looks at the memory they take: 32 of the largest are still harmless."""

_SELECT_ROWS: Final = f"SELECT {', '.join(ROW_COLUMNS)} FROM audit_outbox WHERE tenant_id = ? AND seq >= ? ORDER BY seq"  # noqa: S608
_SELECT_PAST_HEADS: Final = (
    "SELECT tenant_id, (SELECT seq FROM audit_outbox o WHERE o.tenant_id = h.tenant_id AND seq >= next_seq "
    "ORDER BY seq LIMIT 1) AS past FROM audit_chain_head h WHERE past IS NOT NULL"
)
_SELECT_HEADS: Final = f"SELECT {', '.join(HEAD_SCHEMA.names)} FROM audit_chain_head ORDER BY tenant_id"  # noqa: S608
_FIND_EVENTS: Final = (
    "SELECT event_id, tenant_id, seq FROM audit_outbox WHERE event_id IN (SELECT value FROM json_each(?))"
)
_FIND_IDS: Final = 10_000
"""Ids looked for in one query, so that their list stays far below the limit on the length of a value."""

# One step of the index a tenant, however many events each has.
_SELECT_HEADLESS: Final = """
WITH RECURSIVE tenants (tenant_id) AS (
    SELECT min(tenant_id) FROM audit_outbox
    UNION ALL
    SELECT (SELECT min(tenant_id) FROM audit_outbox WHERE tenant_id > tenants.tenant_id)
    FROM tenants WHERE tenants.tenant_id IS NOT NULL
)
SELECT tenant_id FROM tenants
WHERE tenant_id IS NOT NULL AND tenant_id NOT IN (SELECT tenant_id FROM audit_chain_head) LIMIT 1
"""
_DATABASE_CLOCK: Final = "SELECT CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) * 1000"


@dataclass(frozen=True, slots=True)
class SqliteOutbox:
    """The outbox tables in one SQLite file. Instances hold no connection and may cross processes."""

    path: Path

    @classmethod
    def init(cls, path: Path | str) -> "SqliteOutbox":
        """Create the tables in a new or existing database and return its outbox; again, nothing changes."""
        outbox = cls(Path(path))
        script = files("lumi_pipeline.outbox").joinpath("schema", "sqlite.sql").read_text(encoding="utf-8")
        try:
            outbox.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutboxError(f"no outbox can be created at {path}: {error.strerror or error}") from None
        with database_errors(outbox.path), closing(_connect(outbox.path, BUSY_TIMEOUT, create=True)) as connection:
            # WAL lets landings read while applications write; it stays set in the file.
            connection.execute("PRAGMA journal_mode = WAL")
            # A crash inside the script leaves no table of ours at all: it is one transaction.
            connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nCOMMIT;")
        return cls.open(path)

    @classmethod
    def open(cls, path: Path | str) -> "SqliteOutbox":
        """Return the outbox of an initialised database.

        Raises :class:`OutboxMissing` when there is no such file, and :class:`OutboxNotInitialised` when it does not
        hold our tables with exactly our columns.
        """
        outbox = cls(Path(path))
        with closing(outbox.connect()) as connection, database_errors(outbox.path):
            for table, columns in _TABLES.items():
                found = tuple(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))
                if not found:
                    raise OutboxNotInitialised(
                        f"{path} has no table {table}; create the outbox with `lumi outbox init`"
                    )
                if found != columns:
                    raise OutboxNotInitialised(
                        f"{path}: table {table} is not the one this version knows; it has the columns"
                        f" {', '.join(found)} instead of {', '.join(columns)}"
                    )
        return outbox

    def connect(self, timeout: float = BUSY_TIMEOUT) -> sqlite3.Connection:
        """Return a connection for recording: durable commits, foreign keys on, transactions begun explicitly.

        ``timeout`` is how many seconds it waits for another transaction. The caller closes it.
        """
        if not self.path.is_file():
            raise OutboxMissing(f"there is no outbox at {self.path}; create it with `lumi outbox init`")
        with database_errors(self.path):
            return _connect(self.path, timeout, create=False)

    @property
    def name(self) -> str:
        """The file."""
        return str(self.path)

    def explained(self) -> AbstractContextManager[None]:
        """Turn the database's errors inside the block into ours, which name the file and what to do."""
        return database_errors(self.path)

    def closed_before(self) -> datetime:
        """Return the midnight before which no event can be recorded any more; 1970 when nothing was closed yet."""
        with closing(self.connect()) as connection, database_errors(self.path):
            return read_closed_before(connection.cursor())

    def close_day(self, day: date, timeout: float = 5.0) -> None:
        """Close every day up to and including ``day``: afterwards no event can get into them, and none is in flight.

        Waits up to ``timeout`` seconds for a transaction that holds the write lock, then raises
        :class:`OutboxLocked`. A day that the database's clock does not call over yet is refused. Days that are closed
        already need no lock.
        """
        end = datetime.combine(day + timedelta(days=1), time(), UTC)
        if self.closed_before() >= end:
            return
        with closing(self.connect(timeout)) as connection, database_errors(self.path):
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                raise OutboxLocked(
                    f"{day} is not closed: a transaction has been holding {self.path} for longer than {timeout:g} s,"
                    " and its events may still belong to that day. Let it commit or roll back, then try again"
                ) from None
            now = database_now(connection.cursor())
            if now < end:
                raise OutboxError(f"{day} is not over: the database's clock says {now:%Y-%m-%d %H:%M:%S} UTC")
            # One commit moves every head and the bar for new tenants; a crash before it leaves the day open.
            connection.execute(
                "UPDATE audit_chain_head SET last_recorded_at = ?1 WHERE last_recorded_at < ?1", (to_micros(end),)
            )
            connection.execute("UPDATE audit_close SET closed_before = ?1 WHERE closed_before < ?1", (to_micros(end),))
            connection.execute("COMMIT")

    @contextmanager
    def snapshot(self) -> Iterator["SqliteSnapshot"]:
        """Open one consistent reading; it blocks no writer and ends with the ``with`` block."""
        with closing(self.connect()) as connection, database_errors(self.path):
            connection.text_factory = bytes
            connection.execute("PRAGMA query_only = ON")
            # Reading refuses a row that is larger than any event instead of allocating what it claims to hold.
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_ROW_BYTES)
            connection.execute("BEGIN")
            yield SqliteSnapshot(connection)


class SqliteSnapshot:
    """One read transaction on the outbox; see :class:`lumi_pipeline.outbox.Snapshot`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # The first read is what fixes the snapshot in SQLite, so it happens here and not when a caller asks.
        (system_id,) = connection.execute("SELECT system_id FROM audit_identity").fetchone() or (b"",)
        self.system_id = bytes(system_id).decode("utf-8", "replace")

    @property
    def closed_before(self) -> datetime:
        """Return the midnight before which every day is closed."""
        return read_closed_before(self._connection.cursor())

    def headless(self) -> str | None:
        """Return a tenant that has events but no chain head, or None."""
        row = self._connection.execute(_SELECT_HEADLESS).fetchone()
        return None if row is None else str(row[0], "utf-8", "backslashreplace")

    def past_heads(self) -> dict[str, int]:
        """Return tenants that have an event at or past their head's next_seq, with its seq."""
        return {
            str(row[0], "utf-8", "backslashreplace"): row[1] for row in self._connection.execute(_SELECT_PAST_HEADS)
        }

    def heads(self) -> pa.Table:
        """Return every chain head in HEAD_SCHEMA, sorted by tenant_id."""
        rows = self._connection.execute(_SELECT_HEADS).fetchall()
        columns: list[Column] = []
        for index, field in enumerate(HEAD_SCHEMA):
            column = checked_column(field, [row[index] for row in rows])
            if column is None:
                bad = next(row for row in rows if checked_column(field, [row[index]]) is None)
                raise OutboxTampered(
                    f"audit_chain_head holds a value that no recorder writes: tenant {bad[0]!r}, column {field.name}"
                    f" must be {describe(field)}. Somebody wrote past the recorder; compare with a backup"
                )
            columns.append(column)
        return pa.Table.from_arrays(columns, schema=HEAD_SCHEMA)

    def rows(
        self,
        cursors: Sequence[tuple[str, int]],
        *,
        chunk_rows: int = CHUNK_ROWS,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> Iterator[pa.Table]:
        """Yield every row at or past its tenant's cursor, ordered by (tenant_id, seq); see the protocol."""
        return event_tables(self._groups(cursors), chunk_rows, chunk_bytes)

    def find(self, event_ids: Collection[str]) -> dict[str, tuple[str, int]]:
        """Return (tenant_id, seq) of each of these events that the outbox holds, by event_id."""
        wanted = list(event_ids)
        found: dict[str, tuple[str, int]] = {}
        for start in range(0, len(wanted), _FIND_IDS):
            ids = dumps(wanted[start : start + _FIND_IDS])
            for event_id, tenant_id, seq in self._connection.execute(_FIND_EVENTS, (ids,)):
                found[event_id.decode()] = (tenant_id.decode(), seq)
        return found

    def _groups(self, cursors: Sequence[tuple[str, int]]) -> Iterator[tuple[str, Sequence[Row]]]:
        cursor = self._connection.cursor()
        for tenant_id, seq in sorted(cursors):
            fetched = 0
            try:
                cursor.execute(_SELECT_ROWS, (tenant_id, seq))
                while rows := cursor.fetchmany(_FETCH_ROWS):
                    fetched += len(rows)
                    yield tenant_id, rows
            except sqlite3.DataError:
                raise OutboxTampered(
                    f"audit_outbox holds a row larger than any event ({_MAX_ROW_BYTES} bytes): tenant {tenant_id},"
                    f" within {_FETCH_ROWS} rows of seq {seq + fetched}. Somebody wrote past the recorder"
                ) from None


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn errors of the database into ours, which name the file and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if is_busy(error):
            raise OutboxLocked(
                f"another transaction is holding {path}; let it end, then try again ({error})"
            ) from error
        if code == sqlite3.SQLITE_NOTADB:
            raise OutboxNotInitialised(f"{path} is not an SQLite database") from error
        if code == sqlite3.SQLITE_CORRUPT:
            raise OutboxError(f"{path} is damaged ({error}); restore it from a backup") from error
        raise OutboxError(f"{path}: {error}") from error


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether another connection's transaction is in the way; trying again later is right."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def database_now(cursor: sqlite3.Cursor) -> datetime:
    """Return the database's clock, which counts milliseconds."""
    (micros,) = cursor.execute(_DATABASE_CLOCK).fetchone()
    return from_micros(micros)


def read_closed_before(cursor: sqlite3.Cursor) -> datetime:
    """Return the midnight before which every day is closed."""
    row = cursor.execute("SELECT closed_before FROM audit_close").fetchone()
    if row is None or not MIN_MICROS <= row[0] <= MAX_MICROS:
        raise OutboxTampered(
            "audit_close does not hold one time within the years 0001 to 9999; restore it from a backup"
        )
    return from_micros(row[0])


def _connect(path: Path, timeout: float, *, create: bool) -> sqlite3.Connection:
    mode = "rwc" if create else "rw"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, timeout=timeout, isolation_level=None, uri=True)
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        # FULL: a committed business transaction, and its events with it, survives a power failure.
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
