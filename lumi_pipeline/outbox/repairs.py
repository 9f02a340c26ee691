"""What repairs the outbox that a connection leads to, whatever database holds it."""

import sqlite3

import psycopg

from lumi_pipeline.errors import OutboxError
from lumi_pipeline.outbox import Connection
from lumi_pipeline.outbox.postgresql_repair import PostgresRepairs
from lumi_pipeline.outbox.repair import Repairs
from lumi_pipeline.outbox.sqlite_repair import SqliteRepairs


def repairs_on(connection: Connection) -> Repairs:
    """Return the repairs on a connection that :meth:`~lumi_pipeline.outbox.Outbox.connect` gave."""
    if isinstance(connection, sqlite3.Connection):
        return SqliteRepairs(connection)
    if isinstance(connection, psycopg.Connection):
        return PostgresRepairs(connection)
    raise OutboxError(f"no outbox is known on a {type(connection).__qualname__}")
