"""Events as records of ``events.csv`` (docs/formats.md section 9): columns in, lines out, no Python object a row.

RFC 4180. A null is an empty cell, an empty text ``""``; what a spreadsheet might take for a formula gets a ``'`` in
front. Compiled kernels write the lines (kernels/csvlines.py); DuckDB where they aren't worth loading or can't be had.
Nothing of an event is ever part of an SQL statement.
"""

from collections.abc import Iterator
from typing import Final, Self

import duckdb
import numpy as np
import pyarrow as pa

from lumi_pipeline.errors import EvidenceError
from lumi_pipeline.events import COLUMNS, EVENT_SCHEMA, TEXT_COLUMNS
from lumi_pipeline.kernels.engine import engine
from lumi_pipeline.wording import FORMULA_STARTS

HEADER: Final = f"{','.join(COLUMNS)}\r\n".encode()

_BATCH_ROWS: Final = 8192
"""DuckDB's threads share out whole record batches."""

_QUERY_ROWS: Final = 4096
"""What one query of DuckDB counts for, however few its rows are: some eight of them take as long as loading kernels."""


def _cell(column: str) -> str:
    kind = EVENT_SCHEMA.field(column).type
    if column in TEXT_COLUMNS:
        # Not IN: of a list that long DuckDB makes a join, which does not keep the order of rows.
        starts = " || ".join(f"chr({ord(character)})" for character in FORMULA_STARTS)
        marked = f"{column} <> '' AND contains({starts}, {column}[1])"
        defused = f"CASE WHEN {marked} THEN chr(39) || {column} ELSE {column} END"
        quoted = f"""concat('"', replace({defused}, '"', '""'), '"')"""
        # A carriage return or line feed inside, a comma or a quote; and the empty text, which is no null.
        apart = f"""{column} = '' OR contains({column}, ',') OR contains({column}, '"')"""
        apart += f" OR contains({column}, chr(13)) OR contains({column}, chr(10))"
        return f"CASE WHEN {column} IS NULL THEN '' WHEN {apart} THEN {quoted} ELSE {defused} END"
    if pa.types.is_timestamp(kind):
        return f"coalesce(strftime(make_timestamp(epoch_us({column})), '%Y-%m-%dT%H:%M:%S.%fZ'), '')"
    return f"coalesce(lower(hex({column})), '')" if pa.types.is_fixed_size_binary(kind) else f"{column}::VARCHAR"


_LINE: Final = f"concat({', chr(44), '.join(map(_cell, COLUMNS))}, chr(13), chr(10))"


class LineWriter:
    """Turns tables of events into CSV. Use as a context manager."""

    def __init__(self) -> None:
        self._db = duckdb.connect()
        self._db.execute("SET TimeZone = 'UTC'")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def lines(self, events: pa.Table) -> Iterator[memoryview]:
        """Yield the lines of events (``EVENT_SCHEMA``), one after the other, many at a time."""
        if not len(events):
            return
        kernels = engine(max(len(events), _QUERY_ROWS))
        if kernels is None:
            yield self._by_duckdb(events)
        else:
            yield from kernels.lines(events.select(list(COLUMNS)))

    def _by_duckdb(self, events: pa.Table) -> memoryview:
        rows = pa.array(np.arange(len(events)))
        numbered = events.append_column("row_number", rows)
        batches = numbered.to_batches(max_chunksize=_BATCH_ROWS)
        self._db.register("events", pa.Table.from_batches(batches, numbered.schema))
        try:
            made = self._db.sql(f"SELECT {_LINE}, row_number FROM events").to_arrow_table()  # noqa: S608 - constants
        finally:
            self._db.unregister("events")
        column = made.column(0)
        if column.null_count or not made.column(1).combine_chunks().equals(rows):
            raise EvidenceError("lines of events.csv can't be made; this is a mistake of ours")
        array = column.cast(pa.large_string()).combine_chunks()
        _, offsets, content = array.buffers()
        if array.offset or offsets is None:
            raise EvidenceError("lines of events.csv are not where they should be; this is a mistake of ours")
        ends = memoryview(offsets).cast("q")
        return memoryview(content or b"")[ends[0] : ends[len(array)]]
