"""Encoding: a record is JSON equal to its row, whatever the row says, and what is too large is named."""

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.events import EVENT_SCHEMA, Event, uuid7
from lumi_pipeline.siem.destination import Framing, Limits
from lumi_pipeline.siem.encoding import Encoder, Records
from lumi_pipeline.siem.plans import Batch, PlanBook
from lumi_pipeline.siem.sqltext import BATCH_ID
from tests.lake.world import World, at
from tests.siem import shipping
from tests.siem.shipping import ScriptedDestination, Siem, lake_of, plan
from tests.siem.texts import texts_of

AWKWARD = (
    BATCH_ID,
    "0" * 64,
    "\x01",
    '"',
    "\\",
    "\n",
    "\r\n",
    "\u2028",
    "\x7f",
    "'",
    "}",
    ",",
    "[",
    "\\u0001",
    "😀",
    "",
)
TEXTS = st.one_of(
    st.sampled_from(AWKWARD),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
    st.lists(st.sampled_from(AWKWARD), max_size=6).map("".join),
)
TIMES = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999), timezones=st.just(UTC))  # noqa: DTZ001
HASHES = st.binary(min_size=32, max_size=32)
OPTIONAL = st.none() | TEXTS
EVENTS = st.builds(
    Event,
    # These have a syntax, but whoever may edit the database can put anything there; then it is delivered as found.
    tenant_id=TEXTS,
    event_id=TEXTS,
    action=TEXTS,
    outcome=TEXTS,
    actor_type=TEXTS,
    seq=st.integers(0, (1 << 63) - 1),
    recorded_at=TIMES,
    occurred_at=TIMES,
    entity_type=TEXTS,
    entity_id=TEXTS,
    actor_id=TEXTS,
    auth_method=OPTIONAL,
    actor_name=OPTIONAL,
    ip=OPTIONAL,
    user_agent=OPTIONAL,
    request_id=OPTIONAL,
    before_state=OPTIONAL,
    after_state=OPTIONAL,
    payload_salt=st.none() | st.binary(min_size=16, max_size=16),
    payload_hash=HASHES,
    prev_hash=HASHES,
    integrity_hash=HASHES,
)


def table_of(events: Sequence[Event]) -> pa.Table:
    rows = [{name: getattr(event, name) for name in EVENT_SCHEMA.names} for event in events]
    return pa.Table.from_pylist(rows, schema=EVENT_SCHEMA)


def expected(event: Event, batch_id: str = BATCH_ID) -> dict[str, object]:
    """The record of an event, made in another way."""
    record: dict[str, object] = {}
    for name in EVENT_SCHEMA.names:
        value = getattr(event, name)
        if isinstance(value, datetime):
            value = value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
        record[name] = value.hex() if isinstance(value, bytes) else value
    del record["erased_at"]
    return {**record, "batch_id": batch_id}


WIDE = Limits(1 << 20, 1000, 1 << 20)


@cache
def encoder(limits: Limits, framing: Framing) -> Encoder:
    """An encoder that stays open: to open one takes longer than most examples."""
    return Encoder(ScriptedDestination(shipping.settings(), Siem(framing=framing), limits))


def encode(events: Sequence[Event], limits: Limits = WIDE, framing: Framing = Framing.LINES) -> Records:
    return encoder(limits, framing).encode(table_of(events), shipping.settings().routes[-1])


def event(**columns: object) -> Event:
    values: dict[str, object] = {
        "tenant_id": "acme",
        "seq": 0,
        "event_id": uuid7(),
        "recorded_at": at(0),
        "occurred_at": at(0),
        "action": "LOGIN",
        "entity_type": "user",
        "entity_id": "u-1",
        "outcome": "success",
        "actor_type": "user",
        "actor_id": "u-1",
        "auth_method": None,
        **dict.fromkeys(("actor_name", "ip", "user_agent", "request_id", "before_state", "after_state")),
        "payload_salt": bytes(16),
        "payload_hash": bytes(32),
        "prev_hash": bytes(32),
        "integrity_hash": bytes(32),
    }
    return Event(**{**values, **columns})  # type: ignore[arg-type]


@settings(max_examples=60)
@given(st.lists(EVENTS, min_size=1, max_size=8), st.sampled_from(Framing))
def test_a_record_is_equal_to_its_row(events: list[Event], framing: Framing) -> None:
    records = encode(events, framing=framing)
    found = texts_of(records)
    for line, row in zip(found, events, strict=True):
        assert b"\n" not in line
        # The placeholder is no JSON; nothing else in the line can be taken for it.
        assert line.count(BATCH_ID.encode()) == 1
        assert json.loads(line.replace(BATCH_ID.encode(), b"f" * 64)) == expected(row, "f" * 64)
    assert records.rows.tolist() == list(range(len(events)))
    assert not records.omitted.any()


LARGE = "ä" * 300  # 600 bytes
FIELD = Limits(1 << 20, 1000, 1 << 20, field_bytes=500)


def test_large_values_are_left_out_and_named() -> None:
    whole = event(after_state=LARGE, user_agent="x" * 300, actor_name="Zoë", before_state="y" * 256)
    records = encode([event(), whole, event(after_state="z" * 500)], FIELD)
    first, second, third = (json.loads(line.replace(BATCH_ID.encode(), b"f" * 64)) for line in texts_of(records))
    assert "omitted" not in first | third
    assert third["after_state"] == "z" * 500
    assert second["omitted"] == ["after_state", "user_agent"]
    assert (second["after_state"], second["user_agent"]) == (None, None)
    assert (second["actor_name"], second["before_state"]) == ("Zoë", "y" * 256)
    assert second["integrity_hash"] == whole.integrity_hash.hex()
    assert records.omitted.tolist() == [False, True, False]


@pytest.mark.parametrize("framing", Framing)
def test_a_record_may_be_as_large_as_the_limit_and_not_a_byte_larger(framing: Framing) -> None:
    small = len(texts_of(encode([event(after_state="")]))[0])
    for limits in (Limits(1 << 20, 1000, small + 400), Limits(small + 400 + 2, 1000, 1 << 20)):
        # A body of one record: brackets around it, or a line feed behind it.
        room = 400 + (framing is Framing.LINES and limits.body_bytes == small + 402)
        fits = encode([event(after_state="x" * room)], limits, framing=framing)
        assert not fits.omitted.any()
        larger = encode([event(after_state="x" * (room + 1))], limits, framing=framing)
        assert larger.omitted.all()
        assert not len(larger.refused)


@pytest.mark.parametrize("limits", [FIELD, Limits(1 << 20, 1000, 1200), Limits(1200, 1000, 1 << 20)])
def test_what_is_too_large_even_so_is_refused_and_the_others_are_not(limits: Limits) -> None:
    events = [event(), event(entity_id=LARGE), event(seq=2)]
    records = encode(events, limits)
    assert records.refused.tolist() == [1]
    assert records.rows.tolist() == [0, 2]
    assert [json.loads(line.replace(BATCH_ID.encode(), b"f" * 64))["seq"] for line in texts_of(records)] == [0, 2]
    assert len(encode([events[1]], limits).rows) == 0


def world_of(directory: Path, **columns: object) -> World:
    world = World.create(directory / "world", at(0, "13:00:00"))
    world.record("acme", at(0), at(0))
    world.record("acme", at(0), **columns)
    world.record("globex", at(0))
    world.pipeline().land()
    return world


def batches_of(world: World) -> list[tuple[Batch, bytes]]:
    book = PlanBook(lake_of(world.store), shipping.NAME)
    return [(batch, gzip.decompress(world.store.get(batch.body.path))) for batch in book.read(0).batches]


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("text", [BATCH_ID, "0" * 64, "\x01" * 63 + '"'], ids=["placeholder", "zeros", "cut"])
def test_the_batch_id_is_put_in_its_place_and_nowhere_else(tmp_path: Path, text: str, framing: Framing) -> None:
    world = world_of(tmp_path, after_state=text, entity_id=text, actor_name=None)
    destination = ScriptedDestination(shipping.settings(), Siem(framing=framing))
    plan(world.pipeline(), destination)
    [(batch, content)] = batches_of(world)
    records = json.loads(content) if framing is Framing.ARRAY else [json.loads(line) for line in content.splitlines()]
    assert {record["batch_id"] for record in records} == {batch.batch_id}
    assert [record["entity_id"] for record in records] == ["T-1", "T-1", text, "T-1"]
    assert content.count(batch.batch_id.encode()) == 4
    assert BATCH_ID.encode() not in content


@pytest.mark.parametrize("framing", Framing)
def test_the_table_of_events_cuts_out_exactly_the_records(tmp_path: Path, framing: Framing) -> None:
    world = world_of(tmp_path, after_state="😀\n")
    destination = ScriptedDestination(shipping.settings(), Siem(framing=framing), Limits(1 << 20, 3, 1 << 20))
    plan(world.pipeline(), destination)
    book = PlanBook(lake_of(world.store), shipping.NAME)
    rows = book.events(book.read(0)).to_pylist()
    contents = [content for _, content in batches_of(world)]
    assert len(contents) == 2
    for row in rows:
        content = contents[int(row["batch"])]
        record = json.loads(content[row["offset"] : row["offset"] + row["length"]])
        assert [record[name] for name in ("tenant_id", "seq", "event_id")] == [
            row[name] for name in ("tenant_id", "seq", "event_id")
        ]
    lengths = np.bincount([row["batch"] for row in rows], [row["length"] + 1 for row in rows])
    assert lengths.tolist() == [len(content) - (framing is Framing.ARRAY) for content in contents]


def test_what_no_record_can_be_made_of_is_put_aside_with_a_receipt(tmp_path: Path) -> None:
    world = world_of(tmp_path, entity_id="x" * 3000)
    limits = Limits(1 << 20, 4, 2000)
    [report] = plan(world.pipeline(), ScriptedDestination(shipping.settings(), Siem(), limits))
    assert (report.rows, report.events, report.refused) == (4, 3, 1)
    shipped = shipping.Shipping(world.store, world.clock)
    assert shipped.run().quarantined == 1
    shipped.check_settled()
    [receipt] = [receipt for receipt in shipped.receipts() if receipt["outcome"] == "quarantined"]
    assert receipt["ranges"] == [["acme", "2", "2", "1"]]
    assert receipt["reason"] == "too large for https (2,000 bytes a record)"


def test_a_plan_of_nothing_but_such_events_is_made_and_settled(tmp_path: Path) -> None:
    world = World.create(tmp_path / "world", at(0, "13:00:00"))
    world.record("acme", at(0), entity_id="x" * 3000)
    world.pipeline().land()
    [report] = plan(world.pipeline(), ScriptedDestination(shipping.settings(), Siem(), Limits(1 << 20, 4, 2000)))
    assert (report.batches, report.refused) == (0, 1)
    shipped = shipping.Shipping(world.store, world.clock)
    shipped.run()
    shipped.check_settled()
