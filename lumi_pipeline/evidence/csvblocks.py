"""Reading ``events.csv`` of any size in blocks, as tables of events (docs/formats.md section 9).

Large files go through compiled loops, which take what is beyond doubt. Whatever they or the checks of whole columns
doubt is read once more record by record (csvform.py): that reader decides, and knows why.
"""

from collections.abc import Generator, Iterator
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lumi_pipeline.events import (
    ACTION_SYNTAX,
    ACTOR_TYPES,
    COLUMNS,
    EVENT_SCHEMA,
    MAX_EVENT_BYTES,
    MAX_TEXT_BYTES,
    NULLABLE_COLUMNS,
    OUTCOMES,
    TENANT_ID_SYNTAX,
    TEXT_COLUMNS,
)
from lumi_pipeline.evidence.csvform import CsvFault, Row, read_header, read_record, read_row
from lumi_pipeline.kernels.engine import WORTH_LOADING, Engine, engine


class Readable(Protocol):
    """What can be read from beginning to end."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes, none at the end."""
        ...


BLOCK: Final = 8 << 20
"""Bytes that are read at a time."""

_COMPILED_FROM: Final = 8 << 20
"""Bytes of a file from which on compiled loops are worth loading."""

_TYPICAL_RECORD: Final = 256
_SLOW_ROWS: Final = 8192
_SYNTAX: Final = {"tenant_id": TENANT_ID_SYNTAX, "action": ACTION_SYNTAX}
_CHOICES: Final = {"outcome": OUTCOMES, "actor_type": ACTOR_TYPES}
_WIDTH: Final = len(COLUMNS)
_TEXTS: Final = np.array([number for number, name in enumerate(COLUMNS) if name in TEXT_COLUMNS], np.int64)
_VALUES: Final = [number for number, name in enumerate(COLUMNS) if name not in TEXT_COLUMNS]
_EVENT_ID: Final = COLUMNS.index("event_id")
_REQUIRED: Final = [number for number, name in enumerate(COLUMNS) if name not in NULLABLE_COLUMNS]


def read_events(file: Readable, size: int, *, block: int = BLOCK, compiled: bool | None = None) -> Iterator[pa.Table]:
    """Yield the events of a file as tables (``EVENT_SCHEMA``); :class:`CsvFault` at the first record not in form.

    ``compiled`` says whether compiled loops are used where they can be had; None leaves it to the file's ``size``.
    """
    wanted = size >= _COMPILED_FROM if compiled is None else compiled
    kernels = engine(WORTH_LOADING) if wanted else None
    reader = _Reader(kernels)
    data, begun = b"", False
    while True:
        read = file.read(block)
        data += read
        final = not read
        if not begun:
            start = read_header(data, final=final)
            if start is None:
                continue
            data, begun = data[start:], True
        data = data[(yield from reader.take(data, final=final)) :]
        if final:
            return


class _Reader:
    def __init__(self, engine: Engine | None) -> None:
        self._engine = engine
        self.records = 0

    def take(self, data: bytes, *, final: bool) -> Generator[pa.Table, None, int]:
        """Yield the records that are whole; return (as a generator does) where the first byte behind them is."""
        at = 0
        while self._engine is not None:
            table, size = self._fast(self._engine, np.frombuffer(data, np.uint8)[at:])
            if table is None:
                break
            self.records += len(table)
            at += size
            yield table
        return (yield from self._slow(data, at, final=final))

    def _slow(self, data: bytes, at: int, *, final: bool) -> Generator[pa.Table, None, int]:
        rows: list[Row] = []
        fault = None
        while at < len(data):
            try:
                found = read_record(data, at, self.records + 1, final=final)
                if found is None:
                    break
                rows.append(read_row(found[0], self.records + 1))
            except CsvFault as error:
                fault = error
                break
            self.records += 1
            at = found[1]
            if len(rows) == _SLOW_ROWS:
                yield pa.Table.from_pylist(rows, EVENT_SCHEMA)
                rows = []
        if rows:
            yield pa.Table.from_pylist(rows, EVENT_SCHEMA)
        if fault is not None:
            raise fault
        return at

    def _fast(self, engine: Engine, data: npt.NDArray[np.uint8]) -> tuple[pa.Table | None, int]:
        """Return as many records as are beyond doubt, and how many bytes they take; None if that is none."""
        marks = np.empty(len(data), np.uint8)
        engine.cells.mark(data, marks)
        room = (len(data) // _TYPICAL_RECORD + 1) * _WIDTH
        starts, sizes, kinds = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.uint8)
        marked = np.flatnonzero(marks.view(np.bool_))
        records, end = engine.cells.split(data, marked, _WIDTH, starts, sizes, kinds)
        if not records:
            return None, 0
        cells = _Cells(engine, data, starts, sizes, kinds.reshape(-1, _WIDTH)[:records], records)
        return cells.table(), end


class _Cells:
    """The cells of some records, as places in a block."""

    def __init__(  # noqa: PLR0917 - what the compiled loop found
        self,
        engine: Engine,
        data: npt.NDArray[np.uint8],
        starts: npt.NDArray[np.int64],
        sizes: npt.NDArray[np.int64],
        kinds: npt.NDArray[np.uint8],
        records: int,
    ) -> None:
        self._engine = engine
        self._cells = engine.cells
        self._data = data
        self._starts = starts
        self._sizes = sizes
        self._kinds = kinds
        self._records = records

    def table(self) -> pa.Table | None:
        """Return them as events, or None if any value is in doubt."""
        nulls = self._kinds == self._cells.NULL
        if nulls[:, _REQUIRED].any():
            return None
        found: dict[str, pa.Array[Any] | None] = {}

        def read(number: int) -> None:
            """Read a column that is no text; of number -1, all that are."""
            if number < 0:
                found.update(self._texts(nulls))
            else:
                found[COLUMNS[number]] = self._value(number, COLUMNS[number], nulls[:, number])

        self._engine.share(read, [-1, *_VALUES])
        columns = [column for name in COLUMNS if (column := found.get(name)) is not None]
        if len(columns) < _WIDTH:
            return None
        table = pa.Table.from_arrays(columns, schema=EVENT_SCHEMA)
        return table if self._have_syntax(table) else None

    def _have_syntax(self, table: pa.Table) -> bool:
        """Whether every column of text has its syntax and no text or event is too large."""
        sizes = self._sizes[: self._records * _WIDTH].reshape(-1, _WIDTH)[:, _TEXTS]
        if sizes.max() > MAX_TEXT_BYTES or sizes.sum(axis=1).max() > MAX_EVENT_BYTES:
            return False
        for name, syntax in _SYNTAX.items():
            if not all(syntax.fullmatch(str(text)) for text in table.column(name).unique().to_pylist()):
                return False
        for name, choices in _CHOICES.items():
            if not set(table.column(name).unique().to_pylist()) <= set(choices):
                return False
        kinds = self._kinds[:, _EVENT_ID]
        return not (kinds == self._cells.ESCAPED).any() and bool(
            self._cells.are_uuids(self._data, self._starts, self._sizes, _EVENT_ID, _WIDTH, self._records)
        )

    def _texts(self, nulls: npt.NDArray[np.bool_]) -> "dict[str, pa.Array[Any]]":
        """Copy the texts of all columns together, so that bytes are fetched once; without those that are not UTF-8."""
        sizes = self._sizes[: self._records * _WIDTH].reshape(-1, _WIDTH)[:, _TEXTS]
        offsets = np.zeros((len(_TEXTS), self._records + 1), np.int32)
        np.cumsum(sizes.T, axis=1, out=offsets[:, 1:])
        ends = np.cumsum(offsets[:, -1], dtype=np.int64)
        begins = ends - offsets[:, -1]
        out = np.empty(int(ends[-1]), np.uint8)
        self._cells.gather(self._data, self._starts, self._sizes, self._kinds, _TEXTS, begins.copy(), out)
        content = pa.py_buffer(out.data)
        found = {}
        for place, (number, begin) in enumerate(zip(_TEXTS, begins, strict=True)):
            text = content.slice(int(begin), int(offsets[place, -1]))
            buffers = [_validity(nulls[:, number]), pa.py_buffer(offsets[place].data), text]
            array = pa.Array.from_buffers(pa.string(), self._records, buffers)
            try:
                array.validate(full=True)
            except pa.ArrowInvalid:  # not UTF-8
                continue
            found[COLUMNS[number]] = array
        return found

    def _value(self, number: int, name: str, nulls: npt.NDArray[np.bool_]) -> "pa.Array[Any] | None":
        kinds = self._kinds[:, number]
        empty = self._sizes[number : self._records * _WIDTH : _WIDTH] == 0
        if (kinds == self._cells.ESCAPED).any() or (empty & ~nulls).any():
            return None
        kind = EVENT_SCHEMA.field(name).type
        where = self._data, self._starts, self._sizes, number, _WIDTH
        if pa.types.is_fixed_size_binary(kind):
            digests = np.zeros((self._records, kind.byte_width), np.uint8)
            if not self._cells.read_hex(*where, digests):
                return None
            return pa.Array.from_buffers(
                kind, self._records, [_validity(nulls), pa.py_buffer(digests.reshape(-1).data)]
            )
        values = np.empty(self._records, np.int64)
        read = self._cells.read_numbers if name == "seq" else self._cells.read_times
        if not read(*where, values):
            return None
        return pa.Array.from_buffers(kind, self._records, [_validity(nulls), pa.py_buffer(values.data)])


def _validity(nulls: npt.NDArray[np.bool_]) -> pa.Buffer | None:
    return pa.py_buffer(np.packbits(~nulls, bitorder="little").data) if nulls.any() else None
