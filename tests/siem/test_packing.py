"""Cutting into batches: as many records to a request as it may hold, to the byte."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.siem.destination import Framing, Limits
from lumi_pipeline.siem.loading import framed
from lumi_pipeline.siem.packing import cut, record_starts

RECORDS = st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=60)
"""Sizes without separator, and whether a border is before the record."""


@settings(max_examples=300)
@given(RECORDS, st.sampled_from(Framing), st.integers(1, 12), st.integers(-1, 2), st.integers(1, 9))
def test_batches_tile_the_records_and_are_as_large_as_they_may_be(
    records: list[tuple[int, bool]], framing: Framing, fits: int, more: int, events: int
) -> None:
    # About as many bytes as the first few records have: around that it is decided what is in and what is not.
    body_bytes = max(43, sum(size + 1 for size, _ in records[:fits]) + more)
    texts = ["x" * size for size, _ in records]
    offsets = np.cumsum([0, *(size + 1 for size, _ in records)])
    borders = np.array([border for _, border in records], np.bool_)
    limits = Limits(body_bytes, events, body_bytes)

    def content(first: int, end: int) -> bytes:
        return framed([text.encode() for text in texts[first:end]], framing)

    batches = cut(offsets, borders, limits, framing)

    edges = [first for first, _ in batches] + [len(records)]
    assert edges[0] == 0
    assert all(end == edges[number + 1] for number, (_, end) in enumerate(batches))
    assert all(first < end for first, end in batches)
    for first, end in batches:
        assert end - first <= events
        assert len(content(first, end)) <= body_bytes
        assert not borders[first + 1 : end].any()
        larger = end < len(records) and not borders[end]
        assert not larger or end - first == events or len(content(first, end + 1)) > body_bytes


@given(
    st.lists(st.binary(min_size=1, max_size=9).filter(lambda r: b"\n" not in r), min_size=1), st.sampled_from(Framing)
)
def test_a_framed_content_is_its_records(records: list[bytes], framing: Framing) -> None:
    content = framed(records, framing)
    if framing is Framing.LINES:
        assert content == b"".join(record + b"\n" for record in records)
    else:
        assert content == b"[" + b",".join(records) + b"]"
    start = record_starts(framing)
    for record in records:
        assert content[start : start + len(record)] == record
        start += len(record) + 1


def test_of_nothing_there_are_no_batches() -> None:
    assert cut(np.zeros(1, np.int64), np.zeros(0, np.bool_), Limits(100, 5, 100), Framing.ARRAY) == []
