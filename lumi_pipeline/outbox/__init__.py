"""The outbox, as protocols: snapshots to read and days to close for the pipeline, chains to append to for recording.

Recording is the application's side. It goes through :class:`lumi_pipeline.recorder.AuditRecorder` on the application's
own connection, inside its own transaction.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Protocol

import pyarrow as pa

from lumi_pipeline.events import Event
from lumi_pipeline.outbox.head import ChainHead

CHUNK_ROWS: Final = 65_536
CHUNK_BYTES: Final = 128 << 20

_HEAD_TYPES: Final[Mapping[str, pa.DataType]] = {
    "tenant_id": pa.string(),
    "chain_id": pa.binary(16),
    "next_seq": pa.int64(),
    "head_hash": pa.binary(32),
    "last_recorded_at": pa.timestamp("us", tz="UTC"),
}
HEAD_SCHEMA: Final = pa.schema(_HEAD_TYPES)
"""Chain heads as Arrow."""


@dataclass(frozen=True, slots=True)
class Locked:
    """Chain heads, by tenant, that nobody else can move until the transaction ends, and the database's clock since."""

    heads: dict[str, ChainHead]
    now: datetime


class Chains(Protocol):
    """What the recorder needs of a database: the caller's transaction, the heads under lock, and room for events."""

    def atomic(self) -> AbstractContextManager[None]:
        """Run a block inside the caller's transaction, beginning one if there is none; an error undoes the block."""
        ...

    def lock(self, tenant_ids: Sequence[str]) -> Locked:
        """Lock the tenants' heads in the order given; a new tenant's chain starts here."""
        ...

    def find(self, event_ids: Collection[str]) -> set[str]:
        """Return those of the event ids that the outbox holds."""
        ...

    def append(self, events: Sequence[Event], heads: Iterable[ChainHead]) -> None:
        """Store events of locked chains and the heads after them.

        Raises :class:`~lumi_pipeline.errors.DuplicateEvent` when the outbox holds one of the event ids.
        """
        ...


class Snapshot(Protocol):
    """One consistent reading of the outbox: heads and rows belong together, whatever is recorded meanwhile."""

    @property
    def system_id(self) -> str:
        """Random name drawn when the outbox was initialised; another one means another database."""
        ...

    @property
    def closed_before(self) -> datetime:
        """The midnight before which no event can be recorded any more; 1970 when nothing was closed yet."""
        ...

    def heads(self) -> pa.Table:
        """Return every chain head in :data:`HEAD_SCHEMA`, sorted by tenant_id (code points)."""
        ...

    def headless(self) -> str | None:
        """Return a tenant that has events but no chain head, so that nobody will ask for them; None as it should be."""
        ...

    def past_heads(self) -> dict[str, int]:
        """Return tenants that have an event at or past their head's next_seq, with its seq; none as it should be."""
        ...

    def rows(
        self,
        cursors: Sequence[tuple[str, int]],
        *,
        chunk_rows: int = CHUNK_ROWS,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> Iterator[pa.Table]:
        """Yield every row whose seq is at or past its tenant's cursor, for these tenants alone.

        ``cursors`` holds (tenant_id, first wanted seq) pairs, each tenant once, in any order. Tables are in
        :data:`~lumi_pipeline.events.EVENT_SCHEMA`, one chunk a column, never empty, ordered by (tenant_id, seq) within
        and across; each has at most ``chunk_rows`` rows and at most ``chunk_bytes`` bytes of column data (a single
        row larger than that comes alone).
        """
        ...

    def find(self, event_ids: Collection[str]) -> dict[str, tuple[str, int]]:
        """Return (tenant_id, seq) of each of these events that the outbox holds, by event_id."""
        ...


class Connection(Protocol):
    """A recording connection: what an :class:`sqlite3.Connection` and a :class:`psycopg.Connection` have in common."""

    def commit(self) -> None:
        """Commit the transaction."""
        ...

    def rollback(self) -> None:
        """Roll the transaction back, if there is one."""
        ...

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""
        ...


class Outbox(Protocol):
    """A database that holds the outbox tables. It holds no connection and may cross processes."""

    @property
    def name(self) -> str:
        """Where it is, for messages: no password."""
        ...

    def connect(self) -> Connection:
        """Return a connection that :class:`~lumi_pipeline.recorder.AuditRecorder` accepts. The caller closes it."""
        ...

    def explained(self) -> AbstractContextManager[None]:
        """Turn the database's errors inside the block into ours, which name the database and what to do."""
        ...

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Open one consistent reading; it blocks no writer and ends with the ``with`` block."""
        ...

    def closed_before(self) -> datetime:
        """Return the midnight before which no event can be recorded any more; 1970 when nothing was closed yet."""
        ...

    def close_day(self, day: date, timeout: float = 5.0) -> None:
        """Close every day up to and including ``day``: afterwards no event can get into them, and none is in flight.

        Waits up to ``timeout`` seconds for transactions that hold a chain head, then raises
        :class:`~lumi_pipeline.errors.OutboxLocked`; a day that is not over yet is refused.
        """
        ...
