"""From events to records: columns in, JSON lines out, without a Python object for a row.

A destination gives an SQL expression over the event columns (sqltext.py, native.py, ocsf.py), and DuckDB evaluates it.
Values that are too large for a destination are taken out first, and the record says which; what is too large even so
is refused, and told.
"""

from binascii import hexlify
from dataclasses import dataclass
from typing import Any, Final, Self

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.errors import SiemError
from lumi_pipeline.siem.destination import Destination
from lumi_pipeline.siem.native import NATIVE
from lumi_pipeline.siem.ocsf import OCSF
from lumi_pipeline.siem.packing import SEPARATORS, record_starts
from lumi_pipeline.siem.settings import Route
from lumi_pipeline.siem.sqltext import joined, quoted

_LARGE: Final = ("after_state", "before_state", "user_agent", "actor_name", "request_id", "ip")
"""What may be left out: the payload's texts, which are optional."""

_SMALL: Final = 256
"""Bytes; what is not longer is kept, as leaving it out would gain nothing."""

_BATCH_ROWS: Final = 8192
"""DuckDB's threads share out whole record batches: rows that come in one keep one busy."""

_OMITTED: Final = pa.list_(pa.string())


@dataclass(frozen=True, slots=True)
class Records:
    """Encoded events. Record i is ``data[offsets[i]:offsets[i + 1]]``: JSON text in UTF-8, then the separator.

    ``rows`` are the indices of its events in the table that was encoded, in order; ``omitted`` tells which lack values
    that the table has; ``refused`` are the indices of events that no record could be made for.
    """

    data: memoryview
    offsets: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    omitted: npt.NDArray[np.bool_]
    refused: npt.NDArray[np.int64]


_FORMATS: Final = {"native": NATIVE, "ocsf": OCSF}


class Encoder:
    """Encodes for one destination. Use as a context manager."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._db = duckdb.connect()
        self._db.execute("SET TimeZone = 'UTC'")
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
        self._db.close()

    def encode(self, events: pa.Table, route: Route) -> Records:
        """Encode events (EVENT_SCHEMA) that take this route."""
        limits = self._destination.limits
        fields = limits.field_bytes or limits.record_bytes
        table = events.append_column("omitted", pa.nulls(len(events), _OMITTED))
        large = _longest(events) > fields
        data, offsets = self._records(table, route)
        large |= np.diff(offsets) > self._largest
        if not large.any():
            every = np.arange(len(events), dtype=np.int64)
            return Records(data, offsets, every, np.zeros(len(events), np.bool_), np.empty(0, np.int64))
        return self._reduced(table, route, large)

    def _reduced(self, table: pa.Table, route: Route, large: npt.NDArray[np.bool_]) -> Records:
        """Encode again without the large values of the large events; leave out those that are too large even so."""
        limits = self._destination.limits
        data, offsets = self._records(_without_large(table, large), route)
        longest = _longest(table.select([name for name in table.column_names if name not in {*_LARGE, "omitted"}]))
        refused = np.diff(offsets) > self._largest
        if limits.field_bytes is not None:
            refused |= longest > limits.field_bytes
        if refused.any():
            kept = table.filter(pa.array(~refused))
            data, offsets = self._records(_without_large(kept, large[~refused]), route)
        rows = np.flatnonzero(~refused)
        return Records(data, offsets, rows, large[~refused], np.flatnonzero(refused))

    def _records(self, table: pa.Table, route: Route) -> tuple[memoryview, npt.NDArray[np.int64]]:
        record = joined(self._destination.record(self._format.event, route), self._separator)
        self._db.register("events", spelled(table))
        query = f"SELECT {record} AS record FROM {self._format.source}"  # noqa: S608 - no text of an event is in it
        try:
            column = self._db.sql(query).to_arrow_table().column(0)
        finally:
            self._db.unregister("events")
        array = column.cast(pa.large_string()).combine_chunks()
        if array.null_count or len(array) != len(table):
            raise SiemError(f"{self._destination.settings.name}: its records can't be made; this is a mistake of ours")
        _, positions, content = array.buffers()
        offsets = np.frombuffer(positions, np.int64)[array.offset : array.offset + len(array) + 1]
        return memoryview(content or b""), offsets


def spelled(events: pa.Table) -> pa.Table:
    """Return events as records are made of them: hashes and salts as text in lower-case hexadecimal.

    SQL could make that of them too, in a multiple of the time.
    """
    columns = {
        name: _hexadecimal(events.column(name)) if pa.types.is_fixed_size_binary(kind) else events.column(name)
        for name, kind in zip(events.column_names, events.schema.types, strict=True)
    }
    table = pa.table(columns)
    return pa.Table.from_batches(table.to_batches(max_chunksize=_BATCH_ROWS), table.schema)


def _hexadecimal(column: "pa.ChunkedArray[Any]") -> "pa.Array[Any]":
    values = column.combine_chunks()
    width, start = column.type.byte_width, values.offset
    data = memoryview(values.buffers()[1] or b"")[start * width : (start + len(values)) * width]
    ends = np.arange(len(values) + 1, dtype=np.int64) * (2 * width)
    buffers = [None, pa.py_buffer(ends.tobytes()), pa.py_buffer(hexlify(data))]
    digits = pa.Array.from_buffers(pa.large_string(), len(values), buffers)
    return pc.if_else(values.is_valid(), digits, None) if values.null_count else digits


def _longest(table: pa.Table) -> npt.NDArray[np.int64]:
    """Bytes of each row's longest text."""
    longest = np.zeros(len(table), np.int64)
    for name in table.column_names:
        if pa.types.is_string(table.schema.field(name).type):
            lengths = pc.fill_null(pc.binary_length(table.column(name)), 0)
            np.maximum(longest, np.asarray(lengths.to_numpy(), np.int64), out=longest)
    return longest


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
    kept = [sorted(found) if found else None for found in names]
    return table.set_column(table.column_names.index("omitted"), "omitted", pa.array(kept, _OMITTED))
