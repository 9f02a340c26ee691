import json
import pickle
import re
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumi_pipeline import errors
from lumi_pipeline.errors import EventRejected
from lumi_pipeline.events import (
    COLUMNS,
    EVENT_SCHEMA,
    MAX_EVENT_BYTES,
    MAX_TEXT_BYTES,
    TEXT_COLUMNS,
    from_micros,
    state_text,
    to_micros,
    uuid7,
    uuid8,
)
from tests.events.making import START, new_event

BAD = [
    ("tenant_id", "", "1 to 128"),
    ("tenant_id", "-acme", "1 to 128"),
    ("tenant_id", "a" * 129, "1 to 128"),
    ("tenant_id", "acme\n", "1 to 128"),
    ("tenant_id", "a/b", "1 to 128"),
    ("tenant_id", "é", "1 to 128"),
    ("action", "login", "1 to 128"),
    ("action", "1LOGIN", "1 to 128"),
    ("action", "LOGIN\n", "1 to 128"),
    ("action", "A" * 129, "1 to 128"),
    ("event_id", "019AA4F2-0000-7000-8000-000000000001", "lower case"),
    ("event_id", "019aa4f2000070008000000000000001", "36 characters"),
    ("event_id", "{019aa4f2-0000-7000-8000-000000000001}", "36 characters"),
    ("outcome", "ok", "success, failure, unknown"),
    ("actor_type", "robot", "user, service, system, support"),
    ("entity_id", "a\0b", "NUL at character 1"),
    ("after_state", "\ud800", "lone surrogate at character 0"),
    ("user_agent", "x" * (MAX_TEXT_BYTES + 1), str(MAX_TEXT_BYTES)),
    ("user_agent", "é" * (MAX_TEXT_BYTES // 2 + 1), str(MAX_TEXT_BYTES)),
    ("actor_id", 17, "must be text, got int"),
    ("entity_id", b"T-1", "must be text, got bytes"),
    ("before_state", {"a": 1}, "must be text, got dict"),
    ("occurred_at", datetime(2026, 1, 1), "time zone"),  # noqa: DTZ001
    ("occurred_at", "2026-01-01T00:00:00Z", "time zone"),
    ("occurred_at", datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "0001 to 9999"),
]


@pytest.mark.parametrize(("column", "value", "reason"), BAD, ids=lambda value: str(value)[:24])
def test_a_bad_value_is_refused_with_its_column_and_limit(column: str, value: object, reason: str) -> None:
    with pytest.raises(EventRejected, match=re.escape(reason)) as caught:
        new_event(**{column: value})
    assert caught.value.column == column
    assert column in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("column", ["entity_type", "entity_id", "actor_id", "outcome", "action"])
def test_null_is_refused_where_none_may_be(column: str) -> None:
    event = new_event()
    columns = {name: getattr(event, name) for name in TEXT_COLUMNS}
    with pytest.raises(EventRejected, match=f"{column} must be text, got NoneType"):
        type(event)(**(columns | {column: None}))


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant_id": "A" + "._-" * 42 + "z"},
        {"action": "A_1" + "Z" * 125},
        {"entity_type": "", "entity_id": "", "actor_id": ""},
        {"user_agent": "é" * (MAX_TEXT_BYTES // 2)},
        {"actor_name": "\U0001f389 \uffff \r\n\t\x01 \u0301", "after_state": "not JSON"},
        {"occurred_at": datetime.max.replace(tzinfo=UTC)},
        {"event_id": "00000000-0000-0000-0000-000000000000"},
    ],
)
def test_the_limits_themselves_and_any_other_unicode_are_fine(changes: dict[str, object]) -> None:
    event = new_event(**changes)
    assert {name: getattr(event, name) for name in changes} == changes


def test_an_event_has_a_limit_of_its_own() -> None:
    full = "x" * MAX_TEXT_BYTES
    most = {"entity_id": full, "actor_id": full, "user_agent": full, "after_state": ""}
    event = new_event(**most)
    room = MAX_EVENT_BYTES - sum(len((getattr(event, name) or "").encode()) for name in TEXT_COLUMNS)
    most.pop("after_state")
    new_event(**most, after_state="x" * room)
    with pytest.raises(EventRejected, match=str(MAX_EVENT_BYTES)) as caught:
        new_event(**most, after_state="x" * (room + 1))
    assert caught.value.column == "event"


def test_occurred_at_is_kept_in_utc() -> None:
    event = new_event(occurred_at=datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2))))
    assert event.occurred_at == datetime(2025, 12, 31, 23, 30, tzinfo=UTC)
    assert event.occurred_at is not None
    assert event.occurred_at.tzinfo is UTC


def test_every_new_event_has_its_own_id() -> None:
    assert new_event().event_id != new_event().event_id


def test_events_survive_pickling() -> None:
    event = new_event(occurred_at=START)
    assert pickle.loads(pickle.dumps(event)) == event  # noqa: S301


def test_a_state_is_text_as_it_is_or_json_made_once() -> None:
    assert state_text("after_state", '{"z":1,  "a":[1.0,1e3]}') == '{"z":1,  "a":[1.0,1e3]}'
    assert state_text("after_state", {"ü": [1, None]}) == '{"ü":[1,null]}'
    assert state_text("after_state", ["a"]) == '["a"]'
    assert state_text("after_state", None) is None


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": object()}, {1, 2}])
def test_a_state_that_is_no_json_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(EventRejected, match="after_state"):
        state_text("after_state", value)


def test_a_state_nested_too_deeply_is_refused() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(EventRejected, match="before_state"):
        state_text("before_state", nested)


def test_uuid7_carries_the_time_and_its_version() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made = uuid.UUID(uuid7())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    stamp = datetime.fromtimestamp((made.int >> 80) / 1000, UTC)
    assert before <= stamp <= datetime.now(UTC)
    assert len({uuid7() for _ in range(1000)}) == 1000


@given(st.binary(min_size=16, max_size=32))
def test_uuid8_is_made_of_the_digest(digest: bytes) -> None:
    made = uuid.UUID(uuid8(digest))
    assert (made.version, made.variant) == (8, uuid.RFC_4122)
    free = ~(0xF << 76 | 0x3 << 62)
    assert made.int & free == int.from_bytes(digest[:16]) & free


@given(st.datetimes(timezones=st.just(UTC)))
def test_microseconds_count_exactly(time: datetime) -> None:
    assert from_micros(to_micros(time)) == time


def test_the_schema_has_the_columns_of_the_specification_in_order() -> None:
    assert EVENT_SCHEMA.names == list(COLUMNS)
    assert " ".join(COLUMNS) == (
        "tenant_id seq event_id recorded_at occurred_at action entity_type entity_id outcome actor_type actor_id"
        " auth_method actor_name ip user_agent request_id before_state after_state payload_salt payload_hash prev_hash"
        " integrity_hash erased_at"
    )
    assert EVENT_SCHEMA.field("recorded_at").type == pa.timestamp("us", tz="UTC")
    assert EVENT_SCHEMA.field("payload_salt").type == pa.binary(16)
    assert EVENT_SCHEMA.field("integrity_hash").type == pa.binary(32)


def _samples() -> list[errors.LumiError]:
    return [
        errors.EventRejected("ip", "no"),
        errors.DuplicateEvent("id", "twice"),
        errors.RewoundOutbox("acme", 7, "rewound"),
        errors.ChainBroken(START.date(), (), "ab" * 32, "broken"),
        errors.OutboxLocked("locked"),
        errors.ImportFailed("line 7"),
    ]


@pytest.mark.parametrize("error", _samples(), ids=lambda error: type(error).__name__)
def test_errors_survive_pickling_with_everything_they_carry(error: errors.LumiError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_every_domain_error_is_a_lumi_error_and_explains_itself() -> None:
    for name in errors.__all__:
        error = getattr(errors, name)
        assert issubclass(error, errors.LumiError)
        assert json.dumps(error.__doc__ or "") != '""'
