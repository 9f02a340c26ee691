"""Which chains a connection records to: the one place that knows every kind of connection."""

import sqlite3
from collections.abc import Mapping
from typing import Final

import psycopg

from lumi_pipeline.errors import RecorderError
from lumi_pipeline.outbox import Chains
from lumi_pipeline.outbox.postgresql_chain import AsyncPostgresChains, PostgresChains
from lumi_pipeline.outbox.sqlite_chain import SqliteChains

_WAYS: Final[Mapping[str, str]] = {
    "sqlalchemy": "session.connection().connection.driver_connection",
    "django": "connection.connection, inside transaction.atomic()",
}
_ASYNC_WAYS: Final[Mapping[str, str]] = {
    "sqlalchemy": "(await connection.get_raw_connection()).driver_connection",
}
"""How frameworks, by package, give the connection that they wrap."""


def chains_on(connection: object) -> Chains:
    """Return the chains that are recorded to on ``connection``; :class:`RecorderError` for what is no connection."""
    if isinstance(connection, sqlite3.Connection):
        return SqliteChains(connection)
    if isinstance(connection, psycopg.Connection):
        return PostgresChains(connection)
    hint = (
        "; use AsyncAuditRecorder for it"
        if isinstance(connection, psycopg.AsyncConnection)
        else _unwrapping(connection, _WAYS)
    )
    raise RecorderError(
        f"AuditRecorder needs an sqlite3.Connection or a psycopg.Connection, not {_kind(connection)}{hint}"
    )


def async_chains_on(connection: object) -> AsyncPostgresChains:
    """Return the chains that are recorded to on an asynchronous connection."""
    if isinstance(connection, psycopg.AsyncConnection):
        return AsyncPostgresChains(connection)
    hint = (
        "; use AuditRecorder for it"
        if isinstance(connection, psycopg.Connection)
        else _unwrapping(connection, _ASYNC_WAYS)
    )
    raise RecorderError(f"AsyncAuditRecorder needs a psycopg.AsyncConnection, not {_kind(connection)}{hint}")


def _kind(connection: object) -> str:
    return f"{type(connection).__module__}.{type(connection).__qualname__}"


def _unwrapping(connection: object, ways: Mapping[str, str]) -> str:
    """Say how to get at the database's own connection where a framework wraps it."""
    package = type(connection).__module__.partition(".")[0]
    return f"; the framework's own is {ways[package]}" if package in ways else ""
