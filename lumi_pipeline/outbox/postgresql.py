"""The outbox in a PostgreSQL database, usually the application's own.

Applications record under the lock of a tenant's chain head, so recording for different tenants happens side by side.
Readers see one snapshot, on as many connections as they like, and block nobody.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from importlib.resources import files
from os import urandom
from typing import Final

import psycopg
from psycopg import errors
from psycopg.rows import TupleRow

from lumi_pipeline.errors import OutboxError, OutboxLocked, OutboxMissing, OutboxNotInitialised
from lumi_pipeline.events import COLUMNS
from lumi_pipeline.outbox.postgresql_errors import database_errors, read_closed_before
from lumi_pipeline.outbox.postgresql_snapshot import PostgresSnapshot
from lumi_pipeline.outboxaddress import OutboxAddress

OLDEST_SERVER: Final = 140000
"""``server_version_num`` of the oldest PostgreSQL that has all the schema uses."""

_TABLES: Final = {
    "audit_identity": ("system_id", "operator_tenant"),
    "audit_close": ("closed_before", "closing_before"),
    "audit_chain_head": ("tenant_id", "chain_id", "next_seq", "head_hash", "last_recorded_at"),
    "audit_outbox": COLUMNS,
}
_CONNECT_SECONDS: Final = 10
_INIT_LOCK: Final = int.from_bytes(b"lumiinit")
"""Advisory lock under which the schema is applied: concurrent CREATE OR REPLACE of one object is an error."""

_SELECT_COLUMNS: Final = """
SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_SAVE_IDENTITY: Final = """
INSERT INTO audit_identity (system_id, operator_tenant)
SELECT %s, %s WHERE NOT EXISTS (SELECT 1 FROM audit_identity)
"""
_SAVE_CLOSE: Final = """
INSERT INTO audit_close (closed_before, closing_before)
SELECT timestamptz 'epoch', timestamptz 'epoch' WHERE NOT EXISTS (SELECT 1 FROM audit_close)
"""
_UNRAISED: Final = """
SELECT tenant_id FROM audit_chain_head WHERE last_recorded_at < %s::timestamptz ORDER BY tenant_id LIMIT 3
"""


@dataclass(frozen=True, slots=True)
class PostgresOutbox:
    """The outbox tables in one PostgreSQL database. Instances hold no connection and may cross processes.

    ``url`` may hold a password; ``name`` is what may be shown.
    """

    name: str
    url: str = field(repr=False)

    @classmethod
    def init(cls, address: OutboxAddress, operator_tenant: str) -> "PostgresOutbox":
        """Create tables, functions, triggers and roles in an existing database and return its outbox.

        Again, nothing changes but what an older version left. ``operator_tenant`` is the tenant that the role
        ``lumi_pipeline`` may record for. The connecting role becomes the owner and must be allowed to create roles,
        unless ``lumi_writer`` and ``lumi_pipeline`` exist.
        """
        outbox = cls(address.name, address.url)
        script = files("lumi_pipeline.outbox").joinpath("schema", "postgresql.sql").read_text(encoding="utf-8")
        with outbox.explained(), outbox._connect() as connection:
            _check_server(connection)
            # One transaction: a crash inside the script leaves nothing of it.
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_INIT_LOCK,))
            # What the functions run with: nobody can put a table of his own in the way of ours.
            connection.execute("SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)")
            connection.execute("SET LOCAL client_min_messages = warning")
            connection.execute(script)
            connection.execute(_SAVE_IDENTITY, (urandom(16).hex(), operator_tenant))
            connection.execute(_SAVE_CLOSE)
            found = connection.execute("SELECT operator_tenant FROM audit_identity").fetchone()
            if found != (operator_tenant,):
                raise OutboxError(
                    f"{address.name} was set up for the operator tenant {found[0] if found else '?'}, but"
                    f" 'operator_tenant' is {operator_tenant}; correct the setting"
                )
        return cls.open(address)

    @classmethod
    def open(cls, address: OutboxAddress) -> "PostgresOutbox":
        """Return the outbox of an initialised database.

        Raises :class:`OutboxMissing` when there is no such server or database, and :class:`OutboxNotInitialised` when
        it does not hold our tables with exactly our columns.
        """
        outbox = cls(address.name, address.url)
        with outbox.explained(), outbox._connect() as connection:
            _check_server(connection)
            for table, columns in _TABLES.items():
                found = tuple(row[0] for row in connection.execute(_SELECT_COLUMNS, (table,)))
                if not found:
                    raise OutboxNotInitialised(
                        f"{address.name} has no table {table} that this role's search_path finds; create the outbox"
                        " with `lumi outbox init`"
                    )
                if found != columns:
                    raise OutboxNotInitialised(
                        f"{address.name}: table {table} is not the one this version knows; it has the columns"
                        f" {', '.join(found)} instead of {', '.join(columns)}"
                    )
        return outbox

    def connect(self) -> psycopg.Connection[TupleRow]:
        """Return a connection for recording; a transaction begins with the first statement. The caller closes it."""
        with self.explained():
            return self._connect()

    def explained(self) -> AbstractContextManager[None]:
        """Turn the database's errors inside the block into ours, which name the database and what to do."""
        return database_errors(self.name)

    def closed_before(self) -> datetime:
        """Return the midnight before which no event can be recorded any more; 1970 when nothing was closed yet."""
        with self.explained(), self._connect() as connection:
            return read_closed_before(connection)

    def close_day(self, day: date, timeout: float = 5.0) -> None:
        """Close every day up to and including ``day``: afterwards no event can get into them, and none is in flight.

        Waits up to ``timeout`` seconds, in all, for transactions that hold a chain head, then raises
        :class:`OutboxLocked` with the tenants concerned; what was closed until then stays closed. A day that the
        database's clock does not call over yet is refused.
        """
        deadline = time.monotonic() + timeout
        with self.explained(), self._connect(autocommit=True) as connection:
            try:
                remaining = -1
                while remaining:
                    wait = max(deadline - time.monotonic(), 0.001)
                    connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{wait * 1000:.0f}",))
                    # A crash between two steps leaves the day open, and heads that are closed for it a little earlier.
                    row = connection.execute("SELECT audit_close_day(%s)", (day,)).fetchone()
                    remaining = row[0] if row else 0
            except errors.LockNotAvailable:
                held = [row[0] for row in connection.execute(_UNRAISED, (f"{day + timedelta(days=1)} 00:00:00Z",))]
                what = f"the chain head of tenant {', '.join(held)}" if held else "the table audit_close"
                raise OutboxLocked(
                    f"{day} is not closed: a transaction has been holding {what} for longer than {timeout:g} s, and its"
                    " events may still belong to that day. Let it commit or roll back (pg_stat_activity shows it), then"
                    " try again"
                ) from None
            except errors.InvalidParameterValue as error:
                raise OutboxError(f"{error.diag.message_primary}") from None

    @contextmanager
    def snapshot(self) -> Iterator[PostgresSnapshot]:
        """Open one consistent reading; it blocks no writer and ends with the ``with`` block."""
        with self.explained(), self._connect() as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            yield PostgresSnapshot(connection, self.url, self.name)

    def _connect(self, *, autocommit: bool = False) -> psycopg.Connection[TupleRow]:
        try:
            return psycopg.connect(
                self.url,
                autocommit=autocommit,
                connect_timeout=_CONNECT_SECONDS,
                fallback_application_name="lumi-pipeline",
                client_encoding="utf8",
            )
        except psycopg.OperationalError as error:
            # libpq's own words: they name host, database and role, and never the password.
            reason = str(error).strip().replace("\n", "; ").replace("\t", "")
            raise OutboxMissing(f"the outbox {self.name} can't be reached: {reason}") from None
        except psycopg.ProgrammingError:
            raise OutboxError(
                f"the outbox {self.name} can't be reached: 'outbox' is not a connection URI that libpq understands"
                " (postgresql://USER@HOST:PORT/DATABASE?parameter=value)"
            ) from None


def _check_server(connection: psycopg.Connection[TupleRow]) -> None:
    version = connection.info.server_version
    if version < OLDEST_SERVER:
        raise OutboxError(f"the server is PostgreSQL {version // 10000}; this needs {OLDEST_SERVER // 10000} or newer")
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise OutboxError(
            f"the database's encoding is {encoding}; events are UTF-8, so create one with ENCODING 'UTF8'"
        )
