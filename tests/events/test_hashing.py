import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.events import COLUMNS, Event
from lumi_pipeline.hashing import (
    event_integrity_hash,
    event_leaf,
    event_payload_hash,
    genesis_hash,
    integrity_hash,
    net,
    payload_hash,
    tenant_key,
)
from transparency.encoding import parse_timestamp
from transparency.errors import EncodingError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "lumi_v1.json").read_text(encoding="utf-8"))


def vector_event(columns: dict[str, object]) -> Event:
    times = {name: parse_timestamp(str(columns[name])) for name in ("recorded_at", "occurred_at")}
    names = ("payload_salt", "payload_hash", "prev_hash", "integrity_hash")
    binary = {name: bytes.fromhex(str(columns[name])) for name in names}
    return Event(**{**columns, **times, **binary})  # type: ignore[arg-type]


EVENTS = [vector_event(columns) for columns in VECTORS["events"]]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: f"{event.tenant_id}-{event.seq}")
def test_the_hashes_of_the_vectors_recompute(event: Event) -> None:
    assert event_payload_hash(event) == event.payload_hash
    assert event_integrity_hash(event) == event.integrity_hash


@pytest.mark.parametrize("tenant", ["acme", "globex"])
def test_genesis_and_tenant_key_of_the_vectors_recompute(tenant: str) -> None:
    chain_id = bytes.fromhex(VECTORS["chain_ids"][tenant])
    assert genesis_hash(tenant, chain_id).hex() == VECTORS["genesis_hashes"][tenant]
    assert tenant_key(tenant).hex() == VECTORS["tenant_keys"][tenant]


def test_the_chains_of_the_vectors_link_from_genesis() -> None:
    heads = {tenant: genesis_hash(tenant, bytes.fromhex(chain)) for tenant, chain in VECTORS["chain_ids"].items()}
    for event in EVENTS:
        assert event.prev_hash == heads[event.tenant_id]
        heads[event.tenant_id] = event.integrity_hash


def test_the_event_leaves_of_the_vectors_recompute() -> None:
    for day in VECTORS["days"]:
        for tenant, leaves in day["event_leaf_hashes"].items():
            events = [e for e in EVENTS if e.tenant_id == tenant and f"{e.recorded_at:%Y-%m-%d}" == day["day"]]
            assert [event_leaf(event.integrity_hash).hex() for event in events] == leaves


def test_a_netstring_counts_bytes_and_a_null_is_none() -> None:
    assert net("") == b"0:,"
    assert net("é,") == b"3:\xc3\xa9,,"
    assert net(None) == b"-,"


def net_again(value: str | None) -> bytes:
    return b"-," if value is None else str(len(value.encode())).encode() + b":" + value.encode() + b","


texts = st.text(max_size=40)
nullable = st.none() | texts


@settings(max_examples=60)
@given(st.binary(min_size=16, max_size=16), st.tuples(*[nullable] * 6))
def test_the_payload_hash_is_the_one_of_the_specification(salt: bytes, columns: tuple[str | None, ...]) -> None:
    names = ("actor_name", "ip", "user_agent", "request_id", "before_state", "after_state")
    expected = sha256(b"lumi/payload/v1\n" + b"".join(map(net_again, (salt.hex(), *columns)))).digest()
    assert payload_hash(payload_salt=salt, **dict(zip(names, columns, strict=True))) == expected


@settings(max_examples=60)
@given(
    st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(0, 2**63 - 1),
    texts,
    nullable,
)
def test_the_integrity_hash_is_the_one_of_the_specification(
    time: datetime, seq: int, text: str, method: str | None
) -> None:
    stamp = (
        f"{time.year:04d}-{time.month:02d}-{time.day:02d}T"
        f"{time.hour:02d}:{time.minute:02d}:{time.second:02d}.{time.microsecond:06d}Z"
    )
    head = ("11" * 32, "acme", str(seq), "id", stamp, stamp, "LOGIN", text, "e", "success", "user", "u", method)
    expected = sha256(b"lumi/event/v1\n" + b"".join(map(net_again, (*head, "22" * 32)))).digest()
    assert expected == integrity_hash(
        prev_hash=b"\x11" * 32,
        tenant_id="acme",
        seq=seq,
        event_id="id",
        recorded_at=time,
        occurred_at=time,
        action="LOGIN",
        entity_type=text,
        entity_id="e",
        outcome="success",
        actor_type="user",
        actor_id="u",
        auth_method=method,
        payload_hash=b"\x22" * 32,
    )


@pytest.mark.parametrize("column", [name for name in COLUMNS if name not in {"integrity_hash", "erased_at"}])
def test_every_column_is_covered(column: str) -> None:
    columns = {name: getattr(EVENTS[0], name) for name in COLUMNS}
    match columns[column]:
        case str():
            columns[column] += "x"
        case int():
            columns[column] += 1
        case bytes() as digest:
            columns[column] = bytes(len(digest))
        case datetime() as time:
            columns[column] = time.replace(year=1999)
    altered = Event(**columns)
    assert altered != EVENTS[0]
    hashes = (event_payload_hash(altered), event_integrity_hash(altered))
    assert hashes != (EVENTS[0].payload_hash, EVENTS[0].integrity_hash)


def test_an_erased_payload_has_no_hash_to_recompute_but_the_event_still_has() -> None:
    columns = {name: getattr(EVENTS[0], name) for name in COLUMNS}
    erased = Event(**(columns | {"payload_salt": None, "actor_name": None, "after_state": None}))
    assert event_payload_hash(erased) is None
    assert event_integrity_hash(erased) == EVENTS[0].integrity_hash


def test_a_time_that_is_not_utc_cannot_be_hashed() -> None:
    naive = {name: getattr(EVENTS[0], name) for name in COLUMNS} | {"recorded_at": datetime(2026, 1, 1)}  # noqa: DTZ001
    with pytest.raises(EncodingError):
        event_integrity_hash(Event(**naive))
