"""Compiled loops and the careful reader read the same rows, wherever blocks end, and refuse the same files."""

import io
from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.events import COLUMNS, EVENT_SCHEMA
from lumi_pipeline.evidence import csvblocks
from lumi_pipeline.evidence.cells import HEADER, LineWriter
from lumi_pipeline.evidence.csvblocks import read_events
from lumi_pipeline.evidence.csvform import CsvFault
from lumi_pipeline.kernels.engine import Engine
from tests.evidence.test_cells import TEXT, TIME, value

WRITER = LineWriter()
KERNELS = Engine(native=False)
IN_FORM: dict[str, st.SearchStrategy[object]] = {
    "tenant_id": st.sampled_from(["acme", "a.b-c_d"]),
    "event_id": st.uuids().map(str),
    "action": st.sampled_from(["LOGIN", "A_1"]),
    "outcome": st.sampled_from(["success", "failure", "unknown"]),
    "actor_type": st.sampled_from(["user", "service", "system", "support"]),
    "payload_hash": st.binary(min_size=32, max_size=32),
    "prev_hash": st.binary(min_size=32, max_size=32),
    "integrity_hash": st.binary(min_size=32, max_size=32),
    "recorded_at": TIME,
    "occurred_at": TIME,
    **dict.fromkeys(("entity_type", "entity_id", "actor_id"), TEXT),
}
ROWS = st.lists(
    st.fixed_dictionaries({name: IN_FORM.get(name, value(name)) for name in COLUMNS}), min_size=1, max_size=6
)


def csv(rows: list[dict[str, object]]) -> bytes:
    return HEADER + b"".join(WRITER.lines(pa.Table.from_pylist(rows, schema=EVENT_SCHEMA)))


def read(data: bytes, block: int, compiled: bool) -> tuple[pa.Table, tuple[str, int] | None]:
    """All rows before the first fault, and the fault."""
    tables, fault = [], None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csvblocks, "engine", lambda _: KERNELS)
        try:
            tables += read_events(io.BytesIO(data), len(data), block=block, compiled=compiled)
        except CsvFault as error:
            fault = error.reason, error.record
    return pa.concat_tables([EVENT_SCHEMA.empty_table(), *tables]), fault


@settings(max_examples=10, deadline=None)
@given(rows=ROWS, block=st.sampled_from([37, 401, 3000]))
def test_what_was_written_is_read(rows: list[dict[str, object]], block: int) -> None:
    data = csv(rows)
    expected = pa.Table.from_pylist(rows, schema=EVENT_SCHEMA)
    for compiled in (True, False):
        found, fault = read(data, block, compiled)
        assert fault is None
        assert found.equals(expected)


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, data=st.data())
def test_both_judge_any_edit_alike(rows: list[dict[str, object]], data: st.DataObject) -> None:
    text = bytearray(csv(rows))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        new = data.draw(
            st.sampled_from([b"", b'"', b",", b"\r", b"\n", b"\r\n", b"'", b"=", b"\0", b"\xff", b"0", b"x"])
        )
        text[at : at + data.draw(st.integers(0, 2))] = new
    block = data.draw(st.sampled_from([61, 500, 1 << 20]))
    found, fault = read(bytes(text), block, compiled=True)
    expected, why = read(bytes(text), 1 << 20, compiled=False)
    assert fault == why
    assert found.equals(expected)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda data: b"\xef\xbb\xbf" + data, "csv-resaved"),
        (lambda data: data.replace(b",", b";"), "csv-resaved"),
        (lambda data: data.replace(b"\r\n", b"\n"), "csv-resaved"),
        (lambda data: data.replace(b'""', b""), "csv-resaved"),
        (lambda data: data[:-2], "csv-format"),
        (lambda data: data + b"x", "csv-format"),
        (lambda data: data.replace(b"LOGIN", b"login"), "csv-format"),
        (lambda data: data.replace(b"acme", b"\xffcme"), "csv-format"),
        (lambda data: data.replace(b"acme", b"ac\0e"), "csv-format"),
        (lambda data: data.replace(b"acme,", b"'acme,"), "csv-format"),
        (lambda data: data.replace(b"'=1", b"=1"), "csv-format"),
        (lambda data: data.replace(b"2024-", b"2024/"), "csv-resaved"),
        (lambda data: data.replace(b"02-29", b"02-30"), "csv-resaved"),
        (lambda data: data.replace(b",7,", b",07,"), "csv-resaved"),
        (lambda data: data.replace(b",7,", b",9223372036854775808,"), "csv-resaved"),
        (lambda data: data.replace(b"ab" * 32, b"AB" * 32), "csv-resaved"),
        (lambda data: data.replace(b"tenant_id", b"tenant"), "csv-format"),
        (lambda _: b"", "csv-format"),
    ],
)
@pytest.mark.parametrize("compiled", [True, False])
def test_what_is_not_in_form_says_why(edit: Callable[[bytes], bytes], reason: str, compiled: bool) -> None:
    row: dict[str, object] = dict.fromkeys(COLUMNS)
    row |= {"tenant_id": "acme", "seq": 7, "event_id": "0199f3c2-8b1e-7c40-9d53-1f0f6f1f2a77", "action": "LOGIN"}
    row |= {"entity_type": "", "entity_id": "=1", "outcome": "success", "actor_type": "user", "actor_id": "u"}
    row |= dict.fromkeys(("payload_hash", "prev_hash", "integrity_hash"), b"\xab" * 32)
    table = pa.Table.from_pylist([row], schema=EVENT_SCHEMA)
    time = pa.array([1709207999999999], pa.int64()).cast(pa.timestamp("us", "UTC"))  # 2024-02-29
    for name in ("recorded_at", "occurred_at"):
        table = table.set_column(COLUMNS.index(name), EVENT_SCHEMA.field(name), time)
    good = b"".join((HEADER, *WRITER.lines(table)))
    assert read(good, 1 << 20, compiled) == (table, None)
    _, fault = read(edit(good), 1 << 20, compiled)
    assert fault is not None
    assert fault[0] == reason
