"""Removing rows of pruned days from an SQLite outbox.

The trigger that refuses every deletion is away for one transaction, and put back by it exactly as it was.
"""

import sqlite3
from collections.abc import Sequence
from datetime import date
from typing import Final

from lumi_pipeline.days import day_end, day_start

_PATIENCE: Final = 30_000
"""Milliseconds that others' transactions are waited for."""

_GUARD: Final = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = 'audit_outbox_no_delete'"
_PRUNE: Final = (
    "DELETE FROM audit_outbox WHERE tenant_id = ? AND seq >= ? AND seq < ? AND recorded_at >= ? AND recorded_at < ?"
)


def prune_in_sqlite(connection: sqlite3.Connection, day: date, ranges: Sequence[tuple[str, int, int]]) -> int:
    """Remove the day's rows of these ranges (tenant, first seq, the one behind the last) in a transaction of its own.

    What was recorded in their places on another day is none of them.
    """
    times = (day_start(day), day_end(day))
    connection.execute(f"PRAGMA busy_timeout = {_PATIENCE}")
    # What is freed is overwritten with zeros (SQLite, "PRAGMA secure_delete").
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("BEGIN IMMEDIATE")
    try:
        guard = connection.execute(_GUARD).fetchone()
        if guard:
            connection.execute("DROP TRIGGER audit_outbox_no_delete")
        removed = sum(connection.execute(_PRUNE, (*range_, *times)).rowcount for range_ in ranges)
        if guard:
            connection.execute(guard[0])
        # A crash before this undoes everything, the trigger's absence included.
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return removed
