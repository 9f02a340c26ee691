"""From events to records: columns in, JSON lines out, without a Python object for a row.

A destination gives an SQL expression over the event columns (sqltext.py, native.py, ocsf.py). DuckDB can evaluate all
of it; of many events it evaluates only what compiled kernels don't know, which put the records together. Values that
are too large for a destination are taken out first, and the record says which; what is too large even so is refused,
and told.
"""

from binascii import hexlify
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self, TypeAlias

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.errors import SiemError
from lumi_pipeline.kernels.engine import engine
from lumi_pipeline.kernels.parts import BLOCK
from lumi_pipeline.siem.destination import Destination, Framing
from lumi_pipeline.siem.native import NATIVE
from lumi_pipeline.siem.ocsf import OCSF
from lumi_pipeline.siem.packing import ENDS, SEPARATORS, record_starts
from lumi_pipeline.siem.recordplan import RecordPlan
from lumi_pipeline.siem.settings import Route
from lumi_pipeline.siem.sqltext import joined, quoted
from transparency.encoding import canonical_json

_LARGE: Final = ("after_state", "before_state", "user_agent", "actor_name", "request_id", "ip")
"""What may be left out: the payload's texts, which are optional."""

_SMALL: Final = 256
"""Bytes; what is not longer is kept, as leaving it out would gain nothing."""

_NUMBER: Final = "row_number"

_USUAL: Final = 512
"""Bytes of a usual event: few events with much text are as much work as many."""

_SLICE: Final = 64 << 20
"""Bytes of text that DuckDB is given at a time; as JSON they may be six times as many."""

_LONG: Final = 4096
"""Bytes of an event's texts from which on each counts as four. DuckDB works on some thousand rows at once, whatever is
in them, and then has each text several times."""

_MEMORY_LIMIT: Final = "1GB"

_BATCH_ROWS: Final = 8192
"""DuckDB's threads share out whole record batches: rows that come in one keep one busy."""

_OMITTED: Final = pa.string()
"""JSON text: a list of names."""

Write: TypeAlias = Callable[[int, int, npt.NDArray[np.uint8]], None]


@dataclass(frozen=True, slots=True)
class Records:
    """Encoded events, each JSON text in UTF-8 and then the separator. Record i has ``offsets[i]`` bytes before it.

    ``write(first, after, out)`` puts consecutive records into memory, and up to a block (kernels/parts.py) of anything
    behind them, for which there has to be room; any number of threads may ask for that. They may be made only then: the
    bytes of one request stay in the processor's cache, those of all would not. ``rows`` are the indices of the events
    in the table that was encoded, in order; ``omitted`` tells which lack values that the table has; ``refused`` are the
    indices of events that no record could be made for.
    """

    write: Write
    offsets: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    omitted: npt.NDArray[np.bool_]
    refused: npt.NDArray[np.int64]

    def room(self, spans: Iterable[tuple[int, int]], framing: Framing) -> npt.NDArray[np.uint8]:
        """Memory in which the content of any of these requests can be made."""
        largest = max((int(self.offsets[after] - self.offsets[first]) for first, after in spans), default=0)
        return np.empty(largest + record_starts(framing) + BLOCK, np.uint8)

    def content(self, first: int, after: int, framing: Framing, room: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Make the content of the request that has these records, with the placeholder of its id, in ``room``."""
        begin, end = ENDS[framing]
        self.write(first, after, room[len(begin) :])
        content = room[: int(self.offsets[after] - self.offsets[first]) + len(begin)]
        content.data[: len(begin)], content.data[-len(end) :] = begin, end
        return content


_FORMATS: Final = {"native": NATIVE, "ocsf": OCSF}


class Encoder:
    """Encodes for one destination. Use as a context manager."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._separator = quoted(SEPARATORS[destination.framing])
        # A record is followed by its separator, and an array begins with a bracket.
        limits = destination.limits
        self._largest = min(limits.record_bytes + 1, limits.body_bytes - record_starts(destination.framing))
        self._format = _FORMATS[destination.settings.format]

    @property
    def mapping(self) -> str:
        """What decides how records look: another one makes other batches."""
        return f"{self._format.version} {self._destination.mapping}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if "_db" in vars(self):
            self._db.close()

    @cached_property
    def _db(self) -> duckdb.DuckDBPyConnection:
        """Opened when it is needed, which takes as long as encoding some thousands of events."""
        # Events never go to a temporary directory: there is always room for as many as are evaluated at a time.
        db = duckdb.connect(config={"memory_limit": _MEMORY_LIMIT, "temp_directory": ""})
        db.execute("SET TimeZone = 'UTC'")
        return db

    def encode(self, events: pa.Table, route: Route) -> Records:
        """Encode events (EVENT_SCHEMA) that take this route."""
        limits = self._destination.limits
        fields = limits.field_bytes or limits.record_bytes
        table = events.append_column("omitted", pa.nulls(len(events), _OMITTED))
        large = _longer(events, fields)
        write, offsets = self._records(table, route)
        large |= np.diff(offsets) > self._largest
        if not large.any():
            every = np.arange(len(events), dtype=np.int64)
            return Records(write, offsets, every, np.zeros(len(events), np.bool_), np.empty(0, np.int64))
        return self._reduced(table, route, large)

    def _reduced(self, table: pa.Table, route: Route, large: npt.NDArray[np.bool_]) -> Records:
        """Encode again without the large values of the large events; leave out those that are too large even so."""
        limits = self._destination.limits
        write, offsets = self._records(_without_large(table, large), route)
        refused = np.diff(offsets) > self._largest
        if limits.field_bytes is not None:
            needed = [name for name in table.column_names if name not in {*_LARGE, "omitted"}]
            refused |= _longer(table.select(needed), limits.field_bytes)
        if refused.any():
            kept = table.filter(pa.array(~refused))
            write, offsets = self._records(_without_large(kept, large[~refused]), route)
        rows = np.flatnonzero(~refused)
        return Records(write, offsets, rows, large[~refused], np.flatnonzero(refused))

    def _records(self, table: pa.Table, route: Route) -> tuple[Write, npt.NDArray[np.int64]]:
        record = joined(self._destination.record(self._format.event, route), self._separator)
        kernels = engine(max(len(table), table.nbytes // _USUAL))
        if kernels is None:
            return _texts(self._evaluated(spelled(table), [record]).column(0))
        plan = RecordPlan.of(record)
        columns = {name: table.column(name) for name in plan.columns}
        if plan.evaluated:
            hashes = [field.name for field in table.schema if pa.types.is_fixed_size_binary(field.type)]
            found = self._evaluated(table.drop_columns(hashes), plan.evaluated)
            columns |= dict(zip(found.column_names, found.columns, strict=True))
        batch = pa.RecordBatch.from_arrays([_whole(column) for column in columns.values()], list(columns))
        written = kernels.records(batch, plan.parts)
        return written.write, written.offsets

    def _evaluated(self, table: pa.Table, expressions: Sequence[str]) -> pa.Table:
        """Return the values of SQL expressions, one column for each."""
        return pa.concat_tables([self._evaluated_at_once(part, expressions) for part in _slices(table)])

    def _evaluated_at_once(self, table: pa.Table, expressions: Sequence[str]) -> pa.Table:
        # Rows have to come back in their order. DuckDB keeps it, but not where it makes a join of something.
        rows = pa.array(np.arange(len(table)))
        numbered = table.append_column(_NUMBER, rows)
        batches = numbered.to_batches(max_chunksize=_BATCH_ROWS)
        self._db.register("events", pa.Table.from_batches(batches, numbered.schema))
        values = ", ".join(f"{expression} AS value_{number}" for number, expression in enumerate(expressions))
        query = f"SELECT {values}, {_NUMBER} FROM {self._format.source}"  # noqa: S608 - no text of an event is in it
        try:
            found: pa.Table = self._db.sql(query).to_arrow_table()
        except duckdb.OutOfMemoryException:
            raise SiemError(
                f"{self._destination.settings.name}: an event has too much text to be encoded in {_MEMORY_LIMIT} of"
                " memory; compiled kernels need less of it (LUMI_KERNELS must not be off, numba has to be installed)"
            ) from None
        finally:
            self._db.unregister("events")
        in_order = pa.concat_arrays([rows[:0], *found.column(_NUMBER).chunks]).equals(rows)
        found = found.drop_columns([_NUMBER])
        if not in_order or any(column.null_count for column in found.columns):
            raise SiemError(f"{self._destination.settings.name}: its records can't be made; this is a mistake of ours")
        return found


def _whole(column: "pa.ChunkedArray[Any]") -> "pa.Array[Any]":
    chunks: list[pa.Array[Any]] = column.chunks or [pa.array([], column.type)]
    return chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)


def _texts(column: "pa.ChunkedArray[Any]") -> tuple[Write, npt.NDArray[np.int64]]:
    """How to write texts (pa.string(), no nulls), and their offsets. They stay where they are, in several arrays."""
    lengths = np.asarray(pc.binary_length(column).to_numpy(), np.int64)

    def write(first: int, after: int, out: npt.NDArray[np.uint8]) -> None:
        at = 0
        for chunk in column.slice(first, after - first).chunks:
            _, places, content = chunk.buffers()
            offsets = np.frombuffer(memoryview(places or bytes(4)), np.int32)[chunk.offset :][: len(chunk) + 1]
            data = np.frombuffer(memoryview(content or b""), np.uint8)[offsets[0] : offsets[-1]]
            out[at : at + len(data)] = data
            at += len(data)

    return write, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


def spelled(events: pa.Table) -> pa.Table:
    """Return events as records are made of them: hashes and salts as text in lower-case hexadecimal.

    SQL could make that of them too, in a multiple of the time.
    """
    columns = {
        name: _hexadecimal(events.column(name)) if pa.types.is_fixed_size_binary(kind) else events.column(name)
        for name, kind in zip(events.column_names, events.schema.types, strict=True)
    }
    return pa.table(columns)


def _hexadecimal(column: "pa.ChunkedArray[Any]") -> "pa.Array[Any]":
    values = column.combine_chunks()
    width, start = column.type.byte_width, values.offset
    data = memoryview(values.buffers()[1] or b"")[start * width : (start + len(values)) * width]
    ends = np.arange(len(values) + 1, dtype=np.int64) * (2 * width)
    buffers = [None, pa.py_buffer(ends.tobytes()), pa.py_buffer(hexlify(data))]
    digits = pa.Array.from_buffers(pa.large_string(), len(values), buffers)
    return pc.if_else(values.is_valid(), digits, None) if values.null_count else digits


def _lengths(table: pa.Table) -> Iterator[npt.NDArray[np.int32]]:
    """Bytes of the texts of each column that has some; 0 for null."""
    for name in table.column_names:
        if pa.types.is_string(table.schema.field(name).type):
            yield np.asarray(pc.fill_null(pc.binary_length(table.column(name)), 0).to_numpy(), np.int32)


def _longer(table: pa.Table, limit: int) -> npt.NDArray[np.bool_]:
    """Which rows have a text of more bytes than that."""
    found = np.zeros(len(table), np.bool_)
    for lengths in _lengths(table):
        if lengths.max(initial=0) > limit:
            found |= lengths > limit
    return found


def _slices(table: pa.Table) -> Iterator[pa.Table]:
    """Cut a table so that no part of more than one row has more text than :data:`_SLICE`; see :data:`_LONG`."""
    if 4 * table.nbytes <= _SLICE:
        yield table
        return
    sizes = np.zeros(len(table), np.int64)
    for lengths in _lengths(table):
        sizes += lengths
    sizes += 3 * np.maximum(sizes - _LONG, 0)
    ends = np.cumsum(sizes)
    first = 0
    while first < len(table):
        after = int(np.searchsorted(ends, ends[first] - sizes[first] + _SLICE, side="right"))
        after = max(after, first + 1)
        yield table.slice(first, after - first)
        first = after


def _without_large(table: pa.Table, large: npt.NDArray[np.bool_]) -> pa.Table:
    """Take the large values out of some rows, and name them in ``omitted``."""
    names: list[list[str] | None] = [[] if chosen else None for chosen in large]
    for name in _LARGE:
        column = table.column(name)
        lengths = np.asarray(pc.fill_null(pc.binary_length(column), 0).to_numpy())
        taken = large & (lengths > _SMALL)
        for row in np.flatnonzero(taken):
            found = names[row]
            if found is not None:
                found.append(name)
        emptied = pc.if_else(pa.array(taken), pa.scalar(None, pa.string()), column)
        table = table.set_column(table.column_names.index(name), name, emptied)
    kept = [canonical_json([*sorted(found)]) if found else None for found in names]
    return table.set_column(table.column_names.index("omitted"), "omitted", pa.array(kept, _OMITTED))
