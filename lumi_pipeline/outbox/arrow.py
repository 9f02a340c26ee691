"""Rows of a database cursor as Arrow tables, in bounded chunks and without trusting what is stored.

A recorder writes well-formed rows only, but the pipeline reads whatever is there: a database administrator can write
past every constraint. Text arrives as bytes, so that damaged UTF-8 is found here and named, not met halfway.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from operator import itemgetter
from types import NoneType
from typing import Final, NoReturn, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.errors import OutboxTampered
from lumi_pipeline.events import EVENT_SCHEMA, MAX_MICROS, MIN_MICROS, NULLABLE_COLUMNS, TEXT_COLUMNS

Row: TypeAlias = tuple[object, ...]
"""One row in the order of :data:`ROW_COLUMNS`: text and binary as bytes, times as integer microseconds since 1970."""

Column: TypeAlias = "pa.Array[pa.Scalar[pa.DataType]]"
Field: TypeAlias = "pa.Field[pa.DataType]"

_TEXTS: Final = tuple(name for name in TEXT_COLUMNS if name != "tenant_id")
_FIXED: Final = tuple(name for name in EVENT_SCHEMA.names if name not in TEXT_COLUMNS)

ROW_COLUMNS: Final = (*_FIXED, *_TEXTS)
"""The columns of a row as :func:`event_tables` wants it: numbers and binary first, so that the texts are one slice, and
no tenant_id, which a query for one tenant's rows need not repeat."""

_FIXED_BYTES: Final = 216
"""What a row takes in Arrow besides the bytes of its texts: three times, seq, salt, three hashes, offsets, validity."""

_BLOCK_ROWS: Final = 1024
"""Rows turned into Arrow at once: as Python objects a row takes several times the room, and these fit a CPU's cache."""

_MEMORY: Final = pa.system_memory_pool()
"""Arrow's default pool (mimalloc) hands its pages back after each chunk and faults them in again for the next, which
took a quarter of the time of a landing."""

_row_texts = itemgetter(slice(len(_FIXED), None))
_not_null = partial(filter, None)


def event_tables(groups: Iterable[tuple[str, Sequence[Row]]], chunk_rows: int, chunk_bytes: int) -> Iterator[pa.Table]:
    """Cut (tenant_id, some of its rows) groups into tables of EVENT_SCHEMA, none empty, order kept.

    A table has at most ``chunk_rows`` rows and ``chunk_bytes`` bytes; a single row larger than that comes alone.
    Raises :class:`OutboxTampered`, naming tenant, seq and column, for a value that no recorder writes.
    """
    chunk = _Chunk(chunk_rows, chunk_bytes)
    for tenant_id, rows in groups:
        size = _size(tenant_id, rows)
        if chunk.has_room(len(rows), size):
            chunk.add(tenant_id, rows, size)
            continue
        for row in rows:
            size = _size(tenant_id, [row])
            if not chunk.has_room(1, size) and not chunk.is_empty:
                yield chunk.finish()
                chunk = _Chunk(chunk_rows, chunk_bytes)
            chunk.add(tenant_id, [row], size)
    if not chunk.is_empty:
        yield chunk.finish()


def checked_column(field: Field, values: Sequence[object]) -> Column | None:
    """Return a column's values as Arrow; None when one of them is of another kind, or null where none may be."""
    kind = field.type
    if (pa.types.is_int64(kind) or pa.types.is_timestamp(kind)) and not {int, NoneType}.issuperset(map(type, values)):
        return None
    try:
        column: Column = pa.array(values, pa.binary() if pa.types.is_string(kind) else kind, memory_pool=_MEMORY)
        if pa.types.is_string(kind):
            # Bytes taken as they are and then checked at once: half the time of checking each value by itself.
            column = column.view(pa.string())
            column.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return None
    if column.null_count and field.name not in NULLABLE_COLUMNS:
        return None
    if pa.types.is_timestamp(kind) and not _in_calendar(column):
        return None
    return column


def checked_table(rows: pa.RecordBatch, schema: pa.Schema, table: str) -> pa.Table:
    """Return rows that a database gave as Arrow in ``schema``, each column in one chunk.

    Raises :class:`OutboxTampered`, naming the first row in the way, for a value that no recorder writes. Every schema
    here begins with tenant_id; ``table`` is the database's table, for the message.
    """
    columns: list[Column] = []
    for index, field in enumerate(schema):
        column = _fitting(field, rows.column(index))
        if column is None:
            bad = next(i for i in range(len(rows)) if _fitting(field, rows.column(index).slice(i, 1)) is None)
            row = f"tenant {rows.column(0)[bad].as_py()}"
            if "seq" in schema.names:
                row += f", seq {rows.column(schema.get_field_index('seq'))[bad].as_py()}"
            raise OutboxTampered(
                f"{table} holds a value that no recorder writes: {row}, column {field.name} must be {describe(field)}."
                " Somebody wrote past the recorder; compare with a backup"
            )
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


def pieces(rows: pa.Table, max_rows: int, max_bytes: int) -> Iterator[pa.Table]:
    """Cut rows into tables of at most this many rows and bytes; a single row larger than that comes alone."""
    for start in range(0, len(rows), max_rows):
        piece = rows.slice(start, max_rows)
        if len(piece) > 1 and piece.nbytes > max_bytes:
            yield from pieces(piece, len(piece) // 2, max_bytes)
        else:
            yield piece


def describe(field: Field) -> str:
    """Return in words what a column may hold."""
    null = " or null" if field.name in NULLABLE_COLUMNS else ", not null"
    if pa.types.is_string(field.type):
        return f"UTF-8 text{null}"
    if pa.types.is_timestamp(field.type):
        return f"microseconds since 1970 within the years 0001 to 9999{null}"
    return f"{field.type.byte_width} bytes{null}" if pa.types.is_fixed_size_binary(field.type) else f"an integer{null}"


class _Chunk:
    """A table in the making: finished pieces of every column, and the rows that came since."""

    __slots__ = ("_bytes_left", "_pieces", "_rows", "_rows_left", "_tenants", "is_empty")

    def __init__(self, max_rows: int, max_bytes: int) -> None:
        self.is_empty = True
        self._rows_left = max_rows
        self._bytes_left = max_bytes
        self._pieces: list[list[Column]] = [[] for _ in EVENT_SCHEMA]
        self._rows: list[Row] = []
        self._tenants: list[str] = []

    def has_room(self, rows: int, size: int) -> bool:
        return rows <= self._rows_left and size <= self._bytes_left

    def add(self, tenant_id: str, rows: Sequence[Row], size: int) -> None:
        self.is_empty = False
        self._rows_left -= len(rows)
        self._bytes_left -= size
        self._rows.extend(rows)
        self._tenants.extend([tenant_id] * len(rows))
        if len(self._rows) >= _BLOCK_ROWS:
            self._convert()

    def finish(self) -> pa.Table:
        if self._rows:
            self._convert()
        columns: list[Column] = []
        for pieces in self._pieces:
            columns.append(pa.concat_arrays(pieces, memory_pool=_MEMORY))
            # What one column no longer needs, the next can use: the table never takes twice its size.
            pieces.clear()
        return pa.Table.from_arrays(columns, schema=EVENT_SCHEMA)

    def _convert(self) -> None:
        values: dict[str, Sequence[object]] = dict(zip(ROW_COLUMNS, zip(*self._rows, strict=True), strict=True))
        values["tenant_id"] = self._tenants
        for field, pieces in zip(EVENT_SCHEMA, self._pieces, strict=True):
            column = checked_column(field, values[field.name])
            if column is None:
                _blame(field, self._tenants, values["seq"], values[field.name])
            pieces.append(column)
        self._rows = []
        self._tenants = []


def _size(tenant_id: str, rows: Sequence[Row]) -> int:
    """Return what the rows take in Arrow, in bytes."""
    fixed = (_FIXED_BYTES + len(tenant_id)) * len(rows)
    try:
        return fixed + len(b"".join(_not_null(chain.from_iterable(map(_row_texts, rows)))))
    except TypeError:
        # A number where text belongs. Any size will do: the conversion finds the value and refuses it.
        return fixed


def _fitting(field: Field, column: Column) -> Column | None:
    """Return a column of the field's type; None when one of its values cannot be that, or is null where none may be."""
    if column.type != field.type:
        try:
            column = column.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return None
    if column.null_count and field.name not in NULLABLE_COLUMNS:
        return None
    if pa.types.is_timestamp(field.type) and not _in_calendar(column):
        return None
    return column


def _in_calendar(times: Column) -> bool:
    """Tell whether all times lie in the years 0001 to 9999, the ones that have a text form."""
    micros = times.view(pa.int64())
    first, last = pc.min(micros).as_py(), pc.max(micros).as_py()
    return first is None or last is None or (first >= MIN_MICROS and last <= MAX_MICROS)


def _blame(field: Field, tenants: Sequence[str], seqs: Sequence[object], values: Sequence[object]) -> NoReturn:
    """Name the first value that makes the column unusable."""
    for tenant_id, seq, value in zip(tenants, seqs, values, strict=True):
        if checked_column(field, [value]) is None:
            raise OutboxTampered(
                f"audit_outbox holds a value that no recorder writes: tenant {tenant_id}, seq {seq!r}, column"
                f" {field.name} must be {describe(field)}. Somebody wrote past the recorder; compare with a backup"
            )
    raise AssertionError(f"column {field.name} is refused as a whole, but no value of it alone")
