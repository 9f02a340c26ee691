"""Three ways of reading what transactions leave for others, polled side by side on one load.

``by id`` is the outbox of most tutorials: what comes after the highest id seen. ``by watermark`` reads only what was
written by transactions older than the oldest one that is still open. ``by chain`` is ours: what comes after the last
seq, tenant by tenant.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Final, LiteralString, TypeAlias

import psycopg
from psycopg.rows import TupleRow

Read: TypeAlias = Callable[[psycopg.Connection[TupleRow]], Iterable[str]]
"""Return the events that are new since the last call."""

POLL_SECONDS: Final = 0.01

_BY_ID: Final = "SELECT id, event_id::text FROM ordinary_outbox WHERE id > %s ORDER BY id"
_BY_WATERMARK: Final = """
SELECT xid::text, id, event_id::text FROM ordinary_outbox AS o
WHERE (xid, id) > (%s::text::xid8, %s) AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY o.xid, id
"""
_BY_CHAIN: Final = """
SELECT found.tenant_id, found.seq, found.event_id::text
FROM unnest(%s::text[], %s::bigint[]) AS cursor (tenant_id, next_seq), LATERAL (
    SELECT * FROM audit_outbox AS o WHERE o.tenant_id = cursor.tenant_id AND o.seq >= cursor.next_seq ORDER BY o.seq
) AS found
"""


@dataclass(slots=True)
class Reader:
    """Polls in one way, and notes when it saw each event first, and how often in all."""

    read: Read
    seen: dict[str, float] = field(default_factory=dict)
    rows: int = 0

    def poll(self, connection: psycopg.Connection[TupleRow]) -> None:
        for event in self.read(connection):
            self.rows += 1
            self.seen.setdefault(event, time.time())


def by_id() -> Reader:
    last = 0

    def read(connection: psycopg.Connection[TupleRow]) -> Iterable[str]:
        nonlocal last
        rows = _fetch(connection, _BY_ID, last)
        last = rows[-1][0] if rows else last
        return [row[-1] for row in rows]

    return Reader(read)


def by_watermark() -> Reader:
    last: tuple[str, int] = ("0", 0)

    def read(connection: psycopg.Connection[TupleRow]) -> Iterable[str]:
        nonlocal last
        rows = _fetch(connection, _BY_WATERMARK, *last)
        last = rows[-1][:2] if rows else last
        return [row[-1] for row in rows]

    return Reader(read)


def by_chain(tenants: Iterable[str]) -> Reader:
    cursors = dict.fromkeys(tenants, 0)

    def read(connection: psycopg.Connection[TupleRow]) -> Iterable[str]:
        rows = _fetch(connection, _BY_CHAIN, list(cursors), list(cursors.values()))
        for tenant_id, seq, _ in rows:
            assert seq == cursors[tenant_id], f"{tenant_id}: {seq} follows {cursors[tenant_id] - 1}"
            cursors[tenant_id] = seq + 1
        return [row[-1] for row in rows]

    return Reader(read)


@contextmanager
def polling(url: str, readers: Sequence[Reader]) -> Iterator[None]:
    """Poll with all readers during the block, each on its own connection, and once more after it."""
    over = Event()
    failures: list[BaseException] = []

    def work(reader: Reader) -> None:
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                while not over.wait(POLL_SECONDS):
                    reader.poll(connection)
                reader.poll(connection)
        except BaseException as error:  # noqa: BLE001 - raised below, where the test sees it
            failures.append(error)

    threads = [Thread(target=work, args=(reader,)) for reader in readers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


def _fetch(connection: psycopg.Connection[TupleRow], query: LiteralString, *values: object) -> list[TupleRow]:
    return connection.execute(query, values).fetchall()
