"""Erasing payloads in the outbox: the one change that its rows ever take, in whatever database it lies.

The hashes stay, so the chain recomputes as before. Nobody may do this but by the one way here: both databases refuse
any other update, and what is erased follows from an event that the outbox itself holds.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg

from lumi_pipeline.errors import OutboxError
from lumi_pipeline.events import MAX_MICROS, MIN_MICROS
from lumi_pipeline.outbox import Connection
from lumi_pipeline.outbox.postgresql_erasing import erase_in_postgresql, marked_in_postgresql
from lumi_pipeline.outbox.sqlite_erasing import erase_in_sqlite, marked_in_sqlite, purge_sqlite

_BATCH: Final = 10_000
"""Rows erased in one transaction, and looked up at once: recorders wait no longer than that takes."""


@dataclass(frozen=True, slots=True)
class RowsToErase:
    """Rows of one tenant, by seq; ``event_id`` is the event of the operator's chain that ordered it."""

    tenant_id: str
    seqs: Sequence[int]
    at: datetime
    event_id: str


def erase_rows(connection: Connection, rows: RowsToErase) -> int:
    """Erase the payload of these rows, where it is still there, durably; return how many had one.

    A crash leaves some of them erased, and doing it again erases the others. Raises
    :class:`~lumi_pipeline.errors.OutboxLocked` when others are in the way for too long.
    """
    erased = 0
    for first in range(0, len(rows.seqs), _BATCH):
        part = rows.seqs[first : first + _BATCH]
        if isinstance(connection, sqlite3.Connection):
            erased += erase_in_sqlite(connection, rows.tenant_id, part, rows.at)
        elif isinstance(connection, psycopg.Connection):
            erased += erase_in_postgresql(connection, rows.tenant_id, part, rows.at, rows.event_id)
        else:
            raise OutboxError(f"no outbox is known on a {type(connection).__qualname__}")
    return erased


def marked_rows(connection: Connection, tenant_id: str, seqs: Sequence[int]) -> dict[int, int | None]:
    """When each of these rows was marked as erased (µs since 1970), by seq; rows that are not there are left out.

    None where a row is not marked, has any of its payload left, or bears a time outside the calendar, which is none.
    """
    found: dict[int, int | None] = {}
    for first in range(0, len(seqs), _BATCH):
        part = seqs[first : first + _BATCH]
        if isinstance(connection, sqlite3.Connection):
            found |= marked_in_sqlite(connection, tenant_id, part)
        elif isinstance(connection, psycopg.Connection):
            found |= marked_in_postgresql(connection, tenant_id, part)
        else:
            raise OutboxError(f"no outbox is known on a {type(connection).__qualname__}")
    return {seq: at if at is not None and MIN_MICROS <= at <= MAX_MICROS else None for seq, at in found.items()}


def purge_older_copies(connection: Connection) -> None:
    """Leave nothing of what was erased in the files of an SQLite database.

    A PostgreSQL server frees the old versions of rows by itself, in time. Raises
    :class:`~lumi_pipeline.errors.OutboxLocked` when others are in the way for too long.
    """
    if isinstance(connection, sqlite3.Connection):
        purge_sqlite(connection)


def rewritten_size(connection: Connection) -> int:
    """How many bytes :func:`purge_older_copies` writes anew: an SQLite file as a whole."""
    if not isinstance(connection, sqlite3.Connection):
        return 0
    return int(
        connection.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()[0]
    )
