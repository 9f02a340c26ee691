"""Mend one chain of a restored outbox: put back what was landed, and record again what had taken its place.

All of it happens under the lock of the chain's head and in one transaction. The rows that are taken out are durable in
the lake before they are; a crash at any moment leaves the chain as it was, or mended.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from os import urandom
from typing import Final

import pyarrow as pa

from lumi_pipeline.chain import Gap
from lumi_pipeline.cutting import in_parts
from lumi_pipeline.errors import EventRejected, ForkedOutbox, OutboxError
from lumi_pipeline.events import SALT_SIZE, Event, NewEvent, from_micros, to_micros
from lumi_pipeline.lake import Lake
from lumi_pipeline.landings import Cursor
from lumi_pipeline.outbox.head import ChainHead, next_event
from lumi_pipeline.outbox.repair import ChainRepair, Repairs
from lumi_pipeline.rebasing import Finding
from lumi_pipeline.records import StoredFile

_BATCH_ROWS: Final = 1000
_CLAIMED: Final = (
    "tenant_id",
    "action",
    "entity_type",
    "entity_id",
    "actor_type",
    "actor_id",
    "outcome",
    "occurred_at",
    "auth_method",
    "actor_name",
    "ip",
    "user_agent",
    "request_id",
    "before_state",
    "after_state",
    "event_id",
)
"""What an event's caller said, and its id: all that is kept of it when it is recorded again."""


@dataclass(frozen=True, slots=True)
class Mended:
    """What was done to a tenant's chain: landed rows put back, rows taken out of it, events of them recorded again.

    Those of the rows taken out that were not recorded again were landed under the same id (``known``), or are none that
    a recorder would have written (``unfit``). Either way they are kept as evidence.
    """

    tenant_id: str
    put_back: int
    taken_out: int
    recorded: int
    known: int
    unfit: int


class ForkMet(ForkedOutbox):
    """Rows have to be taken out of a chain that was not locked for that."""


def mend(
    lake: Lake,
    repairs: Repairs,
    cursor: Cursor,
    found: Finding,
    landed: Iterable[pa.Table],
    *,
    gaps: Sequence[Gap],
    evidence: str,
    removing: bool,
) -> Mended:
    """Make a tenant's chain agree with its landed rows, which ``landed`` yields from ``found.first`` to the cursor.

    Rows that were pruned lie in its ``gaps`` again; they stay there for the next pruning. Rows that are taken out are
    kept under the prefix ``evidence``. Raises :class:`ForkMet` when there are such rows, and ``removing`` is false;
    then nothing has changed.
    """
    tenant_id, first = found.tenant_id, found.first
    with repairs.chain(tenant_id, cursor.chain_id, removing=removing) as chain:
        files: list[StoredFile] = []
        taken_out = 0
        if chain.first_from(first) is None:
            put_back = chain.insert(landed)
        else:
            chain.stage(landed)
            ranges = list(_ranges(chain, first, cursor.next_seq if _continues(chain, cursor) else None, gaps))
            others = (table for range_ in ranges for table in chain.others(*range_))
            if not removing and any(True for _ in others):
                raise ForkMet(
                    f"events were recorded for tenant {tenant_id} since an older state was restored; "
                    "add --rerecord to record them again behind those that were landed"
                )
            for number, part in enumerate(in_parts(others)):
                # A crash after this leaves a copy of rows that are still in the outbox.
                files.append(lake.put_parquet(f"{evidence}part-{number:05d}", part))
            taken_out = sum(chain.remove_others(*range_) for range_ in ranges) if files else 0
            if taken_out != sum(file.rows for file in files):
                raise OutboxError(
                    f"tenant {tenant_id}: other rows were to be taken out than were kept; nothing changed"
                )
            put_back = chain.insert_staged()
        head = _head(chain, cursor, tenant_id, forked=taken_out > 0)
        head, recorded, known, unfit = _record_again(lake, chain, head, files)
        chain.set_head(head)
    return Mended(tenant_id, put_back, taken_out, recorded, known, unfit)


def _ranges(chain: ChainRepair, first: int, end: int | None, gaps: Sequence[Gap]) -> Iterator[tuple[int, int | None]]:
    """Cut what lies from ``first`` on, before ``end``, around rows of pruned days that an older dump brought back.

    They are no longer among the landed rows, and to record them again would undo the pruning. Rows that were recorded
    in their places after the dump are told from them by their time, and so are no others of theirs.
    """
    for gap in gaps:
        low = max(gap.first, first)
        if low >= gap.end.next_seq:
            continue
        if first < low:
            yield first, low
        # A chain's times never decrease, so its rows of before lie in front of those of later.
        first = bisect_left(range(gap.end.next_seq), True, lo=low, key=partial(_is_later, chain, gap))
    if end is None or first < end:
        yield first, end


def _is_later(chain: ChainRepair, gap: Gap, seq: int) -> bool:
    """Whether the first row from a seq on was recorded after the days that a gap stands for, or lies behind it."""
    found = chain.first_from(seq)
    return found is None or found.seq >= gap.end.next_seq or to_micros(found.recorded_at) >= gap.end.not_before


def _continues(chain: ChainRepair, cursor: Cursor) -> bool:
    """Whether the rows past the landed ones, if there are any, go on from them."""
    past = chain.first_from(cursor.next_seq)
    return past is None or (
        past.seq == cursor.next_seq
        and past.prev_hash == cursor.last_hash
        and to_micros(past.recorded_at) >= cursor.not_before
    )


def _head(chain: ChainRepair, cursor: Cursor, tenant_id: str, *, forked: bool) -> ChainHead:
    """The head of the chain as its rows are now."""
    found, last = chain.head, chain.last()
    reached = max(cursor.next_seq, last.seq + 1 if last else 0)
    if found is not None and not forked and found.chain_id == cursor.chain_id and found.next_seq > reached:
        return found  # it announces rows that are gone and were never landed: the next landing has to see that
    if last is not None and last.seq + 1 == reached:
        link, time = last.integrity_hash, last.recorded_at
    else:
        link, time = cursor.last_hash, from_micros(cursor.not_before)
    return ChainHead(tenant_id, cursor.chain_id, reached, link, max(time, chain.earliest))


def _record_again(
    lake: Lake, chain: ChainRepair, head: ChainHead, files: Iterable[StoredFile]
) -> tuple[ChainHead, int, int, int]:
    """Record the events of rows that were taken out, unless they were landed; return the head and the three counts.

    They are read from the evidence, whose hash is checked: what is recorded is what was kept.
    """
    recorded = known = unfit = 0
    for rows in _batches(lake, files):
        there = chain.find([str(row["event_id"]) for row in rows])
        events: list[Event] = []
        for row in rows:
            if row["event_id"] in there:
                known += 1
                continue
            try:
                new = NewEvent(**{name: row[name] for name in _CLAIMED})  # type: ignore[arg-type]
            except EventRejected:
                unfit += 1
                continue
            # In its own time, unless the chain has moved on since, or that day is closed by now.
            event, head = next_event(head, new, row["recorded_at"], urandom(SALT_SIZE))  # type: ignore[arg-type]
            events.append(event)
        chain.append(events)
        recorded += len(events)
    return head, recorded, known, unfit


def _batches(lake: Lake, files: Iterable[StoredFile]) -> Iterator[list[dict[str, object]]]:
    for file in files:
        for table in lake.read_events(file):
            for start in range(0, len(table), _BATCH_ROWS):
                yield table.slice(start, _BATCH_ROWS).to_pylist()
