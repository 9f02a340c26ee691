"""Erasing payloads in an SQLite outbox, and what is left of them in its files.

The trigger that refuses every update is away for one transaction, and put back by it exactly as it was.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from json import dumps
from typing import Final

from lumi_pipeline.errors import OutboxLocked
from lumi_pipeline.events import PAYLOAD_COLUMNS, to_micros

_PATIENCE: Final = 30_000
"""Milliseconds that others' transactions are waited for."""

_GUARD: Final = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = 'audit_outbox_no_update'"
_NULLED: Final = ", ".join(f"{name} = NULL" for name in PAYLOAD_COLUMNS)
_BLANK: Final = f"coalesce({', '.join(PAYLOAD_COLUMNS)}) IS NULL"
# A row may have been marked by somebody else, and have something left.
_ERASE: Final = (
    f"UPDATE audit_outbox SET {_NULLED}, erased_at = ?1 WHERE tenant_id = ?2"  # noqa: S608 - constants
    f" AND seq IN (SELECT value FROM json_each(?3)) AND (erased_at IS NULL OR NOT {_BLANK})"
)
_MARKED: Final = (
    f"SELECT seq, CASE WHEN {_BLANK} THEN erased_at END"  # noqa: S608 - constants
    " FROM audit_outbox WHERE tenant_id = ?1 AND seq IN (SELECT value FROM json_each(?2))"
)


def erase_in_sqlite(connection: sqlite3.Connection, tenant_id: str, seqs: Sequence[int], at: datetime) -> int:
    """Null the payload of these rows in a transaction of its own; return how many had one."""
    connection.execute(f"PRAGMA busy_timeout = {_PATIENCE}")
    # What is freed is overwritten with zeros (SQLite, "PRAGMA secure_delete").
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("BEGIN IMMEDIATE")
    try:
        guard = connection.execute(_GUARD).fetchone()
        if guard:
            connection.execute("DROP TRIGGER audit_outbox_no_update")
        erased = connection.execute(_ERASE, (to_micros(at), tenant_id, dumps(list(seqs)))).rowcount
        if guard:
            connection.execute(guard[0])
        # A crash before this undoes everything, the trigger's absence included.
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return erased


def marked_in_sqlite(connection: sqlite3.Connection, tenant_id: str, seqs: Sequence[int]) -> dict[int, int | None]:
    """When each of these rows was erased as a whole (µs), by seq; None where it was not."""
    return dict(connection.execute(_MARKED, (tenant_id, dumps(list(seqs)))).fetchall())


def purge_sqlite(connection: sqlite3.Connection) -> None:
    """Write the database anew and empty its log, so that no older copy of a row is left in either.

    Pages that were split before hold bytes of rows that have moved since, which overwriting what is freed now does not
    reach; writing everything anew does (SQLite, "VACUUM"). Raises :class:`~lumi_pipeline.errors.OutboxLocked` while
    somebody reads a snapshot of before, which the log has to be kept for.
    """
    try:
        # A crash in either leaves the database as it was, or written anew; done again, it comes out the same.
        connection.execute("VACUUM")
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError as error:
        if (getattr(error, "sqlite_errorcode", 0) & 0xFF) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise
        busy = 1
    if busy:
        raise OutboxLocked(
            "the payload is erased in the outbox, but its files still hold older copies of the rows, because another "
            "connection reads or writes; let it end its transaction, then run 'lumi erase --resume'"
        )
