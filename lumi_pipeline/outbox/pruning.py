"""Removing rows of pruned days from the outbox, in whatever database it lies.

Nobody may do this but by the one way here: both databases refuse any other deletion. Chain heads stay as they are, so
that recording goes on where it was.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import psycopg

from lumi_pipeline.errors import OutboxError
from lumi_pipeline.outbox import Connection
from lumi_pipeline.outbox.postgresql_pruning import prune_in_postgresql
from lumi_pipeline.outbox.sqlite_pruning import prune_in_sqlite

_BATCH: Final = 10_000
"""Rows removed in one transaction: recorders wait no longer than that takes."""

Range = tuple[str, int, int]
"""A tenant, its first seq to remove, and the one behind the last."""


@dataclass(frozen=True, slots=True)
class RowsToPrune:
    """Rows of one day; ``event_id`` is the event of the operator's chain that says that the day is pruned."""

    day: date
    event_id: str
    ranges: Sequence[Range]


def prune_rows(connection: Connection, rows: RowsToPrune) -> int:
    """Remove those of these rows that are there, durably; return how many there were.

    A crash leaves some of them, and doing it again removes those. Raises
    :class:`~lumi_pipeline.errors.OutboxLocked` when others are in the way for too long.
    """
    removed = 0
    for batch in _batches(rows.ranges):
        if isinstance(connection, sqlite3.Connection):
            removed += prune_in_sqlite(connection, rows.day, batch)
        elif isinstance(connection, psycopg.Connection):
            removed += prune_in_postgresql(connection, rows.day, rows.event_id, batch)
        else:
            raise OutboxError(f"no outbox is known on a {type(connection).__qualname__}")
    return removed


def _batches(ranges: Sequence[Range]) -> Iterator[list[Range]]:
    """Cut ranges so that each batch has at most so many rows."""
    batch: list[Range] = []
    room = _BATCH
    for tenant_id, first, after in ranges:
        start = first
        while start < after:
            end = min(after, start + room)
            batch.append((tenant_id, start, end))
            room -= end - start
            start = end
            if room == 0:
                yield batch
                batch, room = [], _BATCH
    if batch:
        yield batch
