"""Reading ``events.csv`` of any size in blocks, as tables of events (docs/formats.md section 9).

Large files go through compiled loops, which take what is beyond doubt. Whatever they or the checks of whole columns
doubt is read once more record by record (csvform.py): that reader decides, and knows why.
"""

from collections.abc import Generator, Iterator
from typing import Any, Final, Protocol, TypeAlias

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

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read at most as many bytes as the buffer has, none at the end; return how many they are."""
        ...


BLOCK: Final = 8 << 20
"""Bytes that are read at a time."""

Bytes: TypeAlias = npt.NDArray[np.uint8]

SLACK: Final = 64
"""Bytes behind a block that kernels may read, whatever they are (kernels/csvmarks.py)."""

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
    data = np.empty(block + SLACK, np.uint8)
    filled, begun = 0, False
    while True:
        if filled + block + SLACK > len(data):  # the last record goes on: more room each time, up to its limit
            data = np.concatenate([data[:filled], np.empty(filled + block + SLACK, np.uint8)])
        read = file.readinto(data[filled : filled + block].data) or 0
        filled += read
        start = 0
        if not begun:
            after = read_header(data[:filled].tobytes(), final=not read)
            if after is None:
                continue
            start, begun = after, True
        at = yield from reader.take(data, start, filled, final=not read)
        if not read:
            return
        data[: filled - at] = data[at:filled]
        filled -= at


class _Reader:
    """Takes blocks, one after the other. What it works in stays allocated: new memory costs more than filling it."""

    def __init__(self, engine: Engine | None) -> None:
        self._engine = engine
        self._marks = np.empty(0, np.int32)
        self._places = np.empty((2, 0), np.int32)
        self._kinds = np.empty(0, np.uint8)
        self.records = 0

    def take(self, data: Bytes, at: int, end: int, *, final: bool) -> Generator[pa.Table, None, int]:
        """Yield the records that are whole, from place ``at`` on; return where the first byte behind them is.

        There are ``SLACK`` bytes at least behind ``end``.
        """
        while self._engine is not None:
            table, size = self._fast(self._engine, data[at:], end - at)
            if table is None:
                break
            self.records += len(table)
            at += size
            yield table
        rest = yield from self._slow(data[at:end].tobytes(), final=final)
        return at + rest

    def _slow(self, data: bytes, *, final: bool) -> Generator[pa.Table, None, int]:
        rows: list[Row] = []
        fault = None
        at = 0
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

    def _fast(self, engine: Engine, data: Bytes, size: int) -> tuple[pa.Table | None, int]:
        """Return as many records as are beyond doubt, and how many bytes they take; None if that is none."""
        room = (size // _TYPICAL_RECORD + 1) * _WIDTH
        if len(self._marks) < size:
            self._marks = np.empty(size, np.int32)
            self._places, self._kinds = np.empty((2, room), np.int32), np.empty(room, np.uint8)
        address = data.ctypes.data
        found, good = engine.marks.find_marks(address, size, self._marks)
        starts, sizes, kinds = self._places[0, :room], self._places[1, :room], self._kinds[:room]
        records, end = engine.cells.split(address, self._marks, found, good, _WIDTH, starts, sizes, kinds)
        if not records:
            return None, 0
        cells = _Cells(engine, data, starts, sizes, kinds.reshape(-1, _WIDTH)[:records], records)
        return cells.table(), end


class _Cells:
    """The cells of some records, as places in a block."""

    def __init__(  # noqa: PLR0917 - what the compiled loop found
        self,
        engine: Engine,
        data: Bytes,
        starts: npt.NDArray[np.int32],
        sizes: npt.NDArray[np.int32],
        kinds: Bytes,
        records: int,
    ) -> None:
        self._engine = engine
        self._cells = engine.cells
        self._data = data.ctypes.data
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
        where = self._data, self._starts, self._sizes, _EVENT_ID, _WIDTH, self._records
        return not (kinds == self._cells.ESCAPED).any() and bool(
            self._cells.are_uuids(*where, np.empty(self._cells.UUID_ROOM, np.uint8))
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
