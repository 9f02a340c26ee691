"""Repairing an outbox, as protocols: putting landed rows back, one chain at a time, under the lock of its head.

A repair is no part of recording or landing. It needs the owner of the tables, because it may take rows out of a table
that refuses that to everybody; all of it happens in one transaction a chain, so nobody sees a chain half repaired.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import pyarrow as pa

from lumi_pipeline.events import COLUMNS, Event
from lumi_pipeline.outbox.head import ChainHead

REPAIR_PATIENCE: Final = 30.0
"""Seconds that a repair waits for transactions that hold what it needs."""


def same_row(left: str, right: str, equal: str = "IS NOT DISTINCT FROM") -> str:
    """The condition under which rows of two tables are the same; ``equal`` is how a dialect of SQL says it of nulls.

    Two that are erased are, whenever that was: who ordered it, and when, is told by orders of erasure. One that is
    marked as erased and one that is not are none.
    """
    columns = [f"{left}.{name} {equal} {right}.{name}" for name in COLUMNS if name != "erased_at"]
    return " AND ".join([*columns, f"({left}.erased_at IS NULL) = ({right}.erased_at IS NULL)"])


@dataclass(frozen=True, slots=True)
class Link:
    """What a chain's row says of its place: its seq, its hash and the one before it, and when it was recorded."""

    seq: int
    prev_hash: bytes
    integrity_hash: bytes
    recorded_at: datetime


class ChainRepair(Protocol):
    """One tenant's chain, locked: nobody records to it until the transaction ends."""

    @property
    def head(self) -> ChainHead | None:
        """The head as it was found; None when there was none."""
        ...

    @property
    def earliest(self) -> datetime:
        """The time before which nothing can be recorded any more, in no chain."""
        ...

    def first_from(self, seq: int) -> Link | None:
        """Return the first row at or past ``seq``."""
        ...

    def last(self) -> Link | None:
        """Return the last row."""
        ...

    def insert(self, rows: Iterable[pa.Table]) -> int:
        """Store rows of this tenant, as they are, where there are none; return how many."""
        ...

    def stage(self, rows: Iterable[pa.Table]) -> None:
        """Hold landed rows ready, to compare what is stored with them."""
        ...

    def others(self, first: int, end: int | None) -> Iterator[pa.Table]:
        """Yield the rows from ``first`` on, before ``end`` if it is given, that are not exactly staged ones."""
        ...

    def remove_others(self, first: int, end: int | None) -> int:
        """Remove exactly those; return how many. Only for a chain that was locked for removing."""
        ...

    def insert_staged(self) -> int:
        """Store the staged rows that are not there; return how many."""
        ...

    def find(self, event_ids: Collection[str]) -> set[str]:
        """Return those of the event ids that the outbox holds, of whatever tenant."""
        ...

    def append(self, events: Sequence[Event]) -> None:
        """Store events."""
        ...

    def set_head(self, head: ChainHead) -> None:
        """Replace the head."""
        ...


class Repairs(Protocol):
    """What repairs chains on one connection, which it does not close."""

    def check(self) -> None:
        """Raise :class:`~lumi_pipeline.errors.OutboxError` when this connection must not repair; nothing changes."""
        ...

    def chain(self, tenant_id: str, chain_id: bytes, *, removing: bool) -> AbstractContextManager[ChainRepair]:
        """Lock a chain in a transaction of its own, which the end of the block commits, and an error undoes.

        ``chain_id`` is for a chain without a head. With ``removing`` rows may be taken out, and in PostgreSQL nobody
        records anything meanwhile. Raises :class:`~lumi_pipeline.errors.OutboxLocked` when others hold what is needed
        for longer than :data:`REPAIR_PATIENCE`.
        """
        ...
