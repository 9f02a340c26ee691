"""What events look like in ``events.csv``, against a writer of one row in plain Python."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.events import COLUMNS, EVENT_SCHEMA
from lumi_pipeline.evidence.cells import HEADER, LineWriter

STARTS = "'=+-@\t\r\n\uff07\uff1d\uff0b\uff0d\uff20"
WRITER = LineWriter()
ANY = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXT = st.one_of(
    st.sampled_from(["", "''", "a,b", 'a"b', "\r\n", "\r", "\n", " x ", "NULL", "null", "é", "😀", "\x01", "\u2028"]),
    st.tuples(st.sampled_from(STARTS), st.text(ANY, max_size=5)).map("".join),
    st.text(ANY, max_size=12),
)
TIME = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999), timezones=st.just(UTC))  # noqa: DTZ001


def value(name: str) -> st.SearchStrategy[object]:
    kind = EVENT_SCHEMA.field(name).type
    if kind == pa.string():
        return TEXT | st.none()
    if kind == pa.int64():
        return st.integers(0, 2**63 - 1)
    if pa.types.is_timestamp(kind):
        return TIME | st.none()
    return st.none() | st.binary(min_size=kind.byte_width, max_size=kind.byte_width)


def cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, int):
        return str(value)
    assert isinstance(value, str)
    text = f"'{value}" if value and value[0] in STARTS else value
    quoted = '"' + text.replace('"', '""') + '"'
    return quoted if text == "" or any(character in text for character in ',"\r\n') else text


def lines(rows: Sequence[dict[str, object]]) -> bytes:
    return bytes(WRITER.lines(pa.Table.from_pylist(list(rows), schema=EVENT_SCHEMA)))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.fixed_dictionaries({name: value(name) for name in COLUMNS}), min_size=1, max_size=20))
def test_as_one_by_one(rows: list[dict[str, object]]) -> None:
    expected = "".join(",".join(cell(row[name]) for name in COLUMNS) + "\r\n" for row in rows)
    assert lines(rows).decode() == expected


@pytest.mark.parametrize("start", STARTS)
def test_what_a_spreadsheet_takes_for_a_formula_is_marked(start: str) -> None:
    row: dict[str, object] = dict.fromkeys(COLUMNS)
    row |= {"seq": 0, "entity_id": f"{start}1"}
    assert f"'{start}1" in lines([row]).decode()


def test_no_rows_and_the_header() -> None:
    assert lines([]) == b""
    assert ",".join(EVENT_SCHEMA.names).encode() + b"\r\n" == HEADER


def test_many_rows_stay_in_order() -> None:
    blank: dict[str, object] = dict.fromkeys(COLUMNS)
    table = pa.Table.from_pylist([blank | {"seq": 0}], schema=EVENT_SCHEMA)
    many = pa.concat_tables([table] * 50_000).combine_chunks()
    many = many.set_column(COLUMNS.index("seq"), EVENT_SCHEMA.field("seq"), pa.array(range(50_000), pa.int64()))
    found = bytes(WRITER.lines(many)).split(b"\r\n")[:-1]
    assert [int(line.split(b",")[1]) for line in found] == list(range(50_000))
