"""One accepted form for every primitive value."""

import base64
import json
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transparency.encoding import (
    MAX_INT64,
    MAX_JSON_INT,
    MAX_UINT64,
    Json,
    b64decode,
    b64encode,
    canonical_json,
    decode_text,
    decode_varint,
    encode_varint,
    excerpt,
    format_timestamp,
    hex_decode,
    parse_canonical_json,
    parse_day,
    parse_decimal,
    parse_timestamp,
)
from transparency.errors import EncodingError

UNICODE = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_JSON_INT, MAX_JSON_INT) | UNICODE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(UNICODE, inner, max_size=4),
    max_leaves=12,
)


@given(st.binary())
def test_base64_round_trip(data: bytes) -> None:
    assert b64encode(data) == base64.b64encode(data).decode()
    assert b64decode(b64encode(data)) == data
    assert b64decode(b64encode(data), len(data)) == data


@pytest.mark.parametrize(
    "text",
    [
        "YQ",
        "YQ=",
        "YR==",
        "YWJ=",
        "YQ==\n",
        " YQ==",
        "YQ== ",
        "Y Q==",
        "-_-_",
        "YQ==YQ==",
        "====",
        "=",
        "é===",
        "YQ===",
    ],
)
def test_base64_has_one_form(text: str) -> None:
    with pytest.raises(EncodingError):
        b64decode(text)


def test_base64_of_another_size() -> None:
    with pytest.raises(EncodingError, match="32 bytes expected"):
        b64decode(b64encode(bytes(31)), 32)
    with pytest.raises(EncodingError, match="2 bytes expected"):
        b64decode("YQ==", 2)  # of the right length in base64


@given(st.binary(max_size=40))
def test_hex_round_trip(data: bytes) -> None:
    assert hex_decode(data.hex(), len(data)) == data


@pytest.mark.parametrize("text", ["AB", "a", "abc", " ab", "0x", "g0", "ab\n", "\u0663\u0664", ""])
def test_hex_has_one_form(text: str) -> None:
    with pytest.raises(EncodingError):
        hex_decode(text, 1)


@given(st.integers(0, MAX_INT64))
def test_decimal_round_trip(value: int) -> None:
    assert parse_decimal(str(value)) == value


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "01", "00", " 1", "1 ", "1\n", "1_0", "1.0", "\u0663", "1e3", "9" * 100_000]
)
def test_decimal_has_one_form(text: str) -> None:
    with pytest.raises(EncodingError):
        parse_decimal(text)


def test_decimal_limits() -> None:
    assert parse_decimal(str(2**63 - 1)) == 2**63 - 1
    with pytest.raises(EncodingError, match="larger than"):
        parse_decimal(str(2**63))
    assert parse_decimal("255", 255) == 255
    with pytest.raises(EncodingError):
        parse_decimal("256", 255)


@given(st.integers(0, MAX_UINT64), st.binary(max_size=3), st.binary(max_size=3))
def test_varint_round_trip(value: int, before: bytes, after: bytes) -> None:
    encoded = encode_varint(value)
    assert decode_varint(before + encoded + after, len(before)) == (value, len(before) + len(encoded))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"\x80\x00",
        b"\xff\x80\x00",
        b"\xff" * 9,
        b"\xff" * 10,
        b"\xff" * 9 + b"\x02",
        b"\x80" * 10 + b"\x01",
    ],
)
def test_varint_is_minimal_and_bounded(data: bytes) -> None:
    with pytest.raises(EncodingError):
        decode_varint(data, 0)


@pytest.mark.parametrize("value", [-1, 2**64])
def test_varint_range(value: int) -> None:
    with pytest.raises(EncodingError):
        encode_varint(value)


@given(st.dates())
def test_day_round_trip(day: date) -> None:
    assert parse_day(day.isoformat()) == day


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-1-01",
        "2026-02-29",
        "2026-13-01",
        "0000-01-01",
        "20260101",
        "2026-W01-1",
        "2026-01-01\n",
        "\u0662026-01-01",
    ],
)
def test_day_has_one_form(text: str) -> None:
    with pytest.raises(EncodingError):
        parse_day(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_timestamp_round_trip(value: datetime) -> None:
    text = format_timestamp(value)
    assert len(text) == len("2026-11-21T00:00:00.000000Z")
    assert parse_timestamp(text) == value
    assert parse_timestamp(text).utcoffset() == timedelta(0)


def test_timestamp_of_an_early_year_is_padded() -> None:
    assert format_timestamp(datetime(1, 2, 3, 4, 5, 6, 7, tzinfo=UTC)) == "0001-02-03T04:05:06.000007Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-21T00:00:00Z",
        "2026-11-21T00:00:00.000Z",
        "2026-11-21T00:00:00.0000000Z",
        "2026-11-21T00:00:00.000000",
        "2026-11-21T00:00:00.000000+00:00",
        "2026-11-21 00:00:00.000000Z",
        "2026-11-21t00:00:00.000000z",
        "2026-11-21T24:00:00.000000Z",
        "2016-12-31T23:59:60.000000Z",
        "2026-11-31T00:00:00.000000Z",
        "0000-11-21T00:00:00.000000Z",
        "2026-11-21T00:00:00.000000Z\n",
        "2026-11-21T00:00:00.00000\u0660Z",
    ],
)
def test_timestamp_has_one_form(text: str) -> None:
    with pytest.raises(EncodingError):
        parse_timestamp(text)


@pytest.mark.parametrize("zone", [None, timezone(timedelta(hours=1))])
def test_timestamp_needs_utc(zone: timezone | None) -> None:
    with pytest.raises(EncodingError, match="UTC"):
        format_timestamp(datetime(2026, 11, 21, tzinfo=zone))


def test_text_is_measured_before_it_is_decoded() -> None:
    assert decode_text("é".encode(), 2, "it") == "é"
    with pytest.raises(EncodingError, match="it has 3 bytes; at most 2"):
        decode_text(b"\xff\xff\xff", 2, "it")
    with pytest.raises(EncodingError, match="not valid UTF-8 at byte 1"):
        decode_text(b"a\xff", 2, "it")


def test_excerpts_cannot_forge_a_line_of_output() -> None:
    assert "\n" not in excerpt("a\nb")
    assert "\x1b" not in excerpt("\x1b[31m")
    assert len(excerpt("x" * 10_000)) < 100


@given(JSON)
def test_json_round_trip(value: Json) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert parse_canonical_json(text.encode(), 1 << 20) == value


@given(UNICODE)
def test_json_escapes_only_what_it_must(text: str) -> None:
    short = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    escaped = (short.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in text)
    assert canonical_json(text) == f'"{"".join(escaped)}"'


def test_json_keys_are_sorted_by_code_point() -> None:
    # In UTF-16 units, as JavaScript sorts, the emoji would come first.
    assert canonical_json({"\U0001f389": 1, "\uffff": 2, "a": 3}) == '{"a":3,"\uffff":2,"\U0001f389":1}'


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" 1",
        b"1\n",
        b"[1, 2]",
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b"1.0",
        b"1e2",
        b"-0",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"01",
        b"9007199254740992",
        b"-9007199254740992",
        b"1" * 100_000,
        rb'"\u0041"',
        rb'"\/"',
        rb'"\u000a"',
        rb'"\u001F"',
        rb'"\ud800"',
        rb'"\udc00\ud800"',
        rb'"\ud83c\udf89"',
        b'"\x01"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\xc0\x80"',
        b"\xef\xbb\xbf1",
        b'"open',
        b"[" * 9 + b"]" * 9,
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"[[]" + b",[]" * 1_000_000 + b"]",
        b'"' * 1_000_001,
        b'"' + b'\\"' * 1_000_000,
        b"]" * 1_000_000,
        b"{'a':1}",
        b"null ",
    ],
    ids=lambda data: repr(data[:24]),
)
def test_json_has_one_form(data: bytes) -> None:
    with pytest.raises(EncodingError):
        parse_canonical_json(data, 1 << 24)


def test_json_limits() -> None:
    assert parse_canonical_json(b"[" * 8 + b"]" * 8, 16) is not None
    assert parse_canonical_json(b'"[[[[[[[[[[\\"[["', 20) == '[[[[[[[[[["[['  # brackets in text nest nothing
    assert parse_canonical_json(b"[1,2]", 5, max_tokens=3) == [1, 2]
    for data, limits in ((b"[1,2]", {"max_bytes": 4}), (b"[[]]", {"max_bytes": 9, "max_depth": 1})):
        with pytest.raises(EncodingError):
            parse_canonical_json(data, **limits)
    with pytest.raises(EncodingError, match="more than 2 strings, commas and brackets"):
        parse_canonical_json(b"[1,2]", 5, max_tokens=2)


@pytest.mark.parametrize("value", [1.0, 2**53, -(2**53), "\ud800", {"a": "\udfff"}, b"x", {1: 2}, (1,), object()])
def test_json_writes_nothing_that_it_would_not_read(value: Json) -> None:
    with pytest.raises(EncodingError):
        canonical_json(value)


def test_json_writes_no_deeper_than_it_reads() -> None:
    value: Json = []
    for _ in range(7):
        value = [value]
    assert parse_canonical_json(canonical_json(value).encode(), 100) == value
    with pytest.raises(EncodingError, match="deep"):
        canonical_json([value])
