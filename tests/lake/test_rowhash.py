"""The vectorised hashes against the scalar ones, and both against the specification written down once more."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lumi_pipeline.events import COLUMNS, CORE_COLUMNS, EVENT_SCHEMA, Event
from lumi_pipeline.hashing import event_integrity_hash, event_payload_hash
from lumi_pipeline.rowhash import digest_column, recompute_hashes
from tests.lake.chains import as_table, chain
from tests.lake.world import at

FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
HOSTILE = [
    "",
    "-,",
    "0:,",
    "3:abc,",
    "1:",
    ",",
    "':,'",
    "%Y %s {}",
    "\\x00",
    "\n",
    "\ufeff",
    "\U0010ffff",
    "e\u0301",
    "ß" * 70,
]

texts = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
nullable = st.none() | texts
# Midnights and their neighbours, the ends of the calendar, leap days, whole seconds (which still have six digits).
edges = st.sampled_from(
    [FIRST, LAST, datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), datetime(1970, 1, 1, tzinfo=UTC)]
)
times = (
    edges
    | st.datetimes(timezones=st.just(UTC))
    | st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0))
)
hashes = st.binary(min_size=32, max_size=32)

rows = st.builds(
    Event,
    tenant_id=texts,
    seq=st.integers(-(2**63), 2**63 - 1) | st.integers(0, 12),
    event_id=texts,
    recorded_at=times,
    occurred_at=times,
    action=texts,
    entity_type=texts,
    entity_id=texts,
    outcome=texts,
    actor_type=texts,
    actor_id=texts,
    auth_method=nullable,
    actor_name=nullable,
    ip=nullable,
    user_agent=nullable,
    request_id=nullable,
    before_state=nullable,
    after_state=nullable,
    payload_salt=st.binary(min_size=16, max_size=16),
    payload_hash=hashes,
    prev_hash=hashes,
    integrity_hash=hashes,
    erased_at=st.none() | times,
)


def _net(value: str | None) -> bytes:
    return b"-," if value is None else str(len(value.encode())).encode() + b":" + value.encode() + b","


def _time(value: datetime) -> str:
    return f"{value:%m-%dT%H:%M:%S.%f}Z".join([f"{value.year:04d}-", ""])


def _specified(event: Event) -> tuple[bytes, bytes]:
    """formats.md §1, written down independently of the code."""
    salt = None if event.payload_salt is None else event.payload_salt.hex()
    payload = [
        salt,
        event.actor_name,
        event.ip,
        event.user_agent,
        event.request_id,
        event.before_state,
        event.after_state,
    ]
    core = [
        event.prev_hash.hex(), event.tenant_id, str(event.seq), event.event_id, _time(event.recorded_at),
        _time(event.occurred_at), event.action, event.entity_type, event.entity_id, event.outcome, event.actor_type,
        event.actor_id, event.auth_method, event.payload_hash.hex(),
    ]  # fmt: skip
    return (
        sha256(b"lumi/payload/v1\n" + b"".join(map(_net, payload))).digest(),
        sha256(b"lumi/event/v1\n" + b"".join(map(_net, core))).digest(),
    )


def _digests(table: pa.Table) -> list[tuple[bytes, bytes]]:
    payload, integrity = recompute_hashes(table)
    assert payload.shape == integrity.shape == (len(table), 32)
    return [(bytes(left), bytes(right)) for left, right in zip(payload, integrity, strict=True)]


@settings(max_examples=25)
@given(st.lists(rows, min_size=1, max_size=25))
def test_columns_hash_like_single_events_and_like_the_specification(events: list[Event]) -> None:
    expected = [_specified(event) for event in events]
    assert [(event_payload_hash(event), event_integrity_hash(event)) for event in events] == expected
    assert _digests(as_table(events)) == expected


@settings(max_examples=10)
@given(st.lists(rows, min_size=1, max_size=10), st.data())
def test_slices_and_chunks_hash_like_the_whole(events: list[Event], data: st.DataObject) -> None:
    table = as_table(events)
    expected = _digests(table)
    begin = data.draw(st.integers(0, len(events)))
    end = data.draw(st.integers(begin, len(events)))
    assert _digests(table.slice(begin, end - begin)) == expected[begin:end]
    cut = data.draw(st.integers(0, len(events)))
    pieces = [table.slice(0, cut), EVENT_SCHEMA.empty_table(), table.slice(cut)]
    chunked = pa.concat_tables(pieces)
    assert chunked.column("seq").num_chunks == 3
    assert _digests(chunked) == expected


@pytest.mark.parametrize("column", [name for name in EVENT_SCHEMA.names if name not in {"integrity_hash", "erased_at"}])
def test_every_column_is_hashed(column: str) -> None:
    (event,) = chain("acme", at(0))
    other = {
        "seq": 1,
        "recorded_at": event.recorded_at + timedelta(microseconds=1),
        "occurred_at": event.occurred_at + timedelta(microseconds=1),
        "payload_salt": bytes(16),
        "payload_hash": bytes(32),
        "prev_hash": bytes(32),
    }.get(column, "other")
    row = {name: getattr(event, name) for name in COLUMNS}
    changed = pa.Table.from_pylist([row, {**row, column: other}], schema=EVENT_SCHEMA)
    (before_payload, before_core), (after_payload, after_core) = _digests(changed)
    core = column in CORE_COLUMNS or column in {"prev_hash", "payload_hash"}
    assert (before_core != after_core) is core
    assert (before_payload != after_payload) is not core


def test_null_and_empty_text_differ() -> None:
    (event,) = chain("acme", at(0))
    row = {name: getattr(event, name) for name in COLUMNS}
    for column in ("auth_method", "actor_name", "after_state"):
        both = pa.Table.from_pylist([{**row, column: None}, {**row, column: ""}], schema=EVENT_SCHEMA)
        left, right = _digests(both)
        assert left != right


def test_text_does_not_move_between_neighbouring_columns() -> None:
    (event,) = chain("acme", at(0))
    row = {name: getattr(event, name) for name in COLUMNS}
    pairs = [("3:abc,", "x"), ("3:abc", ",x"), ("", "3:abc,x"), (None, "x"), ("-,", "x")]
    table = pa.Table.from_pylist([{**row, "ip": ip, "user_agent": agent} for ip, agent in pairs], schema=EVENT_SCHEMA)
    assert len({payload for payload, _ in _digests(table)}) == len(pairs)


def test_a_salt_without_value_hashes_as_null() -> None:
    (event,) = chain("acme", at(0))
    row = {name: getattr(event, name) for name in COLUMNS} | {"payload_salt": None}
    unsalted = Event(**row)
    assert _digests(as_table([unsalted])) == [_specified(unsalted)]


def test_a_text_of_the_largest_size_and_one_with_a_nul() -> None:
    (event,) = chain("acme", at(0))
    row = {name: getattr(event, name) for name in COLUMNS}
    events = [Event(**{**row, "before_state": "é" * (1 << 19)}), Event(**{**row, "ip": "a\0b", "entity_id": "\0"})]
    assert _digests(as_table(events)) == [_specified(event) for event in events]


def test_no_rows_have_no_hashes() -> None:
    assert _digests(EVENT_SCHEMA.empty_table()) == []
    assert _digests(pa.table({name: pa.chunked_array([], EVENT_SCHEMA.field(name).type) for name in COLUMNS})) == []


@settings(max_examples=30)
@example(values=[], cut=0)
@given(st.lists(hashes, max_size=6), st.integers(0, 6))
def test_digest_columns_are_read_at_any_offset(values: list[bytes], cut: int) -> None:
    array = pa.array([b"\xff" * 32, *values], pa.binary(32)).slice(1)
    column = pa.chunked_array([array.slice(0, cut), array.slice(cut)], pa.binary(32))
    digests = digest_column(column)
    assert digests.dtype == np.uint8
    assert [bytes(digest) for digest in digests] == values
