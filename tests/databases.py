"""What tests do to an outbox beside what the product does: the same in every kind of database."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Final, LiteralString, TypeAlias, cast
from uuid import UUID

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from lumi_pipeline.events import to_micros
from lumi_pipeline.outbox import Outbox
from lumi_pipeline.outbox.opening import init_outbox
from lumi_pipeline.outbox.postgresql import PostgresOutbox
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from lumi_pipeline.outboxaddress import postgresql_address

Connection: TypeAlias = "sqlite3.Connection | psycopg.Connection[TupleRow]"

KINDS = ("sqlite", "postgresql")
OPERATOR = "lumi-operator"

_SQLITE_TRIGGERS = ("audit_outbox_no_update", "audit_outbox_no_delete", "audit_outbox_no_replace")


def new_postgresql_outbox(url: str) -> Outbox:
    """The outbox in a new database, as its owner reaches it."""
    return init_outbox(postgresql_address(url), OPERATOR)


def allow_test_sql(url: str) -> None:
    """Let a PostgreSQL database take the tests' SQL as SQLite does: times as microseconds since 1970, and zeroblob."""
    with psycopg.connect(url) as connection:
        connection.execute(_TEST_SQL)


_TEST_SQL: Final = """
CREATE FUNCTION zeroblob(size integer) RETURNS bytea IMMUTABLE LANGUAGE sql
    RETURN decode(repeat('00', size), 'hex');
CREATE FUNCTION test_time(micros bigint) RETURNS timestamptz IMMUTABLE LANGUAGE sql
    RETURN to_timestamp(micros / 1000000) + make_interval(secs => (micros % 1000000)::double precision / 1000000);
CREATE FUNCTION test_time(micros integer) RETURNS timestamptz IMMUTABLE LANGUAGE sql
    RETURN test_time(micros::bigint);
CREATE FUNCTION test_time(micros smallint) RETURNS timestamptz IMMUTABLE LANGUAGE sql
    RETURN test_time(micros::bigint);
CREATE FUNCTION test_later(moment timestamptz, micros integer) RETURNS timestamptz IMMUTABLE LANGUAGE sql
    RETURN moment + make_interval(secs => micros::double precision / 1000000);
CREATE OPERATOR + (LEFTARG = timestamptz, RIGHTARG = integer, FUNCTION = test_later);
CREATE CAST (bigint AS timestamptz) WITH FUNCTION test_time(bigint) AS IMPLICIT;
CREATE CAST (smallint AS timestamptz) WITH FUNCTION test_time(smallint) AS IMPLICIT;
CREATE CAST (integer AS timestamptz) WITH FUNCTION test_time(integer) AS IMPLICIT;
"""


def url_of(outbox: Outbox) -> str:
    """The outbox as a setting, password included."""
    if isinstance(outbox, SqliteOutbox):
        return f"sqlite:///{outbox.path}"
    assert isinstance(outbox, PostgresOutbox)
    return outbox.url


@contextmanager
def database(outbox: Outbox, *, guarded: bool = True) -> Iterator[Connection]:
    """A recording connection; ``guarded=False`` takes the triggers away first, as an administrator could."""
    with closing(outbox.connect()) as opened:
        connection = cast("Connection", opened)
        if not guarded:
            unguard(connection)
        yield connection


def unguard(connection: Connection) -> None:
    """Take the triggers away that keep events from being changed."""
    if isinstance(connection, sqlite3.Connection):
        for trigger in _SQLITE_TRIGGERS:
            connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
    else:
        connection.execute("DROP TRIGGER IF EXISTS audit_outbox_append_only ON audit_outbox")
        connection.commit()


def in_transaction(connection: Connection) -> bool:
    if isinstance(connection, sqlite3.Connection):
        return connection.in_transaction
    return connection.info.transaction_status != TransactionStatus.IDLE


def begin(connection: Connection) -> None:
    """Begin a transaction, as the driver does by itself or not."""
    connection.commit()
    if isinstance(connection, sqlite3.Connection):
        connection.execute("BEGIN")


def run(connection: Connection, sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
    """Run a statement, written with ``?`` for parameters; return its rows, if it has any."""
    if isinstance(connection, sqlite3.Connection):
        return connection.execute(sql, parameters).fetchall()
    cursor = connection.execute(cast("LiteralString", sql.replace("?", "%s")), parameters or None)
    return [tuple(map(_as_in_sqlite, row)) for row in cursor.fetchall()] if cursor.description else []


def change(connection: Connection, sql: str, parameters: Sequence[object] = ()) -> int:
    """Run a statement that changes rows, written with ``?`` for parameters; return how many."""
    if isinstance(connection, sqlite3.Connection):
        return connection.execute(sql, parameters).rowcount
    return connection.execute(cast("LiteralString", sql.replace("?", "%s")), parameters or None).rowcount


def _as_in_sqlite(value: object) -> object:
    if isinstance(value, datetime):
        return to_micros(value.astimezone(UTC))
    return str(value) if isinstance(value, UUID) else value
