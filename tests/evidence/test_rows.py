"""What the order of rows shows, against the specification's rule; and that a file of any size takes little memory."""

import tracemalloc
from datetime import date
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.events import COLUMNS, EVENT_SCHEMA
from lumi_pipeline.evidence.csvblocks import read_events
from lumi_pipeline.evidence.daychecks import CheckedDay
from lumi_pipeline.evidence.rowchecks import RowChecker
from lumi_pipeline.hashing import tenant_key
from lumi_pipeline.records import TenantDay
from tests.evidence.corpus.csvfile import HEADER, line
from tests.evidence.corpus.events import event, sealed

FIRST, COUNTS = 5, (4, 0, 3)
DIGEST = bytes(32)


def checker() -> RowChecker:
    """For three days with the seqs 5 to 8, none, and 9 to 11."""
    days, first = [], FIRST
    for number, count in enumerate(COUNTS):
        day = date(2026, 11, 1 + number)
        record = TenantDay(day, tenant_key("acme"), first, count, first + count, DIGEST, DIGEST, DIGEST, 0)
        days.append(CheckedDay(day, record, (), None))
        first += count
    return RowChecker("acme", days)


def table(seqs: list[int]) -> pa.Table:
    filled = {"tenant_id": "acme", "payload_salt": bytes(16), "recorded_at": 0, "occurred_at": 0}
    filled |= dict.fromkeys(("payload_hash", "prev_hash", "integrity_hash"), DIGEST)
    rows = [dict.fromkeys(COLUMNS) | filled | {"seq": seq} for seq in seqs]
    return pa.Table.from_pylist(rows, schema=EVENT_SCHEMA)


def expected(seqs: list[int]) -> set[str]:
    """Section 9, read one row after the other."""
    found: set[str] = set()
    highest, holes, after = -1, set(range(seqs[0] if seqs else 0)), FIRST + sum(COUNTS)
    for seq in seqs:
        if not FIRST <= seq < after:
            found.add("row-added")
        if seq > highest:
            holes |= set(range(highest + 1, seq))
            highest = seq
        elif seq in holes:
            holes.discard(seq)
            found.add("row-order")
        else:
            found.add("row-duplicate")
    if not set(range(FIRST, after)) <= set(seqs):
        found.add("row-missing")
    return found


@settings(max_examples=60, deadline=None)
@given(
    seqs=st.lists(st.integers(3, 13), max_size=12)
    | st.permutations(range(FIRST, FIRST + sum(COUNTS)))
    | st.builds(lambda cut: list(range(FIRST, 12))[cut:], st.integers(0, 7)),
    cuts=st.lists(st.integers(0, 12), max_size=3),
)
def test_the_order_of_seqs(seqs: list[int], cuts: list[int]) -> None:
    rows = checker()
    for begin, end in pairwise([0, *sorted(min(cut, len(seqs)) for cut in cuts), len(seqs)]):
        rows.add(table(seqs[begin:end]))
    found = set(rows.finish().found)
    ranked = ("row-duplicate", "row-order", "row-added", "row-missing")
    wanted = expected(seqs)
    assert next((reason for reason in ranked if reason in found), None) == next(
        (reason for reason in ranked if reason in wanted), None
    )


class Endless:
    """A file of the same altered rows again and again, which nobody holds in memory."""

    def __init__(self, size: int) -> None:
        whole = (event("acme", seq, "2026-11-01T09:00:00.000000Z", prev_hash="00" * 32) for seq in range(FIRST, 9))
        rows = b"".join(line(sealed(row) | {"actor_id": "x" * 4000}) for row in whole)
        self._rows = rows * (100_000 // len(rows))
        self._left = size // len(self._rows)
        self._data = HEADER

    def readinto(self, buffer: memoryview, /) -> int:
        while len(self._data) < len(buffer) and self._left:
            self._data += self._rows
            self._left -= 1
        data, self._data = self._data[: len(buffer)], self._data[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


def most_allocated(size: int) -> int:
    """Judge the rows of such a file; return the most bytes that Arrow held between two blocks."""
    rows, most, before = checker(), 0, pa.total_allocated_bytes()
    for part in read_events(Endless(size), size, block=1 << 20, compiled=True):
        rows.add(part)
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows.findings.rows > size // 6000
    assert {"integrity-hash", "payload-hash"} & rows.finish().found.keys()
    return most


def peak(size: int) -> int:
    tracemalloc.start()
    try:
        return most_allocated(size) + tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file() -> None:
    most_allocated(1 << 20)  # what is loaded once
    assert peak(12 << 20) < 1.3 * peak(3 << 20)
