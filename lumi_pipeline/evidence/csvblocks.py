"""Reading ``events.csv`` of any size in blocks, as tables of events (docs/formats.md section 9).

Large files go through compiled loops, which take what is beyond doubt. Whatever they or the checks of whole columns
doubt is read once more record by record (csvform.py): that reader decides, and knows why.
"""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.events import (
    ACTION_SYNTAX,
    ACTOR_TYPES,
    COLUMNS,
    EVENT_ID_SYNTAX,
    EVENT_SCHEMA,
    MAX_EVENT_BYTES,
    MAX_TEXT_BYTES,
    NULLABLE_COLUMNS,
    OUTCOMES,
    TENANT_ID_SYNTAX,
    TEXT_COLUMNS,
)
from lumi_pipeline.evidence.csvform import CsvFault, Row, read_header, read_record, read_row
from lumi_pipeline.kernels.engine import WORTH_LOADING, engine

if TYPE_CHECKING:
    from types import ModuleType


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
_SYNTAX: Final = {"tenant_id": TENANT_ID_SYNTAX, "event_id": EVENT_ID_SYNTAX, "action": ACTION_SYNTAX}
_CHOICES: Final = {"outcome": OUTCOMES, "actor_type": ACTOR_TYPES}
_WIDTH: Final = len(COLUMNS)
_TEXTS: Final = np.array([number for number, name in enumerate(COLUMNS) if name in TEXT_COLUMNS], np.int64)
_REQUIRED: Final = [number for number, name in enumerate(COLUMNS) if name not in NULLABLE_COLUMNS]


def read_events(file: Readable, size: int, *, block: int = BLOCK, compiled: bool | None = None) -> Iterator[pa.Table]:
    """Yield the events of a file as tables (``EVENT_SCHEMA``); :class:`CsvFault` at the first record not in form.

    ``compiled`` says whether compiled loops are used where they can be had; None leaves it to the file's ``size``.
    """
    wanted = size >= _COMPILED_FROM if compiled is None else compiled
    kernels = engine(WORTH_LOADING) if wanted else None
    reader = _Reader(kernels.cells if kernels else None)
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
    def __init__(self, cells: "ModuleType | None") -> None:
        self._cells = cells
        self.records = 0

    def take(self, data: bytes, *, final: bool) -> Generator[pa.Table, None, int]:
        """Yield the records that are whole; return (as a generator does) where the first byte behind them is."""
        at = 0
        while self._cells is not None:
            table, size = self._fast(self._cells, data, at)
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

    def _fast(self, cells: "ModuleType", data: bytes, at: int) -> tuple[pa.Table | None, int]:
        """Return as many records as are beyond doubt, and how many bytes they take; None if that is none."""
        array = np.frombuffer(data, np.uint8)[at:]
        room = (len(array) // _TYPICAL_RECORD + 1) * _WIDTH
        starts, sizes, kinds = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.uint8)
        records, end = cells.split(array, _WIDTH, starts, sizes, kinds)
        if not records or not array[:end].all():
            return None, 0
        found = _Cells(cells, array, starts, sizes, kinds.reshape(-1, _WIDTH)[:records], records)
        table = found.table()
        return table, end


class _Cells:
    """The cells of some records, as places in a block."""

    def __init__(  # noqa: PLR0917 - what the compiled loop found
        self,
        cells: "ModuleType",
        data: npt.NDArray[np.uint8],
        starts: npt.NDArray[np.int64],
        sizes: npt.NDArray[np.int64],
        kinds: npt.NDArray[np.uint8],
        records: int,
    ) -> None:
        self._cells = cells
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
        texts = self._texts(nulls)
        if texts is None:
            return None
        columns: list[pa.Array[Any]] = []
        for number, name in enumerate(COLUMNS):
            column = texts[name] if name in texts else self._value(number, name, nulls[:, number])
            if column is None:
                return None
            columns.append(column)
        table = pa.Table.from_arrays(columns, schema=EVENT_SCHEMA)
        return table if _within_limits(table) else None

    def _texts(self, nulls: npt.NDArray[np.bool_]) -> "dict[str, pa.Array[Any]] | None":
        """Copy the texts of all columns together, so that bytes are fetched once; None if they are not UTF-8."""
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
                return None
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


def _within_limits(table: pa.Table) -> bool:
    """Whether every column of text has its syntax and no text or event is too large."""
    for name, syntax in _SYNTAX.items():
        matches = pc.call_function(
            "match_substring_regex", [table.column(name)], pc.MatchSubstringOptions(f"^(?:{syntax.pattern})$")
        )
        if not pc.all(matches).as_py():
            return False
    for name, choices in _CHOICES.items():
        if not pc.all(pc.is_in(table.column(name), pa.array(choices, pa.string()))).as_py():
            return False
    total = np.zeros(len(table), np.int64)
    for name in TEXT_COLUMNS:
        lengths = np.asarray(pc.fill_null(pc.binary_length(table.column(name)), 0).to_numpy(), np.int64)
        if lengths.max(initial=0) > MAX_TEXT_BYTES:
            return False
        total += lengths
    return int(total.max(initial=0)) <= MAX_EVENT_BYTES
