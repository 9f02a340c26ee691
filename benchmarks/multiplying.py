"""More events than the demo makes in reasonable time: its events over and over, as other people's, in the same days.

Every copy of a day takes an equal part of it, so that times still rise along a chain. Copies of an event share what
they say, and lie too far apart for Parquet to compress one by the other.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from hashlib import sha256
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Final

from lumi_pipeline.days import DAY_MICROS
from lumi_pipeline.events import NewEvent, from_micros, to_micros, uuid8
from lumi_pipeline.outbox.head import next_event, start_chain
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from lumi_pipeline.outbox.sqlite_chain import SqliteChains

_BATCH: Final = 10_000
_CLAIMED: Final = tuple(field.name for field in fields(NewEvent))
_PRAGMAS: Final = ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000")


def multiply(source: Path, target: Path, copies: int) -> None:
    """Make an SQLite outbox ``target`` with so many copies of every event in ``source``.

    A crash leaves a file whose name ends in ``.part``.
    """
    partial = target.with_name(f"{target.name}.part")
    partial.unlink(missing_ok=True)
    written = SqliteOutbox.init(partial)
    with SqliteOutbox.open(source).snapshot() as snapshot, closing(written.connect()) as connection:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        chains = SqliteChains(connection)
        for tenant_id, chain_id in zip(*snapshot.heads().select([0, 1]).to_pydict().values(), strict=True):
            rows = [row for table in snapshot.rows([(tenant_id, 0)]) for row in table.to_pylist()]
            head = start_chain(tenant_id, chain_id, from_micros(0))
            copied = _copied(rows, copies)
            while batch := list(islice(copied, _BATCH)):
                events = []
                for row in batch:
                    new = NewEvent(**{name: row[name] for name in _CLAIMED})
                    event, head = next_event(head, new, row["recorded_at"], row["payload_salt"])
                    events.append(event)
                with chains.atomic():
                    chains.append(events, [head])
                connection.commit()
        connection.execute("PRAGMA journal_mode = WAL")
    partial.rename(target)


def _copied(rows: list[dict[str, Any]], copies: int) -> Iterator[dict[str, Any]]:
    for day, found in groupby(rows, lambda row: to_micros(row["recorded_at"]) // DAY_MICROS):
        original = list(found)
        for copy in range(copies):
            for row in original:
                begin = day * DAY_MICROS + copy * DAY_MICROS // copies
                micros = begin + (to_micros(row["recorded_at"]) - day * DAY_MICROS) // copies
                late = row["recorded_at"] - row["occurred_at"]
                yield row | {
                    "event_id": uuid8(sha256(f"{copy} {row['event_id']}".encode()).digest()),
                    "actor_id": f"{row['actor_id']}-{copy}",
                    "recorded_at": from_micros(micros),
                    "occurred_at": from_micros(micros) - late,
                }
