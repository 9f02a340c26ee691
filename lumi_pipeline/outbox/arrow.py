"""Rows of a database cursor as Arrow tables, in bounded chunks and without trusting what is stored.

A recorder writes well-formed rows only, but the pipeline reads whatever is there: a database administrator can write
past every constraint. Text arrives as bytes, so that damaged UTF-8 is found and named here instead of being met halfway.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from operator import itemgetter
from typing import Final, NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.errors import OutboxTampered
from lumi_pipeline.events import EVENT_SCHEMA, MAX_MICROS, MIN_MICROS, NULLABLE_COLUMNS, TEXT_COLUMNS

Row = tuple[object, ...]
"""The values of some columns of one row: text and binary as bytes, times as integer microseconds since 1970."""

_TEXTS: Final = tuple(name for name in TEXT_COLUMNS if name != "tenant_id")
_FIXED: Final = tuple(name for name in EVENT_SCHEMA.names if name not in TEXT_COLUMNS)

ROW_COLUMNS: Final = (*_FIXED, *_TEXTS)
"""The order in which :func:`event_tables` wants a row: numbers and binary first, so that the texts are one slice. The
tenant is not among them; a query for one tenant's rows need not repeat it."""

_SEQ: Final = ROW_COLUMNS.index("seq")
_FIXED_BYTES: Final = 216
"""What a row takes in Arrow besides the bytes of its texts: three times, seq, salt, three hashes, offsets, validity."""

_BLOCK_ROWS: Final = 4096
"""Rows turned into Arrow at once. As Python objects a row takes several times its size in Arrow, so few wait."""

_row_texts = itemgetter(slice(len(_FIXED), None))
_not_null = partial(filter, None)


def event_tables(groups: Iterable[tuple[str, Sequence[Row]]], chunk_rows: int, chunk_bytes: int) -> Iterator[pa.Table]:
    """Cut (tenant_id, some of its rows) groups into tables of EVENT_SCHEMA, none empty, order kept.

    A table has at most ``chunk_rows`` rows and ``chunk_bytes`` bytes; a single row larger than that comes alone.
    Raises :class:`OutboxTampered`, naming tenant, seq and column, for a value that no recorder writes.
    """
    chunk = _Chunk()
    for tenant_id, group in groups:
        rows = group
        sizes = _sizes(tenant_id, rows)
        while rows:
            fitting = _fitting(sizes, chunk_rows - chunk.rows, chunk_bytes - chunk.bytes)
            if fitting == 0 and chunk.rows == 0:
                fitting = 1
            chunk.add(tenant_id, rows[:fitting], sum(sizes[:fitting]))
            if fitting < len(rows):
                yield chunk.finish()
                chunk = _Chunk()
            rows, sizes = rows[fitting:], sizes[fitting:]
    if chunk.rows:
        yield chunk.finish()


def checked_column(name: str, kind: pa.DataType, values: Sequence[object]) -> pa.Array | None:
    """Return a column's values as Arrow; None when one of them is not of that kind, or null where none may be."""
    storage = pa.int64() if pa.types.is_timestamp(kind) else kind
    if storage == pa.int64() and not {int, type(None)}.issuperset(map(type, values)):
        return None
    try:
        column = pa.array(values, storage)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return None
    if column.null_count and name not in NULLABLE_COLUMNS:
        return None
    if storage == kind:
        return column
    return column.view(kind) if _in_calendar(column) else None


class _Chunk:
    """A table in the making: finished batches, and the rows since the last one."""

    __slots__ = ("_batches", "_rows", "_tenants", "bytes", "rows")

    def __init__(self) -> None:
        self.rows = 0
        self.bytes = 0
        self._batches: list[pa.RecordBatch] = []
        self._rows: list[Row] = []
        self._tenants: list[str] = []

    def add(self, tenant_id: str, rows: Sequence[Row], size: int) -> None:
        self.rows += len(rows)
        self.bytes += size
        self._rows.extend(rows)
        self._tenants.extend([tenant_id] * len(rows))
        if len(self._rows) >= _BLOCK_ROWS:
            self._convert()

    def finish(self) -> pa.Table:
        if self._rows:
            self._convert()
        return pa.Table.from_batches(self._batches).combine_chunks()

    def _convert(self) -> None:
        values: dict[str, Sequence[object]] = dict(zip(ROW_COLUMNS, zip(*self._rows, strict=True), strict=True))
        values["tenant_id"] = self._tenants
        columns: list[pa.Array] = []
        for field in EVENT_SCHEMA:
            column = checked_column(field.name, field.type, values[field.name])
            if column is None:
                _blame(field, self._tenants, values["seq"], values[field.name])
            columns.append(column)
        self._batches.append(pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA))
        self._rows = []
        self._tenants = []


def _sizes(tenant_id: str, rows: Sequence[Row]) -> list[int]:
    """Return each row's size in Arrow, in bytes."""
    fixed = _FIXED_BYTES + len(tenant_id)
    try:
        return [fixed + size for size in map(len, map(b"".join, map(_not_null, map(_row_texts, rows))))]
    except TypeError:
        # A number where text belongs. Any size will do: the conversion finds the value and refuses it.
        return [fixed] * len(rows)


def _fitting(sizes: Sequence[int], max_rows: int, max_bytes: int) -> int:
    """Return how many rows from the front stay within both limits."""
    if len(sizes) <= max_rows and sum(sizes) <= max_bytes:
        return len(sizes)
    return sum(total <= max_bytes for total in accumulate(sizes[:max_rows]))


def _in_calendar(micros: pa.Int64Array) -> bool:
    """Tell whether all times lie in the years 0001 to 9999, the ones that have a text form."""
    extremes = pc.min_max(micros).as_py()
    return extremes["min"] is None or (extremes["min"] >= MIN_MICROS and extremes["max"] <= MAX_MICROS)


def _blame(field: pa.Field, tenants: Sequence[str], seqs: Sequence[object], values: Sequence[object]) -> NoReturn:
    """Name the first value that makes the column unusable."""
    for tenant_id, seq, value in zip(tenants, seqs, values, strict=True):
        if checked_column(field.name, field.type, [value]) is None:
            raise OutboxTampered(
                f"audit_outbox holds a value that no recorder writes: tenant {tenant_id}, seq {seq!r}, column"
                f" {field.name} must be {expected(field)}. Somebody wrote past the recorder; compare with a backup"
            )
    raise AssertionError(f"column {field.name} is refused as a whole but not in any row")


def expected(field: pa.Field) -> str:
    """Return in words what a column holds."""
    null = " or null" if field.name in NULLABLE_COLUMNS else ", not null"
    if field.type == pa.string():
        return f"UTF-8 text{null}"
    if pa.types.is_timestamp(field.type):
        return f"microseconds since 1970 within the years 0001 to 9999{null}"
    return f"{field.type.byte_width} bytes{null}" if pa.types.is_fixed_size_binary(field.type) else f"an integer{null}"
