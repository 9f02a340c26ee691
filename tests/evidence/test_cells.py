"""What events look like in ``events.csv``, written by kernels and without, against a writer of one row in Python."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.events import COLUMNS, EVENT_SCHEMA
from lumi_pipeline.evidence import cells
from lumi_pipeline.evidence.cells import HEADER, LineWriter
from lumi_pipeline.kernels.engine import Engine

STARTS = "'=+-@\t\r\n\uff07\uff1d\uff0b\uff0d\uff20"
WRITER = LineWriter()
KERNELS = Engine(native=False)
PATHS = pytest.mark.parametrize("kernels", [KERNELS, None], ids=["kernels", "duckdb"])
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXT = st.one_of(
    st.sampled_from(["", "''", "a,b", 'a"b', "\r\n", "\r", "\n", " x ", "NULL", "null", "é", "😀", "\x01", "\u2028"]),
    st.tuples(st.sampled_from(STARTS), st.text(LETTERS, max_size=5)).map("".join),
    st.text(LETTERS, max_size=12),
)
LONG = st.lists(st.sampled_from(["x" * 7, "é", "y", '"', ",", "\r", "\n", "-"]), max_size=14).map("".join)
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


def written(events: pa.Table, kernels: Engine | None) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "engine", lambda _: kernels)
        return b"".join(WRITER.lines(events))


def lines(rows: Sequence[dict[str, object]], kernels: Engine | None = None) -> bytes:
    return written(pa.Table.from_pylist(list(rows), schema=EVENT_SCHEMA), kernels)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.fixed_dictionaries({name: value(name) for name in COLUMNS}), min_size=1, max_size=20))
def test_as_one_by_one(rows: list[dict[str, object]]) -> None:
    expected = "".join(",".join(cell(row[name]) for name in COLUMNS) + "\r\n" for row in rows).encode()
    table = pa.Table.from_pylist(rows, schema=EVENT_SCHEMA)
    for kernels in (KERNELS, None):
        assert written(table, kernels) == expected
    # Slices begin within buffers, and chunks end within a table.
    parted = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert written(parted, KERNELS) == expected


@given(text=LONG, size=st.sampled_from([pa.string(), pa.large_string()]))
@settings(max_examples=60, deadline=None)
def test_texts_of_any_length(text: str, size: pa.DataType) -> None:
    table = pa.Table.from_pylist([dict.fromkeys(COLUMNS) | {"seq": 0, "entity_id": text}] * 2, schema=EVENT_SCHEMA)
    place = COLUMNS.index("entity_id")
    table = table.set_column(place, "entity_id", table.column(place).cast(size))
    assert written(table, KERNELS).decode() == 2 * f",0,,,,,,{cell(text)}{',' * (len(COLUMNS) - place - 1)}\r\n"


@PATHS
@pytest.mark.parametrize("start", STARTS)
def test_what_a_spreadsheet_takes_for_a_formula_is_marked(start: str, kernels: Engine | None) -> None:
    row: dict[str, object] = dict.fromkeys(COLUMNS)
    row |= {"seq": 0, "entity_id": f"{start}1"}
    assert f"'{start}1" in lines([row], kernels).decode()


@PATHS
def test_no_rows_and_the_header(kernels: Engine | None) -> None:
    assert lines([], kernels) == b""
    assert ",".join(EVENT_SCHEMA.names).encode() + b"\r\n" == HEADER


@PATHS
def test_many_rows_stay_in_order(kernels: Engine | None) -> None:
    blank: dict[str, object] = dict.fromkeys(COLUMNS)
    table = pa.Table.from_pylist([blank | {"seq": 0}], schema=EVENT_SCHEMA)
    many = pa.concat_tables([table] * 50_000).combine_chunks()
    many = many.set_column(COLUMNS.index("seq"), EVENT_SCHEMA.field("seq"), pa.array(range(50_000), pa.int64()))
    found = written(many, kernels).split(b"\r\n")[:-1]
    assert [int(line.split(b",")[1]) for line in found] == list(range(50_000))


def test_a_query_counts_for_more_than_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(cells, "engine", asked.append)
    table = pa.Table.from_pylist([dict.fromkeys(COLUMNS) | {"seq": 0}] * 3, schema=EVENT_SCHEMA)
    with LineWriter() as writer:
        for _ in range(4):
            b"".join(writer.lines(table))
    assert asked == [cells._QUERY_ROWS] * 4
