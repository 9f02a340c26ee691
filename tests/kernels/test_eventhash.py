"""The kernels that hash events and trees, on every path, against hashlib and against the hashing of one event."""

import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime
from math import isqrt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.errors import ConfigError
from lumi_pipeline.events import EVENT_SCHEMA, MAX_MICROS, MIN_MICROS, TEXT_COLUMNS, Event, from_micros
from lumi_pipeline.hashing import (
    CORE_FIELDS,
    EVENT_TAG,
    PAYLOAD_FIELDS,
    PAYLOAD_TAG,
    event_integrity_hash,
    event_payload_hash,
    net,
)
from lumi_pipeline.kernels import engine as engines
from lumi_pipeline.kernels.constants import INITIAL_STATE, ROUND_CONSTANTS
from lumi_pipeline.kernels.engine import Engine
from lumi_pipeline.kernels.shani import supported
from transparency.encoding import format_timestamp

PATHS = [pytest.param(True, marks=pytest.mark.skipif(not supported(), reason="no SHA instructions here")), False]
_MADE = {path: Engine(native=path) for path in ([True] if supported() else []) + [False]}
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=70), st.text("a", min_size=40, max_size=260)
)
BYTES = {"payload_salt": 16, "payload_hash": 32, "prev_hash": 32, "integrity_hash": 32}


def value(name: str) -> st.SearchStrategy[object]:
    if name in BYTES:
        made: st.SearchStrategy[object] = st.binary(min_size=BYTES[name], max_size=BYTES[name])
        return made | st.none() if name == "payload_salt" else made
    if name == "seq":
        return st.integers(0, 2**63 - 1)
    if name in {"recorded_at", "occurred_at"}:
        return st.integers(MIN_MICROS, MAX_MICROS).map(from_micros)
    if name == "erased_at":
        return st.none()
    nullable = name not in {"tenant_id", "event_id", "action", "entity_type", "entity_id", "outcome", "actor_type"}
    return TEXT | st.none() if nullable and name != "actor_id" else TEXT


ROWS = st.lists(st.fixed_dictionaries({name: value(name) for name in EVENT_SCHEMA.names}), max_size=6)


@pytest.mark.parametrize("native", PATHS)
@given(rows=ROWS, cut=st.integers(0, 6), large=st.booleans())
@settings(max_examples=40, deadline=None)
def test_events_as_one_by_one(native: bool, rows: list[dict[str, object]], cut: int, large: bool) -> None:
    table = pa.Table.from_pylist(rows, EVENT_SCHEMA)
    if large:
        texts = {name: pa.large_string() for name in TEXT_COLUMNS}
        table = table.cast(pa.schema([(f.name, texts.get(f.name, f.type)) for f in table.schema]))
    # Slices begin within buffers, and chunks end within rows' portions.
    table = pa.concat_tables([table.slice(0, cut), table.slice(min(cut, len(table)))])
    events = [Event(**{k: v for k, v in row.items() if k != "erased_at"}) for row in rows]  # type: ignore[arg-type]
    kernels = _MADE[native]
    payload, integrity = kernels.events(table, (PAYLOAD_TAG, PAYLOAD_FIELDS), (EVENT_TAG, CORE_FIELDS))
    assert [row.tobytes() for row in integrity] == [event_integrity_hash(event) for event in events]
    assert [row.tobytes() for row, event in zip(payload, events, strict=True) if event.payload_salt is not None] == [
        event_payload_hash(event) for event in events if event.payload_salt is not None
    ]


@pytest.mark.parametrize("native", PATHS)
def test_every_length_of_a_message(native: bool) -> None:
    for size in range(200):
        values = np.arange(3 * size, dtype=np.uint8).reshape(3, size)
        found = _MADE[native].prefixed(b"x", values)
        assert [row.tobytes() for row in found] == [hashlib.sha256(b"x" + row.tobytes()).digest() for row in values]


@pytest.mark.parametrize("native", PATHS)
def test_many_portions(native: bool) -> None:
    values = np.random.default_rng(1).integers(0, 256, (9001, 33), np.uint8)
    found = _MADE[native].prefixed(b"", values[:, :32])
    assert [row.tobytes() for row in found] == [hashlib.sha256(row[:32].tobytes()).digest() for row in values]


@pytest.mark.parametrize("native", PATHS)
@pytest.mark.parametrize("number", [0, 1, 9, 10, 99, 2**63 - 1, -1, -9, -10, -11, -100, -(2**63)])
def test_numbers(native: bool, number: int) -> None:
    [found] = _MADE[native].events(pa.table({"n": pa.array([number], pa.int64())}), (b"tag", ("n",)))
    assert found[0].tobytes() == hashlib.sha256(b"tag" + net(str(number))).digest()


@pytest.mark.parametrize("native", PATHS)
def test_every_day_of_four_centuries(native: bool) -> None:
    times = [from_micros(day * 86_400_000_000 + day % 86_400_000_000) for day in range(-150_000, 150_000, 37)]
    times += [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), datetime(2000, 2, 29, tzinfo=UTC)]
    [found] = _MADE[native].events(pa.table({"t": pa.array(times, pa.timestamp("us", "UTC"))}), (b"", ("t",)))
    assert [row.tobytes() for row in found] == [hashlib.sha256(net(format_timestamp(t))).digest() for t in times]


@pytest.mark.parametrize("native", PATHS)
def test_the_largest_event(native: bool) -> None:
    text = "é" * (2 << 20)
    [found] = _MADE[native].events(pa.table({"a": ["", text, "b"]}), (b"", ("a",)))
    assert [row.tobytes() for row in found] == [hashlib.sha256(net(t)).digest() for t in ("", text, "b")]


def test_no_rows_and_no_bytes() -> None:
    for kernels in _MADE.values():
        assert kernels.events(pa.Table.from_pylist([], EVENT_SCHEMA), (EVENT_TAG, CORE_FIELDS)).shape == (1, 0, 32)
        [found] = kernels.events(pa.table({"a": [""]}), (b"", ("a",)))
        assert found[0].tobytes() == hashlib.sha256(b"0:,").digest()


def test_a_column_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="double"):
        _MADE[False].events(pa.table({"a": [1.5]}), (b"", ("a",)))


def test_the_constants_are_those_of_the_standard() -> None:
    # FIPS 180-4 prints them; first and last of each here.
    assert (ROUND_CONSTANTS[0], ROUND_CONSTANTS[-1]) == (0x428A2F98, 0xC67178F2)
    assert (INITIAL_STATE[0], INITIAL_STATE[-1]) == (0x6A09E667, 0x5BE0CD19)
    assert INITIAL_STATE[0] == isqrt(2 << 64) & 0xFFFFFFFF


def test_few_rows_don_t_load_kernels_and_few_rows_many_times_do() -> None:
    code = (
        "import sys; from lumi_pipeline.kernels.engine import WORTH_LOADING, engine; assert engine(100) is None;"
        "assert engine(WORTH_LOADING - 101) is None; assert 'numba' not in sys.modules;"
        "assert engine(1); assert engine(0); print('fine')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"LUMI_KERNELS": "plain"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout == "fine\n", ran.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_hashes_with_threads_of_its_own() -> None:
    code = (
        "import os, sys, numpy as np; from lumi_pipeline.kernels.engine import engine;"
        "values = np.zeros((20000, 32), np.uint8); first = engine(1 << 20).prefixed(b'', values);"
        "child = os.fork();"
        "same = (engine(1 << 20).prefixed(b'', values) == first).all();"
        "os._exit(not same) if child == 0 else sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"LUMI_KERNELS": "plain"}, timeout=120, check=False
    )
    assert ran.returncode == 0


@pytest.mark.parametrize(("wanted", "kind"), [("off", None), ("plain", False)])
def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch, wanted: str, kind: bool | None) -> None:
    monkeypatch.setenv(engines.VARIABLE, wanted)
    chosen = engines.engine(1 << 20)
    assert (chosen and chosen.native) == kind


def test_a_choice_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(engines.VARIABLE, "fast")
    with pytest.raises(ConfigError, match="'fast'; native, plain and off"):
        engines.engine(1 << 20)


def test_kernels_that_hash_wrongly_are_found_out() -> None:
    class Wrong(Engine):
        def prefixed(self, prefix: bytes, values: "np.typing.NDArray[np.uint8]") -> "np.typing.NDArray[np.uint8]":
            return super().prefixed(prefix, values) ^ np.uint8(len(values[0]) == 64)

    with pytest.raises(RuntimeError, match="SHA-256 of 65 bytes is wrong"):
        engines.check(Wrong(native=False))
